/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/subuid and nsswitch.conf: whatever the text, what comes out is usable. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/subid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subid_ranges ranges;
	char source[SUBID_SOURCE_BYTES];
	char *text;
	size_t i;

	subid_parse((const char *)data, size, "alice", 1000, &ranges);
	assert(ranges.n <= LIMIT_ID_MAP_EXTENTS);
	for (i = 0; i < ranges.n; i++) {
		assert(ranges.items[i].count > 0);
		assert((uint64_t)ranges.items[i].start + ranges.items[i].count <= UINT32_MAX);
	}
	/* The same bytes as an nsswitch.conf. */
	text = strndup((const char *)data, size);
	assert(text);
	if (subid_source(text, source))
		assert(*source && strlen(source) < sizeof(source) && !strpbrk(source, " \t\n#["));
	free(text);
	return 0;
}
