/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns the directories that lead to a mounted layer, and has no id inside its map: whoever runs
 * a program in there must let it pass through them.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/maps.h"
#include "store/object.h"

/* Ids without doubles, sorted. */
struct owners {
	uint32_t *ids; /* owned */
	size_t n;
};

static void owners_done(struct owners *o)
{
	free(o->ids);
}
#define AUTO_OWNERS __attribute__((cleanup(owners_done))) struct owners

static int add_owner(struct owners *o, uint32_t id)
{
	uint32_t *ids;
	size_t at;

	for (at = 0; at < o->n && o->ids[at] < id; at++)
		;
	if (at < o->n && o->ids[at] == id)
		return 0;
	ids = reallocarray(o->ids, o->n + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	o->ids = ids;
	memmove(&ids[at + 1], &ids[at], (o->n - at) * sizeof(*ids));
	ids[at] = id;
	o->n++;
	return 0;
}

static int add_unmapped(
	const struct id_maps *maps, const struct stat *st, struct owners *uids, struct owners *gids)
{
	const struct id_maps only_uids = { .uids = maps->uids, .n_uids = maps->n_uids };
	const struct id_maps only_gids = { .gids = maps->gids, .n_gids = maps->n_gids };
	struct id_pair owner = { .uid = st->st_uid, .gid = st->st_gid };
	int r = 0;

	if (id_maps_to_inside(&only_uids, &owner) < 0)
		r = add_owner(uids, st->st_uid);
	owner = (struct id_pair){ .uid = st->st_uid, .gid = st->st_gid };
	if (r == 0 && id_maps_to_inside(&only_gids, &owner) < 0)
		r = add_owner(gids, st->st_gid);
	return r;
}

/* Every directory above `path`, but for the root of all; links count as what they are, too. */
static int walk_up(const char *path, const struct id_maps *maps, struct owners *uids,
	struct owners *gids, struct imbrex_error *err)
{
	AUTO_FREE char *dir = strdup(path);
	char *slash;

	if (!dir)
		return fail_nomem(err);
	while ((slash = strrchr(dir, '/')) && slash > dir) {
		struct stat st;
		struct stat link;

		*slash = '\0';
		if (stat(dir, &st) < 0 || lstat(dir, &link) < 0)
			return fail_errno(err, "look at '%s'", dir);
		if (add_unmapped(maps, &st, uids, gids) < 0 ||
			add_unmapped(maps, &link, uids, gids) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* The caller holds layers. */
static int owners_of_layer(struct imbrex_store *s, const struct found *layer, struct owners *uids,
	struct owners *gids, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(found_record(layer), LAYER_ID);
	AUTO_MAPS maps = { 0 };
	struct mount_record *mount;
	int r;

	if (!id || maps_of_layer(found_record(layer), &maps) < 0)
		return fail_nomem(err);
	if (id_maps_empty(&maps.maps))
		return 0; /* no map, so nothing is outside of it */
	r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	mount = store_mount_find(s, id);
	if (!mount)
		return fail_reason(err, IMBREX_EINVAL, IMBREX_REASON_LAYER_NOT_MOUNTED,
			"layer %s is not mounted", id);
	return walk_up(mount->path, &maps.maps, uids, gids, err);
}

static int parent_owners(struct imbrex_store *s, const char *name, enum imbrex_kind kind,
	struct owners *uids, struct owners *gids, struct imbrex_error *err)
{
	AUTO_FREE char *layer = NULL;
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	int r;

	r = store_hold(s, HOLD_LAYERS | object_hold_bits(kind, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kind, OBJECT_LAYERS_FIRST, &o, err);
	if (r < 0)
		return r;
	if (kind == IMBREX_KIND_CONTAINER) {
		layer = record_text(found_record(&o.at), CONTAINER_LAYER);
		if (!layer)
			return fail_nomem(err);
		r = store_find(s, &layer_records, layer, &o.at, err);
		if (r < 0)
			return wrap(err, r, "container '%s'", name);
	}
	return owners_of_layer(s, &o.at, uids, gids, err);
}

static int give_owners(struct imbrex_store *s, const char *name, enum imbrex_kind kind,
	uint32_t **ret_uids, size_t *ret_n_uids, uint32_t **ret_gids, size_t *ret_n_gids,
	struct imbrex_error *err)
{
	AUTO_OWNERS uids = { 0 };
	AUTO_OWNERS gids = { 0 };
	int r;

	r = parent_owners(s, name, kind, &uids, &gids, err);
	if (r < 0)
		return r;
	*ret_n_uids = uids.n;
	*ret_n_gids = gids.n;
	*ret_uids = take_ptr(uids.ids);
	*ret_gids = take_ptr(gids.ids);
	return 0;
}

PUBLIC int imbrex_layer_parent_owners(struct imbrex_store *s, const char *layer,
	uint32_t **ret_uids, size_t *ret_n_uids, uint32_t **ret_gids, size_t *ret_n_gids,
	struct imbrex_error *err)
{
	return give_owners(
		s, layer, IMBREX_KIND_LAYER, ret_uids, ret_n_uids, ret_gids, ret_n_gids, err);
}

PUBLIC int imbrex_container_parent_owners(struct imbrex_store *s, const char *container,
	uint32_t **ret_uids, size_t *ret_n_uids, uint32_t **ret_gids, size_t *ret_n_gids,
	struct imbrex_error *err)
{
	return give_owners(s, container, IMBREX_KIND_CONTAINER, ret_uids, ret_n_uids, ret_gids,
		ret_n_gids, err);
}
