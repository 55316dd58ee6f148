/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast decoder: ISA-L inflates two to three times as fast as zlib. It reads input ahead into a
 * 64-bit register; what lies there behind the end of a stream is handed back through io->over.
 *
 * It is more lenient than zlib in one thing (2.30, by fuzzing): it decodes some blocks whose
 * Huffman codes are incomplete. Such content still has to match its check value and digest.
 */
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <limits.h>

#include "stream/inflate.h"

static void isal_reset(void *state)
{
	struct inflate_state *s = state;

	isal_inflate_reset(s);
	s->crc_flag = ISAL_DEFLATE;
}

static int isal_new(void **ret)
{
	struct inflate_state *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	isal_inflate_init(s);
	isal_reset(s);
	*ret = s;
	return 0;
}

/* Whole bytes in the register are input that the stream did not need. */
static void take_over(struct inflate_state *s, struct inflate_io *io)
{
	uint64_t bits = s->read_in >> (s->read_in_length % 8);
	int32_t n = s->read_in_length / 8;

	for (io->n_over = 0; n > 0 && io->n_over < INFLATE_OVER_MAX; n--) {
		io->over[io->n_over++] = (uint8_t)bits;
		bits >>= 8;
	}
}

static int isal_decode(void *state, struct inflate_io *io)
{
	uint32_t in_len = (uint32_t)MIN(io->in_len, (size_t)INT_MAX);
	uint32_t out_len = (uint32_t)MIN(io->out_len, (size_t)INT_MAX);
	struct inflate_state *s = state;
	int r;

	s->next_in = (uint8_t *)(uintptr_t)io->in; /* never written; the API lacks the const */
	s->avail_in = in_len;
	s->next_out = io->out;
	s->avail_out = out_len;
	r = isal_inflate(s);
	io->in += in_len - s->avail_in;
	io->in_len -= in_len - s->avail_in;
	io->out += out_len - s->avail_out;
	io->out_len -= out_len - s->avail_out;
	if (r < 0)
		return -EINVAL;
	if (s->block_state != ISAL_BLOCK_FINISH)
		return 0;
	take_over(s, io);
	return 1;
}

static uint32_t isal_crc32(uint32_t crc, const void *buf, size_t len)
{
	return crc32_gzip_refl(crc, buf, len);
}

const struct inflate_ops *inflate_isal(void)
{
	static const struct inflate_ops ops = {
		.name = "ISA-L",
		.new = isal_new,
		.inflate = isal_decode,
		.reset = isal_reset,
		.free = free,
		.crc32 = isal_crc32,
	};

	return &ops;
}
