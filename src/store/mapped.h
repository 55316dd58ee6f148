/* SPDX-License-Identifier: Apache-2.0 */
/* The top layer of an image under an id map: the layer itself, one of the copies that the image's
 * record lists, or a copy that has to be made. The caller holds layers and images. Error tier: err.
 */
#ifndef STORE_MAPPED_H
#define STORE_MAPPED_H

#include "os/idmap.h"
#include "store/store.h"

/*
 * ret_copy  true: none fits, and *ret is what a copy is to be made of. False: *ret fits; or nothing
 *           can be recorded with the image, because it lies in an additional store
 * Errors ENOENT (LAYER_UNKNOWN) if the image's layer is not there
 */
int mapped_find(struct imbrex_store *s, const struct found *image, const struct id_maps *maps,
	struct found *ret, bool *ret_copy, struct imbrex_error *err) MUST_CHECK;
/* The image has a further copy of its top layer. The caller saves. */
int mapped_add(const struct found *image, const char *layer, struct imbrex_error *err) MUST_CHECK;

/*
 * The layer below as the driver has it: the parent of the record, but for a copy, which the record
 * puts beside its template and the driver upon it. "" if there is none; free(). NULL on no memory.
 */
char *mapped_below(struct imbrex_store *s, const struct found *layer) MUST_CHECK;

/* The layer that a copy, which an image lists, was made of. false: the layer is no such copy. */
bool mapped_template(struct imbrex_store *s, const struct found *layer, struct found *ret);

#endif
