/* SPDX-License-Identifier: Apache-2.0 */
/* The place in the text: errors there, white space and comments. */
#include "toml/cursor.h"

#include <stdio.h>

unsigned int toml_column_here(const struct toml_parser *p)
{
	return (unsigned int)(p->at - p->line_start) + 1;
}

int toml_bad_at(struct toml_parser *p, unsigned int line, unsigned int col, const char *fmt, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return fail(p->err, IMBREX_EFORMAT, "%s:%u:%u: %s", p->doc->name, line, col, message);
}

int toml_bad(struct toml_parser *p, const char *what)
{
	return toml_bad_at(p, p->line, toml_column_here(p), "%s", what);
}

void toml_skip_blanks(struct toml_parser *p)
{
	while (toml_peek(p) == ' ' || toml_peek(p) == '\t')
		p->at++;
}

/* \n or \r\n. */
bool toml_accept_newline(struct toml_parser *p)
{
	if (toml_at_text(p, "\r\n"))
		p->at++;
	if (!toml_accept(p, '\n'))
		return false;
	p->line++;
	p->line_start = p->at;
	return true;
}

static int skip_comment(struct toml_parser *p)
{
	if (toml_peek(p) != '#')
		return 0;
	while (toml_peek(p) >= 0 && toml_peek(p) != '\n' && !toml_at_text(p, "\r\n")) {
		if (toml_is_control(toml_peek(p)))
			return toml_bad(p, "control byte in a comment");
		p->at++;
	}
	return 0;
}

/* White space, comments and newlines, as arrays may hold them anywhere. */
int toml_skip_lines(struct toml_parser *p)
{
	int r;

	do {
		toml_skip_blanks(p);
		r = skip_comment(p);
		if (r < 0)
			return r;
	} while (toml_accept_newline(p));
	return 0;
}

int toml_end_of_line(struct toml_parser *p)
{
	int r;

	toml_skip_blanks(p);
	r = skip_comment(p);
	if (r < 0)
		return r;
	if (toml_peek(p) >= 0 && !toml_accept_newline(p))
		return toml_bad(p, "expected the end of the line");
	return 0;
}
