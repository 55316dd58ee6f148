/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing one object by what it is, with the checks that keep the store whole: nothing goes that
 * something else names. What is gone already is what was wanted.
 */
#include <stdlib.h>
#include <string.h>

#include "store/container.h"
#include "store/layer.h"
#include "store/object.h"
#include "store/removal.h"

static int fail_used(const char *id, const struct found *by, int reason, const char *how,
	struct imbrex_error *err)
{
	AUTO_FREE char *user = record_text(found_record(by), RECORD_ID);

	return fail_reason(err, IMBREX_EBUSY, reason, "layer %s %s %s %s", id, how,
		by->t->t.type->noun, user ? user : "?");
}

static int check_layer(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	struct found f;

	if (layer_child(s, id, &f))
		return fail_used(id, &f, IMBREX_REASON_LAYER_HAS_CHILDREN, "is below", err);
	if (layer_image(s, id, NULL, /* mapped= */ false, &f))
		return fail_used(id, &f, IMBREX_REASON_LAYER_USED_BY_IMAGE, "is used by", err);
	if (container_by_layer(s, id, &f))
		return fail_used(id, &f, IMBREX_REASON_LAYER_USED_BY_CONTAINER, "is used by", err);
	return 0;
}

/* Images forget a copy of their top layer that goes. */
static int forget_copy(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	struct found f;
	int r;

	while (layer_image(s, id, NULL, /* mapped= */ true, &f)) {
		AUTO_STRV ids = { 0 };
		ptrdiff_t at;

		if (record_list(found_record(&f), IMAGE_MAPPED_LAYERS, &ids) < 0)
			return fail_nomem(err);
		while ((at = strv_find(&ids, id)) >= 0)
			strv_remove(&ids, (size_t)at);
		object_changed(&f);
		r = record_set_list(&f.t->t, f.index, IMAGE_MAPPED_LAYERS, &ids, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int delete_layer(struct imbrex_store *s, const struct found *f,
	const struct imbrex_delete_opts *opts, struct strv *layers, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(found_record(f), LAYER_ID);
	struct mount_record *mount;
	int r;

	if (!id || strv_add(layers, id) < 0)
		return fail_nomem(err);
	r = opts->used_too ? 0 : check_layer(s, id, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	mount = store_mount_find(s, id);
	if (mount && !opts->unmount)
		return fail_reason(err, IMBREX_EBUSY, IMBREX_REASON_LAYER_MOUNTED,
			"layer %s is mounted at %s", id, mount->path);
	if (opts->dry_run)
		return 0;
	r = container_unmount_layer(s, id, err);
	if (r == 0)
		r = forget_copy(s, id, err);
	return r < 0 ? r : layer_drop(s, id, err);
}

static int delete_image(struct imbrex_store *s, const struct found *f,
	const struct imbrex_delete_opts *opts, struct strv *layers, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(found_record(f), IMAGE_ID);
	int r;

	if (!id)
		return fail_nomem(err);
	r = opts->keep_layers && opts->used_too
		    ? 0
		    : removal_clear_containers(s, id, /* force= */ false, err);
	if (r < 0)
		return r;
	if (!opts->keep_layers && removal_plan(s, f, layers) < 0)
		return fail_nomem(err);
	return opts->dry_run ? 0 : removal_drop(s, f, layers, err);
}

static int delete_container(struct imbrex_store *s, const struct found *f,
	const struct imbrex_delete_opts *opts, struct strv *layers, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(found_record(f), CONTAINER_ID);
	AUTO_FREE char *layer = record_text(found_record(f), CONTAINER_LAYER);
	int r;

	if (!id || !layer)
		return fail_nomem(err);
	if (opts->dry_run)
		return strv_take(layers, take_ptr(layer)) < 0 ? fail_nomem(err) : 0;
	r = container_drop(s, f->index, opts->unmount, err);
	if (r < 0)
		return wrap(err, r, "container %s", id);
	if (table_find_id(&s->layers.t, layer, strlen(layer)) < 0 &&
		strv_take(layers, take_ptr(layer)) < 0)
		return fail_nomem(err);
	return 0;
}

static int delete_found(struct imbrex_store *s, const struct object *o,
	const struct imbrex_delete_opts *opts, struct strv *layers, struct imbrex_error *err)
{
	int r;

	r = removal_check_own(s, &o->at, err);
	if (r == 0)
		r = o->kind == IMBREX_KIND_LAYER   ? delete_layer(s, &o->at, opts, layers, err)
		    : o->kind == IMBREX_KIND_IMAGE ? delete_image(s, &o->at, opts, layers, err)
						   : delete_container(s, &o->at, opts, layers, err);
	return r < 0 || opts->dry_run ? r : removal_save(s, err);
}

PUBLIC int imbrex_object_delete(struct imbrex_store *s, const char *name, unsigned int kinds,
	const struct imbrex_delete_opts *opts, char ***ret_layers, struct imbrex_error *err)
{
	static const struct imbrex_delete_opts none = { 0 };
	struct imbrex_error why = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV layers = { 0 };
	struct object o;
	char **taken;
	int r;

	if (!opts)
		opts = &none;
	r = store_hold(s, opts->dry_run ? HOLD_READ_ALL : HOLD_WRITE_ALL, &hold, err);
	if (r < 0)
		return r;
	r = object_find(s, name, kinds, OBJECT_CONTAINERS_FIRST, &o, &why);
	if (r == 0) {
		r = delete_found(s, &o, opts, &layers, err);
		if (r < 0)
			return r;
	} else if (r != IMBREX_ENOENT || opts->must_exist) {
		if (err)
			*err = why;
		return r;
	}
	if (!ret_layers)
		return 0;
	taken = strings_take(&layers);
	if (!taken)
		return fail_nomem(err);
	*ret_layers = taken;
	return 0;
}
