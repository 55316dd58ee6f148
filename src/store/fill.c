/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building the chain of one layer from its end to its beginning, see the header; the stage at its
 * top owns all others and, at finish, tells what they found.
 */
#include "store/fill.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "driver/diff.h"
#include "format/tar/reader.h"
#include "format/tar/writer.h"
#include "format/tarsplit/writer.h"
#include "stream/compress.h"
#include "stream/count.h"
#include "stream/detect.h"
#include "stream/digest.h"
#include "stream/exact.h"
#include "stream/fdsink.h"
#include "stream/pump.h"
#include "stream/queue.h"

/* Of STREAM_BLOCK_BYTES, between unpacking and what follows it. */
#define QUEUE_BLOCKS 4

/* ---- the chain --------------------------------------------------------------------------- */

/* Owner of the chain; forwards bytes, and tells when all stages have agreed. */
struct fill_chain {
	struct sink sink;
	struct fill_job job;
	struct tarsplit_writer *split; /* owned; freed after `first` */
	struct sink *first;            /* owned */
	struct hash_value blob_digest; /* written by the stages */
	struct hash_value diff_digest;
	uint64_t blob_bytes;
	enum compression compression;
};

static int chain_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct fill_chain *c = (struct fill_chain *)s;

	return sink_write(c->first, buf, len, err);
}

static int chain_finish(struct sink *s, struct imbrex_error *err)
{
	struct fill_chain *c = (struct fill_chain *)s;
	struct layer_facts facts = { 0 };
	int r;

	r = sink_finish(c->first, err);
	if (r < 0)
		return r;
	facts.compressed_digest = c->blob_digest;
	facts.compressed_bytes = c->blob_bytes;
	facts.diff_digest = c->diff_digest;
	facts.diff_bytes = tarsplit_writer_tar_bytes(c->split);
	facts.compression = (int)c->compression;
	tarsplit_writer_uids(c->split, &facts.uids, &facts.n_uids);
	tarsplit_writer_gids(c->split, &facts.gids, &facts.n_gids);
	return c->job.filled(c->job.ctx, &facts, err);
}

static void chain_free(struct sink *s)
{
	struct fill_chain *c = (struct fill_chain *)s;

	sink_free(c->first);
	tarsplit_writer_free(c->split);
	free(c);
}

static const struct sink_ops chain_ops = {
	.name = "layer",
	.write = chain_write,
	.finish = chain_finish,
	.free = chain_free,
};

/* tar -> entries and tar-split: the end of the road. */
static int tar_end(
	struct fill_chain *c, struct entry_sink *to, struct sink *split, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *entries = to;
	AUTO_SINK struct sink *lines = split;
	struct tar_observer observer;
	int r;

	r = tarsplit_writer_new(lines, &c->split, err);
	if (r < 0)
		return r;
	lines = NULL;
	observer = tarsplit_writer_observer(c->split);
	r = tar_reader_new(entries, &observer, &c->first, err);
	if (r == 0)
		entries = NULL;
	return r;
}

/* Put one more stage before the chain: each constructor takes c->first on success. */
static int add_stages(struct fill_chain *c, struct imbrex_error *err)
{
	const struct hash_value *blob = c->job.blob;
	struct sink *stage;
	int r;

	r = digest_sink_new(HASH_SHA256, c->job.diff_id, &c->diff_digest, c->first, &stage, err);
	if (r < 0)
		return r;
	c->first = stage;
	/* Inflating and writing take about as long: one layer alone keeps two cores busy. */
	r = queue_sink_new(QUEUE_BLOCKS, c->first, &stage, err);
	if (r < 0)
		return r;
	c->first = stage;
	r = decompress_sink_new(&c->compression, c->first, &stage, err);
	if (r < 0)
		return r;
	c->first = stage;
	r = digest_sink_new(
		blob ? blob->algorithm : HASH_SHA256, blob, &c->blob_digest, c->first, &stage, err);
	if (r < 0)
		return r;
	c->first = stage;
	r = count_sink_new(&c->blob_bytes, c->first, &stage, err);
	if (r < 0)
		return r;
	c->first = stage;
	if (!c->job.has_blob_bytes)
		return 0;
	r = exact_sink_new(c->job.blob_bytes, c->first, &stage, err);
	if (r == 0)
		c->first = stage;
	return r;
}

int fill_chain_new(const struct fill_job *job, struct entry_sink *entries, struct sink *split,
	struct sink **ret, struct imbrex_error *err)
{
	struct fill_chain *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		entry_sink_free(entries);
		sink_free(split);
		return fail_nomem(err);
	}
	c->sink.ops = &chain_ops;
	c->job = *job;
	r = tar_end(c, entries, split, err);
	if (r == 0)
		r = add_stages(c, err);
	if (r < 0) {
		chain_free(&c->sink);
		return r;
	}
	*ret = &c->sink;
	return 0;
}

int fill_split_new(struct tempdir *temp, char ret_name[TEMPDIR_NAME_BYTES], struct sink **ret,
	struct imbrex_error *err)
{
	AUTO_SINK struct sink *file = NULL;
	AUTO_CLOSE int fd = -EBADF;
	int r;

	tempdir_stage_addition(temp, ret_name);
	fd = openat(tempdir_fd(temp), ret_name,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(err, "create tar-split file");
	r = fd_sink_new(fd, &file, err);
	if (r < 0)
		return r;
	fd = -EBADF;
	r = gzip_fast_sink_new(file, ret, err);
	if (r == 0)
		file = NULL;
	return r;
}

/* ---- a stage ----------------------------------------------------------------------------- */

static int keep_facts(void *ctx, const struct layer_facts *facts, struct imbrex_error *err)
{
	return layer_facts_copy(facts, ctx, err);
}

static int stage_chain(struct driver_stage *stage, struct tempdir *temp,
	char ret_split[TEMPDIR_NAME_BYTES], struct layer_facts *facts, struct sink **ret,
	struct imbrex_error *err)
{
	const struct fill_job job = { .filled = keep_facts, .ctx = facts };
	AUTO_SINK struct sink *split = NULL;
	struct entry_sink *entries;
	int r;

	r = fill_split_new(temp, ret_split, &split, err);
	if (r == 0)
		r = stage->ops->stage_entries(stage, &entries, err);
	return r < 0 ? r : fill_chain_new(&job, entries, take_ptr(split), ret, err);
}

int fill_from_fd(struct driver_stage *stage, struct tempdir *temp, int fd,
	char ret_split[TEMPDIR_NAME_BYTES], struct layer_facts *ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *chain = NULL;
	AUTO_FACTS facts = { 0 };
	int r;

	r = stage_chain(stage, temp, ret_split, &facts, &chain, err);
	if (r == 0)
		r = pump_fd(fd, chain, UINT64_MAX, err);
	if (r == 0)
		r = sink_finish(chain, err);
	if (r < 0)
		return r;
	*ret = facts;
	facts = (struct layer_facts){ 0 };
	return 0;
}

int fill_from_dir(struct driver_stage *stage, struct tempdir *temp, int dir,
	char ret_split[TEMPDIR_NAME_BYTES], struct layer_facts *ret, struct imbrex_error *err)
{
	const struct tree_pair tree = { .new = dir, .old = -EBADF };
	AUTO_ENTRY_SINK struct entry_sink *tar = NULL;
	AUTO_SINK struct sink *chain = NULL;
	AUTO_FACTS facts = { 0 };
	int r;

	r = stage_chain(stage, temp, ret_split, &facts, &chain, err);
	if (r == 0)
		r = tar_writer_new(chain, NULL, &tar, err);
	if (r < 0)
		return r;
	chain = NULL;
	r = diff_trees(&tree, tar, err);
	if (r < 0)
		return r;
	*ret = facts;
	facts = (struct layer_facts){ 0 };
	return 0;
}
