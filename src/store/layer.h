/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about the layer table, for images, containers and check. The caller holds layers (and
 * images and containers where it says so). Error tier: err.
 */
#ifndef STORE_LAYER_H
#define STORE_LAYER_H

#include "store/store.h"

/* The layer below, in whichever store; false if there is none (or its record is missing). */
bool layer_parent(struct imbrex_store *s, const struct found *layer, struct found *ret);
/*
 * The chain of layers from the one with id `top` down, across stores:
 *	for (layer_walk(s, top, &w); w.more; layer_walk_next(s, &w)) … found_record(&w.at) …
 */
struct layer_walk {
	struct found at; /* valid if `more` */
	size_t n;        /* layers above this one; past the end: of all */
	bool more;
	bool endless; /* the chain was cut at LIMIT_IMAGE_LAYERS: nobody's */
};
void layer_walk(struct imbrex_store *s, struct json_span top, struct layer_walk *w);
void layer_walk_next(struct imbrex_store *s, struct layer_walk *w);
/* Sum of the sizes of a chain, and its length, to be shown: records are not looked at. -1: unknown,
 * or more layers than an image can have. */
int64_t layer_chain_size(struct imbrex_store *s, struct json_span top, size_t *ret_n);
/* The same of one layer alone. */
int64_t layer_size(struct imbrex_store *s, struct json_span id);
/* A layer of our own stands on it: which (ret may be NULL), and how many. */
bool layer_child(struct imbrex_store *s, const char *id, struct found *ret);
size_t layer_count_children(struct imbrex_store *s, const char *id);
static inline bool layer_has_children(struct imbrex_store *s, const char *id)
{
	return layer_child(s, id, NULL);
}
/* An image of our own (of either root), other than `but` (an id; NULL: any), whose top layer it is,
 * or (`mapped`) that has it as a copy of its top layer. ret may be NULL. Needs images. */
bool layer_image(
	struct imbrex_store *s, const char *id, const char *but, bool mapped, struct found *ret);
/* An image, other than `but`, or a container of our own names it. Needs images and containers. */
bool layer_is_used_beside(struct imbrex_store *s, const char *id, const char *but);
static inline bool layer_is_used(struct imbrex_store *s, const char *id)
{
	return layer_is_used_beside(s, id, NULL);
}
/* The file that the record of a new layer belongs to. */
enum record_place layer_place(const struct imbrex_store *s, bool image, bool is_volatile);
/* Record out of the table; its files follow when the caller saves the table. */
int layer_drop(struct imbrex_store *s, const char *id, struct imbrex_error *err) MUST_CHECK;

/* The strings as a NULL terminated array, never NULL except on no memory; empties `v`. */
char **strings_take(struct strv *v) MUST_CHECK;

#endif
