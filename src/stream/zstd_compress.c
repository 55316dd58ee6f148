/* SPDX-License-Identifier: Apache-2.0 */
/* zstd by libzstd, on its own workers if asked. */
#include <zstd.h>

#include "base/limits.h"
#include "stream/compress.h"

struct zstd_compress {
	struct sink sink;
	struct sink *next; /* owned */
	ZSTD_CCtx *zstd;   /* owned */
	void *block;       /* owned; STREAM_BLOCK_BYTES */
	size_t n_block;    /* bytes in it that `next` has not seen */
};

static int flush(struct zstd_compress *z, struct imbrex_error *err)
{
	size_t len = z->n_block;

	z->n_block = 0;
	return sink_write(z->next, z->block, len, err);
}

/* One call; *ret_left is libzstd's "bytes still to flush". */
static int step(struct zstd_compress *z, ZSTD_inBuffer *in, ZSTD_EndDirective end, size_t *ret_left,
	struct imbrex_error *err)
{
	ZSTD_outBuffer out = { z->block, STREAM_BLOCK_BYTES, z->n_block };
	size_t left = ZSTD_compressStream2(z->zstd, &out, in, end);

	if (ZSTD_isError(left))
		return fail(err, IMBREX_EFAIL, "zstd compression: %s", ZSTD_getErrorName(left));
	z->n_block = out.pos;
	*ret_left = left;
	return z->n_block == STREAM_BLOCK_BYTES ? flush(z, err) : 0;
}

static int zstd_compress_write(
	struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct zstd_compress *z = CONTAINER_OF(s, struct zstd_compress, sink);
	ZSTD_inBuffer in = { buf, len, 0 };
	size_t left;
	int r;

	while (in.pos < in.size) {
		r = step(z, &in, ZSTD_e_continue, &left, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int zstd_compress_finish(struct sink *s, struct imbrex_error *err)
{
	struct zstd_compress *z = CONTAINER_OF(s, struct zstd_compress, sink);
	ZSTD_inBuffer in = { NULL, 0, 0 };
	size_t left;
	int r;

	do {
		r = step(z, &in, ZSTD_e_end, &left, err);
		if (r < 0)
			return r;
	} while (left);
	r = flush(z, err);
	if (r < 0)
		return r;
	return sink_finish(z->next, err);
}

static void zstd_compress_free(struct sink *s)
{
	struct zstd_compress *z = CONTAINER_OF(s, struct zstd_compress, sink);

	(void)ZSTD_freeCCtx(z->zstd);
	sink_free(z->next);
	free(z->block);
	free(z);
}

static const struct sink_ops zstd_compress_ops = {
	.name = "zstd",
	.write = zstd_compress_write,
	.finish = zstd_compress_finish,
	.free = zstd_compress_free,
};

static int configure(ZSTD_CCtx *zstd, int level, unsigned int n_threads, struct imbrex_error *err)
{
	int workers = n_threads > 1 ? (int)MIN(n_threads, 64u) : 0;
	size_t code;

	code = ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level);
	if (!ZSTD_isError(code))
		code = ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	if (ZSTD_isError(code))
		return fail(err, IMBREX_EFAIL, "configure zstd: %s", ZSTD_getErrorName(code));
	/* A libzstd built without threads refuses: then the calling thread does all. */
	if (workers)
		(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_nbWorkers, workers);
	return 0;
}

int zstd_compress_sink_new(int level, unsigned int n_threads, struct sink *next, struct sink **ret,
	struct imbrex_error *err)
{
	struct zstd_compress *z = NULL;
	AUTO_SINK struct sink *s = NULL;
	int r;

	if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
		return fail(err, IMBREX_EINVAL, "zstd level %d is not between %d and %d", level,
			ZSTD_minCLevel(), ZSTD_maxCLevel());
	z = calloc(1, sizeof(*z));
	if (!z)
		return fail_nomem(err);
	z->sink.ops = &zstd_compress_ops;
	s = &z->sink;
	z->block = malloc(STREAM_BLOCK_BYTES);
	z->zstd = ZSTD_createCCtx();
	if (!z->block || !z->zstd)
		return fail_nomem(err);
	r = configure(z->zstd, level, n_threads, err);
	if (r < 0)
		return r;
	z->next = next;
	*ret = take_ptr(s);
	return 0;
}
