/* SPDX-License-Identifier: Apache-2.0 */
/* What a manifest says of a layer, held against what came; see the header. */
#include "image/layer.h"

#include "oci/digest.h"

static int note_filled(void *ctx, const struct layer_facts *facts, struct imbrex_error *err)
{
	struct layer_job *job = ctx;

	return staged_layer_filled(job->staged, facts, err);
}

int layer_chain_new(struct layer_job *job, struct sink **ret, struct imbrex_error *err)
{
	const struct fill_job fill = {
		.blob = job->blob ? &job->blob->digest : NULL,
		.has_blob_bytes = job->blob != NULL,
		.blob_bytes = job->blob ? job->blob->size_bytes : 0,
		.diff_id = job->diff_id,
		.filled = note_filled,
		.ctx = job,
	};
	AUTO_SINK struct sink *split = NULL;
	struct entry_sink *entries;
	int r;

	r = staged_layer_tarsplit(job->staged, &split, err);
	if (r == 0)
		r = staged_layer_entries(job->staged, &entries, err);
	return r < 0 ? r : fill_chain_new(&fill, entries, take_ptr(split), ret, err);
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
