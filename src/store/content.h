/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar stream of a layer, put together again from its tar-split file and its content.
 * No lock is needed while bytes move: a layer's content never changes once it is published, and one
 * that is removed meanwhile shows as ENOENT. Error tier: err.
 */
#ifndef STORE_CONTENT_H
#define STORE_CONTENT_H

#include "base/hash.h"
#include "store/store.h"
#include "stream/sink.h"

/* The tar-split file of a layer of that table, wherever its record lies; fd or status. */
int layer_split_open(
	const struct store_table *t, const char *id, struct imbrex_error *err) MUST_CHECK;
bool layer_has_tarsplit(struct imbrex_store *s, const char *id);

/* Open the content of a file of layer `id`, as the driver's open_file(), from any thread. */
int layer_open_file(struct imbrex_store *s, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err) MUST_CHECK;

/*
 * Push the original uncompressed tar of layer `id` into `to` and finish it; takes `to` in every
 * case. The caller compares digests.
 * Errors EDIGEST names the file that differs; ENOENT without a tar-split file.
 */
int layer_assemble(struct imbrex_store *s, const char *id, struct sink *to,
	struct imbrex_error *err) MUST_CHECK;

/* The same with the tar-split file at hand, which is read from its position and borrowed. */
int layer_assemble_split(struct imbrex_store *s, const char *id, int split, struct sink *to,
	struct imbrex_error *err) MUST_CHECK;

/* layer_assemble() into a digest, compared with `diff_id`. */
int layer_verify(struct imbrex_store *s, const char *id, const struct hash_value *diff_id,
	struct imbrex_error *err) MUST_CHECK;

#endif
