/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another store, on disk, that still has what ours has lost: layers by their DiffID, documents of
 * images by their digest. It is read in place, by any driver that we have, and not a byte is
 * written to it, lock files included.
 *
 * sibling_open -> sibling_find_layer -> sibling_push …, sibling_document -> sibling_free. No lock
 * of another store is held while these are called. Threading: one thread per object. Error tier:
 * err.
 */
#ifndef IMAGE_SIBLING_H
#define IMAGE_SIBLING_H

#include "base/error.h"
#include "base/hash.h"
#include "base/str.h"
#include "imbrex/store.h"
#include "stream/sink.h"

struct sibling;

/* Does the word name a store: the graph root of one, or "containers-storage:[DRIVER@ROOT+RUNROOT]"
 * with or without the name of an image behind it? */
bool sibling_is_named(const char *from);

/* Errors EINVAL if it is `own` itself; those of opening a store. */
int sibling_open(const char *from, struct imbrex_store *own, struct sibling **ret,
	struct imbrex_error *err) MUST_CHECK;
void sibling_free(struct sibling *s);

/* ENOENT: it has no such layer, or none that can be put together again. ret: the caller's. */
int sibling_find_layer(struct sibling *s, const struct hash_value *diff_id, char **ret,
	struct imbrex_error *err) MUST_CHECK;
/* Push the uncompressed tar of the layer with that id into `to`, which stays the caller's, and
 * finish it. Who pushes compares digests. */
int sibling_push(
	struct sibling *s, const char *id, struct sink *to, struct imbrex_error *err) MUST_CHECK;
/* ENOENT: no image there has a document of this digest. */
int sibling_document(struct sibling *s, const struct hash_value *digest, struct str *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
