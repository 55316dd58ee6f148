/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/subuid: whatever the text, the ranges that come out are usable ones. */
#include <assert.h>
#include <stdint.h>

#include "os/subid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subid_ranges ranges;
	size_t i;

	subid_parse((const char *)data, size, "alice", 1000, &ranges);
	assert(ranges.n <= LIMIT_ID_MAP_EXTENTS);
	for (i = 0; i < ranges.n; i++) {
		assert(ranges.items[i].count > 0);
		assert((uint64_t)ranges.items[i].start + ranges.items[i].count <= UINT32_MAX);
	}
	return 0;
}
