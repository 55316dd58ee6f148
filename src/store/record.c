/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as their own text; see the header.
 *
 * Invariants: (1) every field offset lies inside its record's text and was found by the strict
 * scanner, so spans can be handed out and rewritten without a second look; (2) a record that was
 * not changed is a slice of the file as it was read; (3) the last of two equal keys wins, as in Go.
 */
#include "store/record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
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
};

void table_init(struct table *t, const struct record_type *type)
{
	*t = (struct table){ .type = type };
}

void table_done(struct table *t)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		free(t->records[i].owned);
	free(t->records);
	for (i = 0; i < N_PLACES; i++) {
		free(t->texts[i]);
		strv_done(&t->aside[i]);
	}
	free(t->by_id);
	strv_done(&t->odd);
	table_init(t, t->type);
}

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

/* Finds the fields of the object that begins at the cursor; sets text, len and fields. */
static int scan_record(const struct record_type *type, struct json_scan *s, struct record *r,
	struct imbrex_error *err)
{
	struct json_span key;
	struct json_span value;
	int next = 0;
	int field;
	int n;

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

static int grow(struct table *t)
{
	size_t cap = t->cap ? t->cap * 2 : 64;
	struct record *records;

	if (t->n < t->cap)
		return 0;
	records = reallocarray(t->records, cap, sizeof(*records));
	if (!records)
		return -ENOMEM;
	t->records = records;
	t->cap = cap;
	return 0;
}

static void forget_index(struct table *t)
{
	free(take_ptr(t->by_id));
	t->n_searches = 0;
}

static int parse_array(struct table *t, struct json_scan *s, enum record_place place,
	bool check_duplicates, struct imbrex_error *err)
{
	struct record *r;
	struct json_span id;
	int n;

	n = json_scan_null(s, err);
	if (n != 0)
		return n < 0 ? n : 0;
	n = json_scan_array_begin(s, err);
	if (n < 0)
		return n;
	while ((n = json_scan_array_next(s, err)) > 0) {
		if (grow(t) < 0)
			return fail_nomem(err);
		r = &t->records[t->n];
		*r = (struct record){ .place = (uint8_t)place };
		n = scan_record(t->type, s, r, err);
		if (n < 0)
			return n;
		id = record_plain(r, RECORD_ID);
		if (check_duplicates && id.len && table_find_id(t, id.at, id.len) >= 0) {
			if (strv_addf(&t->odd, "%s %.*s is recorded twice", t->type->noun,
				    (int)id.len, id.at) < 0)
				return fail_nomem(err);
			continue;
		}
		t->n++;
	}
	return n;
}

int table_parse(
	struct table *t, char *text, size_t len, enum record_place place, struct imbrex_error *err)
{
	struct json_scan s;
	int r;

	free(t->texts[place]);
	t->texts[place] = text;
	forget_index(t);
	if (!len)
		return 0;
	if (len > LIMIT_RECORDS_BYTES)
		return fail(err, IMBREX_ELIMIT, "%zu bytes are more than the limit of %u", len,
			LIMIT_RECORDS_BYTES);
	json_scan_init(&s, text, len);
	/* A duplicate between the two files is possible by design, one within a file is not. */
	r = parse_array(t, &s, place, t->n > 0, err);
	if (r < 0)
		return r;
	return json_scan_finish(&s, err);
}

size_t table_text_len(const struct table *t)
{
	size_t len = 2;
	size_t i;
	size_t k;

	for (i = 0; i < t->n; i++)
		len += t->records[i].len + 1;
	for (i = 0; i < N_PLACES; i++) {
		for (k = 0; k < t->aside[i].n; k++)
			len += strlen(t->aside[i].items[k]) + 1;
	}
	return len;
}

int table_format(const struct table *t, enum record_place place, struct str *ret)
{
	bool first = true;
	size_t i = 0;
	int r;

	r = str_putc(ret, '[');
	while (r == 0 && i < t->n) {
		const struct record *run = &t->records[i];
		size_t len = run->len;

		i++;
		if (run->place != place || !run->text)
			continue;
		/* Neighbours that still lie one comma apart in the file are copied as one piece. */
		while (!run->owned && i < t->n && !t->records[i].owned &&
			t->records[i].place == place && t->records[i].text == run->text + len + 1 &&
			run->text[len] == ',') {
			len += t->records[i].len + 1;
			i++;
		}
		if (!first)
			r = str_putc(ret, ',');
		if (r == 0)
			r = str_append(ret, run->text, len);
		first = false;
	}
	for (i = 0; r == 0 && i < t->aside[place].n; i++) {
		r = first ? 0 : str_putc(ret, ',');
		if (r == 0)
			r = str_puts(ret, t->aside[place].items[i]);
		first = false;
	}
	return r < 0 ? r : str_putc(ret, ']');
}

int table_append(struct table *t, const char *text, size_t len, enum record_place place,
	struct imbrex_error *err)
{
	AUTO_FREE char *owned = strndup(text, len);
	struct record fresh = { .place = (uint8_t)place };
	struct json_scan s;
	int r;

	if (!owned || grow(t) < 0)
		return fail_nomem(err);
	json_scan_init(&s, owned, len);
	r = scan_record(t->type, &s, &fresh, err);
	if (r < 0)
		return r;
	fresh.owned = take_ptr(owned);
	t->records[t->n++] = fresh;
	forget_index(t);
	return 0;
}

void table_remove(struct table *t, size_t index)
{
	free(t->records[index].owned);
	t->records[index] = (struct record){ 0 };
	t->n_removed++;
	forget_index(t);
}

size_t table_count(const struct table *t)
{
	return t->n - t->n_removed;
}

size_t table_slots(const struct table *t)
{
	return t->n;
}

ptrdiff_t table_next(const struct table *t, ptrdiff_t after)
{
	while (++after < (ptrdiff_t)t->n) {
		if (t->records[after].text)
			return after;
	}
	return -1;
}

ptrdiff_t table_prev(const struct table *t, ptrdiff_t before)
{
	while (--before >= 0) {
		if (t->records[before].text)
			return before;
	}
	return -1;
}

struct record *table_at(struct table *t, size_t number)
{
	return &t->records[number];
}

static size_t hash_id(const struct table *t, const char *id, size_t len)
{
	uint64_t h = t->seed;
	uint64_t word;

	for (; len >= sizeof(word); id += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, id, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	for (; len; id++, len--)
		h = (h ^ (unsigned char)*id) * 0x100000001b3ull;
	return (size_t)(h ^ h >> 29);
}

static bool has_id(const struct record *r, const char *id, size_t len)
{
	struct json_span at = record_plain(r, RECORD_ID);

	return at.len == len && memcmp(at.at, id, len) == 0;
}

static void build_index(struct table *t)
{
	size_t n_slots = 64;
	uint32_t *slots;
	size_t i;

	while (n_slots < t->n * 2)
		n_slots *= 2;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots || random_bytes(&t->seed, sizeof(t->seed)) < 0) {
		free(slots);
		return; /* walking finds everything too */
	}
	for (i = 0; i < t->n; i++) {
		struct json_span id = record_plain(&t->records[i], RECORD_ID);
		size_t at = hash_id(t, id.at, id.len) & (n_slots - 1);

		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = (uint32_t)(i + 1);
	}
	t->by_id = slots;
	t->n_slots = n_slots;
}

/* Few searches walk the table; for joins an index of all ids pays. */
#define SEARCHES_WORTH_AN_INDEX 16

ptrdiff_t table_find_id(struct table *t, const char *id, size_t len)
{
	size_t at;
	size_t i;

	if (!t->by_id && t->n_searches++ >= SEARCHES_WORTH_AN_INDEX)
		build_index(t);
	if (t->by_id) {
		at = hash_id(t, id, len) & (t->n_slots - 1);
		for (; t->by_id[at]; at = (at + 1) & (t->n_slots - 1)) {
			if (has_id(&t->records[t->by_id[at] - 1], id, len))
				return (ptrdiff_t)t->by_id[at] - 1;
		}
		return -1;
	}
	for (i = 0; i < t->n; i++) {
		if (has_id(&t->records[i], id, len))
			return (ptrdiff_t)i;
	}
	return -1;
}

ptrdiff_t table_find_name(const struct table *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		if (record_list_has(&t->records[i], RECORD_NAMES, name))
			return (ptrdiff_t)i;
	}
	return -1;
}

ptrdiff_t table_find_prefix(const struct table *t, const char *prefix)
{
	size_t len = strlen(prefix);
	ptrdiff_t found = -1;
	size_t i;

	for (i = 0; i < t->n; i++) {
		struct json_span id = record_plain(&t->records[i], RECORD_ID);

		if (!len || id.len < len || memcmp(id.at, prefix, len) != 0)
			continue;
		if (found >= 0)
			return -2;
		found = (ptrdiff_t)i;
	}
	return found;
}

struct json_span record_raw(const struct record *r, int field)
{
	return (struct json_span){ r->text ? r->text + r->fields[field].at : "",
		r->fields[field].len };
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

bool record_list_has(const struct record *r, int field, const char *text)
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
		if (n >= 0 && json_key_is(item, text))
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
static int put_strangers(
	struct str *to, bool *first, const struct record_type *type, const struct record *rec)
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
		if (n < 0 || field_of_key(type, key, &next) >= 0)
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

int record_set(
	struct table *t, size_t index, int field, const char *value, struct imbrex_error *err)
{
	struct record *rec = &t->records[index];
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	struct record fresh = { .place = rec->place };
	struct json_scan s;
	bool first = true;
	int i;
	int r;

	r = str_putc(&text, '{');
	for (i = 0; r == 0 && i < t->type->n_fields; i++) {
		int f = t->type->order[i];
		struct json_span old = record_raw(rec, f);

		if (f == field && value)
			r = put_member(&text, &first, t->type->keys[f].at, value, strlen(value));
		else if (f != field && old.len)
			r = put_member(&text, &first, t->type->keys[f].at, old.at, old.len);
	}
	if (r == 0)
		r = put_strangers(&text, &first, t->type, rec);
	if (r == 0)
		r = str_putc(&text, '}');
	if (r < 0)
		return fail_nomem(err);
	json_scan_init(&s, text.data, text.len);
	r = scan_record(t->type, &s, &fresh, err);
	if (r < 0)
		return r;
	free(rec->owned);
	fresh.owned = str_take(&text);
	*rec = fresh;
	if (field == RECORD_ID)
		forget_index(t);
	return 0;
}

int record_set_text(
	struct table *t, size_t index, int field, const char *text, struct imbrex_error *err)
{
	AUTO_STR value = STR_INIT(LIMIT_RECORDS_BYTES);

	if (!text || !*text)
		return record_set(t, index, field, NULL, err);
	if (json_write_text(&value, text) < 0)
		return fail_nomem(err);
	return record_set(t, index, field, value.data, err);
}

int record_set_list(
	struct table *t, size_t index, int field, const struct strv *list, struct imbrex_error *err)
{
	AUTO_STR value = STR_INIT(LIMIT_RECORDS_BYTES);
	size_t i;
	int r;

	if (!list->n)
		return record_set(t, index, field, NULL, err);
	r = str_putc(&value, '[');
	for (i = 0; r == 0 && i < list->n; i++) {
		if (i)
			r = str_putc(&value, ',');
		if (r == 0)
			r = json_write_text(&value, list->items[i]);
	}
	if (r < 0 || str_putc(&value, ']') < 0)
		return fail_nomem(err);
	return record_set(t, index, field, value.data, err);
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

int record_set_member(struct table *t, size_t index, int field, const char *key, const char *value,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	bool first = true;
	int r;

	r = str_putc(&text, '{');
	if (r == 0)
		r = copy_members(&text, record_raw(&t->records[index], field), key, value, &first);
	if (r < 0 || str_putc(&text, '}') < 0)
		return fail_nomem(err);
	return record_set(t, index, field, first ? NULL : text.data, err);
}
