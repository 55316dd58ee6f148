/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small JSON documents as a tree: manifests, indexes, configurations, credentials, index files.
 *
 *   json_doc_parse -> json_doc_root -> json_get/json_at/json_as_* -> json_doc_free
 *
 * A struct json_ref is one place in the tree and knows how it got there, so that a wrong type is
 * reported by path: "config.Env[3]: expected a string, found a number". A place that does not
 * exist, or holds null, is a ref too; only reading it with json_as_* fails ("config.digest is
 * missing"), and json_opt_* leave the caller's default. Keys compare byte for byte.
 *
 * Refs are plain values on the stack that borrow the document, the parent ref and the key: all
 * must outlive them. Strings returned live as long as the document. A document may be read by many
 * threads. Error tier: err.
 */
#ifndef JSON_DOC_H
#define JSON_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strv.h"

struct json_doc;

struct json_ref {
	const void *node;          /* NULL if absent or null */
	const struct json_ref *up; /* NULL for the root */
	const char *key;           /* of a member; of the root: what messages call it; or NULL */
	size_t index;              /* of an element, if key is NULL */
};

/*
 * Parse `text`, which `name` ("manifest") stands for in messages. Refused: more than max_bytes
 * (ELIMIT), nesting beyond LIMIT_JSON_DEPTH (ELIMIT); and as EFORMAT a key twice in one object,
 * bytes that are not UTF-8, byte order marks, NUL characters, anything behind the value, integers
 * beyond signed 64 bits.
 *
 * name   borrowed for the life of the document
 */
int json_doc_parse(const char *name, const char *text, size_t len, size_t max_bytes,
	struct json_doc **ret, struct imbrex_error *err) MUST_CHECK;
void json_doc_free(struct json_doc *doc);
DEFINE_CLEANUP(json_doc, struct json_doc, json_doc_free)
#define AUTO_JSON_DOC AUTO(json_doc) struct json_doc

struct json_ref json_doc_root(const struct json_doc *doc);
/* Member of an object; absent if `at` is no object. Both arguments are borrowed by the result. */
struct json_ref json_get(const struct json_ref *at, const char *key);
/* Element of an array; absent if `at` is no array or too short. */
struct json_ref json_at(const struct json_ref *at, size_t index);
/* Present and not null. */
static inline bool json_has(const struct json_ref *at)
{
	return at->node != NULL;
}
/* Members of an object or elements of an array; 0 for everything else. */
size_t json_count(const struct json_ref *at);
/*
 * Members in document order. Start with *iter = NULL. 1: *ret is the next member, its name is
 * ret->key; 0: no more. Members that are null are absent refs.
 */
int json_next_member(const struct json_ref *at, void **iter, struct json_ref *ret);
/* The path for messages: "config.Env[3]". Cut if `size` is too small. Returns ret. */
const char *json_path(const struct json_ref *at, char *ret, size_t size);

/* The value must be there and have the type; EFORMAT otherwise. Strings hold no NUL. */
int json_as_object(const struct json_ref *at, struct imbrex_error *err) MUST_CHECK;
int json_as_array(const struct json_ref *at, struct imbrex_error *err) MUST_CHECK;
int json_as_string(
	const struct json_ref *at, const char **ret, struct imbrex_error *err) MUST_CHECK;
int json_as_int64(const struct json_ref *at, int64_t *ret, struct imbrex_error *err) MUST_CHECK;
/* A size or count: an integer >= 0. */
int json_as_uint64(const struct json_ref *at, uint64_t *ret, struct imbrex_error *err) MUST_CHECK;
int json_as_bool(const struct json_ref *at, bool *ret, struct imbrex_error *err) MUST_CHECK;

/* As above, but an absent value leaves *ret as it is. Returns 1 if present, 0 if absent. */
int json_opt_object(const struct json_ref *at, struct imbrex_error *err) MUST_CHECK;
int json_opt_array(const struct json_ref *at, struct imbrex_error *err) MUST_CHECK;
int json_opt_string(
	const struct json_ref *at, const char **ret, struct imbrex_error *err) MUST_CHECK;
int json_opt_int64(const struct json_ref *at, int64_t *ret, struct imbrex_error *err) MUST_CHECK;
int json_opt_uint64(const struct json_ref *at, uint64_t *ret, struct imbrex_error *err) MUST_CHECK;
int json_opt_bool(const struct json_ref *at, bool *ret, struct imbrex_error *err) MUST_CHECK;
/* A fresh copy for free() in *ret (which is not freed before). */
int json_opt_text(const struct json_ref *at, char **ret, struct imbrex_error *err) MUST_CHECK;
/* Append all strings of an array, if there is one. */
int json_opt_strings(
	const struct json_ref *at, struct strv *ret, struct imbrex_error *err) MUST_CHECK;

#endif
