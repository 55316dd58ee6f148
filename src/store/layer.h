/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about the layer table, for images, containers and check. The caller holds layers (and
 * images and containers where it says so). Error tier: err.
 */
#ifndef STORE_LAYER_H
#define STORE_LAYER_H

#include "store/store.h"

/* Index of the layer below, -1 if there is none (or its record is missing). */
ptrdiff_t layer_parent(struct imbrex_store *s, size_t index);
bool layer_has_children(struct imbrex_store *s, const char *id);
/* An image or a container names it. Needs images and containers. */
bool layer_is_used(struct imbrex_store *s, const char *id);
/* Record out of the table; its files follow when the caller saves the table. */
int layer_drop(struct imbrex_store *s, const char *id, struct imbrex_error *err) MUST_CHECK;

/* The strings as a NULL terminated array, never NULL except on no memory; empties `v`. */
char **strings_take(struct strv *v) MUST_CHECK;

#endif
