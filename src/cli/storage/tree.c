/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of `layers --tree`. Without recursion: the depth is that of a chain of layers in a store
 * that may be anybody's.
 */
#include "cli/storage/tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define NONE SIZE_MAX

/* A name that nodes have as their parent. */
struct family {
	const char *name;
	size_t first, last; /* children; indices of nodes */
	size_t n;
	size_t order; /* of appearance */
	bool is_root;
	bool drawn; /* ids that are recorded twice must not lead round in circles */
};

struct forest {
	const struct tree_node *nodes;
	size_t n_nodes;
	struct family *families; /* one per parent's name */
	size_t n_families;
	struct map *by_parent; /* name -> struct family */
	size_t *next;          /* of each node: its next sibling */
};

/* A node that waits to be drawn. */
struct pending {
	size_t node, depth;
};

struct drawing {
	FILE *f;
	const struct forest *forest;
	struct pending *stack; /* every node is on it at most once */
	size_t n_stack;
	bool *continues; /* of each depth: a sibling follows below */
};

static struct family *family_of(const struct forest *f, const char *name)
{
	void *found = NULL;

	return map_get(f->by_parent, name, strlen(name), &found) ? found : NULL;
}

static int add_child(struct forest *f, size_t child)
{
	const char *parent = f->nodes[child].parent;
	struct family *family = family_of(f, parent);

	f->next[child] = NONE;
	if (family) {
		f->next[family->last] = child;
		family->last = child;
		family->n++;
		return 0;
	}
	family = &f->families[f->n_families];
	*family = (struct family){ .name = parent,
		.first = child,
		.last = child,
		.n = 1,
		.order = f->n_families++,
		.is_root = true };
	return map_set(f->by_parent, parent, strlen(parent), family);
}

static int forest_link(struct forest *f)
{
	struct family *family;
	size_t i;
	int r = 0;

	f->families = calloc(f->n_nodes + 1, sizeof(*f->families));
	f->next = calloc(f->n_nodes + 1, sizeof(*f->next));
	f->by_parent = map_new();
	if (!f->families || !f->next || !f->by_parent)
		return -ENOMEM;
	for (i = 0; r == 0 && i < f->n_nodes; i++)
		r = add_child(f, i);
	for (i = 0; i < f->n_nodes; i++) {
		family = family_of(f, f->nodes[i].name);
		if (family)
			family->is_root = false;
	}
	return r;
}

static int compare_families(const void *a, const void *b)
{
	const struct family *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void push_children(struct drawing *d, const struct family *family, size_t depth)
{
	size_t at = d->n_stack + family->n, i;

	/* Last in, first out: the first child goes on top. */
	d->n_stack = at;
	for (i = family->first; i != NONE; i = d->forest->next[i])
		d->stack[--at] = (struct pending){ .node = i, .depth = depth };
}

static void draw_indent(const struct drawing *d, size_t depth)
{
	size_t i;

	for (i = 0; i < depth; i++)
		(void)fputs(d->continues[i] ? "│ " : "  ", d->f);
}

static void draw_node(struct drawing *d)
{
	const struct pending at = d->stack[--d->n_stack];
	const struct tree_node *node = &d->forest->nodes[at.node];
	struct family *family = family_of(d->forest, node->name);
	bool more = d->forest->next[at.node] != NONE;
	size_t i;

	draw_indent(d, at.depth);
	(void)fprintf(d->f, "%s─%s\n", more ? "├" : "└", node->name);
	for (i = 0; i < node->notes.n; i++) {
		draw_indent(d, at.depth);
		(void)fprintf(d->f, "%s %s\n", more ? "│" : " ", node->notes.items[i]);
	}
	d->continues[at.depth] = more;
	if (!family || family->drawn)
		return;
	family->drawn = true;
	push_children(d, family, at.depth + 1);
}

static int draw(FILE *f, const struct forest *forest)
{
	struct drawing d = { .f = f, .forest = forest };
	struct family *roots = calloc(forest->n_families + 1, sizeof(*roots));
	size_t n_roots = 0, i;
	int r = 0;

	d.stack = calloc(forest->n_nodes + 1, sizeof(*d.stack));
	d.continues = calloc(forest->n_nodes + 1, sizeof(*d.continues));
	if (!roots || !d.stack || !d.continues)
		r = -ENOMEM;
	for (i = 0; r == 0 && i < forest->n_families; i++) {
		if (forest->families[i].is_root)
			roots[n_roots++] = forest->families[i];
	}
	if (roots)
		qsort(roots, n_roots, sizeof(*roots), compare_families);
	for (i = 0; i < n_roots; i++) {
		(void)fprintf(f, "%s\n", roots[i].name);
		push_children(&d, &roots[i], 0);
		while (d.n_stack)
			draw_node(&d);
	}
	free(roots);
	free(d.stack);
	free(d.continues);
	return r;
}

int tree_print(FILE *f, const struct tree_node *nodes, size_t n)
{
	struct forest forest = { .nodes = nodes, .n_nodes = n };
	int r;

	r = forest_link(&forest);
	if (r == 0)
		r = draw(f, &forest);
	free(forest.families);
	free(forest.next);
	map_free(forest.by_parent);
	return r;
}
