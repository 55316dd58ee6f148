/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the parser stands in the text, and what it reads there: white space, comments, strings.
 * Errors carry the document's name, the line and the column. Threading: none of its own. Error
 * tier: the parser's err.
 */
#ifndef TOML_CURSOR_H
#define TOML_CURSOR_H

#include <string.h>

#include "base/error.h"
#include "toml/tree.h"

/* at <= end; line_start is the first byte of line number `line`. */
struct toml_parser {
	struct toml_doc *doc;
	const char *at;
	const char *end;
	const char *line_start;
	unsigned int line;
	unsigned int depth;
	struct toml_value *table; /* that key = value lines go into; borrowed from doc */
	struct imbrex_error *err;
};

unsigned int toml_column_here(const struct toml_parser *p);
int toml_bad_at(struct toml_parser *p, unsigned int line, unsigned int col, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
int toml_bad(struct toml_parser *p, const char *what);

/* The byte at the cursor; -1 at the end. NUL is a byte like any other. */
static inline int toml_peek(const struct toml_parser *p)
{
	return p->at < p->end ? (unsigned char)*p->at : -1;
}

static inline bool toml_at_text(const struct toml_parser *p, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(p->end - p->at) >= len && memcmp(p->at, text, len) == 0;
}

static inline bool toml_accept(struct toml_parser *p, char c)
{
	if (toml_peek(p) != c)
		return false;
	p->at++;
	return true;
}

static inline bool toml_is_control(int c)
{
	return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

void toml_skip_blanks(struct toml_parser *p);
/* \n or \r\n. */
bool toml_accept_newline(struct toml_parser *p);
/* White space, comments and newlines, as arrays may hold them anywhere. */
int toml_skip_lines(struct toml_parser *p) MUST_CHECK;
int toml_end_of_line(struct toml_parser *p) MUST_CHECK;
/* At a quote. ret: free(). may_multi: three quotes may begin it. */
int toml_read_string(struct toml_parser *p, bool may_multi, char **ret) MUST_CHECK;

#endif
