/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pull reader over JSON text in memory: no tree, no copies, one pass. For the hot documents
 * (layers.json, tar-split lines, the table of contents of a chunked layer) and for members that
 * must be kept byte for byte; small documents read better through json/doc.h.
 *
 *   json_scan_init -> (begin -> next* -> value)* -> json_scan_finish; nothing to free.
 *
 *	r = json_scan_object_begin(&s, err);
 *	while (r >= 0 && (r = json_scan_object_next(&s, &key, err)) > 0) {
 *		if (json_key_is(key, "id"))
 *			r = json_scan_text(&s, &id, err);
 *	}
 *
 * A member or element whose value is not read is skipped (and checked) by the following `next`.
 * The grammar is strict RFC 8259. Two things are the caller's business: the same key twice (the
 * last one wins in Go) and bytes that are not UTF-8 (kept as they are). Nesting is limited by
 * LIMIT_JSON_DEPTH.
 *
 * The text is borrowed and must outlive the cursor and all spans. One thread per cursor.
 * Error tier: err. Messages say the byte offset and nothing else about the document: callers
 * wrap() them with its name. After a failure the cursor is of no further use.
 */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* A piece of the document, borrowed. */
struct json_span {
	const char *at;
	size_t len;
	bool escaped; /* raw text of a string or key: holds a backslash */
};

enum json_kind {
	JSON_KIND_OBJECT = 1,
	JSON_KIND_ARRAY,
	JSON_KIND_STRING,
	JSON_KIND_NUMBER,
	JSON_KIND_BOOL,
	JSON_KIND_NULL,
};

struct json_scan {
	const char *text; /* start of the document */
	const char *at;   /* next unread byte */
	const char *end;
	unsigned int depth; /* containers begun and not ended */
	bool fresh;         /* just behind an opening bracket: no comma yet */
	bool pending;       /* a value is announced and not yet read */
};

void json_scan_init(struct json_scan *s, const char *text, size_t len);
/* Offset of the next unread byte, for messages. */
size_t json_scan_offset(const struct json_scan *s);

/* enum json_kind of the next value, which stays unread; negative if none begins here. */
int json_scan_kind(struct json_scan *s, struct imbrex_error *err) MUST_CHECK;

int json_scan_object_begin(struct json_scan *s, struct imbrex_error *err) MUST_CHECK;
/*
 * 1: a member is announced; its key is *ret_key: the text between the quotes, escapes and all
 * (compare with json_key_is(), decode with json_text_decode()). 0: the object has ended.
 */
int json_scan_object_next(
	struct json_scan *s, struct json_span *ret_key, struct imbrex_error *err) MUST_CHECK;
int json_scan_array_begin(struct json_scan *s, struct imbrex_error *err) MUST_CHECK;
/* 1: an element is announced, 0: the array has ended. */
int json_scan_array_next(struct json_scan *s, struct imbrex_error *err) MUST_CHECK;

/* Check and pass one value of any kind; *ret (may be NULL) is its whole text. */
int json_scan_skip(struct json_scan *s, struct json_span *ret, struct imbrex_error *err) MUST_CHECK;
/* 1 if the next value is null, which is then read; 0 if it is something else. */
int json_scan_null(struct json_scan *s, struct imbrex_error *err) MUST_CHECK;
int json_scan_bool(struct json_scan *s, bool *ret, struct imbrex_error *err) MUST_CHECK;
/* Integers without fraction and exponent, full range. */
int json_scan_int64(struct json_scan *s, int64_t *ret, struct imbrex_error *err) MUST_CHECK;
int json_scan_uint64(struct json_scan *s, uint64_t *ret, struct imbrex_error *err) MUST_CHECK;
/* The text between the quotes, undecoded. Without a backslash in it, it is the string itself. */
int json_scan_raw_string(
	struct json_scan *s, struct json_span *ret, struct imbrex_error *err) MUST_CHECK;
/* Decoded string; replaces the content of *ret. May hold NUL bytes. */
int json_scan_string(struct json_scan *s, struct str *ret, struct imbrex_error *err) MUST_CHECK;
/* Decoded string as a fresh C string for free(); a NUL character in it is an error. */
int json_scan_text(struct json_scan *s, char **ret, struct imbrex_error *err) MUST_CHECK;
/* Only white space is left. */
int json_scan_finish(struct json_scan *s, struct imbrex_error *err) MUST_CHECK;

/*
 * Append the decoded form of a raw string. A surrogate without its partner becomes U+FFFD, as in
 * Go. Leaf tier: -EINVAL for a malformed escape (impossible for spans of a cursor), -ENOMEM,
 * -EFBIG.
 */
int json_text_decode(struct json_span raw, struct str *ret) MUST_CHECK;
/* The slow half of json_key_is(): decodes. */
bool json_key_decodes_to(struct json_span raw, const char *name, bool folded);
/* ASCII letters match in either case. */
bool json_same_folded(const char *a, const char *b, size_t len);

/* A raw key equals `name` (plain ASCII) after decoding. Cheap for names known when compiling. */
static inline bool json_key_is(struct json_span raw, const char *name)
{
	if (raw.escaped)
		return json_key_decodes_to(raw, name, /* folded= */ false);
	return raw.len == strlen(name) && memcmp(raw.at, name, raw.len) == 0;
}

/* As json_key_is(), and ASCII letters match in either case, as Go's decoder does it. */
static inline bool json_key_is_folded(struct json_span raw, const char *name)
{
	if (raw.escaped)
		return json_key_decodes_to(raw, name, /* folded= */ true);
	return raw.len == strlen(name) &&
	       (memcmp(raw.at, name, raw.len) == 0 || json_same_folded(raw.at, name, raw.len));
}

#endif
