/* SPDX-License-Identifier: Apache-2.0 */
/* xz streams into bytes; liblzma does the framing, this file the limits and the messages. */
#include "stream/xz.h"

#include <inttypes.h>
#include <lzma.h>

#include "base/limits.h"
#include "stream/unpack.h"

struct unxz {
	struct unpack unpack;
	lzma_stream lzma;
};

static int stream_error(struct unxz *x, lzma_ret code, struct imbrex_error *err)
{
	uint64_t at = x->unpack.in_bytes;

	switch (code) {
	case LZMA_MEM_ERROR:
		return fail_nomem(err);
	case LZMA_MEMLIMIT_ERROR:
		return fail(err, IMBREX_ELIMIT,
			"xz stream needs %" PRIu64
			" bytes of memory to decode, beyond the limit of %u",
			lzma_memusage(&x->lzma), LIMIT_XZ_MEMORY_BYTES);
	case LZMA_BUF_ERROR:
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"xz stream ends early after %" PRIu64 " bytes", at);
	case LZMA_FORMAT_ERROR:
		return fail(err, IMBREX_EFORMAT, "no xz stream near byte %" PRIu64, at);
	case LZMA_OPTIONS_ERROR:
	case LZMA_UNSUPPORTED_CHECK:
		return fail(err, IMBREX_ENOTSUP,
			"xz stream uses options unknown to liblzma near byte %" PRIu64, at);
	default:
		return fail(err, IMBREX_EFORMAT, "xz stream is malformed near byte %" PRIu64, at);
	}
}

/* Decode until input is used up, at LZMA_FINISH until the end. */
static int decode(
	struct unxz *x, const void *buf, size_t len, lzma_action action, struct imbrex_error *err)
{
	lzma_ret code;
	int r;

	x->lzma.next_in = buf;
	x->lzma.avail_in = len;
	do {
		size_t before = x->lzma.avail_in;
		uint8_t *room;
		size_t room_len;

		r = unpack_room(&x->unpack, &room, &room_len, err);
		if (r < 0)
			return r;
		x->lzma.next_out = room;
		x->lzma.avail_out = room_len;
		code = lzma_code(&x->lzma, action);
		r = unpack_advance(
			&x->unpack, before - x->lzma.avail_in, room_len - x->lzma.avail_out, err);
		if (r < 0)
			return r;
		/* Running dry is an error only when there is nothing more to come. */
		if (code == LZMA_BUF_ERROR && action == LZMA_RUN)
			return 0;
		if (code != LZMA_OK && code != LZMA_STREAM_END)
			return stream_error(x, code, err);
	} while (action == LZMA_FINISH ? code != LZMA_STREAM_END
				       : x->lzma.avail_in || !x->lzma.avail_out);
	return 0;
}

static int unxz_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct unxz *x = CONTAINER_OF(s, struct unxz, unpack.sink);

	return decode(x, buf, len, LZMA_RUN, err);
}

static int unxz_finish(struct sink *s, struct imbrex_error *err)
{
	struct unxz *x = CONTAINER_OF(s, struct unxz, unpack.sink);
	int r;

	if (!x->unpack.in_bytes)
		return fail(err, IMBREX_EFORMAT, "xz stream is empty");
	r = decode(x, NULL, 0, LZMA_FINISH, err);
	if (r < 0)
		return r;
	return unpack_finish(&x->unpack, err);
}

static void unxz_free(struct sink *s)
{
	struct unxz *x = CONTAINER_OF(s, struct unxz, unpack.sink);

	lzma_end(&x->lzma);
	unpack_done(&x->unpack);
	free(x);
}

static const struct sink_ops unxz_ops = {
	.name = "unxz",
	.write = unxz_write,
	.finish = unxz_finish,
	.free = unxz_free,
};

int unxz_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct unxz *x = calloc(1, sizeof(*x));
	AUTO_SINK struct sink *s = NULL;
	int r;

	if (!x)
		return fail_nomem(err);
	x->lzma = (lzma_stream)LZMA_STREAM_INIT;
	x->unpack.sink.ops = &unxz_ops;
	s = &x->unpack.sink;
	r = unpack_init(&x->unpack, &unxz_ops, "xz", err);
	if (r < 0)
		return r;
	if (lzma_stream_decoder(&x->lzma, LIMIT_XZ_MEMORY_BYTES,
		    LZMA_CONCATENATED | LZMA_TELL_UNSUPPORTED_CHECK) != LZMA_OK)
		return fail_nomem(err);
	x->unpack.next = next;
	*ret = take_ptr(s);
	return 0;
}
