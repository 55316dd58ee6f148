/* SPDX-License-Identifier: Apache-2.0 */
/* Automatic user namespaces; see the header. */
#include "store/auto_ids.h"

#include <fcntl.h>
#include <string.h>

#include "base/limits.h"
#include "imbrex/mount.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/subid.h"
#include "store/idset.h"
#include "store/layer.h"
#include "store/maps.h"
#include "store/object.h"
#include "store/rootless.h"

/* What containers/storage takes if nothing is configured. */
#define DEFAULT_USER    "containers"
#define DEFAULT_MIN_IDS 1024
#define DEFAULT_MAX_IDS 65536

/* "nobody", whom images have and who would make every namespace one of 65536 ids. */
#define OVERFLOW_ID 65534

/* ---- how many ------------------------------------------------------------------------------ */

/* The number that is the whole field: digits up to ':' or the end. */
static bool number_field(const char *at, const char *end, uint32_t *ret)
{
	uint64_t value = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		value = value * 10 + (uint64_t)(*at - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)value;
	return true;
}

static bool is_nobody(const char *line, size_t len)
{
	return (len >= 7 && memcmp(line, "nobody:", 7) == 0) ||
	       (len >= 8 && memcmp(line, "nogroup:", 8) == 0);
}

/* Of the fields `first` to `last`, counted from 0, in every line. */
static uint32_t ids_of_lines(const char *text, size_t len, unsigned int first, unsigned int last)
{
	const char *end = text + len;
	uint32_t n = 0;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;
		bool counts = !is_nobody(text, (size_t)(stop - text));
		unsigned int field;

		for (field = 0; counts && field <= last && text <= stop; field++) {
			const char *colon =
				text < stop ? memchr(text, ':', (size_t)(stop - text)) : NULL;
			const char *to = colon ? colon : stop;
			uint32_t id;

			if (field >= first && number_field(text, to, &id) && id != OVERFLOW_ID &&
				id < UINT32_MAX && id >= n)
				n = id + 1;
			text = to + 1;
		}
		text = stop + 1;
	}
	return n;
}

uint32_t ids_of_passwd(const char *text, size_t len)
{
	return ids_of_lines(text, len, 2, 3);
}

uint32_t ids_of_group(const char *text, size_t len)
{
	return ids_of_lines(text, len, 2, 2);
}

/* A file of the image, as a program in it would find it. One that cannot be read names nobody. */
static uint32_t ids_of_file(
	int root, const char *path, uint32_t (*ids_of)(const char *text, size_t len))
{
	AUTO_STR text = STR_INIT(LIMIT_PASSWD_BYTES);
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;

	fd = open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, BENEATH_IN_ROOT);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || read_to_end(fd, &text) < 0)
		return 0;
	return ids_of(str_text(&text), text.len);
}

static int ids_of_tree(struct imbrex_store *s, const struct imbrex_auto_ids *how, const char *image,
	uint32_t *ret, struct imbrex_error *err)
{
	const struct imbrex_mount_opts opts = {
		.read_only = true, .kinds = IMBREX_KIND_IMAGE, .exact = true
	};
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int root = -EBADF;
	uint32_t n;
	int r;

	r = imbrex_mount(s, image, &opts, &path, err);
	if (r < 0)
		return r;
	root = open_root_dir_at(AT_FDCWD, path, err);
	r = root < 0 ? root : 0;
	if (r == 0) {
		n = ids_of_file(
			root, how->passwd_file ? how->passwd_file : "/etc/passwd", ids_of_passwd);
		*ret = MAX(*ret, n);
		n = ids_of_file(
			root, how->group_file ? how->group_file : "/etc/group", ids_of_group);
		*ret = MAX(*ret, n);
	}
	root = close_fd(root);
	if (r < 0) {
		(void)!imbrex_unmount_kind(s, image, IMBREX_KIND_IMAGE, false, NULL, NULL);
		return r;
	}
	return imbrex_unmount_kind(s, image, IMBREX_KIND_IMAGE, false, NULL, err);
}

static uint32_t ids_of_set(const struct record *layer, int field)
{
	struct json_span raw = record_raw(layer, field);
	struct json_scan scan;
	uint32_t n = 0;
	uint64_t id;
	int r;

	if (!raw.len || raw.at[0] != '[')
		return 0;
	json_scan_init(&scan, raw.at, raw.len);
	r = json_scan_array_begin(&scan, NULL);
	while (r >= 0 && (r = json_scan_array_next(&scan, NULL)) > 0) {
		r = json_scan_uint64(&scan, &id, NULL);
		if (r >= 0 && id < UINT32_MAX && id >= n)
			n = (uint32_t)id + 1;
	}
	return n;
}

/* Of the layers' records. *ret_layers: there are any. */
static int ids_of_layers(struct imbrex_store *s, const char *image, uint32_t *ret, bool *ret_layers,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct layer_walk w;
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS | HOLD_IMAGES, &hold, err);
	if (r == 0)
		r = store_find(s, &image_records, image, &f, err);
	if (r < 0)
		return r;
	*ret_layers = record_plain(found_record(&f), IMAGE_LAYER).len > 0;
	for (layer_walk(s, record_plain(found_record(&f), IMAGE_LAYER), &w); w.more;
		layer_walk_next(s, &w)) {
		uint32_t uids = ids_of_set(found_record(&w.at), LAYER_UIDSET);
		uint32_t gids = ids_of_set(found_record(&w.at), LAYER_GIDSET);

		*ret = MAX(*ret, MAX(uids, gids));
	}
	return 0;
}

int auto_ids_size(struct imbrex_store *s, const struct imbrex_auto_ids *how, const char *image,
	uint32_t *ret, struct imbrex_error *err)
{
	uint32_t max = s->config.auto_max_ids ? s->config.auto_max_ids : DEFAULT_MAX_IDS;
	uint32_t size = s->config.auto_min_ids ? s->config.auto_min_ids : DEFAULT_MIN_IDS;
	bool layers = false;
	int r = 0;

	if (how->size) {
		*ret = how->size;
		return 0;
	}
	size = MAX(size, how->initial_size);
	if (*image)
		r = ids_of_layers(s, image, &size, &layers, err);
	if (r == 0 && layers)
		r = ids_of_tree(s, how, image, &size, err);
	if (r < 0)
		return r;
	if (size > max) {
		r = fail(err, IMBREX_EINVAL, "a user namespace of %u ids is needed, %u are allowed",
			size, max);
		return hint(err, r, "set auto-userns-max-size in storage.conf, or ask for a size");
	}
	*ret = size;
	return 0;
}

/* ---- which --------------------------------------------------------------------------------- */

/* All ids that the namespace we are in has, but for its root. */
static int available_inside(bool groups, struct id_set *ret)
{
	struct rootless_facts facts;
	uint64_t n;

	rootless_facts_read(&facts);
	n = groups ? facts.n_gids : facts.n_ids;
	return id_set_add(ret, 1, n > 1 ? n - 1 : 0);
}

/* Ids that may be given away. */
static int available(
	struct imbrex_store *s, const char *path, struct id_set *ret, struct imbrex_error *err)
{
	const char *user = *s->config.auto_user ? s->config.auto_user : DEFAULT_USER;
	struct subid_ranges ranges;
	size_t i;
	int r;

	if (s->rootless)
		return available_inside(str_eq(path, SUBGID_PATH), ret) < 0 ? fail_nomem(err) : 0;
	r = subid_find(path, user, (uid_t)-1, &ranges, err);
	for (i = 0; r == 0 && i < ranges.n; i++) {
		if (id_set_add(ret, ranges.items[i].start, ranges.items[i].count) < 0)
			r = fail_nomem(err);
	}
	if (r < 0 || ret->n)
		return r;
	r = fail_reason(err, IMBREX_ELIMIT, IMBREX_REASON_NOT_ENOUGH_IDS,
		"user '%s' has no ids in %s for user namespaces of containers", user, path);
	return hint(err, r, "give it a range there, or name another user in storage.conf");
}

static int remove_used(struct imbrex_store *s, int field, struct id_set *ids)
{
	struct table *t = &s->containers.t;
	ptrdiff_t i;

	for (i = table_next(t, -1); i >= 0; i = table_next(t, i)) {
		AUTO_FREE struct imbrex_id_map *map = NULL;
		size_t n;
		size_t k;

		if (map_read(table_at(t, (size_t)i), field, &map, &n) < 0)
			return -ENOMEM;
		for (k = 0; k < n; k++) {
			if (id_set_remove(ids, map[k].outside, map[k].count) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

struct auto_map {
	struct imbrex_id_map ranges[LIMIT_ID_MAP_EXTENTS];
	size_t n;
};

static int add_range(struct auto_map *map, uint64_t inside, uint64_t outside, uint64_t count)
{
	if (map->n == LIMIT_ID_MAP_EXTENTS)
		return -E2BIG;
	map->ranges[map->n++] = (struct imbrex_id_map){
		.inside = (uint32_t)inside, .outside = (uint32_t)outside, .count = (uint32_t)count
	};
	return 0;
}

/* The ids inside, lowest first, on those of the host, lowest first; both are equally many. */
static int join(const struct id_set *inside, const struct id_set *outside, struct auto_map *map)
{
	struct id_range from = { 0 };
	struct id_range to = { 0 };
	size_t i = 0;
	size_t k = 0;
	int r = 0;

	while (r == 0) {
		uint64_t n;

		if (from.start == from.end) {
			if (i == inside->n)
				return 0;
			from = inside->ranges[i++];
		}
		if (to.start == to.end) {
			if (k == outside->n)
				return 0;
			to = outside->ranges[k++];
		}
		n = MIN(from.end - from.start, to.end - to.start);
		r = add_range(map, from.start, to.start, n);
		from.start += n;
		to.start += n;
	}
	return r;
}

struct auto_kind {
	const char *path;
	int field;
	const struct imbrex_id_map *extra;
	size_t n_extra;
};

static int pick(struct imbrex_store *s, const struct auto_kind *kind, uint32_t size,
	struct auto_map *map, struct imbrex_error *err)
{
	AUTO_ID_SET outside = { 0 };
	AUTO_ID_SET inside = { 0 };
	size_t i;
	int r;

	r = available(s, kind->path, &outside, err);
	if (r < 0)
		return r;
	r = remove_used(s, kind->field, &outside);
	if (r == 0)
		r = id_set_add(&inside, 0, size);
	for (i = 0; r == 0 && i < kind->n_extra; i++) {
		r = id_set_remove(&outside, kind->extra[i].outside, kind->extra[i].count);
		if (r == 0)
			r = id_set_remove(&inside, kind->extra[i].inside, kind->extra[i].count);
	}
	if (r < 0)
		return fail_nomem(err);
	if (id_set_cut(&outside, id_set_size(&inside)) < 0)
		return fail_reason(err, IMBREX_ELIMIT, IMBREX_REASON_NOT_ENOUGH_IDS,
			"of the ids in %s %llu are free, a user namespace of %u is wanted",
			kind->path, (unsigned long long)id_set_size(&outside), size);
	r = join(&inside, &outside, map);
	for (i = 0; r == 0 && i < kind->n_extra; i++)
		r = add_range(
			map, kind->extra[i].inside, kind->extra[i].outside, kind->extra[i].count);
	if (r < 0)
		return fail_reason(err, IMBREX_ELIMIT, IMBREX_REASON_NOT_ENOUGH_IDS,
			"free ids lie in more than %d pieces", LIMIT_ID_MAP_EXTENTS);
	return 0;
}

int auto_ids_pick(struct imbrex_store *s, const struct imbrex_auto_ids *how, uint32_t size,
	struct id_maps_copy *ret, struct imbrex_error *err)
{
	const struct auto_kind users = { SUBUID_PATH, CONTAINER_UIDMAP, how->extra_uids,
		how->n_extra_uids };
	const struct auto_kind groups = { SUBGID_PATH, CONTAINER_GIDMAP, how->extra_gids,
		how->n_extra_gids };
	struct auto_map uids = { .n = 0 };
	struct auto_map gids = { .n = 0 };
	struct id_maps maps;
	int r;

	r = pick(s, &users, size, &uids, err);
	if (r == 0)
		r = pick(s, &groups, size, &gids, err);
	if (r < 0)
		return r;
	maps = (struct id_maps){ uids.ranges, uids.n, gids.ranges, gids.n };
	r = maps_check(&maps, err);
	if (r < 0)
		return r;
	id_maps_copy_done(ret);
	return id_maps_copy(&maps, ret) < 0 ? fail_nomem(err) : 0;
}
