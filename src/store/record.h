/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of layers.json, images.json or containers.json, and tables of them.
 *
 * A record is its own JSON text. Fields are found once, as offsets into that text; what is not
 * asked for is never decoded, and what is not changed is written back byte for byte, members that
 * we do not know included. A change replaces one member's text in place, in the field order that
 * containers/storage writes.
 *
 * table_init -> table_parse (0 or 1 time) -> find, edit, append, remove -> table_write ->
 * table_done. Records move when the table grows: hold indexes or ids across an append, not
 * pointers. Threading: none of its own. Error tier: err.
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

/* What a kind of record looks like. */
struct record_type {
	const char *noun; /* "layer" */
	int n_fields;
	struct json_span keys[RECORD_FIELDS_MAX]; /* by field number */
	int order[RECORD_FIELDS_MAX]; /* field numbers in the order in which they are written */
};

extern const struct record_type layer_records;
extern const struct record_type image_records;
extern const struct record_type container_records;

struct record {
	const char *text; /* the object's JSON; in the table's text, or owned */
	char *owned;      /* text of a new or changed record; NULL if it lies in the table's text */
	uint32_t len;     /* bytes of text */
	uint8_t place;    /* enum record_place: the file it belongs to */
	struct {
		uint32_t at;  /* offset of the value in text */
		uint32_t len; /* 0: the member is absent */
	} fields[RECORD_FIELDS_MAX];
};

struct table {
	const struct record_type *type;
	char *texts[N_PLACES];  /* owned: whole files as read; records point into them */
	struct record *records; /* owned */
	size_t n;               /* of records, removed ones (without text) included */
	size_t n_removed;
	size_t cap;
	uint32_t *by_id; /* owned; hash table of record numbers + 1, 0 empty; NULL: not built */
	size_t n_slots;  /* of by_id; a power of two, at least twice n */
	uint64_t seed;   /* of the hash: ids from outside cannot be chosen to collide */
	unsigned int n_searches;     /* by id since the last change: many are worth an index */
	struct strv odd;             /* what was tolerated while reading, one line each */
	struct strv aside[N_PLACES]; /* elements that are no records: written back as they are */
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

/* The records of one of the files as they are to be written, in pieces that lie still. */
int table_format(const struct table *t, enum record_place place, struct str *ret) MUST_CHECK;
size_t table_text_len(const struct table *t);

/* Parse a fresh record's text (copied) and append it. */
int table_append(struct table *t, const char *text, size_t len, enum record_place place,
	struct imbrex_error *err) MUST_CHECK;
/* The others keep their numbers until the table is loaded anew. */
void table_remove(struct table *t, size_t index);

/*
 * Records are asked for by number: for (i = table_next(t, -1); i >= 0; i = table_next(t, i)), which
 * passes those that were removed. table_prev(t, table_slots(t)) begins at the end. Do not look into
 * the members: most records of a large table are not even looked at.
 */
size_t table_count(const struct table *t);
/* All numbers are below this. */
size_t table_slots(const struct table *t);
ptrdiff_t table_next(const struct table *t, ptrdiff_t after);
ptrdiff_t table_prev(const struct table *t, ptrdiff_t before);
struct record *table_at(struct table *t, size_t number);

/* Index of the record, or -1. */
ptrdiff_t table_find_id(struct table *t, const char *id, size_t len);
ptrdiff_t table_find_name(const struct table *t, const char *name);
/* The one record whose id begins so: index, -1 none, -2 several. */
ptrdiff_t table_find_prefix(const struct table *t, const char *prefix);

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

/* Set a field to JSON text, or drop it (value NULL). All other bytes stay. */
int record_set(struct table *t, size_t index, int field, const char *value,
	struct imbrex_error *err) MUST_CHECK;
int record_set_text(struct table *t, size_t index, int field, const char *text,
	struct imbrex_error *err) MUST_CHECK;
int record_set_list(struct table *t, size_t index, int field, const struct strv *list,
	struct imbrex_error *err) MUST_CHECK;
/* Set or drop (value NULL) one member of an object field. Keys stay sorted, as Go writes maps. */
int record_set_member(struct table *t, size_t index, int field, const char *key, const char *value,
	struct imbrex_error *err) MUST_CHECK;

#endif
