/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers as callers see them, and the questions that images and containers ask of the layer table.
 */
#include "store/layer.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/container.h"
#include "store/maps.h"

static int fill_layer(struct imbrex_store *s, const struct found *f, struct imbrex_layer *ret)
{
	const struct record *r = found_record(f);
	struct mount_record *mount;
	AUTO_STRV names = { 0 };

	ret->id = record_text(r, LAYER_ID);
	ret->parent = record_text(r, LAYER_PARENT);
	ret->created = record_text(r, LAYER_CREATED);
	ret->diff_digest = record_text(r, LAYER_DIFF_DIGEST);
	ret->compressed_digest = record_text(r, LAYER_COMPRESSED_DIGEST);
	if (!ret->id || !ret->parent || !ret->created || !ret->diff_digest ||
		!ret->compressed_digest || record_list(r, LAYER_NAMES, &names) < 0)
		return -ENOMEM;
	ret->names = strings_take(&names);
	/* omitempty: a layer with a digest and no size is an empty one */
	ret->diff_size_bytes = record_int(r, LAYER_DIFF_SIZE, *ret->diff_digest ? 0 : -1);
	ret->compressed_size_bytes =
		record_int(r, LAYER_COMPRESSED_SIZE, *ret->compressed_digest ? 0 : -1);
	ret->compression = (int)record_int(r, LAYER_COMPRESSION, 0);
	ret->incomplete = record_flag(r, LAYER_FLAGS, "incomplete");
	ret->read_only = f->read_only;
	mount = store_mount_find(s, ret->id);
	ret->mount_count = mount ? mount->count : 0;
	ret->mount_path = strdup(mount ? mount->path : "");
	if (!ret->names || !ret->mount_path ||
		map_read(r, LAYER_UIDMAP, &ret->uid_map, &ret->n_uid_map) < 0)
		return -ENOMEM;
	return map_read(r, LAYER_GIDMAP, &ret->gid_map, &ret->n_gid_map);
}

char **strings_take(struct strv *v)
{
	char **items = v->items ? v->items : calloc(1, sizeof(*items));

	*v = (struct strv){ 0 };
	return items;
}

PUBLIC void imbrex_strings_free(char **strings)
{
	size_t i;

	for (i = 0; strings && strings[i]; i++)
		free(strings[i]);
	free(strings);
}

PUBLIC void imbrex_layers_free(struct imbrex_layer *layers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(layers[i].id);
		free(layers[i].parent);
		imbrex_strings_free(layers[i].names);
		free(layers[i].created);
		free(layers[i].diff_digest);
		free(layers[i].compressed_digest);
		free(layers[i].mount_path);
		free(layers[i].uid_map);
		free(layers[i].gid_map);
	}
	free(layers);
}

PUBLIC int imbrex_layers_list(
	struct imbrex_store *s, struct imbrex_layer **ret, size_t *ret_n, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct imbrex_layer *layers;
	struct found f;
	size_t n = 0;
	bool more;
	int r;

	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	layers = calloc(store_count(s, &layer_records) + 1, sizeof(*layers));
	if (!layers)
		return fail_nomem(err);
	for (more = store_first(s, &layer_records, &f); more; more = store_next(s, &f)) {
		if (fill_layer(s, &f, &layers[n++]) < 0) {
			imbrex_layers_free(layers, n);
			return fail_nomem(err);
		}
	}
	*ret = layers;
	*ret_n = n;
	return 0;
}

PUBLIC int imbrex_layer_get(struct imbrex_store *s, const char *name, struct imbrex_layer **ret,
	struct imbrex_error *err)
{
	struct imbrex_layer *layer;
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r == 0)
		r = store_find(s, &layer_records, name, &f, err);
	if (r < 0)
		return r;
	layer = calloc(1, sizeof(*layer));
	if (!layer || fill_layer(s, &f, layer) < 0) {
		imbrex_layers_free(layer, layer != NULL);
		return fail_nomem(err);
	}
	*ret = layer;
	return 0;
}

bool layer_parent(struct imbrex_store *s, const struct found *layer, struct found *ret)
{
	struct json_span parent = record_plain(found_record(layer), LAYER_PARENT);

	return store_get(s, &layer_records, parent.at, parent.len, ret);
}

void layer_walk(struct imbrex_store *s, struct json_span top, struct layer_walk *w)
{
	*w = (struct layer_walk){ .n = 0 };
	w->more = store_get(s, &layer_records, top.at, top.len, &w->at);
}

void layer_walk_next(struct imbrex_store *s, struct layer_walk *w)
{
	struct found above = w->at;

	w->n++;
	w->more = layer_parent(s, &above, &w->at);
	w->endless = w->more && w->n > LIMIT_IMAGE_LAYERS;
	w->more = w->more && !w->endless;
}

/* What layer_size_below() needs of layer_walk(), by what the index says alone. */
static bool guess_layer(struct imbrex_store *s, struct json_span id, struct found *ret)
{
	struct store_table *t;
	ptrdiff_t i = -1;
	size_t n;

	for (n = 0; i < 0 && (t = store_tables(s, &layer_records, n)); n++) {
		i = table_guess_id(&t->t, id.at, id.len);
		if (i >= 0)
			*ret = (struct found){ .t = t, .index = (size_t)i, .store = n };
	}
	return i >= 0;
}

int64_t layer_size(struct imbrex_store *s, struct json_span id)
{
	struct found at;

	return guess_layer(s, id, &at) ? table_layer_size(&at.t->t, at.index) : -1;
}

int64_t layer_chain_size(struct imbrex_store *s, struct json_span top, size_t *ret_n)
{
	int64_t total = 0;
	struct found at;
	bool more = guess_layer(s, top, &at);
	size_t n;

	if (top.len && !more)
		total = -1;
	for (n = 0; more && n <= LIMIT_IMAGE_LAYERS; n++) {
		int64_t size = table_layer_size(&at.t->t, at.index);
		ptrdiff_t below = table_guess_parent(&at.t->t, at.index);

		if (total < 0 || size < 0 || __builtin_add_overflow(total, size, &total))
			total = -1;
		if (below >= 0)
			at.index = (size_t)below;
		else
			more = table_is_orphan(&at.t->t, at.index) &&
			       guess_layer(s, record_plain(found_record(&at), LAYER_PARENT), &at);
	}
	*ret_n = n;
	return more ? -1 : total;
}

bool layer_child(struct imbrex_store *s, const char *id, struct found *ret)
{
	ptrdiff_t i = table_find(&s->layers.t, KEY_PARENT, id, strlen(id));

	if (i >= 0 && ret)
		*ret = (struct found){ .t = &s->layers, .index = (size_t)i };
	return i >= 0;
}

size_t layer_count_children(struct imbrex_store *s, const char *id)
{
	AUTO_FREE size_t *children = NULL;
	size_t n = 0;

	return table_find_all(&s->layers.t, KEY_PARENT, id, strlen(id), &children, &n) < 0
		       ? SIZE_MAX
		       : n;
}

static bool image_in(
	struct store_table *t, const char *id, const char *but, bool mapped, struct found *ret)
{
	const size_t len = strlen(id);
	ptrdiff_t i;

	for (i = table_find(&t->t, KEY_LAYER, id, len); i >= 0;
		i = table_find_after(&t->t, KEY_LAYER, id, len, i)) {
		const struct record *r = table_at(&t->t, (size_t)i);

		if (!(mapped ? record_list_has(r, IMAGE_MAPPED_LAYERS, id)
			     : record_is(r, IMAGE_LAYER, id)) ||
			(but && record_is(r, IMAGE_ID, but)))
			continue;
		if (ret)
			*ret = (struct found){ .t = t, .index = (size_t)i };
		return true;
	}
	return false;
}

bool layer_image(
	struct imbrex_store *s, const char *id, const char *but, bool mapped, struct found *ret)
{
	return image_in(&s->images, id, but, mapped, ret) ||
	       (s->has_first_root && image_in(&s->additional[0].images, id, but, mapped, ret));
}

bool layer_is_used_beside(struct imbrex_store *s, const char *id, const char *but)
{
	struct found f;

	return layer_image(s, id, but, false, NULL) || layer_image(s, id, but, true, NULL) ||
	       container_by_layer(s, id, &f);
}

enum record_place layer_place(const struct imbrex_store *s, bool image, bool is_volatile)
{
	if (image && s->layers.places[PLACE_IMAGESTORE].file)
		return PLACE_IMAGESTORE;
	return is_volatile && s->config.transient_store ? PLACE_VOLATILE : PLACE_STABLE;
}

int layer_drop(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	ptrdiff_t i = table_find_id(&s->layers.t, id, strlen(id));
	int r;

	if (i < 0)
		return 0;
	r = store_drop(&s->layers, id, err);
	if (r < 0)
		return r;
	s->layers.dirty[table_at(&s->layers.t, (size_t)i)->place] = true;
	table_remove(&s->layers.t, (size_t)i);
	return 0;
}
