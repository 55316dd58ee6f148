/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers made empty, or filled from one stream. What a layer stands on is looked at twice if making
 * it takes time: before, to know what to make, and again under the locks that it is published
 * under.
 */
#include <stdlib.h>
#include <string.h>

#include "store/container.h"
#include "store/layer.h"
#include "store/newlayer.h"
#include "store/object.h"

static const struct imbrex_layer_opts no_opts = { 0 };

#define HOLD_NEW_LAYER (HOLD_LAYERS_W | HOLD_CONTAINERS)

/* The caller holds layers and containers. */
static int look(struct imbrex_store *s, const char *parent, const struct imbrex_layer_opts *opts,
	struct new_layer *l, struct imbrex_error *err)
{
	struct found owner;
	struct found f;
	bool based = parent && *parent;
	int r;

	r = object_check_free(&s->layers, l->id, opts->names, err);
	if (r == 0 && based)
		r = store_find(s, &layer_records, parent, &f, err);
	if (r == 0)
		r = new_layer_set_parent(l, based ? &f : NULL, err);
	if (r < 0)
		return r;
	if (based && container_by_layer(s, l->parent, &owner)) {
		AUTO_FREE char *id = record_text(found_record(&owner), CONTAINER_ID);

		return fail_reason(err, IMBREX_EINVAL, IMBREX_REASON_PARENT_IS_CONTAINER,
			"layer %s is that of container %s: nothing can stand on it", l->parent,
			id ? id : "?");
	}
	return new_layer_set_maps(s, l, &opts->maps, &l->below_maps.maps, err);
}

/* A directory that no record names is in the way of nobody but us. */
static int clear_orphan(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	return s->driver->ops->exists(s->driver, id) ? store_trash_layer(s, id, err) : 0;
}

static int record_and_save(
	struct imbrex_store *s, const struct new_layer *l, struct imbrex_error *err)
{
	int r;

	r = new_layer_record(s, l, err);
	return r < 0 ? r : store_save(s, &s->layers, err);
}

static int create_staged(struct imbrex_store *s, const struct imbrex_layer_opts *opts,
	struct new_layer *l, struct imbrex_error *err)
{
	AUTO_NEW_LAYER again = NEW_LAYER_INIT;
	AUTO_TEMPS temps = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_temps_open(s, &temps, err);
	if (r == 0)
		r = new_layer_stage(&temps, l, NULL, err);
	if (r == 0)
		r = store_hold(s, HOLD_NEW_LAYER, &hold, err);
	if (r == 0)
		r = new_layer_set_id(&again, l->id, err);
	if (r == 0)
		r = look(s, l->parent, opts, &again, err);
	if (r == 0 && !id_maps_equal(&again.below_maps.maps, &l->below_maps.maps))
		r = fail(err, IMBREX_EBUSY, "layer %s was replaced meanwhile", l->parent);
	if (r == 0)
		r = new_layer_publish(&temps, l, err);
	if (r == 0)
		r = record_and_save(s, l, err);
	/* What is left of it goes before its directory does, and under no lock. */
	store_release(&hold);
	driver_stage_free(take_ptr(l->stage));
	return r;
}

static int create_recorded(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, struct new_layer *l, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(s, HOLD_NEW_LAYER, &hold, err);
	if (r == 0)
		r = look(s, parent, opts, l, err);
	if (r < 0)
		return r;
	if (new_layer_is_quick(s, l)) {
		r = clear_orphan(s, l->id, err);
		if (r == 0)
			r = new_layer_create(s, l, err);
		return r < 0 ? r : record_and_save(s, l, err);
	}
	store_release(&hold);
	return create_staged(s, opts, l, err);
}

/* What only the driver knows: named as the driver names it, under the store's lock all the same. */
static int create_unrecorded(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, struct new_layer *l, struct imbrex_error *err)
{
	static const struct id_maps none = { 0 };
	AUTO_TEMPS temps = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	l->parent = strdup(parent ? parent : "");
	l->below = strdup(parent ? parent : "");
	if (!l->parent || !l->below)
		return fail_nomem(err);
	r = new_layer_set_maps(s, l, &opts->maps, &none, err);
	if (r < 0)
		return r;
	/* Nobody knows whose the content below is: it stays as it is. */
	if (id_maps_copy(&l->maps.maps, &l->below_maps) < 0)
		return fail_nomem(err);
	if (!new_layer_is_quick(s, l)) {
		r = store_temps_open(s, &temps, err);
		if (r == 0)
			r = new_layer_stage(&temps, l, NULL, err);
		if (r < 0)
			return r;
	}
	r = store_hold(s, HOLD_LAYERS_W, &hold, err);
	if (r == 0 && s->driver->ops->exists(s->driver, l->id))
		r = fail_reason(err, IMBREX_EEXIST, IMBREX_REASON_ID_IN_USE,
			"layer id '%s' is in use", l->id);
	if (r == 0)
		r = l->stage ? new_layer_publish(&temps, l, err) : new_layer_create(s, l, err);
	store_release(&hold);
	driver_stage_free(take_ptr(l->stage));
	return r;
}

static int create(struct imbrex_store *s, const char *parent, const struct imbrex_layer_opts *opts,
	struct new_layer *l, struct imbrex_error *err)
{
	int r;

	if (s->read_only)
		return store_fail_read_only(s, err);
	l->names = opts->names;
	l->metadata = opts->metadata;
	l->label = opts->mount_label;
	l->storage_opts = opts->storage_opts;
	l->image = opts->read_only;
	l->place = layer_place(s, l->image, false);
	r = new_layer_set_id(l, opts->id, err);
	if (r < 0)
		return r;
	return opts->no_record ? create_unrecorded(s, parent, opts, l, err)
			       : create_recorded(s, parent, opts, l, err);
}

PUBLIC int imbrex_layer_create(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, char **ret_id, struct imbrex_error *err)
{
	AUTO_NEW_LAYER l = NEW_LAYER_INIT;
	int r;

	r = create(s, parent, opts ? opts : &no_opts, &l, err);
	if (r == 0)
		*ret_id = take_ptr(l.id);
	return r;
}

/* What is below is copied under the new map first, and then covered by what arrives: the layer is
 * there before it is full. */
static int create_and_apply(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, int fd, char **ret_id, struct imbrex_error *err)
{
	const struct imbrex_delete_opts gone = { .unmount = true };
	AUTO_FREE char *id = NULL;
	int64_t size;
	int r;

	r = imbrex_layer_create(s, parent, opts, &id, err);
	if (r < 0)
		return r;
	r = imbrex_layer_apply(s, id, fd, &size, err);
	if (r < 0) {
		(void)!imbrex_object_delete(s, id, IMBREX_KIND_LAYER, &gone, NULL, NULL);
		return r;
	}
	*ret_id = take_ptr(id);
	return 0;
}

/* 1 if owners of the layers below must be changed for the new one. */
static int must_change_owners(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, struct imbrex_error *err)
{
	AUTO_NEW_LAYER l = NEW_LAYER_INIT;
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = new_layer_set_id(&l, opts->id, err);
	if (r == 0)
		r = store_hold(s, HOLD_LAYERS | HOLD_CONTAINERS, &hold, err);
	if (r == 0)
		r = look(s, parent, opts, &l, err);
	return r < 0 ? r : new_layer_changes_owners(&l);
}

PUBLIC int imbrex_layer_import(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, int fd, char **ret_id, struct imbrex_error *err)
{
	AUTO_NEW_LAYER l = NEW_LAYER_INIT;
	int r;

	if (!opts)
		opts = &no_opts;
	if (opts->no_record)
		return fail(err, IMBREX_EINVAL, "what is imported into a layer is recorded");
	r = must_change_owners(s, parent, opts, err);
	if (r < 0)
		return r;
	if (r > 0)
		return create_and_apply(s, parent, opts, fd, ret_id, err);
	l.fd = fd;
	r = create(s, parent, opts, &l, err);
	if (r == 0)
		*ret_id = take_ptr(l.id);
	return r;
}
