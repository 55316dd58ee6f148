/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of an image, base first, each to where its owner wants it, whatever order they come
 * in.
 *
 * feed_init -> feed_announced? -> feed_run -> feed_done. One thread. Errors: err.
 *
 * An engine's archive passes by once: a layer whose turn it is goes straight to its place, one that
 * is there already is hashed and thrown away, and one that comes too early, or is needed again, is
 * kept: in memory if it is small (empty layers are what images have twice), else in the transport's
 * temporary file, with all that follows it.
 */
#ifndef IMAGE_FEED_H
#define IMAGE_FEED_H

#include "image/import.h"

struct feed_target {
	/*
	 * The turn of layer `i`.
	 *
	 * ret_fd   directory that holds all below it; borrowed until end()
	 * Returns  1 if the layer is there after all: nothing will be written, no end() follows
	 */
	int (*begin)(void *ctx, size_t i, int *ret_fd, struct imbrex_error *err);
	/* It is there, and is what its DiffID says. */
	int (*end)(void *ctx, size_t i, struct imbrex_error *err);
	void *ctx;
};

struct feed_kept;

struct feed {
	struct import *im; /* borrowed */
	const struct feed_target *target;
	struct archive_events events;
	const struct hash_value *diff_ids; /* announced; borrowed from the source */
	size_t n;                          /* of them */
	struct hash_value image;           /* announced */
	size_t next;                       /* layers before it are there */
	struct feed_kept *kept;            /* owned list */
	bool armed;                        /* layers that pass by are taken */
	bool told;                         /* that layers are unpacked */
};

/* Before import_open(im): the layers that pass by will be ours. */
void feed_init(struct feed *f, struct import *im);
void feed_done(struct feed *f);
#define AUTO_FEED __attribute__((cleanup(feed_done))) struct feed

/* After import_open(): does the source say what the image consists of before it sends it? 1 (then
 * f->image, f->diff_ids, f->n are set), or 0: import_documents() tells. */
int feed_announced(struct feed *f, struct imbrex_error *err) MUST_CHECK;
/* All layers from `first` on, documents too if they have not come yet. */
int feed_run(struct feed *f, size_t first, const struct feed_target *target,
	struct imbrex_error *err) MUST_CHECK;

#endif
