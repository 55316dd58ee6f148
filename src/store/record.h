/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of layers.json, images.json or containers.json, and tables of them.
 *
 * A record is its own JSON text. Fields are found once, as offsets into that text; what is not
 * asked for is never decoded, and what is not changed is written back byte for byte, members that
 * we do not know included. A change replaces one member's text in place, in the field order that
 * containers/storage writes.
 *
 * A table has its records by number. It is parsed, or it comes with an index of its own making
 * (store/index_file.h), and then only the records that are asked for are read and looked at.
 *Whoever asks need not know which.
 *
 * table_init -> (parse | lend, then parse_lent or an index) -> find, edit, append, remove -> write
 * -> table_done. A record's number is good until the table is loaded anew; a pointer to one until
 * the record is changed or removed.
 *
 *	for (i = table_next(t, -1); i >= 0; i = table_next(t, i))
 *
 * walks all, and passes those that were removed; table_prev(t, table_slots(t)) begins at the end.
 *
 * What came with an index may turn out to be wrong: then the table parses its files and goes on. If
 * that fails too, records without any field take the place of those that cannot be had, and
 * table_check() says why; nothing is saved then.
 *
 * Threading: none of its own. Error tier: err.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strv.h"
#include "json/scan.h"
#include "store/index.h"

enum layer_field {
	LAYER_ID,
	LAYER_NAMES,
	LAYER_PARENT,
	LAYER_METADATA,
	LAYER_MOUNTLABEL,
	LAYER_CREATED,
	LAYER_COMPRESSED_DIGEST,
	LAYER_COMPRESSED_SIZE,
	LAYER_DIFF_DIGEST,
	LAYER_TOC_DIGEST,
	LAYER_DIFF_SIZE,
	LAYER_COMPRESSION,
	LAYER_UIDSET,
	LAYER_GIDSET,
	LAYER_FLAGS,
	LAYER_UIDMAP,
	LAYER_GIDMAP,
	LAYER_BIG_DATA_NAMES,
	LAYER_N_FIELDS
};

enum image_field {
	IMAGE_ID,
	IMAGE_NAMES = 1, /* the same place in every kind of record: RECORD_NAMES */
	IMAGE_DIGEST,
	IMAGE_NAMES_HISTORY,
	IMAGE_LAYER,
	IMAGE_MAPPED_LAYERS,
	IMAGE_METADATA,
	IMAGE_BIG_DATA_NAMES,
	IMAGE_BIG_DATA_SIZES,
	IMAGE_BIG_DATA_DIGESTS,
	IMAGE_CREATED,
	IMAGE_FLAGS,
	IMAGE_N_FIELDS
};

enum container_field {
	CONTAINER_ID,
	CONTAINER_NAMES = 1,
	CONTAINER_IMAGE,
	CONTAINER_LAYER,
	CONTAINER_METADATA,
	CONTAINER_BIG_DATA_NAMES,
	CONTAINER_BIG_DATA_SIZES,
	CONTAINER_BIG_DATA_DIGESTS,
	CONTAINER_CREATED,
	CONTAINER_UIDMAP,
	CONTAINER_GIDMAP,
	CONTAINER_FLAGS,
	CONTAINER_N_FIELDS
};

#define RECORD_ID         0
#define RECORD_NAMES      1
#define RECORD_FIELDS_MAX LAYER_N_FIELDS

/* The files that make up one table, in the order in which they are read: the first record of an id
 * wins. */
enum record_place {
	PLACE_STABLE,     /* below graphroot */
	PLACE_IMAGESTORE, /* below the second root that takes images */
	PLACE_VOLATILE,   /* of what need not survive a crash or a boot */
	N_PLACES
};

/* A field by which records are found. */
struct record_key {
	enum index_key kind; /* 0 behind the last */
	int field;
	bool is_list; /* of strings */
};

#define RECORD_KEYS_MAX 7

/* What a kind of record looks like. */
struct record_type {
	const char *noun; /* "layer" */
	int n_fields;
	struct json_span keys[RECORD_FIELDS_MAX]; /* by field number */
	int order[RECORD_FIELDS_MAX]; /* field numbers in the order in which they are written */
	struct record_key found_by[RECORD_KEYS_MAX];
};

extern const struct record_type layer_records;
extern const struct record_type image_records;
extern const struct record_type container_records;

struct record {
	const struct record_type *type;
	const char *text; /* the object's JSON; in the table's text, or owned */
	char *owned;      /* text of a new or changed record; NULL if it lies in the table's text */
	uint32_t len;     /* bytes of text */
	uint8_t place;    /* enum record_place: the file it belongs to */
	struct {
		uint32_t at;  /* offset of the value in text */
		uint32_t len; /* 0: the member is absent */
	} fields[RECORD_FIELDS_MAX];
};

/* Find the fields of the object that is next in `s`; sets text, len and fields of *ret. */
int record_scan(const struct record_type *type, struct json_scan *s, struct record *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Whether the record carries the key, by any of its fields of that kind. */
bool record_carries(const struct record *r, enum index_key kind, const char *key, size_t len);

/* Raw JSON text of a field; len 0 if absent. */
struct json_span record_raw(const struct record *r, int field);
/* Content of a string field without copying; only for fields that hold ids, digests and times,
 * where a backslash never occurs (then the span is empty and the record is as good as without). */
struct json_span record_plain(const struct record *r, int field);
/* Decoded copy of a string field; "" if absent. NULL on no memory. */
char *record_text(const struct record *r, int field) MUST_CHECK;
/* An integer field, or `absent`. */
int64_t record_int(const struct record *r, int field, int64_t absent);
/* Strings of a list field, appended. */
int record_list(const struct record *r, int field, struct strv *ret) MUST_CHECK;
/* True if list field holds `text`. */
bool record_list_has(const struct record *r, int field, const char *text);
/* Member `key` of an object field; len 0 if absent. */
struct json_span record_member(const struct record *r, int field, const char *key);
bool record_flag(const struct record *r, int flags_field, const char *flag);
bool record_is(const struct record *r, int field, const char *text);
bool record_same(const struct record *a, int field_a, const struct record *b, int field_b);

/* The record's text with a field set to JSON text, or without it (value NULL); appended to *ret.
 * Leaf tier. */
int record_text_with(
	const struct record *r, int field, const char *value, struct str *ret) MUST_CHECK;
/* The text of an object field with one member set or dropped (value NULL); empty if none is left.
 */
int record_members_with(const struct record *r, int field, const char *key, const char *value,
	struct str *ret) MUST_CHECK;

/* One file of a table: all in memory, or read block by block when it is asked for. */
struct table_text {
	char *data;    /* owned; NULL: no such file */
	size_t len;    /* bytes of data */
	int fd;        /* owned; -EBADF: all of it is in memory and never was elsewhere */
	uint8_t *have; /* owned; of each block, whether it was read; NULL: all were */
};

struct record_block;

struct table {
	const struct record_type *type;
	struct table_text texts[N_PLACES];
	struct index index;
	struct record **seen; /* owned; by number; NULL: not looked at yet */
	size_t n_seen;
	struct record_block *blocks; /* owned: where the records that were looked at lie */
	size_t n_saved;
	uint32_t *saved_at; /* owned; by number: offset in the file as last written; NULL: as in
			       the index */
	bool proven;        /* the index is our own work: made here, or its checksum was right */
	uint64_t checksum;  /* that it came with, until it is proven */
	struct imbrex_error *failure; /* owned; see table_check() */
	struct record nothing;        /* handed out when there is no memory for anything else */
	struct strv aside[N_PLACES];  /* elements that are no records: written back as they are */
	struct strv odd;              /* what was tolerated while reading, one line each */
};

void table_init(struct table *t, const struct record_type *type);
void table_done(struct table *t);

/*
 * Add the records of a whole file. Takes `text` (malloc'd) in every case. An empty text, "null"
 * and "[]" hold no records. A record whose id is already there is skipped, as upstream does it.
 * Errors EFORMAT with the byte offset (not the file's name).
 */
int table_parse(struct table *t, char *text, size_t len, enum record_place place,
	struct imbrex_error *err) MUST_CHECK;
/* The same for a file that is still to be read. Takes fd in every case. */
int table_lend(struct table *t, int fd, size_t len, enum record_place place,
	struct imbrex_error *err) MUST_CHECK;
int table_parse_lent(struct table *t, enum record_place place, struct imbrex_error *err) MUST_CHECK;
/* Before anything depends on what is not in the table, and before it is changed: see to it that
 * the index is as it was made. */
int table_prove(struct table *t, struct imbrex_error *err) MUST_CHECK;
/* The first failure to get at a record since the table was loaded. */
int table_check(const struct table *t, struct imbrex_error *err) MUST_CHECK;

size_t table_count(const struct table *t);
/* All numbers are below this. */
size_t table_slots(const struct table *t);
ptrdiff_t table_next(const struct table *t, ptrdiff_t after);
ptrdiff_t table_prev(const struct table *t, ptrdiff_t before);
struct record *table_at(struct table *t, size_t number);

/* The first record that carries the key, or -1. */
ptrdiff_t table_find(struct table *t, enum index_key kind, const char *key, size_t len);
/* The same among those behind a number. */
ptrdiff_t table_find_after(
	struct table *t, enum index_key kind, const char *key, size_t len, ptrdiff_t after);
ptrdiff_t table_find_id(struct table *t, const char *id, size_t len);
ptrdiff_t table_find_name(struct table *t, const char *name);
/* The one record whose id begins so: number, -1 none, -2 several. */
ptrdiff_t table_find_prefix(struct table *t, const char *prefix);
/* All that carry the key, in order. *ret for free(). */
int table_find_all(struct table *t, enum index_key kind, const char *key, size_t len, size_t **ret,
	size_t *ret_n) MUST_CHECK;

/*
 * By what the index says alone, where table_at() may have to read: for what is only shown. A layer
 * by its id; the layer below a layer, -1 if it has none or is an orphan: its parent was not in the
 * table before it; diff-size, 0 if not recorded.
 */
ptrdiff_t table_guess_id(struct table *t, const char *id, size_t len);
ptrdiff_t table_guess_parent(const struct table *t, size_t number);
bool table_is_orphan(const struct table *t, size_t number);
int64_t table_layer_size(const struct table *t, size_t number);
/* Whether some layer is marked incomplete. */
bool table_has_incomplete(const struct table *t);

/* Parse a fresh record's text (copied) and append it: its number is table_slots() - 1. */
int table_append(struct table *t, const char *text, size_t len, enum record_place place,
	struct imbrex_error *err) MUST_CHECK;
/* The others keep their numbers. */
void table_remove(struct table *t, size_t number);

/* Set a field to JSON text, or drop it (value NULL). All other bytes stay. */
int record_set(struct table *t, size_t number, int field, const char *value,
	struct imbrex_error *err) MUST_CHECK;
int record_set_text(struct table *t, size_t number, int field, const char *text,
	struct imbrex_error *err) MUST_CHECK;
int record_set_list(struct table *t, size_t number, int field, const struct strv *list,
	struct imbrex_error *err) MUST_CHECK;
/* Set or drop (value NULL) one member of an object field. Keys stay sorted, as Go writes maps. */
int record_set_member(struct table *t, size_t number, int field, const char *key, const char *value,
	struct imbrex_error *err) MUST_CHECK;

/* All of a file that is lent into memory. */
int table_read(struct table *t, enum record_place place, struct imbrex_error *err) MUST_CHECK;
/* The records of one of the files as they are to be written. */
int table_format(struct table *t, enum record_place place, struct str *ret) MUST_CHECK;
/*
 * Write them to an empty file, and remember where each lies now. What did not change is copied
 * inside the kernel if it is not in memory. Leaf tier: -EOVERFLOW beyond LIMIT_RECORDS_BYTES.
 *
 * early  start writing to the disk on the way
 */
int table_write(struct table *t, enum record_place place, int fd, bool early) MUST_CHECK;

#endif
