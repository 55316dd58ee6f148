/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: names that move between records, documents beside them, and removal with the layers that
 * nothing else needs.
 */
#include "store/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/write.h"
#include "oci/reference.h"
#include "os/fd.h"
#include "store/container.h"
#include "store/layer.h"

/* ---- of additional stores -------------------------------------------------------------- */

int image_adopt(struct imbrex_store *s, struct found *f, struct imbrex_error *err)
{
	const struct found from = *f;
	const struct record *rec = found_record(&from);
	AUTO_STRV keys = { 0 };
	size_t index;
	size_t i;
	int r;

	if (record_list(rec, IMAGE_BIG_DATA_NAMES, &keys) < 0)
		return fail_nomem(err);
	r = table_append(&s->images.t, rec->text, rec->len, PLACE_STABLE, err);
	if (r < 0)
		return r;
	index = table_slots(&s->images.t) - 1;
	s->images.dirty[PLACE_STABLE] = true;
	/* Copies of layers with other owners belong to the store that has them. */
	r = record_set(&s->images.t, index, IMAGE_MAPPED_LAYERS, NULL, err);
	for (i = 0; r == 0 && i < keys.n; i++) {
		AUTO_STR text = STR_INIT(LIMIT_CONFIG_BYTES);

		r = bigdata_get(
			s, from.t, from.index, keys.items[i], LIMIT_CONFIG_BYTES, &text, err);
		if (r == 0)
			r = bigdata_put(s, &s->images, index,
				&(struct bigdata){
					.key = keys.items[i],
					.data = text.data,
					.len = text.len,
				},
				1, err);
	}
	if (r < 0)
		return r;
	*f = (struct found){ .t = &s->images, .index = index };
	return 0;
}

/* ---- names ----------------------------------------------------------------------------- */

int image_complete_name(const char *name, char **ret, struct imbrex_error *err)
{
	AUTO_REFERENCE ref = { 0 };
	char *text;
	int r;

	r = reference_parse_local(name, &ref, err);
	if (r < 0)
		return r;
	r = reference_default_tag(&ref, err);
	if (r < 0)
		return r;
	text = reference_text(&ref);
	if (!text)
		return fail_nomem(err);
	*ret = text;
	return 0;
}

static int take_name(
	struct imbrex_store *s, size_t index, const char *name, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	ptrdiff_t at;

	if (record_list(table_at(&s->images.t, index), IMAGE_NAMES, &names) < 0)
		return fail_nomem(err);
	at = strv_find(&names, name);
	if (at < 0)
		return 0;
	strv_remove(&names, (size_t)at);
	s->images.dirty[0] = true;
	return record_set_list(&s->images.t, index, IMAGE_NAMES, &names, err);
}

static int give_name(
	struct imbrex_store *s, size_t index, const char *name, struct imbrex_error *err)
{
	struct table *t = &s->images.t;
	AUTO_STRV names = { 0 };
	AUTO_STRV history = { 0 };
	ptrdiff_t holder;
	ptrdiff_t at;
	int r;

	holder = table_find_name(t, name);
	if (holder == (ptrdiff_t)index)
		return 0;
	if (holder >= 0) {
		r = take_name(s, (size_t)holder, name, err);
		if (r < 0)
			return r;
	}
	if (record_list(table_at(t, index), IMAGE_NAMES, &names) < 0 ||
		strv_add(&names, name) < 0 ||
		record_list(table_at(t, index), IMAGE_NAMES_HISTORY, &history) < 0)
		return fail_nomem(err);
	at = strv_find(&history, name);
	if (at >= 0)
		strv_remove(&history, (size_t)at);
	if (strv_insert(&history, 0, name) < 0)
		return fail_nomem(err);
	s->images.dirty[0] = true;
	r = record_set_list(t, index, IMAGE_NAMES, &names, err);
	return r < 0 ? r : record_set_list(t, index, IMAGE_NAMES_HISTORY, &history, err);
}

/* An image of our own, or one of an additional store whose record is copied first: names are ours.
 */
static int find_to_change(
	struct imbrex_store *s, const char *name, struct found *ret, struct imbrex_error *err)
{
	int r = store_find_image(s, name, ret, err);

	return r == 0 && ret->read_only ? image_adopt(s, ret, err) : r;
}

PUBLIC int imbrex_image_tag(
	struct imbrex_store *s, const char *image, const char *name, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *full = NULL;
	struct found f;
	int r;

	r = image_complete_name(name, &full, err);
	if (r < 0)
		return r;
	r = store_hold(s, HOLD_IMAGES_W, &hold, err);
	if (r < 0)
		return r;
	r = find_to_change(s, image, &f, err);
	if (r < 0)
		return r;
	r = give_name(s, f.index, full, err);
	return r < 0 ? r : store_save(s, &s->images, err);
}

/* Which of the record's own names the caller means: as it stands, or completed. */
static int own_name(struct imbrex_store *s, size_t index, const char *name, char **ret,
	struct imbrex_error *err)
{
	struct record *rec = table_at(&s->images.t, index);
	AUTO_REFERENCE ref = { 0 };
	AUTO_FREE char *hub = NULL;
	AUTO_FREE char *local = NULL;
	const char *found = NULL;

	if (record_list_has(rec, IMAGE_NAMES, name))
		found = name;
	if (!found && image_complete_name(name, &local, NULL) == 0 &&
		record_list_has(rec, IMAGE_NAMES, local))
		found = local;
	if (!found && reference_parse(name, &ref, NULL) == 0 &&
		reference_default_tag(&ref, NULL) == 0) {
		hub = reference_text(&ref);
		if (hub && record_list_has(rec, IMAGE_NAMES, hub))
			found = hub;
	}
	if (!found)
		return fail(err, IMBREX_ENOENT, "the image has no name '%s'", name);
	*ret = strdup(found);
	return *ret ? 0 : fail_nomem(err);
}

PUBLIC int imbrex_image_untag(
	struct imbrex_store *s, const char *image, const char *name, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *own = NULL;
	struct found f;
	int r;

	r = store_hold(s, HOLD_IMAGES_W, &hold, err);
	if (r < 0)
		return r;
	r = find_to_change(s, image, &f, err);
	if (r < 0)
		return r;
	if (name) {
		r = own_name(s, f.index, name, &own, err);
		if (r == 0)
			r = take_name(s, f.index, own, err);
	} else {
		s->images.dirty[0] = true;
		r = record_set(&s->images.t, f.index, IMAGE_NAMES, NULL, err);
	}
	return r < 0 ? r : store_save(s, &s->images, err);
}

/* ---- adding ---------------------------------------------------------------------------- */

static int append_image(struct imbrex_store *s, const struct txn_image *image, const char *layer,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	char now[STORE_TIME_MAX];
	char digest[HASH_TEXT_MAX];
	int r;

	store_now(now);
	r = str_printf(&text, "{\"id\":\"%s\"", image->id);
	if (r == 0 && hash_is_set(&image->digest))
		r = str_printf(&text, ",\"digest\":\"%s\"", hash_format(&image->digest, digest));
	if (r == 0 && layer)
		r = str_printf(&text, ",\"layer\":\"%s\"", layer);
	if (r == 0 && image->metadata) {
		r = str_puts(&text, ",\"metadata\":");
		if (r == 0)
			r = json_write_text(&text, image->metadata);
	}
	if (r == 0)
		r = str_puts(&text, ",\"created\":");
	if (r == 0)
		r = json_write_text(
			&text, image->created && *image->created ? image->created : now);
	if (r < 0 || str_putc(&text, '}') < 0)
		return fail_nomem(err);
	s->images.dirty[0] = true;
	return table_append(&s->images.t, text.data, text.len, PLACE_STABLE, err);
}

int image_put(struct imbrex_store *s, const struct txn_image *image, const char *layer,
	struct imbrex_error *err)
{
	struct found f;
	size_t i;
	int r;

	if (!store_get(s, &image_records, image->id, strlen(image->id), &f)) {
		r = append_image(s, image, layer, err);
		f = (struct found){ .t = &s->images, .index = table_slots(&s->images.t) - 1 };
	} else {
		r = f.read_only ? image_adopt(s, &f, err) : 0;
	}
	if (r == 0 && image->name)
		r = give_name(s, f.index, image->name, err);
	if (r < 0)
		return r;
	for (i = 0; i < image->n_documents; i++) {
		if (!record_list_has(
			    found_record(&f), IMAGE_BIG_DATA_NAMES, image->documents[i].key))
			break;
	}
	if (i < image->n_documents) {
		r = bigdata_put(s, &s->images, f.index, image->documents, image->n_documents, err);
		if (r < 0)
			return r;
		s->images.dirty[0] = true;
	}
	return store_save(s, &s->images, err);
}

/* ---- reading --------------------------------------------------------------------------- */

/* Sum of the layers' uncompressed sizes and of the documents; -1 if one is unknown. */
static int64_t image_size(struct imbrex_store *s, const struct record *rec, size_t *ret_n_layers)
{
	struct json_span top = record_plain(rec, IMAGE_LAYER);
	struct json_span sizes = record_raw(rec, IMAGE_BIG_DATA_SIZES);
	struct layer_walk w;
	struct json_span key;
	struct json_scan scan;
	int64_t total;
	int64_t value;
	int r;

	layer_walk(s, top, &w);
	for (total = top.len && !w.more ? -1 : 0; w.more; layer_walk_next(s, &w)) {
		value = record_int(found_record(&w.at), LAYER_DIFF_SIZE, 0);
		if (total < 0 || value < 0 || __builtin_add_overflow(total, value, &total))
			total = -1;
	}
	if (w.endless)
		total = -1;
	*ret_n_layers = w.n;
	if (!sizes.len || total < 0)
		return total;
	json_scan_init(&scan, sizes.at, sizes.len);
	r = json_scan_object_begin(&scan, NULL);
	while (r >= 0 && (r = json_scan_object_next(&scan, &key, NULL)) > 0) {
		r = json_scan_int64(&scan, &value, NULL);
		if (r >= 0 && value > 0 && __builtin_add_overflow(total, value, &total))
			return -1;
	}
	return total;
}

static int fill_image(struct imbrex_store *s, const struct record *rec, struct imbrex_image *ret)
{
	AUTO_STRV names = { 0 };
	AUTO_STRV mapped = { 0 };

	ret->id = record_text(rec, IMAGE_ID);
	ret->digest = record_text(rec, IMAGE_DIGEST);
	ret->created = record_text(rec, IMAGE_CREATED);
	ret->layer = record_text(rec, IMAGE_LAYER);
	if (!ret->id || !ret->digest || !ret->created || !ret->layer ||
		record_list(rec, IMAGE_NAMES, &names) < 0 ||
		record_list(rec, IMAGE_MAPPED_LAYERS, &mapped) < 0)
		return -ENOMEM;
	ret->names = strings_take(&names);
	ret->mapped_layers = strings_take(&mapped);
	ret->size_bytes = image_size(s, rec, &ret->n_layers);
	return ret->names && ret->mapped_layers ? 0 : -ENOMEM;
}

PUBLIC void imbrex_images_free(struct imbrex_image *images, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(images[i].id);
		free(images[i].digest);
		imbrex_strings_free(images[i].names);
		imbrex_strings_free(images[i].mapped_layers);
		free(images[i].created);
		free(images[i].layer);
	}
	free(images);
}

PUBLIC int imbrex_images_list(
	struct imbrex_store *s, struct imbrex_image **ret, size_t *ret_n, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct imbrex_image *images;
	struct found f;
	size_t n = 0;
	bool more;
	int r;

	r = store_hold(s, HOLD_LAYERS | HOLD_IMAGES, &hold, err);
	if (r < 0)
		return r;
	images = calloc(store_count(s, &image_records) + 1, sizeof(*images));
	if (!images)
		return fail_nomem(err);
	for (more = store_first(s, &image_records, &f); more; more = store_next(s, &f)) {
		if (store_is_shadowed(s, &f))
			continue;
		if (fill_image(s, found_record(&f), &images[n++]) < 0) {
			imbrex_images_free(images, n);
			return fail_nomem(err);
		}
	}
	*ret = images;
	*ret_n = n;
	return 0;
}

PUBLIC int imbrex_image_find(
	struct imbrex_store *s, const char *name, char **ret_id, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	char *id;
	int r;

	r = store_hold(s, HOLD_IMAGES, &hold, err);
	if (r < 0)
		return r;
	r = store_find_image(s, name, &f, err);
	if (r < 0)
		return r;
	id = record_text(found_record(&f), IMAGE_ID);
	if (!id)
		return fail_nomem(err);
	*ret_id = id;
	return 0;
}

static int get_document(struct imbrex_store *s, const char *image, bool config, char **ret,
	size_t *ret_len, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STR text = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *key = NULL;
	struct found f;
	char *taken;
	int r;

	r = store_hold(s, HOLD_IMAGES, &hold, err);
	if (r < 0)
		return r;
	r = store_find_image(s, image, &f, err);
	if (r < 0)
		return r;
	id = record_text(found_record(&f), IMAGE_ID);
	key = id && config ? format_text("sha256:%s", id) : strdup("manifest");
	if (!id || !key)
		return fail_nomem(err);
	r = bigdata_get(s, f.t, f.index, key, LIMIT_CONFIG_BYTES, &text, err);
	if (r < 0)
		return r;
	*ret_len = text.len;
	taken = str_take(&text);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}

PUBLIC int imbrex_image_manifest(struct imbrex_store *s, const char *image, char **ret,
	size_t *ret_len, struct imbrex_error *err)
{
	return get_document(s, image, false, ret, ret_len, err);
}

PUBLIC int imbrex_image_config(struct imbrex_store *s, const char *image, char **ret,
	size_t *ret_len, struct imbrex_error *err)
{
	return get_document(s, image, true, ret, ret_len, err);
}

/* ---- removing -------------------------------------------------------------------------- */

PUBLIC void imbrex_removed_done(struct imbrex_removed *r)
{
	imbrex_strings_free(r->untagged);
	imbrex_strings_free(r->images);
	imbrex_strings_free(r->layers);
	*r = (struct imbrex_removed){ 0 };
}

/* Containers of an image: removed with it, or the reason why it stays. */
static int clear_containers(
	struct imbrex_store *s, const char *id, bool force, struct imbrex_error *err)
{
	struct table *t = &s->containers.t;
	ptrdiff_t i;
	int r;

	for (i = table_next(t, -1); i >= 0; i = table_next(t, i)) {
		struct record *rec = table_at(t, (size_t)i);
		AUTO_FREE char *container = NULL;

		if (!record_is(rec, CONTAINER_IMAGE, id))
			continue;
		container = record_text(rec, CONTAINER_ID);
		if (!container)
			return fail_nomem(err);
		if (!force) {
			r = fail(err, IMBREX_EBUSY, "image %s is used by container %s", id,
				container);
			return hint(err, r, "remove the container first, or use --force");
		}
		r = container_drop(s, (size_t)i, true, err);
		if (r < 0)
			return wrap(err, r, "container %s", container);
	}
	return 0;
}

/* The image's layers from the top down, as far as nobody else needs them. */
static int drop_layers(
	struct imbrex_store *s, char *top, struct strv *ret, struct imbrex_error *err)
{
	AUTO_FREE char *id = top;
	int r;

	while (id && *id && !layer_has_children(s, id) && !layer_is_used(s, id)) {
		ptrdiff_t at = table_find_id(&s->layers.t, id, strlen(id));
		AUTO_FREE char *parent = NULL;

		if (at < 0)
			return 0;
		parent = record_text(table_at(&s->layers.t, at), LAYER_PARENT);
		if (!parent)
			return fail_nomem(err);
		r = container_unmount_layer(s, id, err);
		if (r == 0)
			r = layer_drop(s, id, err);
		if (r < 0)
			return wrap(err, r, "layer %s", id);
		if (strv_take(ret, take_ptr(id)) < 0)
			return fail_nomem(err);
		id = take_ptr(parent);
	}
	return 0;
}

static int drop_image(struct imbrex_store *s, size_t index, bool force, struct strv *untagged,
	struct strv *layers, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(table_at(&s->images.t, index), IMAGE_ID);
	AUTO_FREE char *top = record_text(table_at(&s->images.t, index), IMAGE_LAYER);
	int r;

	if (!id || !top || record_list(table_at(&s->images.t, index), IMAGE_NAMES, untagged) < 0)
		return fail_nomem(err);
	r = clear_containers(s, id, force, err);
	if (r < 0)
		return r;
	if (id_is_valid(id)) {
		r = store_drop(&s->images, id, err);
		if (r < 0)
			return r;
	}
	table_remove(&s->images.t, index);
	s->images.dirty[0] = true;
	/* Records that name something go first: a crash leaves layers without an image, never the
	 * other way round. */
	r = store_save(s, &s->containers, err);
	if (r == 0)
		r = store_save(s, &s->images, err);
	if (r == 0)
		r = drop_layers(s, take_ptr(top), layers, err);
	return r < 0 ? r : store_save(s, &s->layers, err);
}

PUBLIC int imbrex_image_remove(struct imbrex_store *s, const char *image, bool force,
	struct imbrex_removed *ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV untagged = { 0 };
	AUTO_STRV images = { 0 };
	AUTO_STRV layers = { 0 };
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *own = NULL;
	AUTO_STRV names = { 0 };
	struct found f;
	int r;

	r = store_hold(s, HOLD_WRITE_ALL, &hold, err);
	if (r == 0)
		r = store_find_image(s, image, &f, err);
	if (r == 0)
		r = store_check_own(&f, err);
	if (r < 0)
		return r;
	id = record_text(found_record(&f), IMAGE_ID);
	if (!id || record_list(found_record(&f), IMAGE_NAMES, &names) < 0)
		return fail_nomem(err);
	if (names.n > 1 && strncmp(id, image, strlen(image)) != 0) {
		r = own_name(s, f.index, image, &own, err);
		if (r == 0)
			r = take_name(s, f.index, own, err);
		if (r == 0)
			r = store_save(s, &s->images, err);
		if (r == 0 && strv_take(&untagged, take_ptr(own)) < 0)
			r = fail_nomem(err);
	} else {
		r = drop_image(s, f.index, force, &untagged, &layers, err);
		if (r == 0 && strv_take(&images, take_ptr(id)) < 0)
			r = fail_nomem(err);
	}
	if (r < 0)
		return r;
	ret->untagged = strings_take(&untagged);
	ret->images = strings_take(&images);
	ret->layers = strings_take(&layers);
	if (ret->untagged && ret->images && ret->layers)
		return 0;
	imbrex_removed_done(ret);
	return fail_nomem(err);
}
