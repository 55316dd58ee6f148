/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking images and what only they need out of the tables. The caller holds all tables exclusively
 * (to plan: shared) and saves with removal_save(). Error tier: err.
 */
#ifndef STORE_REMOVAL_H
#define STORE_REMOVAL_H

#include "store/store.h"

/* Containers of the image: removed with it if `force`; else EBUSY (IMAGE_USED_BY_CONTAINER). */
int removal_clear_containers(
	struct imbrex_store *s, const char *image, bool force, struct imbrex_error *err) MUST_CHECK;
/* Layers that nobody needs when the image is gone: copies of its top layer, then from the top layer
 * down. Leaf tier. */
int removal_plan(struct imbrex_store *s, const struct found *image, struct strv *ret) MUST_CHECK;
/* EPERM unless it may be removed: it is our own, or an image of our graph root that lies there
 * since before a second root took the images. */
int removal_check_own(
	struct imbrex_store *s, const struct found *f, struct imbrex_error *err) MUST_CHECK;
/* Its record, in both roots, then these layers, unmounted. */
int removal_drop(struct imbrex_store *s, const struct found *image, const struct strv *layers,
	struct imbrex_error *err) MUST_CHECK;
/* What names something goes first: a crash leaves layers without an image or a container, never the
 * other way round. */
int removal_save(struct imbrex_store *s, struct imbrex_error *err) MUST_CHECK;

#endif
