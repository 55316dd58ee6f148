/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The road of one layer's content: a stream as it comes goes in at the top, entries and a tar-split
 * file come out, and what a record says about them.
 *
 *   count ─▶ digest (blob) ─▶ decompress ─▶ digest (diff ID) ─▶ tar ─▶ entries
 *                                                                └─▶ tar-split
 *
 * Hashing, unpacking and writing run on threads of their own. Whatever fails, the stage stays
 * unfilled and goes with its transaction. No lock of the store is needed. Error tier: err.
 */
#ifndef STORE_FILL_H
#define STORE_FILL_H

#include "driver/driver.h"
#include "store/layer_facts.h"
#include "stream/sink.h"

/* What is expected of the stream, and who is told what it was. */
struct fill_job {
	const struct hash_value *blob; /* its digest as it comes; NULL: not known */
	bool has_blob_bytes;
	uint64_t blob_bytes;              /* its size as it comes */
	const struct hash_value *diff_id; /* its digest uncompressed; NULL: not known */
	/* At the end of finish, when everything has agreed. */
	int (*filled)(void *ctx, const struct layer_facts *facts, struct imbrex_error *err);
	void *ctx;
};

/*
 * The chain for a job, which is copied but for the digests it points to. Takes `entries` and
 * `split` (tar-split lines, uncompressed) in every case.
 * Errors of the chain: EDIGEST for wrong size, digest or diff ID; those of the stages.
 */
int fill_chain_new(const struct fill_job *job, struct entry_sink *entries, struct sink *split,
	struct sink **ret, struct imbrex_error *err) MUST_CHECK;

/* A new tar-split file in the temporary directory, under the name that is returned: the sink takes
 * lines and writes gzip. */
int fill_split_new(struct tempdir *temp, char ret_name[TEMPDIR_NAME_BYTES], struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * All of it for a stage that is not sealed: what `fd` gives, to its end, of any compression.
 *
 * temp       where the tar-split file is made
 * ret_split  its name
 * ret        done with layer_facts_done()
 */
int fill_from_fd(struct driver_stage *stage, struct tempdir *temp, int fd,
	char ret_split[TEMPDIR_NAME_BYTES], struct layer_facts *ret,
	struct imbrex_error *err) MUST_CHECK;
/* The same from a tree, as the tar that this tree makes; `dir` is borrowed. */
int fill_from_dir(struct driver_stage *stage, struct tempdir *temp, int dir,
	char ret_split[TEMPDIR_NAME_BYTES], struct layer_facts *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
