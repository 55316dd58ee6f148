/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of the four kinds, with their escapes decoded. */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "toml/cursor.h"

static int put(struct toml_parser *p, struct str *to, const char *data, size_t len)
{
	return str_append(to, data, len) < 0 ? fail_nomem(p->err) : 0;
}

static int put_code_point(struct toml_parser *p, struct str *to, uint32_t c)
{
	char bytes[4];
	size_t n;

	if (c < 0x80) {
		bytes[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		bytes[0] = (char)(0xc0 | c >> 6);
		bytes[1] = (char)(0x80 | (c & 63));
		n = 2;
	} else if (c < 0x10000) {
		bytes[0] = (char)(0xe0 | c >> 12);
		bytes[1] = (char)(0x80 | (c >> 6 & 63));
		bytes[2] = (char)(0x80 | (c & 63));
		n = 3;
	} else {
		bytes[0] = (char)(0xf0 | c >> 18);
		bytes[1] = (char)(0x80 | (c >> 12 & 63));
		bytes[2] = (char)(0x80 | (c >> 6 & 63));
		bytes[3] = (char)(0x80 | (c & 63));
		n = 4;
	}
	return put(p, to, bytes, n);
}

/* \uXXXX and \UXXXXXXXX, the cursor behind the letter. */
static int read_unicode(struct toml_parser *p, size_t n_digits, struct str *to)
{
	uint32_t value = 0;
	size_t i;

	for (i = 0; i < n_digits; i++) {
		int c = toml_peek(p);

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (uint32_t)(c - 'A' + 10);
		else
			return toml_bad(p, "expected a hexadecimal digit");
		p->at++;
	}
	if (!value || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return toml_bad(p, "escape is no character, or NUL");
	return put_code_point(p, to, value);
}

/* A backslash at the end of a line of a multi-line string: drop all white space behind it. */
static bool accept_line_fold(struct toml_parser *p)
{
	const char *begin = p->at;

	toml_skip_blanks(p);
	if (!toml_accept_newline(p)) {
		p->at = begin;
		return false;
	}
	do
		toml_skip_blanks(p);
	while (toml_accept_newline(p));
	return true;
}

/* The cursor is behind the backslash. */
static int read_escape(struct toml_parser *p, bool multi, struct str *to)
{
	static const char from[] = "btnfr\"\\";
	static const char plain[] = "\b\t\n\f\r\"\\";
	int c = toml_peek(p);
	const char *found = c > 0 ? strchr(from, c) : NULL;

	if (found) {
		p->at++;
		return put(p, to, plain + (found - from), 1);
	}
	if (toml_accept(p, 'u'))
		return read_unicode(p, 4, to);
	if (toml_accept(p, 'U'))
		return read_unicode(p, 8, to);
	if (multi && accept_line_fold(p))
		return 0;
	return toml_bad(p, "unknown escape in a string");
}

static int read_multi(struct toml_parser *p, char quote, struct str *to)
{
	const char closing[4] = { quote, quote, quote, '\0' };
	unsigned int line = p->line;
	unsigned int col = toml_column_here(p);
	int r;

	p->at += 3;
	(void)toml_accept_newline(p);
	for (;;) {
		const char *begin = p->at;

		if (toml_peek(p) < 0)
			return toml_bad_at(p, line, col, "the string has no end");
		if (toml_at_text(p, closing)) {
			p->at += 3;
			/* Up to two quotes may stand right before the closing three. */
			for (r = 0; r < 2 && toml_accept(p, quote); r++) {
				if (put(p, to, &quote, 1) < 0)
					return IMBREX_ENOMEM;
			}
			return 0;
		}
		if (toml_accept_newline(p))
			r = put(p, to, "\n", 1);
		else if (quote == '"' && toml_accept(p, '\\'))
			r = read_escape(p, /* multi= */ true, to);
		else if (toml_is_control(toml_peek(p)))
			r = toml_bad(p, "control byte in a string");
		else {
			p->at++;
			r = put(p, to, begin, 1);
		}
		if (r < 0)
			return r;
	}
}

static int read_single(struct toml_parser *p, char quote, struct str *to)
{
	int r;

	p->at++;
	for (;;) {
		const char *begin = p->at;

		if (toml_accept(p, quote))
			return 0;
		if (toml_peek(p) < 0 || toml_peek(p) == '\n' || toml_at_text(p, "\r\n"))
			return toml_bad(p, "the string has no end on its line");
		if (quote == '"' && toml_accept(p, '\\'))
			r = read_escape(p, /* multi= */ false, to);
		else if (toml_is_control(toml_peek(p)))
			r = toml_bad(p, "control byte in a string");
		else {
			p->at++;
			r = put(p, to, begin, 1);
		}
		if (r < 0)
			return r;
	}
}

/* A string of any of the four kinds, the cursor at its quote. */
int toml_read_string(struct toml_parser *p, bool may_multi, char **ret)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	char quote = *p->at;
	char *taken;
	int r;

	if (may_multi && toml_at_text(p, quote == '"' ? "\"\"\"" : "'''"))
		r = read_multi(p, quote, &text);
	else
		r = read_single(p, quote, &text);
	if (r < 0)
		return r;
	taken = str_take(&text);
	if (!taken)
		return fail_nomem(p->err);
	*ret = taken;
	return 0;
}
