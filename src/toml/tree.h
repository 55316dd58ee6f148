/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a TOML document as its parser and its readers share it; everyone else includes
 * toml/toml.h. parse.c builds, toml.c frees and reads; nothing changes it after parsing.
 */
#ifndef TOML_TREE_H
#define TOML_TREE_H

#include "toml/toml.h"

/* How a table or array came to be, which decides what may still be added to it. */
enum toml_origin {
	TOML_FROM_VALUE = 0, /* written out behind '=' or inside an array: closed */
	TOML_FROM_HEADER,    /* [a.b]; or the root: open only while it is the current one */
	TOML_FROM_PATH,      /* `a` of [a.b]: may get its own header once */
	TOML_FROM_KEY,       /* `a` of a.b = 1: open to dotted keys */
	TOML_FROM_DOUBLE,    /* array of [[a]]: grows by each such header */
};

struct toml_value {
	enum toml_kind kind;
	enum toml_origin origin; /* of a table or array */
	const struct toml_doc *doc;
	unsigned int line;   /* from 1 */
	unsigned int column; /* from 1, in bytes */
	char *key;           /* owned; NULL for elements and the root */
	char *text;      /* owned; string decoded, numbers and times as written; NULL for others */
	int64_t integer; /* of an integer; 0 or 1 of a boolean */
	struct toml_value *first; /* owned children, linked by next */
	struct toml_value *last;
	size_t n_children;
	struct toml_value *next; /* owned by the parent */
};

struct toml_doc {
	char *name;              /* owned */
	struct toml_value *root; /* owned */
};

void toml_value_free(struct toml_value *v);
DEFINE_CLEANUP(toml_value, struct toml_value, toml_value_free)
#define AUTO_TOML_VALUE AUTO(toml_value) struct toml_value

/* Member by key of `len` bytes; NULL if absent. */
struct toml_value *toml_find(const struct toml_value *table, const char *key, size_t len);

#endif
