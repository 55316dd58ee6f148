/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of the plumbing face, in the syntax that Docker once had: names are exact, a value
 * follows as "=VALUE" or as the next argument, a bool takes "=VALUE" only, and the first argument
 * that is no flag ends them. It is not the native face's syntax, and shall not become it: scripts
 * depend on every corner.
 *
 * flag_set_init (notes the defaults) -> flag_parse -> flag_parsed_done, flag_set_done.
 * Threading: none. Errors: leaf tier, -ENOMEM; wrong usage is a result, in messages for people.
 */
#ifndef CLI_STORAGE_FLAG_H
#define CLI_STORAGE_FLAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "base/strv.h"

enum flag_type {
	FLAG_BOOL = 1, /* bool */
	FLAG_TEXT,     /* const char *; NULL counts as "" */
	FLAG_LIST      /* struct flag_list: repeatable */
};

/* Values in the order given; borrowed from argv, the array is owned. NULL terminated once n > 0. */
struct flag_list {
	const char **items;
	size_t n;
};

#define FLAG_NAMES_MAX 3

struct flag {
	/* With their dashes: "--json", "-j". The first decides about the order of the usage. A '#'
	 * in front marks one that works, with a warning, and is not shown. NULL ends a table. */
	const char *names[FLAG_NAMES_MAX];
	enum flag_type type;
	size_t offset; /* of the value in the table's struct */
	const char *usage;
};

struct flag_table {
	const struct flag *flags; /* ended by a first name of NULL; NULL: none */
	void *values;             /* the struct that the offsets are in */
};

#define FLAG_TABLES_MAX 2

struct flag_set {
	struct flag_table tables[FLAG_TABLES_MAX];
	struct strv defaults; /* of all flags, in the order of the tables; as text */
};

/* Note what the values are now: the usage shows it. */
int flag_set_init(struct flag_set *set) MUST_CHECK;
void flag_set_done(struct flag_set *set);
#define AUTO_FLAG_SET __attribute__((cleanup(flag_set_done))) struct flag_set
/* Free the lists in the values of a table. */
void flag_values_done(const struct flag_table *table);

/* The aligned list of flags, after an empty line. */
int flag_print_usage(FILE *f, const struct flag_set *set) MUST_CHECK;

struct flag_parsed {
	char **operands; /* the rest of argv; borrowed, NULL terminated */
	size_t n_operands;
	bool failed;          /* wrong usage, or help */
	bool help;            /* a help flag that is in no table was met: show the usage */
	struct strv warnings; /* whole lines */
	struct strv messages; /* what is wrong, in the order found; none with help alone */
};
void flag_parsed_done(struct flag_parsed *p);
#define AUTO_FLAG_PARSED __attribute__((cleanup(flag_parsed_done))) struct flag_parsed

/*
 * Parse argv (NULL terminated, without the program's name) up to the first operand.
 *
 * Values are pointers into argv; quotes around one that follows a '=' are cut off there. Flags that
 * came before a wrong one keep their values.
 */
int flag_parse(const struct flag_set *set, char **argv, struct flag_parsed *ret) MUST_CHECK;

#endif
