/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON as Go's encoding/json does, byte for byte: members in the order of the calls, no
 * white space, '<' '>' '&' and U+2028/9 escaped, bytes that are not UTF-8 as \ufffd. Store records
 * must look as if podman had written them. For people, json_writer.indent gives Go's indented form.
 *
 *   json_writer_init -> (begin | key | value | end)* -> json_writer_finish
 *
 *	json_writer_init(&w, &text);
 *	json_write_object_begin(&w);
 *	json_write_member_string(&w, "id", id);
 *	json_write_object_end(&w);
 *	return json_writer_finish(&w, err);
 *
 * The writer keeps the first failure (out of memory, or the text at its maximum) and does nothing
 * after it; only json_writer_finish() reports it. Calling out of order is an assert.
 * The text is borrowed. One thread per writer. Error tier: err.
 */
#ifndef JSON_WRITE_H
#define JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strv.h"
#include "json/scan.h"

struct json_writer {
	struct str *text;    /* borrowed; appended to */
	int failure;         /* first -errno, or 0 */
	unsigned int indent; /* blanks a level; 0: everything on one line. Set it after init */
	bool keep_html;      /* leave '<' '>' '&' as they are. Set it after init */
	unsigned int depth;  /* containers open */
	bool fresh;          /* nothing written yet in the innermost container */
	bool after_key;      /* a key waits for its value */
};

void json_writer_init(struct json_writer *w, struct str *text);
/* The first failure of any call, if there was one. All containers must be closed. */
int json_writer_finish(struct json_writer *w, struct imbrex_error *err) MUST_CHECK;

void json_write_object_begin(struct json_writer *w);
void json_write_object_end(struct json_writer *w);
void json_write_array_begin(struct json_writer *w);
void json_write_array_end(struct json_writer *w);
void json_write_key(struct json_writer *w, const char *key);
/* A key as json_scan_object_next() gave it, escapes and all. */
void json_write_raw_key(struct json_writer *w, struct json_span key);

/* NULL is written as "". */
void json_write_string(struct json_writer *w, const char *text);
void json_write_bytes(struct json_writer *w, const void *text, size_t len);
void json_write_int(struct json_writer *w, int64_t value);
void json_write_uint(struct json_writer *w, uint64_t value);
void json_write_bool(struct json_writer *w, bool value);
void json_write_null(struct json_writer *w);
void json_write_strings(struct json_writer *w, const struct strv *list);
/* One whole value, byte for byte as it was scanned. */
void json_write_raw(struct json_writer *w, struct json_span value);
/*
 * One whole value token by token in this writer's form (indented or not); numbers and strings stay
 * as they are written. EFORMAT and ELIMIT if the text is not one JSON value.
 */
int json_write_again(
	struct json_writer *w, struct json_span value, struct imbrex_error *err) MUST_CHECK;

/* One string value appended to a text, without a writer. Leaf tier: 0, -ENOMEM or -EFBIG. */
int json_write_text(struct str *to, const char *text) MUST_CHECK;

/* Key and value at once. */
void json_write_member_string(struct json_writer *w, const char *key, const char *text);
void json_write_member_int(struct json_writer *w, const char *key, int64_t value);
void json_write_member_uint(struct json_writer *w, const char *key, uint64_t value);
void json_write_member_bool(struct json_writer *w, const char *key, bool value);
void json_write_member_strings(struct json_writer *w, const char *key, const struct strv *list);
void json_write_member_raw(struct json_writer *w, const char *key, struct json_span value);
/* Go's omitempty: nothing at all for NULL and "", 0, false, an empty list, an empty span. */
void json_write_some_string(struct json_writer *w, const char *key, const char *text);
void json_write_some_int(struct json_writer *w, const char *key, int64_t value);
void json_write_some_uint(struct json_writer *w, const char *key, uint64_t value);
void json_write_some_bool(struct json_writer *w, const char *key, bool value);
void json_write_some_strings(struct json_writer *w, const char *key, const struct strv *list);
void json_write_some_raw(struct json_writer *w, const char *key, struct json_span value);
/* An object of strings from a list of key, value, ..., sorted by key as Go writes maps. */
void json_write_some_pairs(struct json_writer *w, const char *key, const struct strv *pairs);

/*
 * Times are RFC 3339 text. Format gives Go's form in UTC: "2026-11-20T18:49:11.50329627Z", zeros
 * at the end of the fraction left out.
 */
#define JSON_TIME_MAX 40
const char *json_time_format(const struct timespec *when, char ret[JSON_TIME_MAX]);
/*
 * Any RFC 3339 time, with up to nine digits of fraction (more are cut) and any offset, to UTC.
 * Keep the text where it must be written back. Leaf tier: -EINVAL.
 */
int json_time_parse(const char *text, size_t len, struct timespec *ret) MUST_CHECK;

#endif
