/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   tar-split.gz ─▶ gunzip ─▶ lines ─▶ segments, names ─▶ content, or zeros ─▶ digest
 *                                                                          └─▶ tar ─▶ entries
 *
 * Zeros stand for what cannot be read, as many as are recorded, so the tar stays in step.
 */
#include "store/reread.h"

#include <stdlib.h>

#include "base/limits.h"
#include "driver/content.h"
#include "format/tar/reader.h"
#include "format/tarsplit/crc64.h"
#include "format/tarsplit/reader.h"
#include "os/fd.h"
#include "stream/digest.h"
#include "stream/gzip.h"
#include "stream/pump.h"

struct reading {
	struct reread *found;
	struct hasher *hasher; /* owned */
	struct sink *tar;      /* owned; NULL: nobody wants entries */
	int rootfd;
	char *buf; /* owned; STREAM_BLOCK_BYTES */
};

/* An entry sink that is somebody else's: the tar reader frees what it is given. */
struct lent {
	struct entry_sink sink;
	struct entry_sink *to;
};

void reread_done(struct reread *r)
{
	strv_done(&r->damaged);
	strv_done(&r->missing);
}

static int lent_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct lent *l = (struct lent *)s;

	return l->to->ops->begin(l->to, e, err);
}

static int lent_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct lent *l = (struct lent *)s;

	return l->to->ops->data(l->to, buf, len, err);
}

static int lent_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct lent *l = (struct lent *)s;

	return l->to->ops->end(l->to, err);
}

static int lent_finish(struct entry_sink *s, struct imbrex_error *err)
{
	struct lent *l = (struct lent *)s;

	return l->to->ops->finish(l->to, err);
}

static void lent_free(struct entry_sink *s)
{
	free(s);
}

static const struct entry_sink_ops lent_ops = {
	.begin = lent_begin,
	.data = lent_data,
	.end = lent_end,
	.finish = lent_finish,
	.free = lent_free,
};

static int lend(struct entry_sink *to, struct sink **ret, struct imbrex_error *err)
{
	struct lent *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return fail_nomem(err);
	l->sink.ops = &lent_ops;
	l->to = to;
	r = tar_reader_new(&l->sink, NULL, ret, err);
	if (r < 0)
		free(l);
	return r;
}

/* ---- bytes ----------------------------------------------------------------------------- */

static int pass(struct reading *g, const void *buf, size_t len, struct imbrex_error *err)
{
	int r = 0;

	g->found->tar_bytes += len;
	if (g->hasher)
		r = hasher_update(g->hasher, buf, len, err);
	return r < 0 || !g->tar ? r : sink_write(g->tar, buf, len, err);
}

static int pass_zeros(struct reading *g, uint64_t left, struct imbrex_error *err)
{
	int r = 0;

	memset(g->buf, 0, (size_t)MIN(left, (uint64_t)STREAM_BLOCK_BYTES));
	for (; r == 0 && left; left -= MIN(left, (uint64_t)STREAM_BLOCK_BYTES))
		r = pass(g, g->buf, (size_t)MIN(left, (uint64_t)STREAM_BLOCK_BYTES), err);
	return r;
}

/* *ret_good: as long as recorded, and with that checksum. */
static int pass_content(struct reading *g, int fd, const struct tarsplit_file *file, bool *ret_good,
	struct imbrex_error *err)
{
	uint64_t left = file->size_bytes;
	uint64_t crc = 0;
	size_t n;
	int r;

	while (left) {
		size_t want = (size_t)MIN(left, (uint64_t)STREAM_BLOCK_BYTES);

		/* A file that cannot be read (a bad block) is as good as a short one. */
		if (read_all(fd, g->buf, want, &n) < 0)
			n = 0;
		crc = crc64_iso(crc, g->buf, n);
		r = pass(g, g->buf, n, err);
		left -= n;
		if (r == 0 && n < want) {
			*ret_good = false;
			return pass_zeros(g, left, err);
		}
		if (r < 0)
			return r;
	}
	if (read_all(fd, g->buf, 1, &n) < 0)
		n = 1;
	*ret_good = n == 0 && crc == file->crc;
	return 0;
}

static int take_segment(void *ctx, const void *buf, size_t len, struct imbrex_error *err)
{
	return pass(ctx, buf, len, err);
}

static int take_file(void *ctx, const struct tarsplit_file *file, struct imbrex_error *err)
{
	struct reading *g = ctx;
	AUTO_CLOSE int fd = -EBADF;
	bool good = true;
	int r;

	if (!file->size_bytes)
		return 0;
	if (g->rootfd < 0)
		return pass_zeros(g, file->size_bytes, err);
	fd = content_open(g->rootfd, file->name, file->name_len);
	if (fd < 0) {
		if (strv_add(&g->found->missing, file->name) < 0)
			return fail_nomem(err);
		return pass_zeros(g, file->size_bytes, err);
	}
	r = pass_content(g, fd, file, &good, err);
	if (r == 0 && !good && strv_add(&g->found->damaged, file->name) < 0)
		r = fail_nomem(err);
	return r;
}

static int take_finish(void *ctx, struct imbrex_error *err)
{
	struct reading *g = ctx;
	int r = 0;

	if (g->hasher)
		r = hasher_final(g->hasher, &g->found->digest, err);
	return r < 0 || !g->tar ? r : sink_finish(g->tar, err);
}

static int read_split(struct reading *g, int split, struct imbrex_error *err)
{
	const struct tarsplit_events events = {
		.ctx = g, .segment = take_segment, .file = take_file, .finish = take_finish
	};
	AUTO_SINK struct sink *lines = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = tarsplit_reader_new(&events, &lines, err);
	if (r < 0)
		return r;
	r = gunzip_sink_new(lines, &chain, err);
	if (r < 0)
		return r;
	lines = NULL;
	r = pump_fd(split, chain, UINT64_MAX, err);
	return r < 0 ? r : sink_finish(chain, err);
}

int reread_layer(int split, int rootfd, enum hash_algorithm algorithm, struct entry_sink *entries,
	struct reread *ret, struct imbrex_error *err)
{
	struct reread found = { .tar_bytes = 0 };
	struct reading g = { .found = &found, .rootfd = rootfd };
	int r = 0;

	g.buf = malloc(STREAM_BLOCK_BYTES);
	if (!g.buf)
		return fail_nomem(err);
	if (rootfd >= 0)
		r = hasher_new(algorithm, &g.hasher, err);
	if (r == 0 && entries)
		r = lend(entries, &g.tar, err);
	if (r == 0)
		r = read_split(&g, split, err);
	sink_free(g.tar);
	hasher_free(g.hasher);
	free(g.buf);
	if (r < 0)
		reread_done(&found);
	else
		*ret = found;
	return r;
}
