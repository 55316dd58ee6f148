/* SPDX-License-Identifier: Apache-2.0 */
/* mountinfo: any text is parsed or refused with a message; every field is a string of its own. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "os/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imbrex_error err = { 0 };
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	size_t total = 0;
	size_t i;

	if (mountinfo_parse((const char *)data, size, &m, &err) < 0) {
		assert(err.message[0]);
		return 0;
	}
	for (i = 0; i < m.n; i++) {
		const struct mount_entry *e = &m.entries[i];
		size_t len;

		total += strlen(e->root) + strlen(e->target) + strlen(e->options) +
			 strlen(e->propagation) + strlen(e->fs_type) + strlen(e->source) +
			 strlen(e->super_options);
		assert(mountinfo_find(&m, e->target));
		assert(mountinfo_find_holding(&m, e->target));
		(void)mount_option_find(e->super_options, "lowerdir", &len);
	}
	assert(total <= size);
	return 0;
}
