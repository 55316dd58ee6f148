/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on the content of layers, and the damaged stores that repair starts from. Each is the
 * `run` or `before` of an operation, see operations.h.
 */
#ifndef FAULT_CONTENT_H
#define FAULT_CONTENT_H

#include <stdio.h>

#include "world.h"

/* Once: what is copied into layers. */
void content_prepare(const struct world *w);

/* Of a layer named "fresh". */
int content_apply_dir(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int content_copy_in(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
/* Of the copy, under other owners, of the top layer of image "one". */
int content_apply_to_copy(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int content_forget_copy(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
/* Of all layers; where blocks cannot be shared, nothing. */
int content_dedup(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);

/* Check and repair; a failure too if something stays damaged. */
int content_repair(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
/* The same with the source of image "one", and taking away what it cannot make whole. */
int content_repair_from(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int content_repair_removing(
	const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
/* What is repaired then, in the store that the operation works on. */
int damage_file(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int lose_file(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int damage_copy(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int damage_document(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int damage_links(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
int damage_table(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);

/* A tar stream of one empty file, at its beginning. */
FILE *content_archive(const char *name);

#endif
