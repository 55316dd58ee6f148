/* SPDX-License-Identifier: Apache-2.0 */
/* gzip by zlib: registries compare digests, so stable bytes matter more than speed. */
#include <limits.h>
#include <stdint.h>
#include <zlib.h>

#include "base/limits.h"
#include "stream/compress.h"

/* RFC 1952 section 2.3.1: "unknown" file system. */
#define GZIP_OS_UNKNOWN 255
/* zlib: largest window, plus 16 for a gzip wrapper; 8 is its default memory level. */
#define GZIP_WINDOW_BITS (MAX_WBITS + 16)
#define GZIP_MEMORY      8

struct gzip {
	struct sink sink;
	struct sink *next; /* owned */
	z_stream z;
	gz_header header; /* zlib keeps a pointer to it */
	uint8_t *block;   /* owned; STREAM_BLOCK_BYTES, z.next_out points into it */
};

static int flush(struct gzip *g, struct imbrex_error *err)
{
	size_t len = STREAM_BLOCK_BYTES - g->z.avail_out;

	g->z.next_out = g->block;
	g->z.avail_out = STREAM_BLOCK_BYTES;
	return sink_write(g->next, g->block, len, err);
}

static int gzip_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct gzip *g = CONTAINER_OF(s, struct gzip, sink);
	const uint8_t *bytes = buf;
	int r;

	while (len) {
		uInt n = (uInt)MIN(len, (size_t)INT_MAX);

		g->z.next_in = (z_const Bytef *)(uintptr_t)bytes;
		g->z.avail_in = n;
		while (g->z.avail_in) {
			(void)deflate(&g->z, Z_NO_FLUSH); /* cannot fail with input and room */
			if (g->z.avail_out)
				continue;
			r = flush(g, err);
			if (r < 0)
				return r;
		}
		bytes += n;
		len -= n;
	}
	return 0;
}

static int gzip_finish(struct sink *s, struct imbrex_error *err)
{
	struct gzip *g = CONTAINER_OF(s, struct gzip, sink);
	int code;
	int r;

	do {
		code = deflate(&g->z, Z_FINISH);
		if (code == Z_STREAM_ERROR)
			return fail(err, IMBREX_EFAIL, "zlib cannot finish a gzip stream");
		r = flush(g, err);
		if (r < 0)
			return r;
	} while (code != Z_STREAM_END);
	return sink_finish(g->next, err);
}

static void gzip_free(struct sink *s)
{
	struct gzip *g = CONTAINER_OF(s, struct gzip, sink);

	(void)deflateEnd(&g->z); /* complains about data it drops: this may be an abort */
	sink_free(g->next);
	free(g->block);
	free(g);
}

static const struct sink_ops gzip_ops = {
	.name = "gzip",
	.write = gzip_write,
	.finish = gzip_finish,
	.free = gzip_free,
};

int gzip_sink_new(int level, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	AUTO_FREE struct gzip *g = NULL;
	AUTO_FREE uint8_t *block = NULL;

	if (level < 0 || level > 9)
		return fail(err, IMBREX_EINVAL, "gzip level %d is not between 0 and 9", level);
	g = calloc(1, sizeof(*g));
	block = malloc(STREAM_BLOCK_BYTES);
	if (!g || !block)
		return fail_nomem(err);
	if (deflateInit2(&g->z, level, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY,
		    Z_DEFAULT_STRATEGY) != Z_OK)
		return fail_nomem(err);
	g->header.os = GZIP_OS_UNKNOWN;
	(void)deflateSetHeader(&g->z, &g->header); /* fails without a gzip wrapper only */
	g->sink.ops = &gzip_ops;
	g->next = next;
	g->block = take_ptr(block);
	g->z.next_out = g->block;
	g->z.avail_out = STREAM_BLOCK_BYTES;
	*ret = &take_ptr(g)->sink;
	return 0;
}
