/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: a record and a writable layer each. Creating one copies nothing: the layer is staged
 * before the locks are taken, and published like any other.
 */
#include "store/container.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/write.h"
#include "os/fd.h"
#include "store/layer.h"

int container_unmount_layer(struct imbrex_store *s, const char *layer, struct imbrex_error *err)
{
	int r;

	r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	if (!store_mount_find(s, layer))
		return 0;
	r = s->driver->ops->unmount(s->driver, layer, err);
	return r < 0 ? r : store_mount_set(s, layer, "", 0, err);
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
		r = fail(err, IMBREX_EBUSY, "the container is mounted at %s", mount->path);
		return hint(err, r, "unmount it first, or use --force");
	}
	if (id_is_valid(id)) {
		r = store_drop(&s->containers, id, err);
		if (r < 0)
			return r;
	}
	s->containers.dirty[rec->place] = true;
	table_remove(&s->containers.t, index);
	/* A record that names a layer of an image does not make it its own. */
	if (!id_is_valid(layer) || layer_has_children(s, layer) || layer_is_used(s, layer))
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

/* ---- creating -------------------------------------------------------------------------- */

struct new_container {
	char id[ID_HEX_LEN + 1];
	char layer[ID_HEX_LEN + 1];
	char *image;      /* owned; id */
	char *image_name; /* owned; first name or "" */
	char *parent;     /* owned; top layer or "" */
};

static void new_container_done(struct new_container *c)
{
	free(c->image);
	free(c->image_name);
	free(c->parent);
}

/* What the container stands on. The caller holds images. */
static int find_base(struct imbrex_store *s, const char *image, struct new_container *c,
	struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	struct record *rec;
	struct found f;
	int r;

	r = store_find_image(s, image, &f, err);
	if (r < 0)
		return r;
	rec = found_record(&f);
	if (record_list(rec, IMAGE_NAMES, &names) < 0)
		return fail_nomem(err);
	new_container_done(c);
	c->image = record_text(rec, IMAGE_ID);
	c->parent = record_text(rec, IMAGE_LAYER);
	c->image_name = strdup(names.n ? names.items[0] : "");
	return c->image && c->parent && c->image_name ? 0 : fail_nomem(err);
}

static int format_metadata(const struct new_container *c, const char *name, struct str *to)
{
	int r;

	r = str_puts(to, "{\"image-name\":");
	if (r == 0)
		r = json_write_text(to, c->image_name);
	if (r == 0)
		r = str_printf(to, ",\"image-id\":\"%s\",\"name\":", c->image);
	if (r == 0)
		r = json_write_text(to, name);
	return r < 0 ? r : str_puts(to, "}");
}

static int format_container(
	const struct new_container *c, const struct imbrex_container_opts *opts, struct str *to)
{
	AUTO_STR metadata = STR_INIT(LIMIT_CONFIG_BYTES);
	char now[STORE_TIME_MAX];
	int r;

	store_now(now);
	if (!opts->metadata && format_metadata(c, opts->name ? opts->name : "", &metadata) < 0)
		return -ENOMEM;
	r = str_printf(to, "{\"id\":\"%s\"", c->id);
	if (r == 0 && opts->name) {
		r = str_puts(to, ",\"names\":[");
		if (r == 0)
			r = json_write_text(to, opts->name);
		if (r == 0)
			r = str_putc(to, ']');
	}
	if (r == 0)
		r = str_printf(
			to, ",\"image\":\"%s\",\"layer\":\"%s\",\"metadata\":", c->image, c->layer);
	if (r == 0)
		r = json_write_text(to, opts->metadata ? opts->metadata : str_text(&metadata));
	if (r == 0)
		r = str_printf(to,
			",\"created\":\"%s\",\"flags\":{\"MountLabel\":\"\","
			"\"ProcessLabel\":\"\"%s}}",
			now, opts->is_volatile ? ",\"Volatile\":true" : "");
	return r;
}

static int format_layer(const struct new_container *c, struct str *to)
{
	char now[STORE_TIME_MAX];
	int r;

	store_now(now);
	r = str_printf(to, "{\"id\":\"%s\"", c->layer);
	if (r == 0 && *c->parent)
		r = str_printf(to, ",\"parent\":\"%s\"", c->parent);
	return r < 0 ? r : str_printf(to, ",\"created\":\"%s\"}", now);
}

/* The name is free and the layers are there. The caller holds all tables. */
static int check_new(struct imbrex_store *s, const struct new_container *c, const char *name,
	struct imbrex_error *err)
{
	ptrdiff_t holder = name ? table_find_name(&s->containers.t, name) : -1;
	struct found below;

	if (holder >= 0) {
		AUTO_FREE char *id = record_text(table_at(&s->containers.t, holder), CONTAINER_ID);

		return fail(err, IMBREX_EEXIST, "container name '%s' is taken by container %s",
			name, id ? id : "?");
	}
	if (*c->parent && !store_get(s, &layer_records, c->parent, strlen(c->parent), &below))
		return fail(err, IMBREX_EBUSY, "image %s lost its layers meanwhile", c->image);
	return 0;
}

static int record_new(struct imbrex_store *s, const struct new_container *c,
	const struct imbrex_container_opts *opts, struct imbrex_error *err)
{
	AUTO_STR layer = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_STR container = STR_INIT(LIMIT_CONFIG_BYTES);
	int r;

	/*
	 * Also those of a volatile container go into the stable files: containers/storage
	 * before 1.45 (podman before 4.4) reads no others, and would remove the image from under
	 * the container.
	 */
	if (format_layer(c, &layer) < 0 || format_container(c, opts, &container) < 0)
		return fail_nomem(err);
	r = table_append(&s->layers.t, layer.data, layer.len, PLACE_STABLE, err);
	if (r == 0)
		r = table_append(
			&s->containers.t, container.data, container.len, PLACE_STABLE, err);
	if (r < 0)
		return r;
	s->layers.dirty[0] = true;
	s->containers.dirty[0] = true;
	return store_save_all(s, (struct store_table *[]){ &s->layers, &s->containers }, 2, err);
}

#define HOLD_NEW_CONTAINER (HOLD_LAYERS_W | HOLD_IMAGES | HOLD_CONTAINERS_W)

/* Drivers whose empty layers cost nothing: everything in one hold. */
static int create_in_place(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, struct new_container *c, struct imbrex_error *err)
{
	struct driver_parent below = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(s, HOLD_NEW_CONTAINER, &hold, err);
	if (r == 0)
		r = find_base(s, image, c, err);
	if (r == 0)
		r = check_new(s, c, opts->name, err);
	if (r < 0)
		return r;
	below.id = *c->parent ? c->parent : NULL;
	r = s->driver->ops->create(s->driver, c->layer, &below, NULL, !opts->is_volatile, err);
	if (r == 0 && !opts->is_volatile)
		r = store_sync_layers(s, err);
	return r < 0 ? r : record_new(s, c, opts, err);
}

/* Drivers that copy: the copy is made while nothing is held. */
static int create_staged(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, struct new_container *c, struct tempdir *temp,
	struct imbrex_error *err)
{
	AUTO_STAGE struct driver_stage *stage = NULL;
	struct driver_parent below = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(s, HOLD_IMAGES, &hold, err);
	if (r == 0)
		r = find_base(s, image, c, err);
	if (r < 0)
		return r;
	store_release(&hold);
	below.id = *c->parent ? c->parent : NULL;
	r = s->driver->ops->stage_new(s->driver, temp, &below, NULL, &stage, err);
	if (r == 0)
		r = stage->ops->stage_seal(stage, &below, /* sync= */ !opts->is_volatile, err);
	if (r == 0)
		r = store_hold(s, HOLD_NEW_CONTAINER, &hold, err);
	if (r == 0)
		r = check_new(s, c, opts->name, err);
	if (r == 0)
		r = stage->ops->stage_rebase(stage, &below, err);
	if (r == 0)
		r = stage->ops->stage_publish(stage, c->layer, err);
	if (r == 0 && !opts->is_volatile)
		r = store_sync_layers(s, err);
	return r < 0 ? r : record_new(s, c, opts, err);
}

static int create_with_temp(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, struct new_container *c, struct imbrex_error *err)
{
	struct tempdir *temp = NULL;
	char root[NAME_MAX];
	int r;

	driver_temp_root(s->driver, root, sizeof(root));
	r = tempdir_new(s->graphfd, root, &temp, err);
	if (r < 0)
		return r;
	r = create_staged(s, image, opts, c, temp, err);
	tempdir_free(temp);
	(void)unlinkat(s->graphfd, root, AT_REMOVEDIR); /* see drop_trash() */
	return r;
}

PUBLIC int imbrex_container_create(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, char **ret_id, struct imbrex_error *err)
{
	static const struct imbrex_container_opts none = { 0 };
	struct new_container c = { 0 };
	char *id;
	int r;

	if (!opts)
		opts = &none;
	if (s->read_only)
		return store_fail_read_only(s, err);
	if (random_id(c.id) < 0 || random_id(c.layer) < 0)
		return fail(err, IMBREX_EFAIL, "no random numbers from the kernel");
	id = strdup(c.id);
	if (!id)
		return fail_nomem(err);
	r = s->driver->ops->create ? create_in_place(s, image, opts, &c, err)
				   : create_with_temp(s, image, opts, &c, err);
	new_container_done(&c);
	if (r < 0) {
		free(id);
		return wrap(err, r, "container on image %s", image);
	}
	*ret_id = id;
	return 0;
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
	return ret->names && ret->image_name && ret->mount_path ? 0 : -ENOMEM;
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
