/* SPDX-License-Identifier: Apache-2.0 */
/* Removal of images with their layers, and with their containers; see the header. */
#include "store/removal.h"

#include <stdlib.h>
#include <string.h>

#include "store/container.h"
#include "store/image.h"
#include "store/layer.h"
#include "store/names.h"
#include "store/object.h"

int removal_clear_containers(
	struct imbrex_store *s, const char *image, bool force, struct imbrex_error *err)
{
	struct table *t = &s->containers.t;
	AUTO_FREE size_t *all = NULL;
	size_t n = 0;
	size_t i;
	int r;

	if (table_find_all(t, KEY_IMAGE, image, strlen(image), &all, &n) < 0)
		return fail_nomem(err);
	for (i = 0; i < n; i++) {
		AUTO_FREE char *container = record_text(table_at(t, all[i]), CONTAINER_ID);

		if (!container)
			return fail_nomem(err);
		if (!force) {
			r = fail_reason(err, IMBREX_EBUSY, IMBREX_REASON_IMAGE_USED_BY_CONTAINER,
				"image %s is used by container %s", image, container);
			return hint(err, r, "remove the container first, or use --force");
		}
		r = container_drop(s, all[i], true, err);
		if (r < 0)
			return wrap(err, r, "container %s", container);
	}
	return 0;
}

/* ---- layers ------------------------------------------------------------------------------ */

/* Every child is on the list of what goes. */
static bool is_childless(struct imbrex_store *s, const char *id, const struct strv *going)
{
	size_t n = layer_count_children(s, id);
	size_t i;

	for (i = 0; n && i < going->n; i++) {
		ptrdiff_t at =
			table_find_id(&s->layers.t, going->items[i], strlen(going->items[i]));

		n -= at >= 0 && record_is(table_at(&s->layers.t, (size_t)at), LAYER_PARENT, id);
	}
	return n == 0;
}

/* 1 if the layer was added to what goes. */
static int add_if_unneeded(
	struct imbrex_store *s, const char *id, const char *image, struct strv *ret)
{
	if (!*id || table_find_id(&s->layers.t, id, strlen(id)) < 0 || strv_has(ret, id) ||
		layer_is_used_beside(s, id, image) || !is_childless(s, id, ret))
		return 0;
	return strv_add(ret, id) < 0 ? -ENOMEM : 1;
}

int removal_plan(struct imbrex_store *s, const struct found *image, struct strv *ret)
{
	const struct record *rec = found_record(image);
	AUTO_FREE char *image_id = record_text(rec, IMAGE_ID);
	AUTO_FREE char *id = record_text(rec, IMAGE_LAYER);
	AUTO_STRV copies = { 0 };
	size_t i;
	int r;

	if (!image_id || !id || record_list(rec, IMAGE_MAPPED_LAYERS, &copies) < 0)
		return -ENOMEM;
	for (i = 0; i < copies.n; i++) {
		r = add_if_unneeded(s, copies.items[i], image_id, ret);
		if (r < 0)
			return r;
	}
	while ((r = add_if_unneeded(s, id, image_id, ret)) > 0) {
		ptrdiff_t at = table_find_id(&s->layers.t, id, strlen(id));

		free(id);
		id = record_text(table_at(&s->layers.t, (size_t)at), LAYER_PARENT);
		if (!id)
			return -ENOMEM;
	}
	return r;
}

int removal_check_own(struct imbrex_store *s, const struct found *f, struct imbrex_error *err)
{
	return f->t == store_first_root(s) ? 0 : store_check_own(f, err);
}

static int drop_record(struct store_table *t, const char *id, struct imbrex_error *err)
{
	ptrdiff_t at = table_find_id(&t->t, id, strlen(id));
	int r = 0;

	if (at < 0)
		return 0;
	if (object_id_is_safe(id))
		r = store_drop(t, id, err);
	if (r < 0)
		return r;
	t->dirty[table_at(&t->t, (size_t)at)->place] = true;
	table_remove(&t->t, (size_t)at);
	return 0;
}

int removal_drop(struct imbrex_store *s, const struct found *image, const struct strv *layers,
	struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(found_record(image), IMAGE_ID);
	size_t i;
	int r;

	if (!id)
		return fail_nomem(err);
	/* In both roots: one that only the other had would come to light again. */
	r = drop_record(&s->images, id, err);
	if (r == 0 && store_first_root(s))
		r = drop_record(store_first_root(s), id, err);
	if (r < 0)
		return r;
	for (i = 0; i < layers->n; i++) {
		r = container_unmount_layer(s, layers->items[i], err);
		if (r == 0)
			r = layer_drop(s, layers->items[i], err);
		if (r < 0)
			return wrap(err, r, "layer %s", layers->items[i]);
	}
	return 0;
}

int removal_save(struct imbrex_store *s, struct imbrex_error *err)
{
	struct store_table *first = store_first_root(s);
	struct store_table *const tables[] = { &s->containers, &s->images,
		first ? first : &s->layers, &s->layers };

	return store_save_all(s, tables, first ? 4 : 3, err);
}

/* ---- by a person --------------------------------------------------------------------------- */

PUBLIC void imbrex_removed_done(struct imbrex_removed *r)
{
	imbrex_strings_free(r->untagged);
	imbrex_strings_free(r->images);
	imbrex_strings_free(r->layers);
	*r = (struct imbrex_removed){ 0 };
}

struct removed {
	struct strv untagged;
	struct strv images;
	struct strv layers;
};

static void removed_done(struct removed *r)
{
	strv_done(&r->untagged);
	strv_done(&r->images);
	strv_done(&r->layers);
}
#define AUTO_REMOVED __attribute__((cleanup(removed_done))) struct removed

static int remove_whole(struct imbrex_store *s, const struct found *f, const char *id, bool force,
	struct removed *removed, struct imbrex_error *err)
{
	int r;

	if (record_list(found_record(f), IMAGE_NAMES, &removed->untagged) < 0 ||
		strv_add(&removed->images, id) < 0)
		return fail_nomem(err);
	r = removal_clear_containers(s, id, force, err);
	if (r < 0)
		return r;
	if (removal_plan(s, f, &removed->layers) < 0)
		return fail_nomem(err);
	r = removal_drop(s, f, &removed->layers, err);
	return r < 0 ? r : removal_save(s, err);
}

static int remove_name(struct imbrex_store *s, const struct found *f, const char *image,
	struct removed *removed, struct imbrex_error *err)
{
	AUTO_FREE char *own = NULL;
	int r;

	r = image_own_name(s, f->index, image, &own, err);
	if (r == 0)
		r = names_take(f, own, err);
	if (r == 0)
		r = store_save(s, &s->images, err);
	if (r == 0 && strv_take(&removed->untagged, take_ptr(own)) < 0)
		r = fail_nomem(err);
	return r;
}

PUBLIC int imbrex_image_remove(struct imbrex_store *s, const char *image, bool force,
	struct imbrex_removed *ret, struct imbrex_error *err)
{
	AUTO_REMOVED removed = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *id = NULL;
	AUTO_STRV names = { 0 };
	struct found f;
	int r;

	r = store_hold(s, HOLD_WRITE_ALL, &hold, err);
	if (r == 0)
		r = store_find_image(s, image, &f, err);
	if (r == 0)
		r = removal_check_own(s, &f, err);
	if (r < 0)
		return r;
	id = record_text(found_record(&f), IMAGE_ID);
	if (!id || record_list(found_record(&f), IMAGE_NAMES, &names) < 0)
		return fail_nomem(err);
	if (names.n > 1 && strncmp(id, image, strlen(image)) != 0) {
		/* Names are changed in our own table. */
		r = f.read_only ? image_adopt(s, &f, err) : 0;
		if (r == 0)
			r = remove_name(s, &f, image, &removed, err);
	} else
		r = remove_whole(s, &f, id, force, &removed, err);
	if (r < 0)
		return r;
	ret->untagged = strings_take(&removed.untagged);
	ret->images = strings_take(&removed.images);
	ret->layers = strings_take(&removed.layers);
	if (ret->untagged && ret->images && ret->layers)
		return 0;
	imbrex_removed_done(ret);
	return fail_nomem(err);
}
