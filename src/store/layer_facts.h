/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer's record says about its content: digests, sizes, owners. Error tier: err. */
#ifndef STORE_LAYER_FACTS_H
#define STORE_LAYER_FACTS_H

#include "base/hash.h"
#include "store/record.h"

struct layer_facts {
	struct hash_value compressed_digest; /* of the stream as it came; not set: as diff_digest */
	uint64_t compressed_bytes;
	struct hash_value diff_digest;
	uint64_t diff_bytes;
	int compression;      /* containers/storage's number */
	const uint32_t *uids; /* sorted; borrowed until the call returns */
	size_t n_uids;
	const uint32_t *gids;
	size_t n_gids;
};

/* A copy that outlives its original: uids and gids are owned. */
int layer_facts_copy(const struct layer_facts *from, struct layer_facts *ret,
	struct imbrex_error *err) MUST_CHECK;
void layer_facts_done(struct layer_facts *f);
#define AUTO_FACTS __attribute__((cleanup(layer_facts_done))) struct layer_facts

/* They become members of the record. The caller marks the table and saves. */
int layer_facts_record(struct table *t, size_t index, const struct layer_facts *f,
	struct imbrex_error *err) MUST_CHECK;

#define LAYER_N_FACTS 8
/* Facts as a record has them, members that we do not understand included. Zero: none. */
struct layer_facts_text {
	char *values[LAYER_N_FACTS]; /* owned; JSON; NULL: absent */
};
void layer_facts_text_done(struct layer_facts_text *text);
/* Out of the record; 1 if there were any, 0 if not. */
int layer_facts_take(struct table *t, size_t index, struct layer_facts_text *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Back into a record that has none; 1 or 0 likewise. */
int layer_facts_put(struct table *t, size_t index, const struct layer_facts_text *text,
	struct imbrex_error *err) MUST_CHECK;

#endif
