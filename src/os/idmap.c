/* SPDX-License-Identifier: Apache-2.0 */
/* Identity maps at work; see the header. */
#include "os/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "os/fd.h"

/* Where /proc cannot say. Source: Linux include/linux/highuid.h, DEFAULT_OVERFLOWUID. */
#define OVERFLOW_ID 65534

bool id_maps_empty(const struct id_maps *maps)
{
	return !maps || (maps->n_uids == 0 && maps->n_gids == 0);
}

static bool same_ranges(
	const struct imbrex_id_map *a, size_t n_a, const struct imbrex_id_map *b, size_t n_b)
{
	size_t i;

	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++)
		if (a[i].inside != b[i].inside || a[i].outside != b[i].outside ||
			a[i].count != b[i].count)
			return false;
	return true;
}

bool id_maps_equal(const struct id_maps *a, const struct id_maps *b)
{
	static const struct id_maps none = { 0 };

	if (!a)
		a = &none;
	if (!b)
		b = &none;
	return same_ranges(a->uids, a->n_uids, b->uids, b->n_uids) &&
	       same_ranges(a->gids, a->n_gids, b->gids, b->n_gids);
}

static bool contiguous(const struct imbrex_id_map *map, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++)
		if ((uint64_t)map[i - 1].inside + map[i - 1].count != map[i].inside ||
			(uint64_t)map[i - 1].outside + map[i - 1].count != map[i].outside)
			return false;
	return true;
}

bool id_maps_contiguous(const struct id_maps *maps)
{
	return !maps ||
	       (contiguous(maps->uids, maps->n_uids) && contiguous(maps->gids, maps->n_gids));
}

static int to_host(const struct imbrex_id_map *map, size_t n, uint32_t id, uint32_t *ret)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (id >= map[i].inside && id - map[i].inside < map[i].count) {
			*ret = map[i].outside + (id - map[i].inside);
			return 0;
		}
	}
	if (n)
		return -EOVERFLOW;
	*ret = id;
	return 0;
}

static int to_inside(const struct imbrex_id_map *map, size_t n, uint32_t id, uint32_t *ret)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (id >= map[i].outside && id - map[i].outside < map[i].count) {
			*ret = map[i].inside + (id - map[i].outside);
			return 0;
		}
	}
	if (n)
		return -EOVERFLOW;
	*ret = id;
	return 0;
}

int id_maps_to_host(const struct id_maps *maps, struct id_pair *ids)
{
	struct id_pair out = *ids;
	int r;

	if (!maps)
		return 0;
	r = to_host(maps->uids, maps->n_uids, ids->uid, &out.uid);
	if (r == 0)
		r = to_host(maps->gids, maps->n_gids, ids->gid, &out.gid);
	if (r == 0)
		*ids = out;
	return r;
}

void id_maps_to_host_or(
	const struct id_maps *maps, struct id_pair *ids, const struct id_pair *unknown)
{
	if (!maps)
		return;
	if (to_host(maps->uids, maps->n_uids, ids->uid, &ids->uid) < 0)
		ids->uid = unknown->uid;
	if (to_host(maps->gids, maps->n_gids, ids->gid, &ids->gid) < 0)
		ids->gid = unknown->gid;
}

int id_maps_to_inside(const struct id_maps *maps, struct id_pair *ids)
{
	struct id_pair in = *ids;
	int r;

	if (!maps)
		return 0;
	r = to_inside(maps->uids, maps->n_uids, ids->uid, &in.uid);
	if (r == 0)
		r = to_inside(maps->gids, maps->n_gids, ids->gid, &in.gid);
	if (r == 0)
		*ids = in;
	return r;
}

static int root_of(const struct imbrex_id_map *map, size_t n, uint32_t *ret)
{
	if (n == 1 && map[0].count == 1) {
		*ret = map[0].outside;
		return 0;
	}
	return to_host(map, n, 0, ret);
}

int id_maps_root(const struct id_maps *maps, struct id_pair *ret)
{
	struct id_pair root = { 0, 0 };
	int r = 0;

	if (maps)
		r = root_of(maps->uids, maps->n_uids, &root.uid);
	if (maps && r == 0)
		r = root_of(maps->gids, maps->n_gids, &root.gid);
	if (r == 0)
		*ret = root;
	return r;
}

static uint32_t read_overflow(const char *path)
{
	AUTO_STR text = STR_INIT(64);
	struct imbrex_error ignored;
	unsigned long id;
	char *end;

	if (read_file_at(AT_FDCWD, path, text.max_len, &text, &ignored) < 0)
		return OVERFLOW_ID;
	errno = 0;
	id = strtoul(str_text(&text), &end, 10);
	return errno || end == str_text(&text) || id > UINT32_MAX ? OVERFLOW_ID : (uint32_t)id;
}

struct id_pair id_overflow(void)
{
	return (struct id_pair){ read_overflow("/proc/sys/kernel/overflowuid"),
		read_overflow("/proc/sys/kernel/overflowgid") };
}

int id_maps_copy(const struct id_maps *from, struct id_maps_copy *ret)
{
	struct imbrex_id_map *ranges;

	if (id_maps_empty(from)) {
		*ret = (struct id_maps_copy){ 0 };
		return 0;
	}
	ranges = calloc(from->n_uids + from->n_gids, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	if (from->n_uids)
		memcpy(ranges, from->uids, from->n_uids * sizeof(*ranges));
	if (from->n_gids)
		memcpy(ranges + from->n_uids, from->gids, from->n_gids * sizeof(*ranges));
	ret->ranges = ranges;
	ret->maps = (struct id_maps){ ranges, from->n_uids, ranges + from->n_uids, from->n_gids };
	return 0;
}

void id_maps_copy_done(struct id_maps_copy *c)
{
	free(c->ranges);
	*c = (struct id_maps_copy){ 0 };
}
