/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every decompressing stage shares: the output block, the byte counts and the guard against
 * bombs. A codec embeds struct unpack first, asks for room, produces into it and says how much.
 *
 * unpack_init -> (unpack_room, unpack_advance)* -> unpack_finish -> unpack_done
 * One thread. Errors by err.
 */
#ifndef STREAM_UNPACK_H
#define STREAM_UNPACK_H

#include <stdint.h>

#include "stream/sink.h"

struct unpack {
	struct sink sink;
	struct sink *next;  /* owned; the codec sets it last in its constructor */
	const char *format; /* "gzip", for messages; static */
	uint8_t *block;     /* owned; UNPACK_BLOCK_BYTES */
	size_t n_block;     /* bytes in it that `next` has not seen */
	uint64_t in_bytes;  /* consumed so far: the offset of the next input byte */
	uint64_t out_bytes; /* produced so far */
};

/* Zeroed storage becomes a stage without `next`; unpack_done() is right after failure too. */
int unpack_init(struct unpack *u, const struct sink_ops *ops, const char *format,
	struct imbrex_error *err) MUST_CHECK;
void unpack_done(struct unpack *u);

/* Where output goes; at least one byte. Hands a full block to `next` first. */
int unpack_room(
	struct unpack *u, uint8_t **ret, size_t *ret_len, struct imbrex_error *err) MUST_CHECK;

/* Account for bytes consumed and for bytes produced into the room. ELIMIT by expansion_check(). */
int unpack_advance(struct unpack *u, size_t consumed_bytes, size_t produced_bytes,
	struct imbrex_error *err) MUST_CHECK;

/* Hand the rest to `next` and finish it. */
int unpack_finish(struct unpack *u, struct imbrex_error *err) MUST_CHECK;

/*
 * ELIMIT if `out_bytes` of output from `in_bytes` of input look like a bomb: more than
 * LIMIT_LAYER_BYTES, or beyond the first 64 MiB more than LIMIT_EXPANSION_RATIO to one.
 */
int expansion_check(const char *format, uint64_t in_bytes, uint64_t out_bytes,
	struct imbrex_error *err) MUST_CHECK;

#endif
