/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstd frames into bytes. libzstd keeps the framing; this file adds what it leaves open: where a
 * frame began (for messages), whether the input may end here, and which formats we take at all.
 *
 * Invariant: frame_len is the number of bytes fed since the last frame ended; the stream may end
 * only where it is 0. The first four bytes of a frame are looked at before libzstd decodes it: it
 * may be built with decoders of formats that only attackers still write.
 */
#include "stream/zstd.h"

#include <inttypes.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/limits.h"
#include "stream/unpack.h"

#define MAGIC_BYTES 4
/* RFC 8878 section 3.1.1.1: magic number, descriptor, window, dictionary, content size. */
#define FRAME_HEADER_BYTES_MAX 18

struct unzstd {
	struct unpack unpack;
	ZSTD_DCtx *zstd;    /* owned */
	uint64_t frame_at;  /* offset of the frame's first byte */
	uint64_t frame_len; /* bytes of it consumed */
	uint32_t magic;     /* the first of those, little-endian */
};

static int frame_error(struct unzstd *z, size_t code, struct imbrex_error *err)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		return fail_nomem(err);
	case ZSTD_error_prefix_unknown: /* known before check_magic() had all four bytes */
		return fail(err, IMBREX_EFORMAT, "no zstd frame at byte %" PRIu64, z->frame_at);
	case ZSTD_error_frameParameter_windowTooLarge:
		return fail(err, IMBREX_ELIMIT,
			"zstd frame at byte %" PRIu64 ": window is beyond the limit of %u bytes",
			z->frame_at, 1u << LIMIT_ZSTD_WINDOW_LOG);
	default:
		return fail(err, IMBREX_EFORMAT, "zstd frame at byte %" PRIu64 ": %s", z->frame_at,
			ZSTD_getErrorName(code));
	}
}

/*
 * Bytes that may be fed at once. libzstd 1.5.4, when a call completes a frame's header, looks for a
 * whole frame at the start of that call's input, although the header may have begun in an earlier
 * call: crafted header bytes then decode as a skippable frame. A call with one byte holds no frame.
 */
static size_t feed_len(const struct unzstd *z, size_t len)
{
	return z->frame_len < FRAME_HEADER_BYTES_MAX ? MIN(len, 1u) : len;
}

/* Look at `len` bytes before they are fed. */
static int check_magic(struct unzstd *z, const uint8_t *bytes, size_t len, struct imbrex_error *err)
{
	size_t i;

	if (z->frame_len >= MAGIC_BYTES)
		return 0;
	if (z->frame_len == 0) {
		z->frame_at = z->unpack.in_bytes;
		z->magic = 0;
	}
	for (i = 0; i < len; i++)
		z->magic |= (uint32_t)bytes[i] << 8 * (z->frame_len + i);
	if (z->frame_len + len < MAGIC_BYTES || z->magic == ZSTD_MAGICNUMBER ||
		(z->magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START)
		return 0;
	return fail(err, IMBREX_EFORMAT, "no zstd frame at byte %" PRIu64, z->frame_at);
}

static int unzstd_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct unzstd *z = CONTAINER_OF(s, struct unzstd, unpack.sink);
	ZSTD_inBuffer in = { buf, 0, 0 };
	ZSTD_outBuffer out;
	int r;

	do {
		size_t before = in.pos;
		uint8_t *room;
		size_t room_len;
		size_t left;

		in.size = in.pos + feed_len(z, len - in.pos);
		r = check_magic(z, (const uint8_t *)buf + in.pos, in.size - in.pos, err);
		if (r < 0)
			return r;
		r = unpack_room(&z->unpack, &room, &room_len, err);
		if (r < 0)
			return r;
		out = (ZSTD_outBuffer){ room, room_len, 0 };
		left = ZSTD_decompressStream(z->zstd, &out, &in);
		if (ZSTD_isError(left))
			return frame_error(z, left, err);
		z->frame_len = left ? z->frame_len + (in.pos - before) : 0;
		r = unpack_advance(&z->unpack, in.pos - before, out.pos, err);
		if (r < 0)
			return r;
	} while (in.pos < len || out.pos == out.size);
	return 0;
}

static int unzstd_finish(struct sink *s, struct imbrex_error *err)
{
	struct unzstd *z = CONTAINER_OF(s, struct unzstd, unpack.sink);

	if (!z->unpack.in_bytes)
		return fail(err, IMBREX_EFORMAT, "zstd stream is empty");
	if (z->frame_len)
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"zstd stream ends inside a frame after %" PRIu64 " bytes",
			z->unpack.in_bytes);
	return unpack_finish(&z->unpack, err);
}

static void unzstd_free(struct sink *s)
{
	struct unzstd *z = CONTAINER_OF(s, struct unzstd, unpack.sink);

	(void)ZSTD_freeDCtx(z->zstd);
	unpack_done(&z->unpack);
	free(z);
}

static const struct sink_ops unzstd_ops = {
	.name = "unzstd",
	.write = unzstd_write,
	.finish = unzstd_finish,
	.free = unzstd_free,
};

int unzstd_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct unzstd *z = calloc(1, sizeof(*z));
	AUTO_SINK struct sink *s = NULL;
	size_t code;
	int r;

	if (!z)
		return fail_nomem(err);
	z->unpack.sink.ops = &unzstd_ops;
	s = &z->unpack.sink;
	r = unpack_init(&z->unpack, &unzstd_ops, "zstd", err);
	if (r < 0)
		return r;
	z->zstd = ZSTD_createDCtx();
	if (!z->zstd)
		return fail_nomem(err);
	code = ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, LIMIT_ZSTD_WINDOW_LOG);
	if (ZSTD_isError(code))
		return fail(
			err, IMBREX_EFAIL, "limit the zstd window: %s", ZSTD_getErrorName(code));
	z->unpack.next = next;
	*ret = take_ptr(s);
	return 0;
}
