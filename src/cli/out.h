/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results on stdout: tables for people, JSON for programs.
 *
 * Text from a store may hold anything; nothing that could move a terminal's cursor leaves here.
 * Threading: none. Errors: leaf tier (-ENOMEM); a failed write to stdout is found by out_finish().
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/macros.h"
#include "base/str.h"
#include "base/strv.h"
#include "imbrex/error.h"

/* ---- words ------------------------------------------------------------------------------- */

#define OUT_WORD_BYTES 40
/* Half of what a pipe holds: the reader has work while we write on. */
#define OUT_JSON_BYTES (32u * 1024u)

/* "3 weeks ago"; "-" for no or an unreadable time. RFC 3339. */
const char *out_ago(const char *time, int64_t now_sec, char buf[OUT_WORD_BYTES]);
/* "12.3 MiB"; "-" if negative. */
const char *out_size(int64_t bytes, char buf[OUT_WORD_BYTES]);
/* The first twelve digits of an id (without "sha256:"), or all of them. */
const char *out_id(const char *id, bool whole, char buf[OUT_WORD_BYTES * 2]);
/* Columns of the terminal, from COLUMNS or the kernel; 0 if `fd` is none. */
size_t out_columns(int fd);
/* Does the locale of the environment say UTF-8? */
bool out_is_utf8(void);
/* Append with control characters and broken UTF-8 replaced by '?'. */
int out_clean(struct str *s, const char *text) MUST_CHECK;
/* "a, b, c"; "" for none. */
int out_join(struct str *s, char *const *words) MUST_CHECK;

/* ---- tables ------------------------------------------------------------------------------ */

struct column {
	const char *title;
	bool right;  /* numbers */
	bool shrink; /* cut first when the terminal is too narrow */
};

/* init by { .columns = …, .n_columns = … } -> table_row* -> table_print -> done */
struct table {
	const struct column *columns;
	size_t n_columns;
	struct strv cells;
};

/* n_columns cells. */
int table_row(struct table *t, const char *const *cells) MUST_CHECK;
/* width: columns to keep to; 0: as wide as it is */
int table_print(FILE *f, const struct table *t, size_t width) MUST_CHECK;
void table_done(struct table *t);
#define AUTO_TABLE __attribute__((cleanup(table_done))) struct table

/* ---- JSON -------------------------------------------------------------------------------- */

/*
 * { .f = stdout } -> json_begin … json_end -> newline. `key` is NULL in an array. `f` gets the text
 * in large pieces, all of it when the outermost value is complete.
 */
struct json_out {
	FILE *f;
	unsigned int depth;
	bool started; /* the innermost array or object has a member */
	size_t used;  /* bytes of buf */
	char buf[OUT_JSON_BYTES];
};

void json_begin(struct json_out *j, const char *key, char bracket); /* '[' or '{' */
void json_end(struct json_out *j, char bracket);                    /* ']' or '}' */
void json_text(struct json_out *j, const char *key, const char *value);
void json_texts(struct json_out *j, const char *key, char *const *values);
void json_number(struct json_out *j, const char *key, int64_t value);
void json_bool(struct json_out *j, const char *key, bool value);
/* `text` is JSON already: put in with our indentation. */
void json_raw(struct json_out *j, const char *key, const char *text);
/* One string with its quotes, on one line. */
void json_string(FILE *f, const char *value);

/* ---- the end ----------------------------------------------------------------------------- */

/* Flush stdout. Errors: what the operating system says about the write. */
int out_finish(struct imbrex_error *err) MUST_CHECK;

#endif
