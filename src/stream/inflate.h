/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw deflate decoders behind one table of functions. Framing (members, checks, padding) is
 * gzip.c's own, so that every decoder sees and says the same.
 *
 * new -> (inflate* -> reset)* -> free. One thread per state. Leaf tier: 0 or -errno.
 */
#ifndef STREAM_INFLATE_H
#define STREAM_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define INFLATE_OVER_MAX 8

struct inflate_io {
	const uint8_t *in; /* advanced as input is consumed */
	size_t in_len;
	uint8_t *out; /* advanced as output is produced */
	size_t out_len;
	/* Set at the end of a stream: bytes behind it that the decoder has read ahead. */
	uint8_t over[INFLATE_OVER_MAX];
	size_t n_over;
};

struct inflate_ops {
	const char *name;
	int (*new)(void **ret); /* -ENOMEM */
	/* 1 at the end of the stream, 0 when input or room ran out; -EINVAL if malformed, -ENOMEM
	 */
	int (*inflate)(void *state, struct inflate_io *io);
	void (*reset)(void *state); /* to the start of a stream */
	void (*free)(void *state);  /* takes NULL */
	uint32_t (*crc32)(uint32_t crc, const void *buf, size_t len);
};

/* Static tables; the ISA-L one is NULL in a build without it. */
const struct inflate_ops *inflate_zlib(void);
const struct inflate_ops *inflate_isal(void);

#endif
