/* SPDX-License-Identifier: Apache-2.0 */
/* zfs(8): any table is read or refused with a message, and no complaint or name confuses us. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "zfs/name.h"
#include "zfs/output.h"

struct seen {
	size_t bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look(void *ctx, char *const *fields, struct imbrex_error *err)
{
	struct zfs_name name, snapshot;
	struct seen *s = ctx;

	assert(fields[0][0]);
	s->bytes += strlen(fields[0]) + strlen(fields[1]) + 2;
	if (zfs_name_dataset(&name, fields[0], NULL) < 0)
		return 0;
	assert(!strpbrk(name.text, "@#%\t\n,'\"$") && name.text[0] != '-');
	if (zfs_name_snapshot(&snapshot, &name, fields[1], NULL) == 0)
		assert(zfs_name_is_snapshot(&snapshot));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imbrex_error err = { 0 };
	struct seen seen = { 0 };
	char *text = malloc(size + 1);
	int r;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	assert(zfs_status_of_words(text) < 0);
	(void)zfs_no_waiting_helps(text);
	r = zfs_rows(text, size, 2, look, &seen, &err);
	assert(r == 0 || err.message[0]);
	assert(seen.bytes <= size);
	free(text);
	return 0;
}
