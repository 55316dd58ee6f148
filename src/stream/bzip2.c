/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzip2 streams into bytes. libbz2 decodes one stream; this file starts the next one where the last
 * ended.
 *
 * Invariant: `open` is true from a stream's first byte to its end; only then libbz2 holds a state.
 */
#include "stream/bzip2.h"

#include <bzlib.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "stream/unpack.h"

struct bunzip2 {
	struct unpack unpack;
	bz_stream bz;
	bool open;
	uint64_t stream_at; /* offset of this stream's first byte */
};

static int stream_error(struct bunzip2 *b, int code, struct imbrex_error *err)
{
	switch (code) {
	case BZ_MEM_ERROR:
		return fail_nomem(err);
	case BZ_DATA_ERROR_MAGIC:
		return fail(err, IMBREX_EFORMAT, "no bzip2 stream at byte %" PRIu64, b->stream_at);
	default:
		return fail(err, IMBREX_EFORMAT, "bzip2 stream at byte %" PRIu64 ": malformed data",
			b->stream_at);
	}
}

static int open_stream(struct bunzip2 *b, struct imbrex_error *err)
{
	int code;

	if (b->open)
		return 0;
	memset(&b->bz, 0, sizeof(b->bz));
	b->stream_at = b->unpack.in_bytes;
	code = BZ2_bzDecompressInit(&b->bz, /* verbosity= */ 0, /* small= */ 0);
	if (code != BZ_OK)
		return stream_error(b, code, err);
	b->open = true;
	return 0;
}

static void close_stream(struct bunzip2 *b)
{
	if (b->open)
		(void)BZ2_bzDecompressEnd(&b->bz); /* fails for invalid arguments only */
	b->open = false;
}

/* One step; *ret_used is what it took of the input, *ret_full says that more output may wait. */
static int step(struct bunzip2 *b, const uint8_t *bytes, size_t len, size_t *ret_used,
	bool *ret_full, struct imbrex_error *err)
{
	unsigned int in_len = (unsigned int)MIN(len, (size_t)INT_MAX);
	uint8_t *room;
	size_t room_len;
	int code;
	int r;

	r = unpack_room(&b->unpack, &room, &room_len, err);
	if (r < 0)
		return r;
	b->bz.next_in = (char *)(uintptr_t)bytes; /* never written; the API lacks the const */
	b->bz.avail_in = in_len;
	b->bz.next_out = (char *)room;
	b->bz.avail_out = (unsigned int)room_len;
	code = BZ2_bzDecompress(&b->bz);
	if (code != BZ_OK && code != BZ_STREAM_END)
		return stream_error(b, code, err);
	*ret_used = in_len - b->bz.avail_in;
	*ret_full = code == BZ_OK && b->bz.avail_out == 0;
	r = unpack_advance(&b->unpack, *ret_used, room_len - b->bz.avail_out, err);
	if (r < 0)
		return r;
	if (code == BZ_STREAM_END)
		close_stream(b);
	return 0;
}

static int bunzip2_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct bunzip2 *b = CONTAINER_OF(s, struct bunzip2, unpack.sink);
	const uint8_t *bytes = buf;
	bool full = false;
	size_t used = 0;
	int r;

	while (len || full) {
		r = open_stream(b, err);
		if (r < 0)
			return r;
		r = step(b, bytes, len, &used, &full, err);
		if (r < 0)
			return r;
		bytes += used;
		len -= used;
	}
	return 0;
}

static int bunzip2_finish(struct sink *s, struct imbrex_error *err)
{
	struct bunzip2 *b = CONTAINER_OF(s, struct bunzip2, unpack.sink);

	if (!b->unpack.in_bytes)
		return fail(err, IMBREX_EFORMAT, "bzip2 stream is empty");
	if (b->open)
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"bzip2 input ends inside a stream after %" PRIu64 " bytes",
			b->unpack.in_bytes);
	return unpack_finish(&b->unpack, err);
}

static void bunzip2_free(struct sink *s)
{
	struct bunzip2 *b = CONTAINER_OF(s, struct bunzip2, unpack.sink);

	close_stream(b);
	unpack_done(&b->unpack);
	free(b);
}

static const struct sink_ops bunzip2_ops = {
	.name = "bunzip2",
	.write = bunzip2_write,
	.finish = bunzip2_finish,
	.free = bunzip2_free,
};

int bunzip2_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct bunzip2 *b = calloc(1, sizeof(*b));
	AUTO_SINK struct sink *s = NULL;
	int r;

	if (!b)
		return fail_nomem(err);
	b->unpack.sink.ops = &bunzip2_ops;
	s = &b->unpack.sink;
	r = unpack_init(&b->unpack, &bunzip2_ops, "bzip2", err);
	if (r < 0)
		return r;
	b->unpack.next = next;
	*ret = take_ptr(s);
	return 0;
}
