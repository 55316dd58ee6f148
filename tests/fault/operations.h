/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations that are interrupted, and the stores they start from.
 *
 * operations_prepare() once; then each round copies `from` to a fresh place, opens it, runs
 * `before` undisturbed and `run` disturbed.
 */
#ifndef FAULT_OPERATIONS_H
#define FAULT_OPERATIONS_H

#include "world.h"

struct operation {
	const char *name;
	const char *from; /* store to start from; NULL: none, and `run` is opening it */
	int (*before)(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
	int (*run)(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
	/* A step on the way, after which it may end; NULL: it is done, or not. */
	int (*halfway)(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
	bool is_gc;     /* which follows anyway, and makes the new state of the old */
	bool is_sparse; /* of many calls that others make as well: fewer of them are disturbed */
	bool mends;     /* `before` damages the store: what is left of it may be damaged, too */
};

extern const struct operation operations[];
extern const size_t n_operations;

/* IMBREX_FAULT_ONLY is part of its name, or not set. */
bool operation_is_wanted(const struct operation *o);

/* From one call that is disturbed to the next. */
unsigned int operation_stride(const struct world *w, const struct operation *o);

/* What the store says before and after an operation that nothing disturbs. */
struct outcome {
	struct strv before;
	struct strv halfway; /* the same as `before` if there is no such step */
	struct strv after;
	unsigned int n_calls;
};

/* Makes the stores to start from. Skips the test if the driver does not work here. */
void operations_prepare(const struct world *w);
/* A store for one round at `name`; NULL if `o` is opening one, or after a problem. */
struct imbrex_store *operation_begin(
	const struct world *w, const struct operation *o, const char *name);
/* The operation; *s is what it works on, and what it has opened. */
int operation_run(const struct world *w, const struct operation *o, const char *name,
	struct imbrex_store **s, struct imbrex_error *err);
struct outcome operation_outcome(const struct world *w, const struct operation *o);
void outcome_done(struct outcome *outcome);

/*
 * What must hold when an operation came to a bad end and nothing disturbs any more. `succeeded`: it
 * said so. The store at `name` is closed on entry, and removed by the next round.
 */
void operation_recover(const struct world *w, const struct operation *o, const char *name,
	const struct outcome *outcome, bool succeeded);

#endif
