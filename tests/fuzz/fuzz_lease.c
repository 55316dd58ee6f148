/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of templates: any text is a lease of which all members hold, or none; any is a time.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template/evict.h"
#include "template/lease.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char again[LEASE_TEXT_BYTES];
	struct lease l, second;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	(void)evict_parse_seconds(text);
	if (lease_parse(text, size, &l)) {
		assert(strlen(l.boot) == 36 && l.pid > 0 && l.pid <= INT32_MAX);
		(void)snprintf(again, sizeof(again), "%s:%" PRIu32 ":%" PRIu64, l.boot, l.pid,
			l.start_ticks);
		assert(lease_parse(again, strlen(again), &second) && second.pid == l.pid &&
			second.start_ticks == l.start_ticks);
		(void)lease_is_alive(&l);
	}
	free(text);
	return 0;
}
