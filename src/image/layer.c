/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building the chain of one layer from its end to its beginning, see the header; the stage at its
 * top owns all others and, at finish, writes down what they found.
 */
#include "image/layer.h"

#include <stdlib.h>

#include "format/tar/reader.h"
#include "format/tarsplit/writer.h"
#include "oci/digest.h"
#include "stream/count.h"
#include "stream/detect.h"
#include "stream/digest.h"
#include "stream/exact.h"
#include "stream/queue.h"

/* Of STREAM_BLOCK_BYTES, between unpacking and what follows it. */
#define QUEUE_BLOCKS 4

/* Owner of the chain; forwards bytes, and fills the staged layer when all stages have agreed. */
struct layer_chain {
	struct sink sink;
	struct layer_job *job;         /* borrowed */
	struct tarsplit_writer *split; /* owned; freed after `first` */
	struct sink *first;            /* owned */
	struct hash_value blob_digest; /* written by the stages */
	struct hash_value diff_digest;
	uint64_t blob_bytes;
	enum compression compression;
};

static int chain_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct layer_chain *c = (struct layer_chain *)s;

	return sink_write(c->first, buf, len, err);
}

static int chain_finish(struct sink *s, struct imbrex_error *err)
{
	struct layer_chain *c = (struct layer_chain *)s;
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
	return staged_layer_filled(c->job->staged, &facts, err);
}

static void chain_free(struct sink *s)
{
	struct layer_chain *c = (struct layer_chain *)s;

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
static int tar_end(struct layer_chain *c, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *entries = NULL;
	AUTO_SINK struct sink *lines = NULL;
	struct tar_observer observer;
	int r;

	r = staged_layer_tarsplit(c->job->staged, &lines, err);
	if (r < 0)
		return r;
	r = tarsplit_writer_new(lines, &c->split, err);
	if (r < 0)
		return r;
	lines = NULL;
	r = staged_layer_entries(c->job->staged, &entries, err);
	if (r < 0)
		return r;
	observer = tarsplit_writer_observer(c->split);
	r = tar_reader_new(entries, &observer, &c->first, err);
	if (r == 0)
		entries = NULL;
	return r;
}

/* Put one more stage before the chain: each constructor takes c->first on success. */
static int add_stages(struct layer_chain *c, struct imbrex_error *err)
{
	const struct oci_descriptor *blob = c->job->blob;
	struct sink *stage;
	int r;

	r = digest_sink_new(HASH_SHA256, c->job->diff_id, &c->diff_digest, c->first, &stage, err);
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
	r = digest_sink_new(blob ? blob->digest.algorithm : HASH_SHA256,
		blob ? &blob->digest : NULL, &c->blob_digest, c->first, &stage, err);
	if (r < 0)
		return r;
	c->first = stage;
	r = count_sink_new(&c->blob_bytes, c->first, &stage, err);
	if (r < 0)
		return r;
	c->first = stage;
	if (!blob)
		return 0;
	r = exact_sink_new(blob->size_bytes, c->first, &stage, err);
	if (r == 0)
		c->first = stage;
	return r;
}

int layer_chain_new(struct layer_job *job, struct sink **ret, struct imbrex_error *err)
{
	struct layer_chain *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return fail_nomem(err);
	c->sink.ops = &chain_ops;
	c->job = job;
	r = tar_end(c, err);
	if (r == 0)
		r = add_stages(c, err);
	if (r < 0) {
		chain_free(&c->sink);
		return r;
	}
	*ret = &c->sink;
	return 0;
}

static int mismatch(const char *what, const struct hash_value *is, const struct hash_value *said,
	struct imbrex_error *err)
{
	char a[HASH_TEXT_MAX];
	char b[HASH_TEXT_MAX];

	return fail(err, IMBREX_EDIGEST, "%s is %s but %s was announced", what, hash_format(is, a),
		hash_format(said, b));
}

int layer_job_bind(struct layer_job *job, const struct oci_descriptor *blob,
	const struct hash_value *diff_id, struct imbrex_error *err)
{
	const struct layer_facts *f = staged_layer_facts(job->staged);

	if (!hash_equal(&f->diff_digest, diff_id))
		return mismatch("layer content", &f->diff_digest, diff_id, err);
	if (!hash_equal(&f->compressed_digest, &blob->digest) &&
		!hash_equal(&f->diff_digest, &blob->digest))
		return mismatch("layer blob", &f->compressed_digest, &blob->digest, err);
	job->bound = true;
	return 0;
}
