/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TOML parser: one pass, one cursor, line by line at the top and recursive inside values.
 *
 * Invariants
 * 1. at <= end; line_start is the first byte of line number `line`.
 * 2. A table is written to by exactly one of: its own [header] (once), dotted keys of one table
 *    body, or the braces it was written in; toml_origin tells which.
 * 3. Nesting of values <= DEPTH_MAX, parts of a key <= PARTS_MAX: both bound the recursion here
 *    and in toml_free().
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "toml/tree.h"

/* Real files have three levels and four parts. */
#define DEPTH_MAX 32
#define PARTS_MAX 32
/* Lookup is linear. */
#define CHILDREN_MAX 4096

struct parser {
	struct toml_doc *doc;
	const char *at;
	const char *end;
	const char *line_start;
	unsigned int line;
	unsigned int depth;
	struct toml_value *table; /* that key = value lines go into; borrowed from doc */
	struct imbrex_error *err;
};

/* A key as written: its parts, decoded, and where it stands. */
struct key {
	struct strv parts;
	unsigned int line;
	unsigned int column;
};

static void cleanup_key(struct key *k)
{
	strv_done(&k->parts);
}
#define AUTO_KEY __attribute__((cleanup(cleanup_key))) struct key

static unsigned int column(const struct parser *p)
{
	return (unsigned int)(p->at - p->line_start) + 1;
}

static int PRINTF_LIKE(4, 5)
	bad_at(struct parser *p, unsigned int line, unsigned int col, const char *fmt, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return fail(p->err, IMBREX_EFORMAT, "%s:%u:%u: %s", p->doc->name, line, col, message);
}

static int bad(struct parser *p, const char *what)
{
	return bad_at(p, p->line, column(p), "%s", what);
}

/* The byte at the cursor; -1 at the end. NUL is a byte like any other. */
static inline int peek(const struct parser *p)
{
	return p->at < p->end ? (unsigned char)*p->at : -1;
}

static inline bool at_text(const struct parser *p, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(p->end - p->at) >= len && memcmp(p->at, text, len) == 0;
}

static bool accept(struct parser *p, char c)
{
	if (peek(p) != c)
		return false;
	p->at++;
	return true;
}

static void skip_blanks(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

/* \n or \r\n. */
static bool accept_newline(struct parser *p)
{
	if (at_text(p, "\r\n"))
		p->at++;
	if (!accept(p, '\n'))
		return false;
	p->line++;
	p->line_start = p->at;
	return true;
}

static bool is_control(int c)
{
	return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

static int skip_comment(struct parser *p)
{
	if (peek(p) != '#')
		return 0;
	while (peek(p) >= 0 && peek(p) != '\n' && !at_text(p, "\r\n")) {
		if (is_control(peek(p)))
			return bad(p, "control byte in a comment");
		p->at++;
	}
	return 0;
}

/* White space, comments and newlines, as arrays may hold them anywhere. */
static int skip_lines(struct parser *p)
{
	int r;

	do {
		skip_blanks(p);
		r = skip_comment(p);
		if (r < 0)
			return r;
	} while (accept_newline(p));
	return 0;
}

static int end_of_line(struct parser *p)
{
	int r;

	skip_blanks(p);
	r = skip_comment(p);
	if (r < 0)
		return r;
	if (peek(p) >= 0 && !accept_newline(p))
		return bad(p, "expected the end of the line");
	return 0;
}

static struct toml_value *value_new(
	const struct parser *p, enum toml_kind kind, unsigned int line, unsigned int col)
{
	struct toml_value *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->kind = kind;
	v->doc = p->doc;
	v->line = line;
	v->column = col;
	return v;
}

/* Takes `child` on success. */
static int append_child(struct parser *p, struct toml_value *parent, struct toml_value *child)
{
	/* Elements of arrays are only appended, members are looked up. */
	if (parent->kind == TOML_TABLE && parent->n_children >= CHILDREN_MAX)
		return fail(p->err, IMBREX_ELIMIT, "%s:%u:%u: more than %d keys in one table",
			p->doc->name, child->line, child->column, CHILDREN_MAX);
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->n_children++;
	return 0;
}

static int put(struct parser *p, struct str *to, const char *data, size_t len)
{
	return str_append(to, data, len) < 0 ? fail_nomem(p->err) : 0;
}

static int put_code_point(struct parser *p, struct str *to, uint32_t c)
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
static int read_unicode(struct parser *p, size_t n_digits, struct str *to)
{
	uint32_t value = 0;
	size_t i;

	for (i = 0; i < n_digits; i++) {
		int c = peek(p);

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (uint32_t)(c - 'A' + 10);
		else
			return bad(p, "expected a hexadecimal digit");
		p->at++;
	}
	if (!value || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return bad(p, "escape is no character, or NUL");
	return put_code_point(p, to, value);
}

/* A backslash at the end of a line of a multi-line string: drop all white space behind it. */
static bool accept_line_fold(struct parser *p)
{
	const char *begin = p->at;

	skip_blanks(p);
	if (!accept_newline(p)) {
		p->at = begin;
		return false;
	}
	do
		skip_blanks(p);
	while (accept_newline(p));
	return true;
}

/* The cursor is behind the backslash. */
static int read_escape(struct parser *p, bool multi, struct str *to)
{
	static const char from[] = "btnfr\"\\";
	static const char plain[] = "\b\t\n\f\r\"\\";
	int c = peek(p);
	const char *found = c > 0 ? strchr(from, c) : NULL;

	if (found) {
		p->at++;
		return put(p, to, plain + (found - from), 1);
	}
	if (accept(p, 'u'))
		return read_unicode(p, 4, to);
	if (accept(p, 'U'))
		return read_unicode(p, 8, to);
	if (multi && accept_line_fold(p))
		return 0;
	return bad(p, "unknown escape in a string");
}

static int read_multi(struct parser *p, char quote, struct str *to)
{
	const char closing[4] = { quote, quote, quote, '\0' };
	unsigned int line = p->line;
	unsigned int col = column(p);
	int r;

	p->at += 3;
	(void)accept_newline(p);
	for (;;) {
		const char *begin = p->at;

		if (peek(p) < 0)
			return bad_at(p, line, col, "the string has no end");
		if (at_text(p, closing)) {
			p->at += 3;
			/* Up to two quotes may stand right before the closing three. */
			for (r = 0; r < 2 && accept(p, quote); r++) {
				if (put(p, to, &quote, 1) < 0)
					return IMBREX_ENOMEM;
			}
			return 0;
		}
		if (accept_newline(p))
			r = put(p, to, "\n", 1);
		else if (quote == '"' && accept(p, '\\'))
			r = read_escape(p, /* multi= */ true, to);
		else if (is_control(peek(p)))
			r = bad(p, "control byte in a string");
		else {
			p->at++;
			r = put(p, to, begin, 1);
		}
		if (r < 0)
			return r;
	}
}

static int read_single(struct parser *p, char quote, struct str *to)
{
	int r;

	p->at++;
	for (;;) {
		const char *begin = p->at;

		if (accept(p, quote))
			return 0;
		if (peek(p) < 0 || peek(p) == '\n' || at_text(p, "\r\n"))
			return bad(p, "the string has no end on its line");
		if (quote == '"' && accept(p, '\\'))
			r = read_escape(p, /* multi= */ false, to);
		else if (is_control(peek(p)))
			r = bad(p, "control byte in a string");
		else {
			p->at++;
			r = put(p, to, begin, 1);
		}
		if (r < 0)
			return r;
	}
}

/* A string of any of the four kinds, the cursor at its quote. */
static int read_string(struct parser *p, bool may_multi, char **ret)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	char quote = *p->at;
	char *taken;
	int r;

	if (may_multi && at_text(p, quote == '"' ? "\"\"\"" : "'''"))
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

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static int read_key_part(struct parser *p, struct strv *to)
{
	const char *begin = p->at;
	char *part = NULL;
	int r;

	if (peek(p) == '"' || peek(p) == '\'') {
		r = read_string(p, /* may_multi= */ false, &part);
		if (r < 0)
			return r;
	} else {
		while (is_bare(peek(p)))
			p->at++;
		if (p->at == begin)
			return bad(p, "expected a key");
		part = strndup(begin, (size_t)(p->at - begin));
	}
	return strv_take(to, part) < 0 ? fail_nomem(p->err) : 0;
}

/* a.b."c d" with blanks allowed around the dots and behind. */
static int read_key(struct parser *p, struct key *key)
{
	int r;

	key->line = p->line;
	key->column = column(p);
	do {
		if (key->parts.n == PARTS_MAX)
			return bad(p, "a key of too many parts");
		skip_blanks(p);
		r = read_key_part(p, &key->parts);
		if (r < 0)
			return r;
		skip_blanks(p);
	} while (accept(p, '.'));
	return 0;
}

/* Takes nothing; adds a fresh table or array under `name`. */
static int add_container(struct parser *p, struct toml_value *parent, const char *name,
	enum toml_kind kind, enum toml_origin origin, const struct key *key,
	struct toml_value **ret)
{
	AUTO_TOML_VALUE *v = value_new(p, kind, key->line, key->column);
	int r;

	if (!v)
		return fail_nomem(p->err);
	v->origin = origin;
	if (name) {
		v->key = strdup(name);
		if (!v->key)
			return fail_nomem(p->err);
	}
	r = append_child(p, parent, v);
	if (r < 0)
		return r;
	*ret = take_ptr(v);
	return 0;
}

static int fail_twice(struct parser *p, const struct key *key, const struct toml_value *first)
{
	return bad_at(p, key->line, key->column, "'%s' is defined already, in line %u",
		key->parts.items[key->parts.n - 1], first->line);
}

/* The table that the last part of a dotted key belongs to, below `table`. */
static int walk_key(
	struct parser *p, struct toml_value *table, const struct key *key, struct toml_value **ret)
{
	size_t i;
	int r;

	for (i = 0; i + 1 < key->parts.n; i++) {
		const char *part = key->parts.items[i];
		struct toml_value *next = toml_find(table, part, strlen(part));

		if (!next) {
			r = add_container(p, table, part, TOML_TABLE, TOML_FROM_KEY, key, &next);
			if (r < 0)
				return r;
		} else if (next->kind != TOML_TABLE || next->origin != TOML_FROM_KEY) {
			return bad_at(p, key->line, key->column,
				"'%s' is defined already, in line %u, and cannot be added to", part,
				next->line);
		}
		table = next;
	}
	*ret = table;
	return 0;
}

/* The table that the last part of a [header] belongs to, from the root. */
static int walk_header(struct parser *p, const struct key *key, struct toml_value **ret)
{
	struct toml_value *table = p->doc->root;
	size_t i;
	int r;

	for (i = 0; i + 1 < key->parts.n; i++) {
		const char *part = key->parts.items[i];
		struct toml_value *next = toml_find(table, part, strlen(part));

		if (!next) {
			r = add_container(p, table, part, TOML_TABLE, TOML_FROM_PATH, key, &next);
			if (r < 0)
				return r;
		}
		if (next->kind == TOML_ARRAY && next->origin == TOML_FROM_DOUBLE)
			next = next->last;
		if (next->kind != TOML_TABLE || next->origin == TOML_FROM_VALUE)
			return bad_at(p, key->line, key->column,
				"'%s' is defined already, in line %u, and cannot be added to", part,
				next->line);
		table = next;
	}
	*ret = table;
	return 0;
}

static int open_table(struct parser *p, const struct key *key)
{
	const char *name = key->parts.items[key->parts.n - 1];
	struct toml_value *parent;
	struct toml_value *found;
	int r;

	r = walk_header(p, key, &parent);
	if (r < 0)
		return r;
	found = toml_find(parent, name, strlen(name));
	if (!found)
		return add_container(p, parent, name, TOML_TABLE, TOML_FROM_HEADER, key, &p->table);
	if (found->kind != TOML_TABLE || found->origin != TOML_FROM_PATH)
		return fail_twice(p, key, found);
	found->origin = TOML_FROM_HEADER;
	found->line = key->line;
	found->column = key->column;
	p->table = found;
	return 0;
}

static int open_array_table(struct parser *p, const struct key *key)
{
	const char *name = key->parts.items[key->parts.n - 1];
	struct toml_value *parent;
	struct toml_value *array;
	int r;

	r = walk_header(p, key, &parent);
	if (r < 0)
		return r;
	array = toml_find(parent, name, strlen(name));
	if (!array) {
		r = add_container(p, parent, name, TOML_ARRAY, TOML_FROM_DOUBLE, key, &array);
		if (r < 0)
			return r;
	} else if (array->kind != TOML_ARRAY || array->origin != TOML_FROM_DOUBLE) {
		return fail_twice(p, key, array);
	}
	return add_container(p, array, NULL, TOML_TABLE, TOML_FROM_HEADER, key, &p->table);
}

static int read_header(struct parser *p)
{
	AUTO_KEY key = { 0 };
	bool twice;
	int r;

	p->at++;
	twice = accept(p, '[');
	r = read_key(p, &key);
	if (r < 0)
		return r;
	if (!accept(p, ']') || (twice && !accept(p, ']')))
		return bad(p, twice ? "expected ']]'" : "expected ']'");
	r = twice ? open_array_table(p, &key) : open_table(p, &key);
	return r < 0 ? r : end_of_line(p);
}

/* Digits of a base with single underscores between them. */
static int parse_digits(const char *text, unsigned int base, uint64_t *ret)
{
	uint64_t value = 0;
	bool digit = false;

	for (; *text; text++) {
		unsigned int d;

		if (*text == '_') {
			if (!digit || !text[1])
				return -EINVAL;
			digit = false;
			continue;
		}
		if (*text >= '0' && *text <= '9')
			d = (unsigned int)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			d = (unsigned int)(*text - 'a') + 10;
		else if (*text >= 'A' && *text <= 'F')
			d = (unsigned int)(*text - 'A') + 10;
		else
			return -EINVAL;
		if (d >= base)
			return -EINVAL;
		digit = true;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
			__builtin_add_overflow(value, (uint64_t)d, &value))
			return -ERANGE;
	}
	*ret = value;
	return digit ? 0 : -EINVAL;
}

/* 0 and *ret, -EINVAL if the text is no integer, -ERANGE if it does not fit. */
static int parse_integer(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	const char *at = text + (*text == '-' || *text == '+');
	unsigned int base = 10;
	uint64_t value;
	int r;

	if (at == text && at[0] == '0' && (at[1] == 'x' || at[1] == 'o' || at[1] == 'b')) {
		base = at[1] == 'x' ? 16 : at[1] == 'o' ? 8 : 2;
		at += 2;
	} else if (at[0] == '0' && at[1]) {
		return -EINVAL;
	}
	r = parse_digits(at, base, &value);
	if (r < 0)
		return r;
	if (value > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

/* Steps over digits with single underscores between them; NULL if there are none. */
static const char *pass_digits(const char *at)
{
	for (;;) {
		if (*at < '0' || *at > '9')
			return NULL;
		while (*at >= '0' && *at <= '9')
			at++;
		if (*at != '_')
			return at;
		at++;
	}
}

static bool is_float(const char *text)
{
	const char *at = text + (*text == '-' || *text == '+');

	if (strcmp(at, "inf") == 0 || strcmp(at, "nan") == 0)
		return true;
	if (at[0] == '0' && ((at[1] >= '0' && at[1] <= '9') || at[1] == '_'))
		return false;
	at = pass_digits(at);
	if (at && *at == '.')
		at = pass_digits(at + 1);
	if (at && (*at == 'e' || *at == 'E')) {
		at++;
		at = pass_digits(at + (*at == '-' || *at == '+'));
	}
	return at && !*at;
}

/* Does `text` follow `shape`, where 0 stands for a digit? Returns what is left, or NULL. */
static const char *pass_shape(const char *text, const char *shape)
{
	for (; *shape; shape++, text++) {
		if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
			return NULL;
	}
	return text;
}

/* Shapes only: whoever needs a time parses it. */
static bool is_time(const char *text)
{
	const char *at = pass_shape(text, "0000-00-00");

	if (at && !*at)
		return true;
	if (at && (*at == 'T' || *at == 't' || *at == ' '))
		at = pass_shape(at + 1, "00:00:00");
	else
		at = at ? NULL : pass_shape(text, "00:00:00");
	if (at && *at == '.')
		at = pass_digits(at + 1);
	if (at && (*at == 'Z' || *at == 'z'))
		at++;
	else if (at && (*at == '+' || *at == '-'))
		at = pass_shape(at + 1, "00:00");
	return at && !*at;
}

/* Up to where a number, boolean or time can reach. */
static void pass_word(struct parser *p)
{
	const char *begin = p->at;

	while (is_bare(peek(p)) || peek(p) == '+' || peek(p) == '.' || peek(p) == ':' ||
		(peek(p) == ' ' && p->at - begin == 10 && p->end - p->at > 1 && p->at[1] >= '0' &&
			p->at[1] <= '9'))
		p->at++;
}

static int read_word(struct parser *p, struct toml_value *v)
{
	const char *begin = p->at;
	int r;

	pass_word(p);
	if (p->at == begin)
		return bad(p, "expected a value");
	v->text = strndup(begin, (size_t)(p->at - begin));
	if (!v->text)
		return fail_nomem(p->err);
	if (strcmp(v->text, "true") == 0 || strcmp(v->text, "false") == 0) {
		v->kind = TOML_BOOL;
		v->integer = v->text[0] == 't';
		free(take_ptr(v->text));
		return 0;
	}
	r = parse_integer(v->text, &v->integer);
	if (r == -ERANGE)
		return bad_at(p, v->line, v->column, "the integer does not fit 64 bits");
	if (r == 0)
		v->kind = TOML_INTEGER;
	else if (is_float(v->text))
		v->kind = TOML_FLOAT;
	else if (is_time(v->text))
		v->kind = TOML_TIME;
	else
		return bad_at(p, v->line, v->column, "'%.40s' is no value", v->text);
	return 0;
}

/* Values hold pairs, and pairs hold values. */
static int read_value(struct parser *p, struct toml_value **ret);

/* key = value into `table`, which is `p->table` or an inline table. */
static int read_pair(struct parser *p, struct toml_value *table)
{
	AUTO_TOML_VALUE *v = NULL;
	AUTO_KEY key = { 0 };
	struct toml_value *found;
	const char *name;
	int r;

	r = read_key(p, &key);
	if (r < 0)
		return r;
	if (!accept(p, '='))
		return bad(p, "expected '='");
	r = walk_key(p, table, &key, &table);
	if (r < 0)
		return r;
	name = key.parts.items[key.parts.n - 1];
	found = toml_find(table, name, strlen(name));
	if (found)
		return fail_twice(p, &key, found);
	skip_blanks(p);
	r = read_value(p, &v);
	if (r < 0)
		return r;
	v->key = strdup(name);
	if (!v->key)
		return fail_nomem(p->err);
	r = append_child(p, table, v);
	if (r < 0)
		return r;
	v = NULL; /* the table has it */
	return 0;
}

static int read_array(struct parser *p, struct toml_value *array)
{
	int r;

	p->at++;
	for (;;) {
		struct toml_value *item;

		r = skip_lines(p);
		if (r < 0)
			return r;
		if (accept(p, ']'))
			return 0;
		r = read_value(p, &item);
		if (r < 0)
			return r;
		r = append_child(p, array, item);
		if (r < 0) {
			toml_value_free(item);
			return r;
		}
		r = skip_lines(p);
		if (r < 0)
			return r;
		if (!accept(p, ',') && peek(p) != ']')
			return bad(p, "expected ',' or ']'");
	}
}

/* Dotted keys inside braces stay open until the braces close, then nothing may be added. */
static void close_keys(struct toml_value *table)
{
	struct toml_value *v;

	for (v = table->first; v; v = v->next) {
		if (v->origin == TOML_FROM_KEY) {
			v->origin = TOML_FROM_VALUE;
			close_keys(v);
		}
	}
}

static int read_inline_table(struct parser *p, struct toml_value *table)
{
	int r;

	p->at++;
	skip_blanks(p);
	if (accept(p, '}'))
		return 0;
	do {
		skip_blanks(p);
		r = read_pair(p, table);
		if (r < 0)
			return r;
		skip_blanks(p);
	} while (accept(p, ','));
	if (!accept(p, '}'))
		return bad(p, "expected ',' or '}'");
	close_keys(table);
	return 0;
}

static int read_value(struct parser *p, struct toml_value **ret)
{
	AUTO_TOML_VALUE *v = value_new(p, TOML_STRING, p->line, column(p));
	int r;

	if (!v)
		return fail_nomem(p->err);
	if (p->depth == DEPTH_MAX)
		return fail(p->err, IMBREX_ELIMIT, "%s:%u:%u: nested more than %d levels deep",
			p->doc->name, p->line, column(p), DEPTH_MAX);
	p->depth++;
	switch (peek(p)) {
	case '"':
	case '\'':
		r = read_string(p, /* may_multi= */ true, &v->text);
		break;
	case '[':
		v->kind = TOML_ARRAY;
		r = read_array(p, v);
		break;
	case '{':
		v->kind = TOML_TABLE;
		r = read_inline_table(p, v);
		break;
	default:
		r = read_word(p, v);
	}
	p->depth--;
	if (r < 0)
		return r;
	*ret = take_ptr(v);
	return 0;
}

static int read_document(struct parser *p)
{
	int r;

	for (;;) {
		r = skip_lines(p);
		if (r < 0)
			return r;
		if (peek(p) < 0)
			return 0;
		if (peek(p) == '[') {
			r = read_header(p);
		} else {
			r = read_pair(p, p->table);
			if (r == 0)
				r = end_of_line(p);
		}
		if (r < 0)
			return r;
	}
}

int toml_parse(const char *name, const char *text, size_t len, struct toml_doc **ret,
	struct imbrex_error *err)
{
	AUTO_TOML *doc = NULL;
	struct parser p = {
		.at = text, .end = text + len, .line_start = text, .line = 1, .err = err
	};
	int r;

	if (len > LIMIT_CONF_BYTES)
		return fail(err, IMBREX_ELIMIT, "%s: %zu bytes are more than the limit of %u", name,
			len, LIMIT_CONF_BYTES);
	doc = calloc(1, sizeof(*doc));
	if (!doc)
		return fail_nomem(err);
	p.doc = doc;
	doc->name = strdup(name);
	doc->root = value_new(&p, TOML_TABLE, 1, 1);
	if (!doc->name || !doc->root)
		return fail_nomem(err);
	doc->root->origin = TOML_FROM_HEADER;
	p.table = doc->root;
	if (at_text(&p, "\xef\xbb\xbf"))
		p.at = p.line_start = text + 3;
	r = read_document(&p);
	if (r < 0)
		return r;
	*ret = take_ptr(doc);
	return 0;
}
