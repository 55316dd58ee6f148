/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree and its typed readers; parse.c builds it. Members and elements are linked lists in
 * document order: configuration files are small, and their order matters.
 */
#include <stdio.h>
#include <string.h>

#include "toml/tree.h"

static const char *const kind_names[] = {
	[TOML_TABLE] = "a table",
	[TOML_ARRAY] = "an array",
	[TOML_STRING] = "a string",
	[TOML_INTEGER] = "an integer",
	[TOML_BOOL] = "a boolean",
	[TOML_FLOAT] = "a float",
	[TOML_TIME] = "a time",
};

/* Recursion is bounded by the limits of parse.c. */
static void release(struct toml_value *v)
{
	struct toml_value *child = v->first;

	while (child) {
		struct toml_value *next = child->next;

		release(child);
		child = next;
	}
	free(v->key);
	free(v->text);
	free(v);
}

void toml_value_free(struct toml_value *v)
{
	if (v)
		release(v);
}

void toml_free(struct toml_doc *doc)
{
	if (!doc)
		return;
	toml_value_free(doc->root);
	free(doc->name);
	free(doc);
}

const struct toml_value *toml_root(const struct toml_doc *doc)
{
	return doc->root;
}

struct toml_value *toml_find(const struct toml_value *table, const char *key, size_t len)
{
	struct toml_value *v;

	for (v = table->first; v; v = v->next) {
		if (strncmp(v->key, key, len) == 0 && !v->key[len])
			return v;
	}
	return NULL;
}

const struct toml_value *toml_get(const struct toml_value *table, const char *key)
{
	if (!table || table->kind != TOML_TABLE)
		return NULL;
	return toml_find(table, key, strlen(key));
}

const struct toml_value *toml_table(const struct toml_doc *doc, const char *path)
{
	const struct toml_value *at = doc->root;

	while (*path) {
		size_t len = strcspn(path, ".");

		at = toml_find(at, path, len);
		if (!at || at->kind != TOML_TABLE)
			return NULL;
		path += len + (path[len] == '.');
	}
	return at;
}

const struct toml_value *toml_first(const struct toml_value *v)
{
	return v->first;
}

const struct toml_value *toml_next(const struct toml_value *v)
{
	return v->next;
}

enum toml_kind toml_kind(const struct toml_value *v)
{
	return v->kind;
}

const char *toml_key(const struct toml_value *v)
{
	return v->key;
}

unsigned int toml_line(const struct toml_value *v)
{
	return v->line;
}

unsigned int toml_column(const struct toml_value *v)
{
	return v->column;
}

int toml_fail(const struct toml_value *v, struct imbrex_error *err, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return fail(err, IMBREX_EFORMAT, "%s:%u:%u: %s", v->doc->name, v->line, v->column, message);
}

/* 1 and *ret if there is a member of that kind. */
static int find_kind(const struct toml_value *table, const char *key, enum toml_kind kind,
	const struct toml_value **ret, struct imbrex_error *err)
{
	const struct toml_value *v = toml_get(table, key);

	if (!v)
		return 0;
	if (v->kind != kind)
		return toml_fail(v, err, "%s: expected %s, found %s", key, kind_names[kind],
			kind_names[v->kind]);
	*ret = v;
	return 1;
}

int toml_string(
	const struct toml_value *table, const char *key, const char **ret, struct imbrex_error *err)
{
	const struct toml_value *v;
	int r;

	r = find_kind(table, key, TOML_STRING, &v, err);
	if (r > 0)
		*ret = v->text;
	return r;
}

int toml_bool(const struct toml_value *table, const char *key, bool *ret, struct imbrex_error *err)
{
	const struct toml_value *v;
	int r;

	r = find_kind(table, key, TOML_BOOL, &v, err);
	if (r > 0)
		*ret = v->integer;
	return r;
}

int toml_integer(
	const struct toml_value *table, const char *key, int64_t *ret, struct imbrex_error *err)
{
	const struct toml_value *v;
	int r;

	r = find_kind(table, key, TOML_INTEGER, &v, err);
	if (r > 0)
		*ret = v->integer;
	return r;
}

int toml_scalar_text(
	const struct toml_value *table, const char *key, const char **ret, struct imbrex_error *err)
{
	const struct toml_value *v = toml_get(table, key);

	if (!v)
		return 0;
	if (!v->text)
		return toml_fail(v, err, "%s: expected a string or a number, found %s", key,
			kind_names[v->kind]);
	*ret = v->text;
	return 1;
}

/* 1 if the element is the table {append=true|false}, and nothing else is in it. */
static int read_append(const struct toml_value *v, bool *ret)
{
	if (v->kind != TOML_TABLE || !v->first || v->first->next ||
		strcmp(v->first->key, "append") != 0 || v->first->kind != TOML_BOOL)
		return 0;
	*ret = v->first->integer;
	return 1;
}

static int collect(const struct toml_value *array, const char *key, struct strv *to, bool *append,
	bool may_append, struct imbrex_error *err)
{
	const struct toml_value *v;
	int r;

	for (v = array->first; v; v = v->next) {
		if (may_append && read_append(v, append))
			continue;
		if (v->kind != TOML_STRING)
			return toml_fail(v, err, "%s: expected a string, found %s", key,
				kind_names[v->kind]);
		r = strv_add(to, v->text);
		if (r < 0)
			return fail_nomem(err);
	}
	return 0;
}

int toml_strings(const struct toml_value *table, const char *key, struct strv *ret,
	bool *ret_append, struct imbrex_error *err)
{
	AUTO_STRV list = { 0 };
	const struct toml_value *array;
	bool append = false;
	struct strv old;
	size_t i;
	int r;

	r = find_kind(table, key, TOML_ARRAY, &array, err);
	if (r <= 0)
		return r;
	r = collect(array, key, &list, &append, ret_append != NULL, err);
	if (r < 0)
		return r;
	if (append) {
		for (i = 0; i < ret->n; i++) {
			r = strv_insert(&list, i, ret->items[i]);
			if (r < 0)
				return fail_nomem(err);
		}
	}
	old = *ret;
	*ret = list;
	list = old;
	if (ret_append)
		*ret_append = append;
	return 1;
}

int toml_tables(const struct toml_value *table, const char *key, const struct toml_value **ret,
	struct imbrex_error *err)
{
	const struct toml_value *array;
	const struct toml_value *v;
	int r;

	r = find_kind(table, key, TOML_ARRAY, &array, err);
	if (r <= 0)
		return r;
	for (v = array->first; v; v = v->next) {
		if (v->kind != TOML_TABLE)
			return toml_fail(
				v, err, "%s: expected a table, found %s", key, kind_names[v->kind]);
	}
	*ret = array;
	return 1;
}
