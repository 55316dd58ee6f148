/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers, a record and a writable layer each: found, listed, removed.
 */
#include "store/container.h"

#include <stdlib.h>
#include <string.h>

#include "store/bigdata.h"
#include "store/layer.h"
#include "store/maps.h"
#include "store/object.h"

int container_unmount_layer(struct imbrex_store *s, const char *layer, struct imbrex_error *err)
{
	const struct mount_record *m;
	int r;

	r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	m = store_mount_find(s, layer);
	if (!m)
		return 0;
	r = store_mount_check_here(s, m, err);
	if (r == 0)
		r = s->driver->ops->unmount(s->driver, layer, err);
	return r < 0 ? r : store_mount_set(s, layer, "", 0, err);
}

bool container_by_layer(struct imbrex_store *s, const char *layer, struct found *ret)
{
	ptrdiff_t i = table_find(&s->containers.t, KEY_LAYER, layer, strlen(layer));

	if (i >= 0)
		*ret = (struct found){ .t = &s->containers, .index = (size_t)i };
	return i >= 0;
}

int container_drop(struct imbrex_store *s, size_t index, bool force, struct imbrex_error *err)
{
	struct record *rec = table_at(&s->containers.t, index);
	AUTO_FREE char *id = record_text(rec, CONTAINER_ID);
	AUTO_FREE char *layer = record_text(rec, CONTAINER_LAYER);
	struct mount_record *mount;
	int r;

	if (!id || !layer)
		return fail_nomem(err);
	r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	mount = store_mount_find(s, layer);
	if (mount && !force) {
		r = fail_reason(err, IMBREX_EBUSY, IMBREX_REASON_LAYER_MOUNTED,
			"the container is mounted at %s", mount->path);
		return hint(err, r, "unmount it first, or use --force");
	}
	if (object_id_is_safe(id)) {
		r = store_drop(&s->containers, id, err);
		if (r < 0)
			return r;
	}
	s->containers.dirty[rec->place] = true;
	table_remove(&s->containers.t, index);
	/* A record that names a layer of an image does not make it its own. */
	if (!object_id_is_safe(layer) || layer_has_children(s, layer) || layer_is_used(s, layer))
		return 0;
	r = container_unmount_layer(s, layer, err);
	return r < 0 ? r : layer_drop(s, layer, err);
}

PUBLIC int imbrex_container_remove(
	struct imbrex_store *s, const char *container, bool force, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS_W | HOLD_IMAGES | HOLD_CONTAINERS_W, &hold, err);
	if (r < 0)
		return r;
	r = store_find(s, &container_records, container, &f, err);
	if (r < 0)
		return r;
	r = container_drop(s, f.index, force, err);
	if (r < 0)
		return wrap(err, r, "container %s", container);
	/* The record goes first: a crash leaves a layer nobody names, never the other way round. */
	return store_save_all(s, (struct store_table *[]){ &s->containers, &s->layers }, 2, err);
}

/* ---- reading --------------------------------------------------------------------------- */

static int fill_container(
	struct imbrex_store *s, const struct record *rec, struct imbrex_container *ret)
{
	AUTO_STRV names = { 0 };
	AUTO_STRV image_names = { 0 };
	struct mount_record *mount;
	struct found image;

	ret->id = record_text(rec, CONTAINER_ID);
	ret->image = record_text(rec, CONTAINER_IMAGE);
	ret->layer = record_text(rec, CONTAINER_LAYER);
	ret->created = record_text(rec, CONTAINER_CREATED);
	if (!ret->id || !ret->image || !ret->layer || !ret->created ||
		record_list(rec, CONTAINER_NAMES, &names) < 0)
		return -ENOMEM;
	ret->names = strings_take(&names);
	if (store_get(s, &image_records, ret->image, strlen(ret->image), &image) &&
		record_list(found_record(&image), IMAGE_NAMES, &image_names) < 0)
		return -ENOMEM;
	ret->image_name = strdup(image_names.n ? image_names.items[0] : "");
	ret->is_volatile =
		rec->place == PLACE_VOLATILE || record_flag(rec, CONTAINER_FLAGS, "Volatile");
	mount = store_mount_find(s, ret->layer);
	ret->mount_count = mount ? mount->count : 0;
	ret->mount_path = strdup(mount ? mount->path : "");
	if (!ret->names || !ret->image_name || !ret->mount_path ||
		map_read(rec, CONTAINER_UIDMAP, &ret->uid_map, &ret->n_uid_map) < 0)
		return -ENOMEM;
	return map_read(rec, CONTAINER_GIDMAP, &ret->gid_map, &ret->n_gid_map);
}

PUBLIC void imbrex_containers_free(struct imbrex_container *containers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(containers[i].id);
		imbrex_strings_free(containers[i].names);
		free(containers[i].image);
		free(containers[i].image_name);
		free(containers[i].layer);
		free(containers[i].created);
		free(containers[i].mount_path);
		free(containers[i].uid_map);
		free(containers[i].gid_map);
	}
	free(containers);
}

PUBLIC int imbrex_containers_list(struct imbrex_store *s, struct imbrex_container **ret,
	size_t *ret_n, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct imbrex_container *containers;
	size_t n = 0;
	ptrdiff_t i;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	containers = calloc(table_count(&s->containers.t) + 1, sizeof(*containers));
	if (!containers)
		return fail_nomem(err);
	for (i = table_next(&s->containers.t, -1); i >= 0; i = table_next(&s->containers.t, i)) {
		if (fill_container(s, table_at(&s->containers.t, (size_t)i), &containers[n++]) <
			0) {
			imbrex_containers_free(containers, n);
			return fail_nomem(err);
		}
	}
	*ret = containers;
	*ret_n = n;
	return 0;
}

PUBLIC int imbrex_container_get(struct imbrex_store *s, const char *name,
	struct imbrex_container **ret, struct imbrex_error *err)
{
	struct imbrex_container *container;
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r == 0)
		r = object_find(s, name, IMBREX_KIND_CONTAINER, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r < 0)
		return r;
	container = calloc(1, sizeof(*container));
	if (!container || fill_container(s, found_record(&o.at), container) < 0) {
		imbrex_containers_free(container, container != NULL);
		return fail_nomem(err);
	}
	*ret = container;
	return 0;
}

PUBLIC int imbrex_container_find(
	struct imbrex_store *s, const char *name, char **ret_id, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	char *id;
	int r;

	r = store_hold(s, HOLD_CONTAINERS, &hold, err);
	if (r < 0)
		return r;
	r = store_find(s, &container_records, name, &f, err);
	if (r < 0)
		return r;
	id = record_text(found_record(&f), CONTAINER_ID);
	if (!id)
		return fail_nomem(err);
	*ret_id = id;
	return 0;
}

/* Bytes of the documents, as recorded. *ret_layer is its layer. */
static int documents_size(struct imbrex_store *s, const char *name, char **ret_layer, int64_t *ret,
	struct imbrex_error *err)
{
	struct bigdata_facts facts;
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV keys = { 0 };
	struct object o;
	int64_t total = 0;
	size_t i;
	int r;

	r = store_hold(s, HOLD_CONTAINERS, &hold, err);
	if (r == 0)
		r = object_find(s, name, IMBREX_KIND_CONTAINER, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r < 0)
		return r;
	if (bigdata_list(&o.at, &keys) < 0)
		return fail_nomem(err);
	for (i = 0; i < keys.n; i++) {
		if (!bigdata_facts(&o.at, keys.items[i], &facts) || facts.size < 0 ||
			__builtin_add_overflow(total, facts.size, &total))
			return fail_reason(err, IMBREX_EFAIL, IMBREX_REASON_SIZE_UNKNOWN,
				"container '%s': the size of document '%s' is not recorded", name,
				keys.items[i]);
	}
	*ret = total;
	*ret_layer = record_text(found_record(&o.at), CONTAINER_LAYER);
	return *ret_layer ? 0 : fail_nomem(err);
}

PUBLIC int imbrex_container_size(
	struct imbrex_store *s, const char *container, int64_t *ret, struct imbrex_error *err)
{
	AUTO_FREE char *layer = NULL;
	int64_t documents = 0;
	int64_t content = 0;
	int r;

	r = documents_size(s, container, &layer, &documents, err);
	if (r == 0)
		r = imbrex_layer_diff_size(s, layer, NULL, &content, err);
	if (r < 0)
		return r;
	if (__builtin_add_overflow(documents, content, ret))
		return fail(
			err, IMBREX_ELIMIT, "container '%s' is too large to measure", container);
	return 0;
}
