/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating containers. Mostly nothing is copied, and all happens in one hold of the locks. Where
 * the driver copies, or owners must be changed because it cannot map them when it mounts, the
 * layers are staged first: what the container stands on is looked at, the locks are released, the
 * layers are made, and under the locks again it must be what it was; else all begins anew.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/write.h"
#include "store/auto_ids.h"
#include "store/layer.h"
#include "store/mapped.h"
#include "store/names.h"
#include "store/newlayer.h"
#include "store/object.h"

struct new_container {
	const struct imbrex_container_opts *opts; /* borrowed */
	char *id;                                 /* owned */
	struct strv names;
	struct id_maps_copy maps;    /* those asked for: its record keeps them */
	struct imbrex_id_maps asked; /* the same, and whose wins; points into `maps` */
	char *image;                 /* owned; id, "" if none */
	char *image_name;            /* owned; its first name or "" */
	struct new_layer layer;      /* its own */
	bool needs_copy;             /* of the image's top layer, under these maps */
	struct new_layer copy;
	uint32_t auto_ids; /* ids of a user namespace of its own; 0: no */
};

static void new_container_done(struct new_container *c)
{
	free(take_ptr(c->id));
	strv_done(&c->names);
	id_maps_copy_done(&c->maps);
	free(take_ptr(c->image));
	free(take_ptr(c->image_name));
	/* It may be staged on the copy. */
	new_layer_done(&c->layer);
	new_layer_done(&c->copy);
}
#define AUTO_NEW_CONTAINER __attribute__((cleanup(new_container_done))) struct new_container
#define NEW_CONTAINER_INIT                                      \
	{                                                       \
		.layer = NEW_LAYER_INIT, .copy = NEW_LAYER_INIT \
	}

/* ---- what it stands on ------------------------------------------------------------------- */

static struct imbrex_id_maps asked_of(const struct id_maps *maps)
{
	return (struct imbrex_id_maps){ .uids = maps->uids,
		.n_uids = maps->n_uids,
		.gids = maps->gids,
		.n_gids = maps->n_gids };
}

static int take_image(struct new_container *c, const struct found *image, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };

	if (image && record_list(found_record(image), IMAGE_NAMES, &names) < 0)
		return fail_nomem(err);
	free(c->image);
	free(c->image_name);
	c->image = image ? record_text(found_record(image), IMAGE_ID) : strdup("");
	c->image_name = strdup(names.n ? names.items[0] : "");
	return c->image && c->image_name ? 0 : fail_nomem(err);
}

/* A copy of `original`, which is the image's top layer or another copy of it. */
static int plan_copy(struct imbrex_store *s, struct new_container *c, const struct found *original,
	struct imbrex_error *err)
{
	static const struct id_maps none = { 0 };
	int r;

	r = new_layer_set_template(&c->copy, original, err);
	if (r == 0)
		r = new_layer_set_maps(s, &c->copy, &c->asked, &none, err);
	if (r < 0)
		return r;
	c->copy.image = true;
	c->copy.place = layer_place(s, true, false);
	free(c->layer.parent);
	free(c->layer.below);
	c->layer.parent = strdup(c->copy.id);
	c->layer.below = strdup(c->copy.id);
	id_maps_copy_done(&c->layer.below_maps);
	if (!c->layer.parent || !c->layer.below ||
		id_maps_copy(&c->copy.maps.maps, &c->layer.below_maps) < 0)
		return fail_nomem(err);
	return 0;
}

/* The layer that its own one stands on. */
static int plan_base(struct imbrex_store *s, struct new_container *c, const struct found *image,
	struct imbrex_error *err)
{
	const struct id_maps wanted = {
		.uids = c->asked.host_uids ? NULL : c->asked.uids,
		.n_uids = c->asked.host_uids ? 0 : c->asked.n_uids,
		.gids = c->asked.host_gids ? NULL : c->asked.gids,
		.n_gids = c->asked.host_gids ? 0 : c->asked.n_gids,
	};
	struct found base;
	int r;

	c->needs_copy = false;
	if (!image || !record_plain(found_record(image), IMAGE_LAYER).len)
		return new_layer_set_parent(&c->layer, NULL, err);
	r = mapped_find(s, image, &wanted, &base, &c->needs_copy, err);
	if (r < 0)
		return wrap(err, r, "image %s", c->image);
	return c->needs_copy ? plan_copy(s, c, &base, err)
			     : new_layer_set_parent(&c->layer, &base, err);
}

static int find_image(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, struct found *ret, struct imbrex_error *err)
{
	return opts->exact_image ? store_find(s, &image_records, image, ret, err)
				 : store_find_image(s, image, ret, err);
}

/* The caller holds all tables. *ret is the image, if there is one. */
static int look(struct imbrex_store *s, const char *image, struct new_container *c,
	struct found *ret, struct imbrex_error *err)
{
	bool based = image && *image;
	int r;

	r = object_check_free(&s->containers, c->id, (const char *const *)c->names.items, err);
	if (r == 0 && c->auto_ids)
		r = auto_ids_pick(s, c->opts->maps.automatic, c->auto_ids, &c->maps, err);
	if (r == 0 && c->auto_ids)
		c->asked = asked_of(&c->maps.maps);
	if (r == 0 && based)
		r = find_image(s, image, c->opts, ret, err);
	if (r == 0)
		r = take_image(c, based ? ret : NULL, err);
	if (r == 0)
		r = plan_base(s, c, based ? ret : NULL, err);
	if (r == 0)
		r = new_layer_set_maps(s, &c->layer, &c->asked, &c->layer.below_maps.maps, err);
	return r;
}

/* ---- records ----------------------------------------------------------------------------- */

static int format_metadata(const struct new_container *c, struct str *to)
{
	struct json_writer w;

	json_writer_init(&w, to);
	json_write_object_begin(&w);
	json_write_member_string(&w, "image-name", c->image_name);
	json_write_member_string(&w, "image-id", c->image);
	json_write_member_string(&w, "name", c->opts->name ? c->opts->name : "");
	json_write_object_end(&w);
	return json_writer_finish(&w, NULL);
}

static int format_flags(const struct new_container *c, struct str *to)
{
	const struct imbrex_container_opts *opts = c->opts;
	AUTO_STRV mount_opts = { 0 };
	struct json_writer w;

	if (names_collect(opts->mount_opts, &mount_opts) < 0)
		return -ENOMEM;
	json_writer_init(&w, to);
	json_write_object_begin(&w);
	json_write_member_string(&w, "MountLabel", opts->mount_label);
	json_write_some_strings(&w, "MountOpts", &mount_opts);
	json_write_member_string(&w, "ProcessLabel", opts->process_label);
	json_write_some_bool(&w, "Volatile", c->layer.is_volatile);
	json_write_object_end(&w);
	return json_writer_finish(&w, NULL);
}

static int format_container(const struct new_container *c, struct str *to)
{
	AUTO_STR metadata = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_STR flags = STR_INIT(LIMIT_CONFIG_BYTES);
	char now[STORE_TIME_MAX];
	struct json_writer w;
	int r;

	store_now(now);
	r = c->opts->metadata ? str_puts(&metadata, c->opts->metadata)
			      : format_metadata(c, &metadata);
	if (r < 0 || format_flags(c, &flags) < 0)
		return -ENOMEM;
	json_writer_init(&w, to);
	json_write_object_begin(&w);
	json_write_member_string(&w, "id", c->id);
	json_write_some_strings(&w, "names", &c->names);
	json_write_member_string(&w, "image", c->image);
	json_write_member_string(&w, "layer", c->layer.id);
	json_write_some_string(&w, "metadata", str_text(&metadata));
	json_write_member_string(&w, "created", now);
	json_write_object_end(&w);
	if (json_writer_finish(&w, NULL) < 0)
		return -ENOMEM;
	to->data[--to->len] = '\0';
	r = map_put(to, "uidmap", c->maps.maps.uids, c->maps.maps.n_uids);
	if (r == 0)
		r = map_put(to, "gidmap", c->maps.maps.gids, c->maps.maps.n_gids);
	return r < 0 ? r : str_printf(to, ",\"flags\":%s}", str_text(&flags));
}

static int record_new(struct imbrex_store *s, const struct new_container *c,
	const struct found *image, struct imbrex_error *err)
{
	struct store_table *const tables[] = { &s->layers, &s->images, &s->containers };
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	enum record_place place = s->config.transient_store ? PLACE_VOLATILE : PLACE_STABLE;
	int r = 0;

	if (format_container(c, &text) < 0)
		return fail_nomem(err);
	if (c->needs_copy)
		r = new_layer_record(s, &c->copy, err);
	if (r == 0 && c->needs_copy)
		r = mapped_add(image, c->copy.id, err);
	if (r == 0)
		r = new_layer_record(s, &c->layer, err);
	/*
	 * Also a volatile container's goes into the stable file: containers/storage before 1.45
	 * (podman before 4.4) reads no other, and would remove the image from under it.
	 */
	if (r == 0)
		r = table_append(&s->containers.t, text.data, text.len, place, err);
	if (r < 0)
		return r;
	s->containers.dirty[place] = true;
	return store_save_all(s, tables, ARRAY_LEN(tables), err);
}

/* ---- creating ---------------------------------------------------------------------------- */

#define HOLD_NEW_CONTAINER (HOLD_LAYERS_W | HOLD_IMAGES_W | HOLD_CONTAINERS_W)

/* Layers that take time, made while nothing is held. */
static int stage(struct store_temps *temps, struct new_container *c, struct imbrex_error *err)
{
	int r = 0;

	if (c->needs_copy)
		r = new_layer_stage(temps, &c->copy, NULL, err);
	if (r == 0 && !new_layer_is_quick(temps->s, &c->layer))
		r = new_layer_stage(temps, &c->layer, c->needs_copy ? &c->copy : NULL, err);
	return r;
}

static bool is_same_plan(const struct new_container *a, const struct new_container *b)
{
	return a->needs_copy == b->needs_copy && str_eq(a->image, b->image) &&
	       id_maps_equal(&a->maps.maps, &b->maps.maps) &&
	       id_maps_equal(&a->layer.maps.maps, &b->layer.maps.maps) &&
	       id_maps_equal(&a->layer.below_maps.maps, &b->layer.below_maps.maps) &&
	       (a->needs_copy ? str_eq(a->copy.below, b->copy.below) &&
					id_maps_equal(
						&a->copy.below_maps.maps, &b->copy.below_maps.maps)
			      : str_eq(a->layer.below, b->layer.below));
}

static int publish(struct store_temps *temps, struct imbrex_store *s, struct new_container *c,
	const struct found *image, struct imbrex_error *err)
{
	int r = 0;

	if (c->needs_copy)
		r = new_layer_publish(temps, &c->copy, err);
	if (r == 0)
		r = c->layer.stage ? new_layer_publish(temps, &c->layer, err)
				   : new_layer_create(s, &c->layer, err);
	return r < 0 ? r : record_new(s, c, image, err);
}

/* What a caller asks for, without what is looked up. */
static int plan(struct imbrex_store *s, const struct imbrex_container_opts *opts, const char *id,
	struct new_container *c, struct imbrex_error *err)
{
	static const struct imbrex_id_maps none = { 0 };
	const struct imbrex_id_maps *asked = opts->maps.automatic ? &none : &opts->maps;
	const struct id_maps maps = {
		.uids = asked->uids,
		.n_uids = asked->host_uids ? 0 : asked->n_uids,
		.gids = asked->gids,
		.n_gids = asked->host_gids ? 0 : asked->n_gids,
	};
	int r;

	c->opts = opts;
	c->id = strdup(id);
	if (!c->id || (opts->name && strv_add(&c->names, opts->name) < 0) ||
		names_collect(opts->names, &c->names) < 0 || id_maps_copy(&maps, &c->maps) < 0)
		return fail_nomem(err);
	c->asked = asked_of(&c->maps.maps);
	c->asked.host_uids = asked->host_uids;
	c->asked.host_gids = asked->host_gids;
	c->layer.label = opts->mount_label;
	c->layer.storage_opts = opts->storage_opts;
	c->layer.is_volatile = opts->is_volatile || s->config.transient_store;
	c->layer.place = layer_place(s, false, true);
	r = new_layer_set_id(&c->layer, NULL, err);
	return r < 0 ? r : new_layer_set_id(&c->copy, NULL, err);
}

/* How many ids its own user namespace needs; 0 if it gets none. */
static int plan_ids(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, uint32_t *ret, struct imbrex_error *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	if (!opts->maps.automatic)
		return 0;
	if (image && *image) {
		r = store_hold(s, HOLD_IMAGES, &hold, err);
		if (r == 0)
			r = find_image(s, image, opts, &f, err);
		if (r < 0)
			return r;
		id = record_text(found_record(&f), IMAGE_ID);
		store_release(&hold);
	} else {
		id = strdup("");
	}
	return id ? auto_ids_size(s, opts->maps.automatic, id, ret, err) : fail_nomem(err);
}

/* All tables, and before them the lock under which peers choose ranges of ids. */
static int hold_all(struct imbrex_store *s, const struct imbrex_container_opts *opts,
	struct file_lock *userns, struct store_hold *hold, struct imbrex_error *err)
{
	int r = 0;

	if (opts->maps.automatic || opts->maps.n_uids || opts->maps.n_gids) {
		r = file_lock_open(userns, s->graphfd, "userns.lock", LOCK_USERNS, false, err);
		if (r == 0)
			r = file_lock_acquire(userns, LOCK_EXCLUSIVE, err);
	}
	return r < 0 ? r : store_hold(s, HOLD_NEW_CONTAINER, hold, err);
}

/* 1: what it was to stand on changed while it was made. */
static int try_create(struct imbrex_store *s, const char *image, const char *id,
	const struct imbrex_container_opts *opts, struct imbrex_error *err)
{
	AUTO_TEMPS temps = { 0 };
	AUTO_NEW_CONTAINER c = NEW_CONTAINER_INIT;
	AUTO_NEW_CONTAINER again = NEW_CONTAINER_INIT;
	AUTO_FILE_LOCK userns = FILE_LOCK_INIT;
	AUTO_HOLD hold = HOLD_NONE;
	struct found f = { 0 };
	int r;

	r = plan_ids(s, image, opts, &c.auto_ids, err);
	if (r == 0)
		r = plan(s, opts, id, &c, err);
	if (r == 0)
		r = hold_all(s, opts, &userns, &hold, err);
	if (r == 0)
		r = look(s, image, &c, &f, err);
	if (r < 0)
		return r;
	if (!c.needs_copy && new_layer_is_quick(s, &c.layer))
		return publish(&temps, s, &c, &f, err);
	store_release(&hold);
	file_lock_done(&userns);
	r = store_temps_open(s, &temps, err);
	if (r == 0)
		r = stage(&temps, &c, err);
	again.auto_ids = c.auto_ids;
	if (r == 0)
		r = plan(s, opts, id, &again, err);
	if (r == 0)
		r = hold_all(s, opts, &userns, &hold, err);
	if (r == 0)
		r = look(s, image, &again, &f, err);
	if (r < 0)
		return r;
	return is_same_plan(&c, &again) ? publish(&temps, s, &c, &f, err) : 1;
}

/* How often others may take what we stand on away while we copy it. */
#define TRIES_MAX 8

static int create(struct imbrex_store *s, const char *image, const char *id,
	const struct imbrex_container_opts *opts, struct imbrex_error *err)
{
	unsigned int tries;
	int r;

	for (tries = 0; tries < TRIES_MAX; tries++) {
		r = try_create(s, image, id, opts, err);
		if (r <= 0)
			return r;
	}
	return fail(err, IMBREX_EBUSY, "the image's layers changed %d times meanwhile", TRIES_MAX);
}

PUBLIC int imbrex_container_create(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, char **ret_id, struct imbrex_error *err)
{
	static const struct imbrex_container_opts none = { 0 };
	char random[ID_HEX_LEN + 1];
	char *id;
	int r;

	if (!opts)
		opts = &none;
	if (s->read_only)
		return store_fail_read_only(s, err);
	if (!opts->mount_label != !opts->process_label)
		return fail(err, IMBREX_EINVAL, "labels of mounts and of processes go together");
	if (opts->id && *opts->id) {
		r = object_check_id(&container_records, opts->id, err);
		if (r < 0)
			return r;
	} else if (random_id(random) < 0) {
		return fail(err, IMBREX_EFAIL, "no random numbers from the kernel");
	}
	id = strdup(opts->id && *opts->id ? opts->id : random);
	if (!id)
		return fail_nomem(err);
	r = create(s, image, id, opts, err);
	if (r < 0) {
		free(id);
		return image && *image ? wrap(err, r, "container on image %s", image) : r;
	}
	*ret_id = id;
	return 0;
}
