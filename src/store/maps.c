/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps between records and memory; see the header. */
#include "store/maps.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "json/scan.h"
#include "os/userns.h"

/* 1 if the element is a range of ids. */
static int read_range(struct json_scan *s, struct imbrex_id_map *ret)
{
	static const char *const keys[] = { "container_id", "host_id", "size" };
	int64_t values[ARRAY_LEN(keys)] = { -1, -1, 0 };
	struct json_span key;
	size_t i;
	int n;

	if (json_scan_kind(s, NULL) != JSON_KIND_OBJECT)
		return json_scan_skip(s, NULL, NULL);
	n = json_scan_object_begin(s, NULL);
	while (n >= 0 && (n = json_scan_object_next(s, &key, NULL)) > 0) {
		for (i = 0; i < ARRAY_LEN(keys) && !json_key_is_folded(key, keys[i]); i++)
			;
		if (i < ARRAY_LEN(keys) && json_scan_kind(s, NULL) == JSON_KIND_NUMBER)
			n = json_scan_int64(s, &values[i], NULL);
	}
	if (n < 0 || values[0] < 0 || values[1] < 0 || values[2] <= 0 || values[0] > UINT32_MAX ||
		values[1] > UINT32_MAX || values[2] > UINT32_MAX)
		return n;
	*ret = (struct imbrex_id_map){ .inside = (uint32_t)values[0],
		.outside = (uint32_t)values[1],
		.count = (uint32_t)values[2] };
	return 1;
}

static size_t read_ranges(
	const struct record *r, int field, struct imbrex_id_map ret[LIMIT_ID_MAP_EXTENTS])
{
	struct json_span raw = record_raw(r, field);
	struct json_scan s;
	size_t len = 0;
	int n;

	if (!raw.len || raw.at[0] != '[')
		return 0;
	json_scan_init(&s, raw.at, raw.len);
	n = json_scan_array_begin(&s, NULL);
	while (n >= 0 && len < LIMIT_ID_MAP_EXTENTS && (n = json_scan_array_next(&s, NULL)) > 0) {
		n = read_range(&s, &ret[len]);
		len += n > 0;
	}
	return len;
}

int map_read(const struct record *r, int field, struct imbrex_id_map **ret, size_t *ret_n)
{
	struct imbrex_id_map ranges[LIMIT_ID_MAP_EXTENTS];
	size_t n = read_ranges(r, field, ranges);
	struct imbrex_id_map *copy = NULL;

	if (n) {
		copy = reallocarray(NULL, n, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, ranges, n * sizeof(*copy));
	}
	*ret = copy;
	*ret_n = n;
	return 0;
}

int maps_read(const struct record *r, int uid_field, int gid_field, struct id_maps_copy *ret)
{
	struct imbrex_id_map uids[LIMIT_ID_MAP_EXTENTS];
	struct imbrex_id_map gids[LIMIT_ID_MAP_EXTENTS];
	const struct id_maps maps = { .uids = uids,
		.n_uids = read_ranges(r, uid_field, uids),
		.gids = gids,
		.n_gids = read_ranges(r, gid_field, gids) };

	return id_maps_copy(&maps, ret);
}

int map_put(struct str *to, const char *key, const struct imbrex_id_map *map, size_t n)
{
	size_t i;
	int r = 0;

	if (!n)
		return 0;
	r = str_printf(to, ",\"%s\":", key);
	for (i = 0; r == 0 && i < n; i++)
		r = str_printf(to,
			"%c{\"container_id\":%" PRIu32 ",\"host_id\":%" PRIu32 ",\"size\":%" PRIu32
			"}",
			i ? ',' : '[', map[i].inside, map[i].outside, map[i].count);
	return r < 0 ? r : str_putc(to, ']');
}

int maps_check(const struct id_maps *maps, struct imbrex_error *err)
{
	/* What makes a namespace needs both lists, a record does not. */
	static const struct imbrex_id_map any = { .count = 1 };
	struct id_maps both = *maps;

	if (id_maps_empty(maps))
		return 0;
	if (!both.n_uids) {
		both.uids = &any;
		both.n_uids = 1;
	}
	if (!both.n_gids) {
		both.gids = &any;
		both.n_gids = 1;
	}
	return id_maps_check(&both, err);
}
