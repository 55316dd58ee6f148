/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers that come before the documents that name them: those of an archive that passes by once.
 *
 * early_new -> early_expect? -> (the events, while the archive passes) -> early_find* ->
 * early_free, after the transaction is gone. One thread. Error tier: err.
 *
 * Without early_expect() nothing is known: layers are staged unnamed, or kept in a temporary file
 * where the driver needs to know the parent first. With it, what the archive's members say of
 * themselves is believed as far as that costs nothing if it is wrong: layers that the store has
 * are hashed and thrown away, the others are staged where they belong. A layer is what its DiffID
 * says, or the pull fails.
 */
#ifndef IMAGE_EARLY_H
#define IMAGE_EARLY_H

#include "image/layer.h"
#include "image/progress.h"
#include "transport/archive.h"

struct early;

/* Everything is borrowed for the life of the result. */
int early_new(struct imbrex_store *s, struct store_txn *txn, struct progress *progress,
	struct early **ret, struct imbrex_error *err) MUST_CHECK;
void early_free(struct early *e);

/* For the source; good as long as `e`. */
const struct archive_events *early_events(const struct early *e);
/* What the source says the image consists of. */
int early_expect(
	struct early *e, const struct source_outline *outline, struct imbrex_error *err) MUST_CHECK;
/*
 * If the store has an image of that id on all these layers already: 1. Otherwise 0.
 */
int early_is_here(
	struct early *e, const struct source_outline *outline, struct imbrex_error *err) MUST_CHECK;
/* A layer was staged for this place of the image, on what was then below it. */
bool early_holds(const struct early *e, size_t position);
/*
 * The job that staged layer `d` of the image for place `position`, or NULL: blob() has it.
 *
 * Errors ENOTSUP if it is needed once more than it passed by; EDIGEST if it was thrown away
 */
int early_find(struct early *e, struct source *source, const struct oci_descriptor *d,
	size_t position, struct layer_job **ret, struct imbrex_error *err) MUST_CHECK;

#endif
