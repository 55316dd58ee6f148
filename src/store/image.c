/* SPDX-License-Identifier: Apache-2.0 */
/* Images: what arrives in the table, and names that move between records. */
#include "store/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "json/write.h"
#include "oci/reference.h"
#include "store/names.h"

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
		const struct found f = { .t = &s->images, .index = (size_t)holder };

		r = names_take(&f, name, err);
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

int image_own_name(struct imbrex_store *s, size_t index, const char *name, char **ret,
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
		r = image_own_name(s, f.index, name, &own, err);
		if (r == 0)
			r = names_take(&f, own, err);
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
