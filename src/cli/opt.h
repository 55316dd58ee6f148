/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options as data. One table per verb drives parsing, --help, suggestions, completion and the test
 * that holds the man pages against them; nothing knows an option by any other way.
 *
 * Lifecycle: a zeroed struct of the verb -> opt_parse() fills it -> opt_done() frees its lists.
 * Threading: none. Errors: err, EINVAL with the nearest known word as the hint.
 */
#ifndef CLI_OPT_H
#define CLI_OPT_H

#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "imbrex/error.h"

enum opt_type {
	OPT_FLAG = 1, /* bool */
	OPT_NO_FLAG,  /* bool: false; undoes the flag of the same place */
	OPT_SWITCH,   /* int: 1, or -1 for "=false" */
	OPT_TEXT,     /* const char *, borrowed from argv */
	OPT_LIST,     /* struct opt_list: repeatable */
	OPT_NUMBER,   /* unsigned int, at least 1 */
	OPT_CHOICE    /* int: index in `choices` */
};

/* Values in the order given; borrowed from argv, the array is owned. NULL terminated once n > 0. */
struct opt_list {
	const char **items;
	size_t n;
};

struct opt {
	const char *name; /* without dashes; NULL ends a table */
	char letter;      /* 0: none */
	enum opt_type type;
	size_t offset;              /* of the value in the verb's struct */
	const char *arg;            /* what --help calls the value; NULL for flags */
	const char *help;           /* one line */
	const char *const *choices; /* NULL terminated; CHOICE only */
};

/* A table and the struct that its offsets are in. */
struct opt_set {
	const struct opt *opts;
	void *values;
};

#define OPT_SETS_MAX 2

struct opt_parser {
	struct opt_set sets[OPT_SETS_MAX]; /* earlier ones win */
	size_t n_sets;
	size_t operands_first; /* with this many operands, the rest of argv is not looked at;
				  0: options may stand anywhere */
};

/*
 * Parse argv[0] .. argv[argc - 1] (no program name in it) and move the operands to its front.
 *
 * "--name value", "--name=value", "-n value", "-nvalue", bundles of one-letter flags; "--" ends the
 * options.
 * ret_n  number of operands, now in argv[0] .. argv[n - 1]
 */
int opt_parse(const struct opt_parser *p, int argc, char **argv, size_t *ret_n,
	struct imbrex_error *err) MUST_CHECK;
void opt_done(const struct opt_set *set);

/* The lines of --help for one table. */
void opt_print(FILE *f, const struct opt *opts);

/* Does the option take a value of its own? */
static inline int opt_takes_value(const struct opt *o)
{
	return o->arg != NULL && o->type != OPT_SWITCH;
}

/*
 * The word of a list that `word` was probably meant to be; NULL if none is near.
 *
 * next  the i-th word, NULL after the last one
 */
const char *opt_nearest(
	const char *word, const char *(*next)(const void *ctx, size_t i), const void *ctx);

#endif
