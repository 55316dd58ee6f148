/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML 1.0 as storage.conf, registries.conf and containers.conf use it, into a small tree:
 * tables, arrays of tables, dotted and quoted keys, all strings, integers, booleans, arrays over
 * several lines, inline tables. Floats and times are kept as their text.
 *
 *   toml_parse -> toml_table/toml_get/toml_string ... -> toml_free
 *
 * Every value knows where it stands: messages begin "storage.conf:12:5: ". Keys that nobody asks
 * for are no error. Bytes are not checked for UTF-8; control bytes and NUL are refused.
 * Values are borrowed from the document. A document may be read by many threads. Error tier: err.
 */
#ifndef TOML_TOML_H
#define TOML_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strv.h"

enum toml_kind {
	TOML_TABLE = 1,
	TOML_ARRAY,
	TOML_STRING,
	TOML_INTEGER,
	TOML_BOOL,
	TOML_FLOAT,
	TOML_TIME,
};

struct toml_doc;
struct toml_value;

/*
 * Parse a whole file that messages call `name` (copied).
 *
 * Errors EFORMAT with name, line and column; ELIMIT
 * Limits LIMIT_CONF_BYTES; 32 parts a key, 32 levels of arrays and inline tables, 4,096 keys a
 *        table
 * Source toml.io/en/v1.0.0
 */
int toml_parse(const char *name, const char *text, size_t len, struct toml_doc **ret,
	struct imbrex_error *err) MUST_CHECK;
void toml_free(struct toml_doc *doc);
DEFINE_CLEANUP(toml, struct toml_doc, toml_free)
#define AUTO_TOML AUTO(toml) struct toml_doc

const struct toml_value *toml_root(const struct toml_doc *doc);
/* The table at a dotted path ("storage.options.overlay"); NULL if there is none. */
const struct toml_value *toml_table(const struct toml_doc *doc, const char *path);
/* Member of a table by its key alone, which may hold dots; NULL if absent. `table` may be NULL. */
const struct toml_value *toml_get(const struct toml_value *table, const char *key);

/* Members of a table or elements of an array, in order: for (v = toml_first(t); v; v =
 * toml_next(v)) */
const struct toml_value *toml_first(const struct toml_value *v);
const struct toml_value *toml_next(const struct toml_value *v);

enum toml_kind toml_kind(const struct toml_value *v);
/* Key of a member; NULL for an element and for the root. */
const char *toml_key(const struct toml_value *v);
/* Position of a value; from 1, columns in bytes. */
unsigned int toml_line(const struct toml_value *v);
unsigned int toml_column(const struct toml_value *v);
/* Fails with EFORMAT and "<name>:<line>:<column>: " before the message. */
int toml_fail(const struct toml_value *v, struct imbrex_error *err, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/*
 * Member `key` of `table` (which may be NULL) with a type: 1 and *ret, 0 if absent (*ret stays),
 * EFORMAT with position if it has another type. Texts live as long as the document.
 */
int toml_string(const struct toml_value *table, const char *key, const char **ret,
	struct imbrex_error *err) MUST_CHECK;
int toml_bool(const struct toml_value *table, const char *key, bool *ret,
	struct imbrex_error *err) MUST_CHECK;
int toml_integer(const struct toml_value *table, const char *key, int64_t *ret,
	struct imbrex_error *err) MUST_CHECK;
/* An integer, a float or a time as it is written, or a string: for settings that take either. */
int toml_scalar_text(const struct toml_value *table, const char *key, const char **ret,
	struct imbrex_error *err) MUST_CHECK;
/*
 * Array of strings. containers/storage lets such an array hold the table {append=true}, which
 * means: add to the values of earlier files, instead of replacing them. *ret_append (NULL: such a
 * table is an error) says so. On 1, *ret has been replaced, or appended to.
 */
int toml_strings(const struct toml_value *table, const char *key, struct strv *ret,
	bool *ret_append, struct imbrex_error *err) MUST_CHECK;
/* [[key]], or an array of inline tables: the array to walk with toml_first(); all are tables. */
int toml_tables(const struct toml_value *table, const char *key, const struct toml_value **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
