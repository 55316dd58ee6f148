/* SPDX-License-Identifier: Apache-2.0 */
/* A forest drawn in lines, two columns a level. Threading: none. Errors: leaf tier. */
#ifndef CLI_STORAGE_TREE_H
#define CLI_STORAGE_TREE_H

#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "base/strv.h"

struct tree_node {
	const char *parent; /* a name; one that is no node's is a root */
	const char *name;
	struct strv notes; /* lines below the name */
};

/*
 * The root with the fewest children first; children in the order of the array. What hangs on itself
 * is left out.
 */
int tree_print(FILE *f, const struct tree_node *nodes, size_t n) MUST_CHECK;

#endif
