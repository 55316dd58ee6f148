/* SPDX-License-Identifier: Apache-2.0 */
/* Subordinate ids as a map: what a layer gets that is made for somebody's user namespace. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "imbrex/idmap.h"
#include "os/subid.h"

static int compare_ranges(const void *a, const void *b)
{
	const struct subid_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

PUBLIC int imbrex_subids_map(const char *name, bool groups, struct imbrex_id_map **ret,
	size_t *ret_n, struct imbrex_error *err)
{
	const char *path = groups ? SUBGID_PATH : SUBUID_PATH;
	struct subid_ranges ranges;
	struct imbrex_id_map *map;
	uint32_t inside = 0;
	size_t i;
	int r;

	/* By name alone: a number in the file is somebody's uid, and none is the highest. */
	r = subid_find(path, name, (uid_t)-1, &ranges, err);
	if (r < 0)
		return r;
	if (ranges.n == 0)
		return fail(err, IMBREX_ENOENT, "no %s ranges found for %s \"%s\" in %s",
			groups ? "subgid" : "subuid", groups ? "group" : "user", name, path);
	qsort(ranges.items, ranges.n, sizeof(ranges.items[0]), compare_ranges);
	map = calloc(ranges.n, sizeof(*map));
	if (!map)
		return fail_nomem(err);
	for (i = 0; i < ranges.n; i++) {
		map[i] = (struct imbrex_id_map){ .inside = inside,
			.outside = ranges.items[i].start,
			.count = ranges.items[i].count };
		if (__builtin_add_overflow(inside, ranges.items[i].count, &inside)) {
			free(map);
			return fail(err, IMBREX_ELIMIT,
				"ranges of \"%s\" in %s are more than all ids", name, path);
		}
	}
	*ret = map;
	*ret_n = ranges.n;
	return 0;
}
