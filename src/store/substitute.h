/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of other layers in the place of damaged ones: the same size and checksum, as tar-split
 * files record them. That is not proof; whoever uses them proves the sum by the DiffID.
 * Error tier: err.
 */
#ifndef STORE_SUBSTITUTE_H
#define STORE_SUBSTITUTE_H

#include "format/tarsplit/assemble.h"
#include "store/reread.h"
#include "store/store.h"

struct substitute {
	char *name; /* owned; of the damaged file */
	uint64_t size_bytes;
	uint64_t crc;
	int fd; /* owned; content of another file; -EBADF: none was found */
};

struct substitutes {
	struct substitute *items; /* owned */
	size_t n;
};

void substitutes_done(struct substitutes *s);
/* For every file of the layer that `read` found damaged or missing. 1: all; 0: not all. */
int substitutes_find(struct imbrex_store *s, const char *id, const struct reread *read,
	struct substitutes *ret, struct imbrex_error *err) MUST_CHECK;
/* The content of a file of the layer: its substitute, or its own in `rootfd`. fd or status. */
int substitutes_open(const struct substitutes *s, int rootfd, const char *name, size_t name_len,
	struct imbrex_error *err) MUST_CHECK;
/* The tar of a tar-split file into `to`, which is taken in every case and finished. */
int substitutes_assemble(int split, tarsplit_open_fn open, void *ctx, struct sink *to,
	struct imbrex_error *err) MUST_CHECK;

#endif
