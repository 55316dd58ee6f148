/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TOML parser: one pass, one cursor, line by line at the top and recursive inside values.
 *
 * Invariants
 * 1. A table is written to by exactly one of: its own [header] (once), dotted keys of one table
 *    body, or the braces it was written in; toml_origin tells which.
 * 2. Nesting of values <= DEPTH_MAX, parts of a key <= PARTS_MAX: both bound the recursion here
 *    and in toml_free().
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "toml/cursor.h"
#include "toml/word.h"

/* Real files have three levels and four parts. */
#define DEPTH_MAX 32
#define PARTS_MAX 32
/* Lookup is linear. */
#define CHILDREN_MAX 4096

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

static struct toml_value *value_new(
	const struct toml_parser *p, enum toml_kind kind, unsigned int line, unsigned int col)
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
static int append_child(struct toml_parser *p, struct toml_value *parent, struct toml_value *child)
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

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static int read_key_part(struct toml_parser *p, struct strv *to)
{
	const char *begin = p->at;
	char *part = NULL;
	int r;

	if (toml_peek(p) == '"' || toml_peek(p) == '\'') {
		r = toml_read_string(p, /* may_multi= */ false, &part);
		if (r < 0)
			return r;
	} else {
		while (is_bare(toml_peek(p)))
			p->at++;
		if (p->at == begin)
			return toml_bad(p, "expected a key");
		part = strndup(begin, (size_t)(p->at - begin));
	}
	return strv_take(to, part) < 0 ? fail_nomem(p->err) : 0;
}

/* a.b."c d" with blanks allowed around the dots and behind. */
static int read_key(struct toml_parser *p, struct key *key)
{
	int r;

	key->line = p->line;
	key->column = toml_column_here(p);
	do {
		if (key->parts.n == PARTS_MAX)
			return toml_bad(p, "a key of too many parts");
		toml_skip_blanks(p);
		r = read_key_part(p, &key->parts);
		if (r < 0)
			return r;
		toml_skip_blanks(p);
	} while (toml_accept(p, '.'));
	return 0;
}

/* Takes nothing; adds a fresh table or array under `name`. */
static int add_container(struct toml_parser *p, struct toml_value *parent, const char *name,
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

static int fail_twice(struct toml_parser *p, const struct key *key, const struct toml_value *first)
{
	return toml_bad_at(p, key->line, key->column, "'%s' is defined already, in line %u",
		key->parts.items[key->parts.n - 1], first->line);
}

/* The table that the last part of a dotted key belongs to, below `table`. */
static int walk_key(struct toml_parser *p, struct toml_value *table, const struct key *key,
	struct toml_value **ret)
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
			return toml_bad_at(p, key->line, key->column,
				"'%s' is defined already, in line %u, and cannot be added to", part,
				next->line);
		}
		table = next;
	}
	*ret = table;
	return 0;
}

/* The table that the last part of a [header] belongs to, from the root. */
static int walk_header(struct toml_parser *p, const struct key *key, struct toml_value **ret)
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
			return toml_bad_at(p, key->line, key->column,
				"'%s' is defined already, in line %u, and cannot be added to", part,
				next->line);
		table = next;
	}
	*ret = table;
	return 0;
}

static int open_table(struct toml_parser *p, const struct key *key)
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

static int open_array_table(struct toml_parser *p, const struct key *key)
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

static int read_header(struct toml_parser *p)
{
	AUTO_KEY key = { 0 };
	bool twice;
	int r;

	p->at++;
	twice = toml_accept(p, '[');
	r = read_key(p, &key);
	if (r < 0)
		return r;
	if (!toml_accept(p, ']') || (twice && !toml_accept(p, ']')))
		return toml_bad(p, twice ? "expected ']]'" : "expected ']'");
	r = twice ? open_array_table(p, &key) : open_table(p, &key);
	return r < 0 ? r : toml_end_of_line(p);
}

/* Up to where a number, boolean or time can reach. */
static void pass_word(struct toml_parser *p)
{
	const char *begin = p->at;

	while (is_bare(toml_peek(p)) || toml_peek(p) == '+' || toml_peek(p) == '.' ||
		toml_peek(p) == ':' ||
		(toml_peek(p) == ' ' && p->at - begin == 10 && p->end - p->at > 1 &&
			p->at[1] >= '0' && p->at[1] <= '9'))
		p->at++;
}

static int read_word(struct toml_parser *p, struct toml_value *v)
{
	const char *begin = p->at;
	int r;

	pass_word(p);
	if (p->at == begin)
		return toml_bad(p, "expected a value");
	v->text = strndup(begin, (size_t)(p->at - begin));
	if (!v->text)
		return fail_nomem(p->err);
	if (strcmp(v->text, "true") == 0 || strcmp(v->text, "false") == 0) {
		v->kind = TOML_BOOL;
		v->integer = v->text[0] == 't';
		free(take_ptr(v->text));
		return 0;
	}
	r = toml_parse_integer(v->text, &v->integer);
	if (r == -ERANGE)
		return toml_bad_at(p, v->line, v->column, "the integer does not fit 64 bits");
	if (r == 0)
		v->kind = TOML_INTEGER;
	else if (toml_is_float(v->text))
		v->kind = TOML_FLOAT;
	else if (toml_is_time(v->text))
		v->kind = TOML_TIME;
	else
		return toml_bad_at(p, v->line, v->column, "'%.40s' is no value", v->text);
	return 0;
}

/* Values hold pairs, and pairs hold values. */
static int read_value(struct toml_parser *p, struct toml_value **ret);

/* key = value into `table`, which is `p->table` or an inline table. */
static int read_pair(struct toml_parser *p, struct toml_value *table)
{
	AUTO_TOML_VALUE *v = NULL;
	AUTO_KEY key = { 0 };
	struct toml_value *found;
	const char *name;
	int r;

	r = read_key(p, &key);
	if (r < 0)
		return r;
	if (!toml_accept(p, '='))
		return toml_bad(p, "expected '='");
	r = walk_key(p, table, &key, &table);
	if (r < 0)
		return r;
	name = key.parts.items[key.parts.n - 1];
	found = toml_find(table, name, strlen(name));
	if (found)
		return fail_twice(p, &key, found);
	toml_skip_blanks(p);
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

static int read_array(struct toml_parser *p, struct toml_value *array)
{
	int r;

	p->at++;
	for (;;) {
		struct toml_value *item;

		r = toml_skip_lines(p);
		if (r < 0)
			return r;
		if (toml_accept(p, ']'))
			return 0;
		r = read_value(p, &item);
		if (r < 0)
			return r;
		r = append_child(p, array, item);
		if (r < 0) {
			toml_value_free(item);
			return r;
		}
		r = toml_skip_lines(p);
		if (r < 0)
			return r;
		if (!toml_accept(p, ',') && toml_peek(p) != ']')
			return toml_bad(p, "expected ',' or ']'");
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

static int read_inline_table(struct toml_parser *p, struct toml_value *table)
{
	int r;

	p->at++;
	toml_skip_blanks(p);
	if (toml_accept(p, '}'))
		return 0;
	do {
		toml_skip_blanks(p);
		r = read_pair(p, table);
		if (r < 0)
			return r;
		toml_skip_blanks(p);
	} while (toml_accept(p, ','));
	if (!toml_accept(p, '}'))
		return toml_bad(p, "expected ',' or '}'");
	close_keys(table);
	return 0;
}

static int read_value(struct toml_parser *p, struct toml_value **ret)
{
	AUTO_TOML_VALUE *v = value_new(p, TOML_STRING, p->line, toml_column_here(p));
	int r;

	if (!v)
		return fail_nomem(p->err);
	if (p->depth == DEPTH_MAX)
		return fail(p->err, IMBREX_ELIMIT, "%s:%u:%u: nested more than %d levels deep",
			p->doc->name, p->line, toml_column_here(p), DEPTH_MAX);
	p->depth++;
	switch (toml_peek(p)) {
	case '"':
	case '\'':
		r = toml_read_string(p, /* may_multi= */ true, &v->text);
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

static int read_document(struct toml_parser *p)
{
	int r;

	for (;;) {
		r = toml_skip_lines(p);
		if (r < 0)
			return r;
		if (toml_peek(p) < 0)
			return 0;
		if (toml_peek(p) == '[') {
			r = read_header(p);
		} else {
			r = read_pair(p, p->table);
			if (r == 0)
				r = toml_end_of_line(p);
		}
		if (r < 0)
			return r;
	}
}

int toml_parse(const char *name, const char *text, size_t len, struct toml_doc **ret,
	struct imbrex_error *err)
{
	AUTO_TOML *doc = NULL;
	struct toml_parser p = {
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
	if (toml_at_text(&p, "\xef\xbb\xbf"))
		p.at = p.line_start = text + 3;
	r = read_document(&p);
	if (r < 0)
		return r;
	*ret = take_ptr(doc);
	return 0;
}
