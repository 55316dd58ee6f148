/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as their own text; see the header.
 *
 * Invariants: (1) every field offset lies inside its record's text and was found by the strict
 * scanner, so spans can be handed out and rewritten without a second look; (2) the last of two
 * equal keys wins, as in Go.
 */
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "json/write.h"

#define KEY(text)                                   \
	{                                           \
		.at = text, .len = sizeof(text) - 1 \
	}

const struct record_type layer_records = {
	.noun = "layer",
	.n_fields = LAYER_N_FIELDS,
	.keys = {
		[LAYER_ID] = KEY("id"),
		[LAYER_NAMES] = KEY("names"),
		[LAYER_PARENT] = KEY("parent"),
		[LAYER_METADATA] = KEY("metadata"),
		[LAYER_MOUNTLABEL] = KEY("mountlabel"),
		[LAYER_CREATED] = KEY("created"),
		[LAYER_COMPRESSED_DIGEST] = KEY("compressed-diff-digest"),
		[LAYER_COMPRESSED_SIZE] = KEY("compressed-size"),
		[LAYER_DIFF_DIGEST] = KEY("diff-digest"),
		[LAYER_TOC_DIGEST] = KEY("toc-digest"),
		[LAYER_DIFF_SIZE] = KEY("diff-size"),
		[LAYER_COMPRESSION] = KEY("compression"),
		[LAYER_UIDSET] = KEY("uidset"),
		[LAYER_GIDSET] = KEY("gidset"),
		[LAYER_FLAGS] = KEY("flags"),
		[LAYER_UIDMAP] = KEY("uidmap"),
		[LAYER_GIDMAP] = KEY("gidmap"),
		[LAYER_BIG_DATA_NAMES] = KEY("big-data-names"),
	},
	.order = { LAYER_ID, LAYER_NAMES, LAYER_PARENT, LAYER_METADATA, LAYER_MOUNTLABEL,
		LAYER_CREATED, LAYER_COMPRESSED_DIGEST, LAYER_COMPRESSED_SIZE, LAYER_DIFF_DIGEST,
		LAYER_TOC_DIGEST, LAYER_DIFF_SIZE, LAYER_COMPRESSION, LAYER_UIDSET, LAYER_GIDSET,
		LAYER_FLAGS, LAYER_UIDMAP, LAYER_GIDMAP, LAYER_BIG_DATA_NAMES },
	.found_by = { { KEY_ID, LAYER_ID }, { KEY_NAME, LAYER_NAMES, true }, { KEY_PARENT, LAYER_PARENT },
		{ KEY_DIFF_DIGEST, LAYER_DIFF_DIGEST },
		{ KEY_COMPRESSED_DIGEST, LAYER_COMPRESSED_DIGEST },
		{ KEY_TOC_DIGEST, LAYER_TOC_DIGEST } },
};

const struct record_type image_records = {
	.noun = "image",
	.n_fields = IMAGE_N_FIELDS,
	.keys = {
		[IMAGE_ID] = KEY("id"),
		[IMAGE_NAMES] = KEY("names"),
		[IMAGE_DIGEST] = KEY("digest"),
		[IMAGE_NAMES_HISTORY] = KEY("names-history"),
		[IMAGE_LAYER] = KEY("layer"),
		[IMAGE_MAPPED_LAYERS] = KEY("mapped-layers"),
		[IMAGE_METADATA] = KEY("metadata"),
		[IMAGE_BIG_DATA_NAMES] = KEY("big-data-names"),
		[IMAGE_BIG_DATA_SIZES] = KEY("big-data-sizes"),
		[IMAGE_BIG_DATA_DIGESTS] = KEY("big-data-digests"),
		[IMAGE_CREATED] = KEY("created"),
		[IMAGE_FLAGS] = KEY("flags"),
	},
	.order = { IMAGE_ID, IMAGE_DIGEST, IMAGE_NAMES, IMAGE_NAMES_HISTORY, IMAGE_LAYER,
		IMAGE_MAPPED_LAYERS, IMAGE_METADATA, IMAGE_BIG_DATA_NAMES, IMAGE_BIG_DATA_SIZES,
		IMAGE_BIG_DATA_DIGESTS, IMAGE_CREATED, IMAGE_FLAGS },
	.found_by = { { KEY_ID, IMAGE_ID }, { KEY_NAME, IMAGE_NAMES, true }, { KEY_LAYER, IMAGE_LAYER },
		{ KEY_LAYER, IMAGE_MAPPED_LAYERS, true } },
};

const struct record_type container_records = {
	.noun = "container",
	.n_fields = CONTAINER_N_FIELDS,
	.keys = {
		[CONTAINER_ID] = KEY("id"),
		[CONTAINER_NAMES] = KEY("names"),
		[CONTAINER_IMAGE] = KEY("image"),
		[CONTAINER_LAYER] = KEY("layer"),
		[CONTAINER_METADATA] = KEY("metadata"),
		[CONTAINER_BIG_DATA_NAMES] = KEY("big-data-names"),
		[CONTAINER_BIG_DATA_SIZES] = KEY("big-data-sizes"),
		[CONTAINER_BIG_DATA_DIGESTS] = KEY("big-data-digests"),
		[CONTAINER_CREATED] = KEY("created"),
		[CONTAINER_UIDMAP] = KEY("uidmap"),
		[CONTAINER_GIDMAP] = KEY("gidmap"),
		[CONTAINER_FLAGS] = KEY("flags"),
	},
	.order = { CONTAINER_ID, CONTAINER_NAMES, CONTAINER_IMAGE, CONTAINER_LAYER,
		CONTAINER_METADATA, CONTAINER_BIG_DATA_NAMES, CONTAINER_BIG_DATA_SIZES,
		CONTAINER_BIG_DATA_DIGESTS, CONTAINER_CREATED, CONTAINER_UIDMAP, CONTAINER_GIDMAP,
		CONTAINER_FLAGS },
	.found_by = { { KEY_ID, CONTAINER_ID }, { KEY_NAME, CONTAINER_NAMES, true },
		{ KEY_LAYER, CONTAINER_LAYER }, { KEY_IMAGE, CONTAINER_IMAGE } },
};

/*
 * Number of the field that `key` names, -1 if it is a stranger. Records are mostly written in the
 * order of their type: `*next` is the place in that order where the search begins.
 */
static int field_of_key(const struct record_type *type, struct json_span key, int *next)
{
	int i;

	for (i = 0; i < type->n_fields; i++) {
		int place = (*next + i) % type->n_fields;
		int field = type->order[place];
		const struct json_span *name = &type->keys[field];

		if (name->len == key.len && memcmp(name->at, key.at, key.len) == 0) {
			*next = place + 1;
			return field;
		}
	}
	/* Rare: an escape in the key, or letters in another case, which Go takes too. */
	for (i = 0; i < type->n_fields; i++) {
		if (json_key_is_folded(key, type->keys[i].at))
			return i;
	}
	return -1;
}

int record_scan(const struct record_type *type, struct json_scan *s, struct record *r,
	struct imbrex_error *err)
{
	struct json_span key;
	struct json_span value;
	int next = 0;
	int field;
	int n;

	r->type = type;
	memset(r->fields, 0, sizeof(r->fields));
	n = json_scan_kind(s, err);
	if (n < 0)
		return n;
	r->text = s->text + json_scan_offset(s);
	n = json_scan_object_begin(s, err);
	if (n < 0)
		return n;
	while ((n = json_scan_object_next(s, &key, err)) > 0) {
		n = json_scan_skip(s, &value, err);
		if (n < 0)
			return n;
		field = field_of_key(type, key, &next);
		if (field < 0)
			continue;
		if (value.len == 4 && memcmp(value.at, "null", 4) == 0)
			value.len = 0;
		r->fields[field].at = (uint32_t)(value.at - r->text);
		r->fields[field].len = (uint32_t)value.len;
	}
	if (n < 0)
		return n;
	r->len = (uint32_t)(s->text + json_scan_offset(s) - r->text);
	return 0;
}

struct json_span record_raw(const struct record *r, int field)
{
	return (struct json_span){ r->text + r->fields[field].at, r->fields[field].len };
}

struct json_span record_plain(const struct record *r, int field)
{
	struct json_span raw = record_raw(r, field);

	if (raw.len < 2 || raw.at[0] != '"' || memchr(raw.at, '\\', raw.len))
		return (struct json_span){ "", 0 };
	return (struct json_span){ raw.at + 1, raw.len - 2 };
}

char *record_text(const struct record *r, int field)
{
	struct json_span raw = record_raw(r, field);
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);

	if (raw.len < 2 || raw.at[0] != '"')
		return calloc(1, 1);
	raw.at++;
	raw.len -= 2;
	if (!memchr(raw.at, '\\', raw.len))
		return strndup(raw.at, raw.len);
	if (json_text_decode(raw, &text) < 0)
		return NULL;
	return str_take(&text);
}

int64_t record_int(const struct record *r, int field, int64_t absent)
{
	struct json_span raw = record_raw(r, field);
	struct json_scan s;
	int64_t value;

	if (!raw.len)
		return absent;
	json_scan_init(&s, raw.at, raw.len);
	return json_scan_int64(&s, &value, NULL) < 0 ? absent : value;
}

int record_list(const struct record *r, int field, struct strv *ret)
{
	struct json_span raw = record_raw(r, field);
	struct json_scan s;
	char *text;
	int n;

	if (!raw.len || raw.at[0] != '[')
		return 0;
	json_scan_init(&s, raw.at, raw.len);
	n = json_scan_array_begin(&s, NULL);
	while (n >= 0 && (n = json_scan_array_next(&s, NULL)) > 0) {
		if (json_scan_kind(&s, NULL) != JSON_KIND_STRING) {
			n = json_scan_skip(&s, NULL, NULL);
			continue;
		}
		n = json_scan_text(&s, &text, NULL);
		if (n == IMBREX_ENOMEM || (n >= 0 && strv_take(ret, text) < 0))
			return -ENOMEM;
	}
	return 0;
}

/* The raw text of a string means these bytes. */
static bool text_is(struct json_span raw, const char *text, size_t len)
{
	AUTO_STR decoded = STR_INIT(LIMIT_RECORDS_BYTES);

	if (!raw.escaped)
		return raw.len == len && memcmp(raw.at, text, len) == 0;
	return json_text_decode(raw, &decoded) == 0 && decoded.len == len &&
	       memcmp(str_text(&decoded), text, len) == 0;
}

static bool list_has(const struct record *r, int field, const char *text, size_t len)
{
	struct json_span raw = record_raw(r, field);
	struct json_span item;
	struct json_scan s;
	int n;

	if (!raw.len || raw.at[0] != '[')
		return false;
	json_scan_init(&s, raw.at, raw.len);
	n = json_scan_array_begin(&s, NULL);
	while (n >= 0 && (n = json_scan_array_next(&s, NULL)) > 0) {
		if (json_scan_kind(&s, NULL) != JSON_KIND_STRING) {
			n = json_scan_skip(&s, NULL, NULL);
			continue;
		}
		n = json_scan_raw_string(&s, &item, NULL);
		if (n >= 0 && text_is(item, text, len))
			return true;
	}
	return false;
}

bool record_list_has(const struct record *r, int field, const char *text)
{
	return list_has(r, field, text, strlen(text));
}

bool record_carries(const struct record *r, enum index_key kind, const char *key, size_t len)
{
	const struct record_key *by;

	for (by = r->type->found_by; by->kind; by++) {
		struct json_span plain;

		if (by->kind != kind)
			continue;
		if (by->is_list && list_has(r, by->field, key, len))
			return true;
		plain = record_plain(r, by->field);
		if (!by->is_list && plain.len == len && memcmp(plain.at, key, len) == 0)
			return true;
	}
	return false;
}

struct json_span record_member(const struct record *r, int field, const char *key)
{
	struct json_span raw = record_raw(r, field);
	struct json_span found = { "", 0 };
	struct json_span name;
	struct json_span value;
	struct json_scan s;
	int n;

	if (!raw.len || raw.at[0] != '{')
		return found;
	json_scan_init(&s, raw.at, raw.len);
	n = json_scan_object_begin(&s, NULL);
	while (n >= 0 && (n = json_scan_object_next(&s, &name, NULL)) > 0) {
		n = json_scan_skip(&s, &value, NULL);
		if (n >= 0 && json_key_is(name, key))
			found = value;
	}
	return found;
}

bool record_flag(const struct record *r, int flags_field, const char *flag)
{
	struct json_span value = record_member(r, flags_field, flag);

	return value.len == 4 && memcmp(value.at, "true", 4) == 0;
}

bool record_is(const struct record *r, int field, const char *text)
{
	struct json_span plain = record_plain(r, field);

	return plain.len == strlen(text) && memcmp(plain.at, text, plain.len) == 0;
}

bool record_same(const struct record *a, int field_a, const struct record *b, int field_b)
{
	struct json_span x = record_plain(a, field_a);
	struct json_span y = record_plain(b, field_b);

	return x.len == y.len && memcmp(x.at, y.at, x.len) == 0;
}

/* One member of the record being rebuilt: a known field, or a stranger kept where it stood. */
static int put_member(struct str *to, bool *first, const char *key, const char *value, size_t len)
{
	int r = *first ? 0 : str_putc(to, ',');

	*first = false;
	if (r == 0)
		r = json_write_text(to, key);
	if (r == 0)
		r = str_putc(to, ':');
	return r < 0 ? r : str_append(to, value, len);
}

/* Members that are not fields, verbatim, behind the fields. */
static int put_strangers(struct str *to, bool *first, const struct record *rec)
{
	struct json_span key;
	struct json_span value;
	struct json_scan s;
	int next = 0;
	int n;
	int r;

	json_scan_init(&s, rec->text, rec->len);
	n = json_scan_object_begin(&s, NULL);
	while (n >= 0 && (n = json_scan_object_next(&s, &key, NULL)) > 0) {
		n = json_scan_skip(&s, &value, NULL);
		if (n < 0 || field_of_key(rec->type, key, &next) >= 0)
			continue;
		r = *first ? 0 : str_putc(to, ',');
		*first = false;
		/* The key's text and its quotes, and all between key and value, as they were. */
		if (r == 0)
			r = str_append(
				to, key.at - 1, (size_t)(value.at + value.len - (key.at - 1)));
		if (r < 0)
			return r;
	}
	return 0;
}

int record_text_with(const struct record *rec, int field, const char *value, struct str *ret)
{
	bool first = true;
	int i;
	int r;

	r = str_putc(ret, '{');
	for (i = 0; r == 0 && i < rec->type->n_fields; i++) {
		int f = rec->type->order[i];
		const char *key = rec->type->keys[f].at;
		struct json_span old = record_raw(rec, f);

		if (f == field && value)
			r = put_member(ret, &first, key, value, strlen(value));
		else if (f != field && old.len)
			r = put_member(ret, &first, key, old.at, old.len);
	}
	if (r == 0)
		r = put_strangers(ret, &first, rec);
	return r < 0 ? r : str_putc(ret, '}');
}

static int copy_members(
	struct str *to, struct json_span object, const char *key, const char *value, bool *first)
{
	bool placed = !value;
	AUTO_STR name = STR_INIT(LIMIT_RECORDS_BYTES);
	struct json_span k;
	struct json_span v;
	struct json_scan s;
	int n = 0;
	int r = 0;

	if (object.len && object.at[0] == '{') {
		json_scan_init(&s, object.at, object.len);
		n = json_scan_object_begin(&s, NULL);
		while (r == 0 && n >= 0 && (n = json_scan_object_next(&s, &k, NULL)) > 0) {
			n = json_scan_skip(&s, &v, NULL);
			if (n < 0)
				break;
			str_clear(&name);
			if (json_text_decode(k, &name) < 0)
				return -ENOMEM;
			if (!placed && strcmp(key, str_text(&name)) < 0) {
				r = put_member(to, first, key, value, strlen(value));
				placed = true;
			}
			if (r == 0 && strcmp(key, str_text(&name)) != 0)
				r = put_member(to, first, str_text(&name), v.at, v.len);
		}
	}
	if (r == 0 && !placed)
		r = put_member(to, first, key, value, strlen(value));
	return r;
}

int record_members_with(
	const struct record *rec, int field, const char *key, const char *value, struct str *ret)
{
	bool first = true;
	int r;

	r = str_putc(ret, '{');
	if (r == 0)
		r = copy_members(ret, record_raw(rec, field), key, value, &first);
	if (r == 0)
		r = str_putc(ret, '}');
	if (r == 0 && first)
		str_clear(ret);
	return r;
}
