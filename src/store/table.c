/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records by number; see the header.
 *
 *   parsed ────────────────────────────────────▶ proven ──▶ changed ──▶ (written)
 *   lent, with an index ──table_prove()──────────▲
 *            └──────────── a lie: parsed ────────┘
 *
 * Invariants: (1) a record that is handed out was found by the strict scanner in the text, whole
 * and where the index said, and a record found by a key carries that key. (2) A number means the
 * same record until the table is loaded anew; so an index that is not proven may be replaced by
 * parsing, one that is proven or changed may not. (3) A record that was not changed is a slice of
 * the file as it was read. (4) Memory of records and texts that were handed out lives as long as
 * the table, also when the index is replaced.
 */
#include "store/table_work.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "json/write.h"
#include "os/fd.h"

/* A file that is lent is read in pieces of this size. */
#define BLOCK_BYTES 65536u
/* Records that are looked at are allocated so many at once. */
#define RECORDS_A_BLOCK 32
/* What a layer's record takes, to guess how many there are. */
#define RECORD_BYTES 320

struct record_block {
	struct record_block *next;
	size_t n;
	struct record records[RECORDS_A_BLOCK];
};

void table_init(struct table *t, const struct record_type *type)
{
	int place;

	*t = (struct table){ .type = type, .proven = true };
	index_init(&t->index);
	for (place = 0; place < N_PLACES; place++)
		t->texts[place].fd = -EBADF;
}

static void text_done(struct table_text *text)
{
	free(text->data);
	free(text->have);
	(void)close_fd(text->fd);
	*text = (struct table_text){ .fd = -EBADF };
}

void table_done(struct table *t)
{
	struct record_block *block;
	size_t i;

	while ((block = t->blocks)) {
		for (i = 0; i < block->n; i++)
			free(block->records[i].owned);
		t->blocks = block->next;
		free(block);
	}
	free(t->seen);
	free(t->saved_at);
	free(t->failure);
	for (i = 0; i < N_PLACES; i++) {
		text_done(&t->texts[i]);
		strv_done(&t->aside[i]);
	}
	index_done(&t->index);
	strv_done(&t->odd);
	table_init(t, t->type);
}

/* ---- texts ----------------------------------------------------------------------------- */

static int read_block(struct table_text *text, size_t block)
{
	size_t at = block * BLOCK_BYTES;
	size_t len = MIN(BLOCK_BYTES, text->len - at);
	size_t n;
	int r;

	r = pread_all(text->fd, text->data + at, len, at, &n);
	if (r < 0)
		return r;
	if (n < len)
		return -ENODATA;
	text->have[block] = 1;
	return 0;
}

/* A piece of the text; NULL if the file does not have it or cannot be read. */
static const char *text_at(struct table_text *text, size_t at, size_t len)
{
	size_t block;

	if (!len || at > text->len || len > text->len - at)
		return NULL;
	for (block = at / BLOCK_BYTES; text->have && block <= (at + len - 1) / BLOCK_BYTES;
		block++) {
		if (!text->have[block] && read_block(text, block) < 0)
			return NULL;
	}
	return text->data + at;
}

static int read_whole(struct table_text *text, struct imbrex_error *err)
{
	size_t n;
	int r;

	if (!text->have)
		return 0;
	r = pread_all(text->fd, text->data, text->len, 0, &n);
	if (r < 0)
		return fail_code(err, r, "read the table");
	if (n < text->len)
		return fail(err, IMBREX_EFORMAT, "the file was cut short while it was read");
	free(take_ptr(text->have));
	text->fd = close_fd(text->fd);
	return 0;
}

int table_read(struct table *t, enum record_place place, struct imbrex_error *err)
{
	return read_whole(&t->texts[place], err);
}

/* ---- looking at records ---------------------------------------------------------------- */

static struct record *new_record(struct table *t)
{
	struct record_block *block = t->blocks;

	if (!block || block->n == RECORDS_A_BLOCK) {
		block = malloc(sizeof(*block));
		if (!block)
			return NULL;
		block->n = 0;
		block->next = t->blocks;
		t->blocks = block;
	}
	return &block->records[block->n++];
}

static int see(struct table *t, size_t number, struct record *rec)
{
	size_t n = MAX(t->index.c.n_entries, number + 1);
	struct record **seen;

	if (number >= t->n_seen) {
		n += t->n_seen ? n / 2 : 0;
		/* Zeroed pages that nobody touches cost nothing. */
		seen = calloc(n, sizeof(struct record *));
		if (!seen)
			return -ENOMEM;
		if (t->n_seen)
			memcpy(seen, t->seen, t->n_seen * sizeof(struct record *));
		free(t->seen);
		t->seen = seen;
		t->n_seen = n;
	}
	t->seen[number] = rec;
	return 0;
}

static void keep_failure(struct table *t, const struct imbrex_error *why)
{
	static const struct imbrex_error nomem = { .status = IMBREX_ENOMEM,
		.message = "out of memory" };

	if (t->failure)
		return;
	t->failure = malloc(sizeof(*t->failure));
	if (t->failure)
		*t->failure = why->status ? *why : nomem;
}

int table_check(const struct table *t, struct imbrex_error *err)
{
	if (!t->failure)
		return 0;
	if (err)
		*err = *t->failure;
	return t->failure->status;
}

/* Find the record where the index says it is. 1, 0 if it is not there, or -ENOMEM. */
static int look(struct table *t, size_t number, struct record **ret)
{
	const struct index_entry *e = &t->index.entries[number];
	struct json_span id;
	struct record found;
	struct record *rec;
	struct json_scan s;
	const char *text;
	uint64_t head;

	if (e->place >= N_PLACES)
		return 0;
	text = text_at(&t->texts[e->place], e->at, e->len);
	if (!text)
		return 0;
	json_scan_init(&s, text, e->len);
	if (record_scan(t->type, &s, &found, NULL) < 0 || json_scan_offset(&s) != e->len)
		return 0;
	id = record_plain(&found, RECORD_ID);
	if (index_head(id.at, id.len, &head) ? (e->flags & INDEX_ODD_ID) || head != e->head
					     : !(e->flags & INDEX_ODD_ID))
		return 0;
	rec = new_record(t);
	if (!rec || see(t, number, rec) < 0)
		return -ENOMEM;
	*rec = found;
	rec->owned = NULL;
	rec->place = e->place;
	*ret = rec;
	return 1;
}

static int parse_all(struct table *t, struct imbrex_error *err);

void table_distrust(struct table *t)
{
	struct imbrex_error err = { 0 };

	if (t->proven) {
		(void)fail(&err, IMBREX_EFORMAT,
			"the file changed although its lock is held, or is damaged");
		keep_failure(t, &err);
		return;
	}
	if (parse_all(t, &err) < 0)
		keep_failure(t, &err);
}

struct record *table_at(struct table *t, size_t number)
{
	struct imbrex_error err = { 0 };
	struct record *rec = NULL;
	int r = 0;

	if (number < t->n_seen && t->seen[number])
		return t->seen[number];
	if (number < t->index.c.n_entries)
		r = look(t, number, &rec);
	if (r == 0) {
		table_distrust(t);
		if (number < t->index.c.n_entries)
			r = look(t, number, &rec);
	}
	if (r == 1)
		return rec;
	if (r < 0)
		keep_failure(t, &err);
	/* Without any field: in its place, so that whoever walks the table can go on. */
	rec = new_record(t);
	if (!rec || see(t, number, rec) < 0) {
		keep_failure(t, &err);
		t->nothing = (struct record){ .type = t->type, .text = "{}", .len = 2 };
		return &t->nothing;
	}
	*rec = (struct record){ .type = t->type, .text = "{}", .len = 2 };
	return rec;
}

size_t table_count(const struct table *t)
{
	return t->index.c.n_entries - MIN(t->index.c.n_removed, t->index.c.n_entries);
}

size_t table_slots(const struct table *t)
{
	return t->index.c.n_entries;
}

ptrdiff_t table_next(const struct table *t, ptrdiff_t after)
{
	while (++after < (ptrdiff_t)t->index.c.n_entries) {
		if (t->index.entries[after].len)
			return after;
	}
	return -1;
}

ptrdiff_t table_prev(const struct table *t, ptrdiff_t before)
{
	before = MIN(before, (ptrdiff_t)t->index.c.n_entries);
	while (--before >= 0) {
		if (t->index.entries[before].len)
			return before;
	}
	return -1;
}

/* ---- parsing --------------------------------------------------------------------------- */

typedef int (*key_fn)(
	struct table *t, enum index_key kind, const char *key, size_t len, uint32_t number);

static int link_key(
	struct table *t, enum index_key kind, const char *key, size_t len, uint32_t number)
{
	return len ? index_link(&t->index, kind, key, len, number) : 0;
}

static int unlink_key(
	struct table *t, enum index_key kind, const char *key, size_t len, uint32_t number)
{
	index_unlink(&t->index, kind, key, len, number);
	return 0;
}

static int each_of_list(
	struct table *t, enum index_key kind, struct json_span raw, uint32_t number, key_fn fn)
{
	AUTO_STR decoded = STR_INIT(LIMIT_RECORDS_BYTES);
	struct json_span item;
	struct json_scan s;
	int n;
	int r;

	if (!raw.len || raw.at[0] != '[')
		return 0;
	json_scan_init(&s, raw.at, raw.len);
	n = json_scan_array_begin(&s, NULL);
	while (n >= 0 && (n = json_scan_array_next(&s, NULL)) > 0) {
		if (json_scan_kind(&s, NULL) != JSON_KIND_STRING) {
			n = json_scan_skip(&s, NULL, NULL);
			continue;
		}
		n = json_scan_raw_string(&s, &item, NULL);
		if (n < 0)
			break;
		if (item.escaped) {
			str_clear(&decoded);
			if (json_text_decode(item, &decoded) < 0)
				return -ENOMEM;
			item.at = str_text(&decoded);
			item.len = decoded.len;
		}
		r = fn(t, kind, item.at, item.len, number);
		if (r < 0)
			return r;
	}
	return 0;
}

/* All keys that a record is found by. */
static int each_key(struct table *t, const struct record *rec, uint32_t number, key_fn fn)
{
	const struct record_key *by;
	int r = 0;

	for (by = t->type->found_by; r == 0 && by->kind; by++) {
		struct json_span raw = record_raw(rec, by->field);
		struct json_span plain;

		if (by->is_list) {
			r = each_of_list(t, by->kind, raw, number, fn);
		} else {
			plain = record_plain(rec, by->field);
			r = fn(t, by->kind, plain.at, plain.len, number);
		}
	}
	return r;
}

ptrdiff_t table_guess_id(struct table *t, const char *id, size_t len)
{
	struct index_walk walk;
	uint64_t head = 0;
	uint32_t number;

	if (!index_head(id, len, &head))
		return table_find_id(t, id, len);
	index_seek(&t->index, KEY_ID, id, len, &walk);
	while (index_step(&t->index, &walk, &number)) {
		if (t->index.entries[number].head == head)
			return number;
	}
	return -1;
}

/* What the index keeps of a record, but for its place. */
static void fill_entry(struct table *t, const struct record *rec, struct index_entry *e)
{
	struct json_span id = record_plain(rec, RECORD_ID);
	struct json_span parent;

	e->len = rec->len;
	e->place = rec->place;
	if (!index_head(id.at, id.len, &e->head))
		e->flags |= INDEX_ODD_ID;
	if (t->type != &layer_records)
		return;
	e->size = record_int(rec, LAYER_DIFF_SIZE, 0);
	if (record_flag(rec, LAYER_FLAGS, "incomplete"))
		e->flags |= INDEX_INCOMPLETE;
	parent = record_plain(rec, LAYER_PARENT);
	if (parent.len)
		e->parent = (uint32_t)(table_guess_id(t, parent.at, parent.len) + 1);
	if (parent.len && !e->parent)
		e->flags |= INDEX_ORPHAN;
}

static int add_record(struct table *t, const struct record *rec, uint32_t at)
{
	struct index_entry e = { .at = at };
	int r;

	fill_entry(t, rec, &e);
	r = index_add(&t->index, &e);
	return r < 0 ? r : each_key(t, rec, t->index.c.n_entries - 1, link_key);
}

static int parse_array(struct table *t, struct json_scan *s, enum record_place place,
	bool check_duplicates, struct imbrex_error *err)
{
	struct record rec = { .place = (uint8_t)place };
	struct json_span id;
	int n;

	n = json_scan_null(s, err);
	if (n != 0)
		return n < 0 ? n : 0;
	n = json_scan_array_begin(s, err);
	if (n < 0)
		return n;
	while ((n = json_scan_array_next(s, err)) > 0) {
		n = record_scan(t->type, s, &rec, err);
		if (n < 0)
			return n;
		id = record_plain(&rec, RECORD_ID);
		if (check_duplicates && id.len && table_find_id(t, id.at, id.len) >= 0) {
			if (strv_addf(&t->odd, "%s %.*s is recorded twice", t->type->noun,
				    (int)id.len, id.at) < 0)
				return fail_nomem(err);
			continue;
		}
		if (add_record(t, &rec, (uint32_t)(rec.text - s->text)) < 0)
			return fail_nomem(err);
	}
	return n;
}

int table_parse_lent(struct table *t, enum record_place place, struct imbrex_error *err)
{
	struct table_text *text = &t->texts[place];
	struct json_scan s;
	int r;

	assert(t->proven);
	if (text->len > LIMIT_RECORDS_BYTES)
		return fail(err, IMBREX_ELIMIT, "%zu bytes are more than the limit of %u",
			text->len, LIMIT_RECORDS_BYTES);
	if (!text->len)
		return 0;
	r = read_whole(text, err);
	if (r < 0)
		return r;
	if (index_reserve(&t->index, (uint32_t)(text->len / RECORD_BYTES)) < 0)
		return fail_nomem(err);
	json_scan_init(&s, text->data, text->len);
	/* A duplicate between the files is possible by design, one within a file is not. */
	r = parse_array(t, &s, place, t->index.c.n_entries > 0, err);
	index_settle(&t->index);
	return r < 0 ? r : json_scan_finish(&s, err);
}

int table_parse(
	struct table *t, char *text, size_t len, enum record_place place, struct imbrex_error *err)
{
	/* Another text of the same place stays where records may point into it. */
	assert(!t->texts[place].data);
	t->texts[place] = (struct table_text){ .data = text, .len = len, .fd = -EBADF };
	return table_parse_lent(t, place, err);
}

int table_lend(
	struct table *t, int fd, size_t len, enum record_place place, struct imbrex_error *err)
{
	struct table_text *text = &t->texts[place];

	assert(!text->data);
	text->fd = fd;
	if (len > LIMIT_RECORDS_BYTES)
		return fail(err, IMBREX_ELIMIT, "%zu bytes are more than the limit of %u", len,
			LIMIT_RECORDS_BYTES);
	text->data = malloc(len + 1);
	text->have = calloc(len / BLOCK_BYTES + 1, 1);
	if (!text->data || !text->have)
		return fail_nomem(err);
	text->len = len;
	return 0;
}

/* Begins anew, but for the texts and what was handed out. */
static int parse_all(struct table *t, struct imbrex_error *err)
{
	int place;
	int r = 0;

	index_done(&t->index);
	strv_done(&t->odd);
	free(take_ptr(t->seen));
	t->n_seen = 0;
	t->proven = true;
	for (place = 0; r == 0 && place < N_PLACES; place++)
		r = table_parse_lent(t, (enum record_place)place, err);
	return r;
}

int table_prove(struct table *t, struct imbrex_error *err)
{
	if (t->proven)
		return 0;
	if (index_checksum(&t->index) == t->checksum) {
		t->proven = true;
		return 0;
	}
	return parse_all(t, err);
}

/* ---- changing -------------------------------------------------------------------------- */

/* Scan a fresh text (copied) into a record of its own. */
static int own_record(struct table *t, const char *text, size_t len, enum record_place place,
	struct record **ret, struct imbrex_error *err)
{
	AUTO_FREE char *owned = strndup(text, len);
	struct record fresh = { .place = (uint8_t)place };
	struct record *rec;
	struct json_scan s;
	int r;

	if (!owned)
		return fail_nomem(err);
	json_scan_init(&s, owned, len);
	r = record_scan(t->type, &s, &fresh, err);
	if (r < 0)
		return r;
	rec = new_record(t);
	if (!rec)
		return fail_nomem(err);
	*rec = fresh;
	rec->owned = take_ptr(owned);
	*ret = rec;
	return 0;
}

int table_append(struct table *t, const char *text, size_t len, enum record_place place,
	struct imbrex_error *err)
{
	struct record *rec;
	int r;

	r = table_prove(t, err);
	if (r == 0)
		r = own_record(t, text, len, place, &rec, err);
	if (r < 0)
		return r;
	if (add_record(t, rec, 0) < 0 || see(t, t->index.c.n_entries - 1, rec) < 0)
		return fail_nomem(err);
	index_settle(&t->index);
	return 0;
}

void table_remove(struct table *t, size_t number)
{
	struct record *rec = table_at(t, number);

	assert(t->proven && number < t->index.c.n_entries);
	(void)each_key(t, rec, (uint32_t)number, unlink_key);
	index_remove(&t->index, (uint32_t)number);
	free(take_ptr(rec->owned));
	*rec = (struct record){ .type = t->type, .text = "{}", .len = 2 };
	t->seen[number] = NULL;
}

/* Another text for a record. */
static int replace(struct table *t, size_t number, const struct str *text, struct imbrex_error *err)
{
	struct index_entry *e = &t->index.entries[number];
	struct record *old = table_at(t, number);
	struct index_entry changed = { .at = e->at };
	bool was_incomplete = e->flags & INDEX_INCOMPLETE;
	struct record *rec;
	int r;

	r = own_record(t, str_text(text), text->len, old->place, &rec, err);
	if (r < 0)
		return r;
	(void)each_key(t, old, (uint32_t)number, unlink_key);
	fill_entry(t, rec, &changed);
	*e = changed;
	t->index.c.n_incomplete += (changed.flags & INDEX_INCOMPLETE) != 0;
	t->index.c.n_incomplete -= was_incomplete;
	/* Callers may hold a pointer: it shows the new text. */
	free(old->owned);
	*old = *rec;
	rec->owned = NULL;
	r = each_key(t, old, (uint32_t)number, link_key);
	index_settle(&t->index);
	return r < 0 ? fail_nomem(err) : 0;
}

int record_set(
	struct table *t, size_t number, int field, const char *value, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);

	assert(t->proven);
	if (record_text_with(table_at(t, number), field, value, &text) < 0)
		return fail_nomem(err);
	return replace(t, number, &text, err);
}

int record_set_text(
	struct table *t, size_t number, int field, const char *text, struct imbrex_error *err)
{
	AUTO_STR value = STR_INIT(LIMIT_RECORDS_BYTES);

	if (!text || !*text)
		return record_set(t, number, field, NULL, err);
	if (json_write_text(&value, text) < 0)
		return fail_nomem(err);
	return record_set(t, number, field, value.data, err);
}

int record_set_list(struct table *t, size_t number, int field, const struct strv *list,
	struct imbrex_error *err)
{
	AUTO_STR value = STR_INIT(LIMIT_RECORDS_BYTES);
	size_t i;
	int r;

	if (!list->n)
		return record_set(t, number, field, NULL, err);
	r = str_putc(&value, '[');
	for (i = 0; r == 0 && i < list->n; i++) {
		if (i)
			r = str_putc(&value, ',');
		if (r == 0)
			r = json_write_text(&value, list->items[i]);
	}
	if (r < 0 || str_putc(&value, ']') < 0)
		return fail_nomem(err);
	return record_set(t, number, field, value.data, err);
}

int record_set_member(struct table *t, size_t number, int field, const char *key, const char *value,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);

	assert(t->proven);
	if (record_members_with(table_at(t, number), field, key, value, &text) < 0)
		return fail_nomem(err);
	return record_set(t, number, field, text.len ? text.data : NULL, err);
}
