/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the fault tests live: a temporary directory with an image source, stores that are copied
 * as often as they are broken, and what can be asked about a store from outside.
 *
 * world_new -> world_copy, store_open_at, state_of, …. One thread. Functions print
 * what is wrong with the test's surroundings and exit; what is wrong with imbrex is told by
 * problem().
 */
#ifndef FAULT_WORLD_H
#define FAULT_WORLD_H

#include <limits.h>
#include <stdbool.h>

#include "base/strv.h"
#include "imbrex/imbrex.h"

struct world {
	char dir[64];       /* removed at exit */
	const char *driver; /* borrowed */
	unsigned int stride;
	bool full;
};

/* 77 and a reason are the end of a test that cannot run here. */
void skip(const char *reason) __attribute__((noreturn));
/* Something is wrong with imbrex: said, counted. Too many end the test. */
void problem(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What problem() says first from now on. */
void context(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned int problems(void);

/* It is unmounted and removed when this process exits. */
void world_new(struct world *w, const char *driver, const char *python, const char *script);

/* Path in the world; from a ring of a few buffers. */
const char *world_path(const struct world *w, const char *name);
/* Where the driver has its layers, below the graph root. */
const char *world_home(const struct world *w);
void world_copy(const struct world *w, const char *from, const char *to);
void world_remove(const struct world *w, const char *name);
/* "oci:…:TAG"; a ring as well. */
const char *world_source(const struct world *w, const char *tag);

int store_open_in(const struct world *w, const char *name, struct imbrex_store **ret,
	struct imbrex_error *err);
/* Must succeed: a problem, and NULL, if not. */
struct imbrex_store *store_reopen(const struct world *w, const char *name);

/* Everything that records say, but for random ids and times: sorted lines. */
struct strv state_of(struct imbrex_store *s);
bool state_equal(const struct strv *a, const struct strv *b);
/* All that both have, and nothing that neither has. */
bool state_between(const struct strv *s, const struct strv *a, const struct strv *b);
void state_print(const char *title, const struct strv *s);

/* A problem for each thing that imbrex_check() finds; garbage is none if allowed. */
void expect_clean(struct imbrex_store *s, bool garbage_is_fine);
/* Collects the garbage of two days later, and expects that nothing is left of it. */
void expect_collectable(const struct world *w, struct imbrex_store *s, const char *name);
/* One line, of the status that was returned. */
void expect_message(int r, const struct imbrex_error *err);

unsigned int count_fds(void);
/* Number of names in a directory that begin with `prefix`; 0 if there is no such directory. */
unsigned int count_names(const char *dir, const char *prefix);

#endif
