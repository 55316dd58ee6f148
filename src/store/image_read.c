/* SPDX-License-Identifier: Apache-2.0 */
/* Images as callers see them: listed, found, measured, their documents and digests. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "oci/digest.h"
#include "store/image.h"
#include "store/layer.h"

/* Copies of the top layer under other maps stand beside it: each adds what it holds itself. */
static int64_t copies_size(struct imbrex_store *s, const struct record *rec)
{
	AUTO_STRV copies = { 0 };
	int64_t total = 0, size;
	size_t i;

	if (!record_raw(rec, IMAGE_MAPPED_LAYERS).len)
		return 0;
	if (record_list(rec, IMAGE_MAPPED_LAYERS, &copies) < 0)
		return -1;
	for (i = 0; i < copies.n; i++) {
		size = layer_size(s, (struct json_span){ .at = copies.items[i],
					     .len = strlen(copies.items[i]) });
		if (size < 0 || __builtin_add_overflow(total, size, &total))
			return -1;
	}
	return total;
}

/* Sum of the layers' uncompressed sizes, copies under other maps included, and of the documents;
 * -1 if one is unknown. */
static int64_t image_size(struct imbrex_store *s, const struct record *rec, size_t *ret_n_layers)
{
	int64_t total = layer_chain_size(s, record_plain(rec, IMAGE_LAYER), ret_n_layers);
	int64_t copies = copies_size(s, rec);
	struct json_span sizes = record_raw(rec, IMAGE_BIG_DATA_SIZES);
	struct json_span key;
	struct json_scan scan;
	int64_t value;
	int r;

	if (total < 0 || copies < 0 || __builtin_add_overflow(total, copies, &total))
		return -1;
	if (!sizes.len)
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

/* All text of one image lies in one block, which begins with its list of names: a list of many
 * images is a few large pieces of memory, not ten small ones for each. */
struct block {
	char **words; /* the next free one of the pointers */
	char *text;   /* the next free byte behind them */
	bool cut;     /* the last text held a NUL character, and ends there */
};

/* More than the strings of a field need, decoded and each with its end: two quotes are gone. */
static size_t text_room(const struct record *rec, int field)
{
	return record_raw(rec, field).len + 1;
}

static size_t words_room(const struct record *rec, int field)
{
	struct json_span raw = record_raw(rec, field);
	size_t n = 0;
	size_t i;

	for (i = 0; i < raw.len; i++)
		n += raw.at[i] == '"';
	return n / 2 + 1;
}

/* NULL on no memory. */
static char *put_text(struct block *b, struct json_span raw)
{
	AUTO_STR decoded = STR_INIT(LIMIT_RECORDS_BYTES);
	const char *text = raw.at;
	size_t len = raw.len;
	char *at = b->text;

	b->cut = false;
	if (len && memchr(text, '\\', len)) {
		if (json_text_decode(raw, &decoded) < 0)
			return NULL;
		text = str_text(&decoded);
		len = strlen(text);
		b->cut = len < decoded.len;
	}
	if (len)
		memcpy(at, text, len);
	at[len] = '\0';
	b->text += len + 1;
	return at;
}

static char *put_field(struct block *b, const struct record *rec, int field)
{
	struct json_span raw = record_raw(rec, field);

	if (raw.len < 2 || raw.at[0] != '"')
		return put_text(b, (struct json_span){ 0 });
	return put_text(b, (struct json_span){ .at = raw.at + 1, .len = raw.len - 2 });
}

static char **put_list(struct block *b, const struct record *rec, int field)
{
	struct json_span raw = record_raw(rec, field);
	char **words = b->words;
	struct json_span item;
	struct json_scan s;
	int n;

	json_scan_init(&s, raw.at, raw.len);
	n = raw.len && raw.at[0] == '[' ? json_scan_array_begin(&s, NULL) : -1;
	while (n >= 0 && (n = json_scan_array_next(&s, NULL)) > 0) {
		if (json_scan_kind(&s, NULL) != JSON_KIND_STRING) {
			n = json_scan_skip(&s, NULL, NULL);
			continue;
		}
		n = json_scan_raw_string(&s, &item, NULL);
		if (n < 0)
			break;
		*b->words = put_text(b, item);
		if (!*b->words)
			return NULL;
		/* No name of anything, and what is left of it may be one of something else. */
		b->words += !b->cut;
	}
	*b->words++ = NULL;
	return words;
}

static int fill_image(struct imbrex_store *s, const struct record *rec, struct imbrex_image *ret)
{
	static const int texts[] = { IMAGE_ID, IMAGE_DIGEST, IMAGE_CREATED, IMAGE_LAYER,
		IMAGE_NAMES, IMAGE_MAPPED_LAYERS };
	size_t n_words = words_room(rec, IMAGE_NAMES) + words_room(rec, IMAGE_MAPPED_LAYERS);
	size_t bytes = n_words * sizeof(char *);
	struct block b = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++)
		bytes += text_room(rec, texts[i]);
	b.words = malloc(bytes);
	if (!b.words)
		return -ENOMEM;
	b.text = (char *)(b.words + n_words);
	ret->names = b.words;
	*ret->names = NULL;
	ret->id = put_field(&b, rec, IMAGE_ID);
	ret->digest = put_field(&b, rec, IMAGE_DIGEST);
	ret->created = put_field(&b, rec, IMAGE_CREATED);
	ret->layer = put_field(&b, rec, IMAGE_LAYER);
	if (!ret->id || !ret->digest || !ret->created || !ret->layer ||
		!put_list(&b, rec, IMAGE_NAMES))
		return -ENOMEM;
	ret->mapped_layers = put_list(&b, rec, IMAGE_MAPPED_LAYERS);
	if (!ret->mapped_layers)
		return -ENOMEM;
	ret->size_bytes = image_size(s, rec, &ret->n_layers);
	return 0;
}

PUBLIC void imbrex_images_free(struct imbrex_image *images, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(images[i].names); /* and with it all the rest, see fill_image() */
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

/* The configuration's digest is its key, and as a rule the image's id too; but not if layers of the
 * image are known by their tables of contents. */
static char *config_key(const struct record *rec, const char *id)
{
	AUTO_FREE char *usual = format_text("sha256:%s", id);
	AUTO_STRV keys = { 0 };
	size_t i;

	if (!usual || record_list(rec, IMAGE_BIG_DATA_NAMES, &keys) < 0)
		return NULL;
	for (i = 0; !strv_has(&keys, usual) && i < keys.n; i++) {
		if (digest_parse(keys.items[i], strlen(keys.items[i]), &(struct hash_value){ 0 },
			    NULL) == 0)
			return strdup(keys.items[i]);
	}
	return take_ptr(usual);
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
	key = !id ? NULL : config ? config_key(found_record(&f), id) : strdup("manifest");
	if (!key)
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

/* ---- one image ------------------------------------------------------------------------- */

PUBLIC int imbrex_image_get(struct imbrex_store *s, const char *name, struct imbrex_image **ret,
	struct imbrex_error *err)
{
	struct imbrex_image *image;
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS | HOLD_IMAGES, &hold, err);
	if (r == 0)
		r = store_find(s, &image_records, name, &f, err);
	if (r < 0)
		return r;
	image = calloc(1, sizeof(*image));
	if (!image || fill_image(s, found_record(&f), image) < 0) {
		imbrex_images_free(image, image != NULL);
		return fail_nomem(err);
	}
	*ret = image;
	return 0;
}

PUBLIC int imbrex_image_size(
	struct imbrex_store *s, const char *image, int64_t *ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	size_t n;
	int r;

	r = store_hold(s, HOLD_LAYERS | HOLD_IMAGES, &hold, err);
	if (r == 0)
		r = store_find(s, &image_records, image, &f, err);
	if (r < 0)
		return r;
	*ret = image_size(s, found_record(&f), &n);
	return 0;
}

/* ---- digests --------------------------------------------------------------------------- */

/* The image's own, then those of its manifests, each once. */
static int digests_of(const struct record *rec, struct strv *ret)
{
	struct json_span documents = record_raw(rec, IMAGE_BIG_DATA_DIGESTS);
	AUTO_FREE char *own = record_text(rec, IMAGE_DIGEST);
	struct json_span key;
	struct json_scan s;
	int n;

	if (!own || (*own && strv_add(ret, own) < 0))
		return -ENOMEM;
	if (!documents.len || documents.at[0] != '{')
		return 0;
	json_scan_init(&s, documents.at, documents.len);
	n = json_scan_object_begin(&s, NULL);
	while (n >= 0 && (n = json_scan_object_next(&s, &key, NULL)) > 0) {
		AUTO_FREE char *digest = NULL;

		if (!bigdata_key_is_manifest(key.at, key.len) ||
			json_scan_kind(&s, NULL) != JSON_KIND_STRING)
			continue;
		n = json_scan_text(&s, &digest, NULL);
		if (n == IMBREX_ENOMEM)
			return -ENOMEM;
		if (n >= 0 && *digest && !strv_has(ret, digest) &&
			strv_take(ret, take_ptr(digest)) < 0)
			return -ENOMEM;
	}
	return 0;
}

PUBLIC int imbrex_image_digests(
	struct imbrex_store *s, const char *image, char ***ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV digests = { 0 };
	struct found f;
	char **taken;
	int r;

	r = store_hold(s, HOLD_IMAGES, &hold, err);
	if (r == 0)
		r = store_find(s, &image_records, image, &f, err);
	if (r < 0)
		return r;
	if (digests_of(found_record(&f), &digests) < 0)
		return fail_nomem(err);
	taken = strings_take(&digests);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}

static int add_if_it_has(const struct found *f, const char *digest, struct strv *ret)
{
	AUTO_STRV digests = { 0 };
	int r;

	r = digests_of(found_record(f), &digests);
	if (r < 0 || !strv_has(&digests, digest))
		return r;
	return strv_take(ret, record_text(found_record(f), IMAGE_ID));
}

PUBLIC int imbrex_images_by_digest(
	struct imbrex_store *s, const char *digest, char ***ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV ids = { 0 };
	struct found f;
	char **taken;
	bool more;
	int r;

	r = store_hold(s, HOLD_IMAGES, &hold, err);
	if (r < 0)
		return r;
	for (more = store_first(s, &image_records, &f); r == 0 && more; more = store_next(s, &f)) {
		if (!store_is_shadowed(s, &f))
			r = add_if_it_has(&f, digest, &ids);
	}
	taken = r == 0 ? strings_take(&ids) : NULL;
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}
