/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing an image into the store: layers are staged in parallel outside every lock, synced once,
 * and published together with the image record in one commit.
 *
 *   begin -> (layer_new -> sinks … finish -> layer_filled)* -> commit | free (abort)
 *
 * Threading: layer_new and everything on a staged layer may run on any thread, one per layer.
 */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include "store/bigdata.h"
#include "store/fill.h"
#include "store/store.h"

struct store_txn;
struct staged_layer;

int store_txn_begin(
	struct imbrex_store *s, struct store_txn **ret, struct imbrex_error *err) MUST_CHECK;
void store_txn_free(struct store_txn *txn);
DEFINE_CLEANUP(store_txn, struct store_txn, store_txn_free)
#define AUTO_TXN AUTO(store_txn)

/* The image's layers stand on this one, which the store has: they get its identity map, and not
 * what storage.conf says. Before the first of them is made. */
int store_txn_stand_on(
	struct store_txn *txn, const char *layer, struct imbrex_error *err) MUST_CHECK;
/* True if layers can be staged before their parents are known (overlay). */
bool store_txn_independent(const struct store_txn *txn);

/*
 * Begin a layer. parent_id: a published layer, or NULL; parent: a layer of this transaction that
 * was filled, or NULL. Both NULL with an independent driver means "told at commit".
 * The result belongs to the transaction.
 *
 * content  where its files may lie already; borrowed until its entries are finished; NULL: nowhere
 */
int store_txn_layer_new(struct store_txn *txn, const char *parent_id, struct staged_layer *parent,
	const struct apply_content *content, struct staged_layer **ret,
	struct imbrex_error *err) MUST_CHECK;
/* Does the driver know stores of layers that need not be fetched? */
bool store_txn_has_additional(const struct store_txn *txn);
/*
 * A layer of an additional layer store, by the digest of its TOC and the reference of its image
 * ("": none): 1, staged and filled, or 0 if no store has it. Its content is the other's: nothing of
 * it has been looked at. Errors EFORMAT what the store says of it is no record, or of another TOC
 */
int store_txn_layer_additional(struct store_txn *txn, const struct hash_value *toc,
	const char *reference, struct staged_layer **ret, struct imbrex_error *err) MUST_CHECK;
/* Where the entries go. Caller owns the sink. */
int staged_layer_entries(
	struct staged_layer *l, struct entry_sink **ret, struct imbrex_error *err) MUST_CHECK;
/* Where the tar-split lines go (uncompressed; the file is gzip). Caller owns the sink. */
int staged_layer_tarsplit(
	struct staged_layer *l, struct sink **ret, struct imbrex_error *err) MUST_CHECK;
/* Both sinks were finished, and these are the facts (copied). */
int staged_layer_filled(struct staged_layer *l, const struct layer_facts *facts,
	struct imbrex_error *err) MUST_CHECK;
const struct layer_facts *staged_layer_facts(const struct staged_layer *l);

/* One layer of the image, bottom first. */
struct txn_layer {
	const char *id;              /* store layer id */
	struct staged_layer *staged; /* NULL: the store has it */
};

struct txn_image {
	const char *id;
	const char *name;         /* full reference; NULL: none */
	const char *created;      /* RFC 3339; NULL or "": now */
	struct hash_value digest; /* of the manifest */
	const char *metadata;     /* JSON text */
	const struct bigdata *documents;
	size_t n_documents;
};

/*
 * Publish. Consumes nothing: free the transaction afterwards in every case. A layer that another
 * process published meanwhile is used in place of ours. An image that exists gains the name.
 *
 * Errors EBUSY with "vanished" if a layer that the store had is gone: begin again.
 */
int store_txn_commit(struct store_txn *txn, const struct txn_layer *layers, size_t n_layers,
	const struct txn_image *image, bool sync, struct imbrex_error *err) MUST_CHECK;

/* Which of these layers the store has complete: ret_have[i]. */
int store_have_layers(struct imbrex_store *s, const char *const *ids, size_t n, bool *ret_have,
	struct imbrex_error *err) MUST_CHECK;

#endif
