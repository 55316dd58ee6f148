/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree face of JSON, and the only file that knows jansson. The text is passed by our own
 * scanner first, which is iterative and gives every malformed document one kind of message;
 * jansson, which recurses, only sees what is well formed and shallow, and adds what needs a tree:
 * repeated keys, UTF-8, number ranges.
 */
#include "json/doc.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "json/scan.h"

#define PATH_TEXT_MAX 160
/* A path deeper than this loses its middle in messages; documents of interest have six levels. */
#define PATH_LEVELS_MAX 16

struct json_doc {
	json_t *root;     /* owned; never NULL */
	const char *name; /* borrowed */
};

static json_t *node_of(const struct json_ref *at)
{
	return (json_t *)(uintptr_t)at->node;
}

static const void *present(json_t *node)
{
	return json_is_null(node) ? NULL : node;
}

void json_doc_free(struct json_doc *doc)
{
	if (!doc)
		return;
	json_decref(doc->root);
	free(doc);
}

/* jansson ends its text with where it stopped in its own terms; ours is the byte offset. */
static int fail_jansson(const char *name, const json_error_t *error, struct imbrex_error *err)
{
	switch (json_error_code(error)) {
	case json_error_out_of_memory:
		return fail_nomem(err);
	case json_error_duplicate_key:
		return fail(err, IMBREX_EFORMAT, "%s: byte %d: a key occurs twice in one object",
			name, error->position);
	case json_error_invalid_utf8:
		return fail(err, IMBREX_EFORMAT, "%s: byte %d: not UTF-8", name, error->position);
	case json_error_null_character:
	case json_error_null_byte_in_key:
	case json_error_null_value:
		return fail(err, IMBREX_EFORMAT, "%s: byte %d: a string holds a NUL character",
			name, error->position);
	case json_error_numeric_overflow:
		return fail(err, IMBREX_EFORMAT, "%s: byte %d: a number is too large", name,
			error->position);
	default:
		return fail(
			err, IMBREX_EFORMAT, "%s: byte %d: %s", name, error->position, error->text);
	}
}

int json_doc_parse(const char *name, const char *text, size_t len, size_t max_bytes,
	struct json_doc **ret, struct imbrex_error *err)
{
	json_error_t error = { 0 };
	struct json_scan scan;
	struct json_doc *doc;
	int r;

	if (len > max_bytes)
		return fail(err, IMBREX_ELIMIT, "%s: %zu bytes are more than the limit of %zu",
			name, len, max_bytes);
	json_scan_init(&scan, text, len);
	r = json_scan_finish(&scan, err);
	if (r < 0)
		return wrap(err, r, "%s", name);
	doc = calloc(1, sizeof(*doc));
	if (!doc)
		return fail_nomem(err);
	doc->name = name;
	doc->root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!doc->root) {
		json_doc_free(doc);
		return fail_jansson(name, &error, err);
	}
	*ret = doc;
	return 0;
}

struct json_ref json_doc_root(const struct json_doc *doc)
{
	return (struct json_ref){ .node = present(doc->root), .key = doc->name };
}

struct json_ref json_get(const struct json_ref *at, const char *key)
{
	return (struct json_ref){
		.node = present(json_object_get(node_of(at), key)),
		.up = at,
		.key = key,
	};
}

struct json_ref json_at(const struct json_ref *at, size_t index)
{
	return (struct json_ref){
		.node = present(json_array_get(node_of(at), index)),
		.up = at,
		.index = index,
	};
}

size_t json_count(const struct json_ref *at)
{
	if (json_is_array(node_of(at)))
		return json_array_size(node_of(at));
	return json_object_size(node_of(at));
}

int json_next_member(const struct json_ref *at, void **iter, struct json_ref *ret)
{
	*iter = *iter ? json_object_iter_next(node_of(at), *iter) : json_object_iter(node_of(at));
	if (!*iter)
		return 0;
	*ret = (struct json_ref){
		.node = present(json_object_iter_value(*iter)),
		.up = at,
		.key = json_object_iter_key(*iter),
	};
	return 1;
}

const char *json_path(const struct json_ref *at, char *ret, size_t size)
{
	const struct json_ref *levels[PATH_LEVELS_MAX];
	size_t n = 0;
	size_t len = 0;

	for (; at; at = at->up) {
		/* Too deep: the root stays, the levels under it give way. */
		if (n == PATH_LEVELS_MAX)
			n--;
		levels[n++] = at;
	}
	ret[0] = '\0';
	while (n-- && len < size) {
		int written;

		if (levels[n]->key)
			written = snprintf(ret + len, size - len, "%s%s", levels[n]->up ? "." : "",
				levels[n]->key);
		else
			written = snprintf(ret + len, size - len, "[%zu]", levels[n]->index);
		if (written < 0)
			break;
		len += (size_t)written;
	}
	return ret;
}

static const char *type_name(const json_t *node)
{
	switch (json_typeof(node)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "something unknown";
}

static int expect(
	const struct json_ref *at, bool is_type, const char *want, struct imbrex_error *err)
{
	char path[PATH_TEXT_MAX];

	if (!at->node)
		return fail(
			err, IMBREX_EFORMAT, "%s is missing", json_path(at, path, sizeof(path)));
	if (!is_type)
		return fail(err, IMBREX_EFORMAT, "%s: expected %s, found %s",
			json_path(at, path, sizeof(path)), want, type_name(at->node));
	return 0;
}

int json_as_object(const struct json_ref *at, struct imbrex_error *err)
{
	return expect(at, json_is_object(node_of(at)), "an object", err);
}

int json_as_array(const struct json_ref *at, struct imbrex_error *err)
{
	return expect(at, json_is_array(node_of(at)), "an array", err);
}

int json_as_string(const struct json_ref *at, const char **ret, struct imbrex_error *err)
{
	int r;

	r = expect(at, json_is_string(node_of(at)), "a string", err);
	if (r < 0)
		return r;
	*ret = json_string_value(node_of(at));
	return 0;
}

int json_as_int64(const struct json_ref *at, int64_t *ret, struct imbrex_error *err)
{
	int r;

	r = expect(at, json_is_integer(node_of(at)), "an integer", err);
	if (r < 0)
		return r;
	*ret = (int64_t)json_integer_value(node_of(at));
	return 0;
}

int json_as_uint64(const struct json_ref *at, uint64_t *ret, struct imbrex_error *err)
{
	char path[PATH_TEXT_MAX];
	int64_t value;
	int r;

	r = json_as_int64(at, &value, err);
	if (r < 0)
		return r;
	if (value < 0)
		return fail(
			err, IMBREX_EFORMAT, "%s is negative", json_path(at, path, sizeof(path)));
	*ret = (uint64_t)value;
	return 0;
}

int json_as_bool(const struct json_ref *at, bool *ret, struct imbrex_error *err)
{
	int r;

	r = expect(at, json_is_boolean(node_of(at)), "a boolean", err);
	if (r < 0)
		return r;
	*ret = json_is_true(node_of(at));
	return 0;
}

int json_opt_object(const struct json_ref *at, struct imbrex_error *err)
{
	int r = json_has(at) ? json_as_object(at, err) : 0;

	return r < 0 ? r : json_has(at);
}

int json_opt_array(const struct json_ref *at, struct imbrex_error *err)
{
	int r = json_has(at) ? json_as_array(at, err) : 0;

	return r < 0 ? r : json_has(at);
}

int json_opt_string(const struct json_ref *at, const char **ret, struct imbrex_error *err)
{
	int r = json_has(at) ? json_as_string(at, ret, err) : 0;

	return r < 0 ? r : json_has(at);
}

int json_opt_int64(const struct json_ref *at, int64_t *ret, struct imbrex_error *err)
{
	int r = json_has(at) ? json_as_int64(at, ret, err) : 0;

	return r < 0 ? r : json_has(at);
}

int json_opt_uint64(const struct json_ref *at, uint64_t *ret, struct imbrex_error *err)
{
	int r = json_has(at) ? json_as_uint64(at, ret, err) : 0;

	return r < 0 ? r : json_has(at);
}

int json_opt_bool(const struct json_ref *at, bool *ret, struct imbrex_error *err)
{
	int r = json_has(at) ? json_as_bool(at, ret, err) : 0;

	return r < 0 ? r : json_has(at);
}

int json_opt_text(const struct json_ref *at, char **ret, struct imbrex_error *err)
{
	const char *text = NULL;
	char *copy;
	int r;

	r = json_opt_string(at, &text, err);
	if (r <= 0)
		return r;
	copy = strdup(text);
	if (!copy)
		return fail_nomem(err);
	*ret = copy;
	return 1;
}

int json_opt_strings(const struct json_ref *at, struct strv *ret, struct imbrex_error *err)
{
	size_t n = json_count(at);
	size_t i;
	int r;

	r = json_opt_array(at, err);
	if (r <= 0)
		return r;
	for (i = 0; i < n; i++) {
		struct json_ref item = json_at(at, i);
		const char *text;

		r = json_as_string(&item, &text, err);
		if (r < 0)
			return r;
		r = strv_add(ret, text);
		if (r < 0)
			return fail_nomem(err);
	}
	return 1;
}
