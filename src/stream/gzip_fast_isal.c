/* SPDX-License-Identifier: Apache-2.0 */
/* gzip by ISA-L level 1: several times as fast as zlib's level 1 at about its size. */
#include <isa-l/igzip_lib.h>
#include <limits.h>
#include <stdint.h>

#include "base/limits.h"
#include "stream/compress.h"

struct gzip_fast {
	struct sink sink;
	struct sink *next; /* owned */
	struct isal_zstream z;
	uint8_t *level_buf; /* owned; scratch of ISA-L */
	uint8_t *block;     /* owned; STREAM_BLOCK_BYTES, z.next_out points into it */
};

static int flush(struct gzip_fast *g, struct imbrex_error *err)
{
	size_t len = STREAM_BLOCK_BYTES - g->z.avail_out;

	g->z.next_out = g->block;
	g->z.avail_out = STREAM_BLOCK_BYTES;
	return sink_write(g->next, g->block, len, err);
}

/* Deflate what z holds; with end_of_stream up to and with the trailer. */
static int run(struct gzip_fast *g, struct imbrex_error *err)
{
	int r;

	for (;;) {
		r = isal_deflate(&g->z);
		if (r != COMP_OK)
			return fail(err, IMBREX_EFAIL, "ISA-L cannot deflate: error %d", r);
		if (g->z.avail_out)
			break;
		r = flush(g, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int gzip_fast_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct gzip_fast *g = CONTAINER_OF(s, struct gzip_fast, sink);
	const uint8_t *bytes = buf;
	int r;

	while (len) {
		uint32_t n = (uint32_t)MIN(len, (size_t)INT_MAX);

		g->z.next_in =
			(uint8_t *)(uintptr_t)bytes; /* never written; the API lacks the const */
		g->z.avail_in = n;
		r = run(g, err);
		if (r < 0)
			return r;
		bytes += n;
		len -= n;
	}
	return 0;
}

static int gzip_fast_finish(struct sink *s, struct imbrex_error *err)
{
	struct gzip_fast *g = CONTAINER_OF(s, struct gzip_fast, sink);
	int r;

	g->z.end_of_stream = 1;
	g->z.avail_in = 0;
	do {
		r = run(g, err);
		if (r < 0)
			return r;
	} while (g->z.internal_state.state != ZSTATE_END);
	r = flush(g, err);
	if (r < 0)
		return r;
	return sink_finish(g->next, err);
}

static void gzip_fast_free(struct sink *s)
{
	struct gzip_fast *g = CONTAINER_OF(s, struct gzip_fast, sink);

	sink_free(g->next);
	free(g->level_buf);
	free(g->block);
	free(g);
}

static const struct sink_ops gzip_fast_ops = {
	.name = "gzip-fast",
	.write = gzip_fast_write,
	.finish = gzip_fast_finish,
	.free = gzip_fast_free,
};

int gzip_fast_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	AUTO_FREE uint8_t *level_buf = malloc(ISAL_DEF_LVL1_DEFAULT);
	AUTO_FREE uint8_t *block = malloc(STREAM_BLOCK_BYTES);
	struct gzip_fast *g = calloc(1, sizeof(*g));

	if (!g || !level_buf || !block) {
		free(g);
		return fail_nomem(err);
	}
	isal_deflate_init(&g->z);
	g->z.level = 1;
	g->z.level_buf = level_buf;
	g->z.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
	g->z.gzip_flag = IGZIP_GZIP; /* its own header: no time, unknown system */
	g->z.next_out = block;
	g->z.avail_out = STREAM_BLOCK_BYTES;
	g->sink.ops = &gzip_fast_ops;
	g->next = next;
	g->level_buf = take_ptr(level_buf);
	g->block = take_ptr(block);
	*ret = &g->sink;
	return 0;
}
