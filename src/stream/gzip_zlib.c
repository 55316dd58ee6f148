/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder that every build has. zlib reads nothing ahead of the end of a stream. */
#include <limits.h>
#include <stdint.h>
#include <zlib.h>

#include "stream/inflate.h"

static int zlib_new(void **ret)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	/* Negative window bits: raw deflate. */
	if (inflateInit2(z, -MAX_WBITS) != Z_OK) {
		free(z);
		return -ENOMEM;
	}
	*ret = z;
	return 0;
}

static int zlib_inflate(void *state, struct inflate_io *io)
{
	uInt in_len = (uInt)MIN(io->in_len, (size_t)INT_MAX);
	uInt out_len = (uInt)MIN(io->out_len, (size_t)INT_MAX);
	z_stream *z = state;
	int r;

	z->next_in = (z_const Bytef *)(uintptr_t)io->in; /* zlib may be built without z_const */
	z->avail_in = in_len;
	z->next_out = io->out;
	z->avail_out = out_len;
	r = inflate(z, Z_NO_FLUSH);
	io->in += in_len - z->avail_in;
	io->in_len -= in_len - z->avail_in;
	io->out += out_len - z->avail_out;
	io->out_len -= out_len - z->avail_out;
	switch (r) {
	case Z_STREAM_END:
		io->n_over = 0;
		return 1;
	case Z_OK:
	case Z_BUF_ERROR: /* nothing to do without more input or room */
		return 0;
	case Z_MEM_ERROR:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

static void zlib_reset(void *state)
{
	(void)inflateReset(state); /* fails for an inconsistent state only */
}

static void zlib_free(void *state)
{
	if (!state)
		return;
	(void)inflateEnd(state);
	free(state);
}

static uint32_t zlib_crc32(uint32_t crc, const void *buf, size_t len)
{
	return (uint32_t)crc32_z(crc, buf, len);
}

const struct inflate_ops *inflate_zlib(void)
{
	static const struct inflate_ops ops = {
		.name = "zlib",
		.new = zlib_new,
		.inflate = zlib_inflate,
		.reset = zlib_reset,
		.free = zlib_free,
		.crc32 = zlib_crc32,
	};

	return &ops;
}
