/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer of one store becomes a layer of another one on the same machine: its tar is put together
 * again and goes the way of every layer, with all its digests; the files themselves are cloned or
 * linked where they can be (driver/apply.h).
 *
 * layer_origin_open -> (layer_origin_content, layer_origin_push)* -> layer_origin_free. Nothing of
 * the other store is changed but the link counts of files; no lock of it is held in between, so a
 * layer may go while it is read. Threads: several may push; else one per object. Error tier: err.
 */
#ifndef STORE_ADOPT_H
#define STORE_ADOPT_H

#include "driver/apply.h"
#include "store/store.h"
#include "stream/sink.h"

struct layer_origin;

/*
 * Ids of the layers of an image whose top layer is `top`, base layer first.
 *
 * ret  appended to
 */
int store_chain_ids(struct imbrex_store *s, const char *top, struct strv *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Layer `id` of `from`, to be put into `to`; both are borrowed. to: NULL if it is not for a store;
 * then nothing may be linked.
 *
 * Errors ENOENT no such layer, or none that a tar can be made of again
 */
int layer_origin_open(struct imbrex_store *from, const char *id, struct imbrex_store *to,
	struct layer_origin **ret, struct imbrex_error *err) MUST_CHECK;
void layer_origin_free(struct layer_origin *o);
DEFINE_CLEANUP(layer_origin, struct layer_origin, layer_origin_free)

/*
 * For store_txn_layer_new(). Good as long as `o`.
 *
 * Links are allowed if both stores are of the overlay driver, belong to the caller, and nobody else
 * may enter them: then nothing can write to the files, short of the caller behind the stores' back.
 */
const struct apply_content *layer_origin_content(const struct layer_origin *o);
/* Push the uncompressed tar into `to` and finish it; takes `to` in every case. */
int layer_origin_push(struct layer_origin *o, struct sink *to, struct imbrex_error *err) MUST_CHECK;

#endif
