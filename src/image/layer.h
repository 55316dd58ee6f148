/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer on its way from a source into a transaction: the road is store/fill.h's; what is
 * expected of the stream comes from the manifest, at once or later.
 *
 * Whatever fails, the staged layer stays unfilled and is removed with its transaction.
 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

#include "oci/descriptor.h"
#include "store/txn.h"
#include "stream/sink.h"

struct layer_job {
	struct staged_layer *staged;       /* belongs to the transaction */
	const struct oci_descriptor *blob; /* what is expected; NULL: nothing is known yet */
	const struct hash_value *diff_id;  /* likewise */
	bool bound;                        /* layer_job_bind() has accepted it */
};

/*
 * The chain for a job; finishing it fills the staged layer. The job must outlive the chain.
 * Errors of the chain: EDIGEST for wrong size, blob digest or diff ID; those of the stages.
 */
int layer_chain_new(struct layer_job *job, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

/*
 * A layer staged without expectations turns out to be this one: compare. A blob that an archive
 * handed over unpacked is compared by its diff ID only.
 * Errors EDIGEST
 */
int layer_job_bind(struct layer_job *job, const struct oci_descriptor *blob,
	const struct hash_value *diff_id, struct imbrex_error *err) MUST_CHECK;

#endif
