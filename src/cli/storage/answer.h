/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One answer per argument, printed as one JSON object. An argument that is given twice has one
 * answer, the last; keys stand in the order of their bytes, as Go prints a map.
 *
 * answers_init -> answers_set* -> use -> answers_done. Threading: none. Errors: leaf tier.
 */
#ifndef CLI_STORAGE_ANSWER_H
#define CLI_STORAGE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"

struct answer {
	const char *key; /* borrowed */
	char *text;      /* owned */
	char **list;     /* owned, imbrex_strings_free(); NULL: none */
	bool yes;
};

struct answers {
	struct answer *items; /* owned; in the order of the arguments */
	size_t n;
};

/* Room for one answer per key. */
int answers_init(struct answers *a, char *const *keys, size_t n) MUST_CHECK;
void answers_done(struct answers *a);
#define AUTO_ANSWERS __attribute__((cleanup(answers_done))) struct answers

/* {"key":…,…} and a newline; `value` prints one. */
int answers_print_json(FILE *f, const struct answers *a,
	void (*value)(FILE *f, const struct answer *answer)) MUST_CHECK;

#endif
