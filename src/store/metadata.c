/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata: a text that the callers of the store keep with an object, opaque to us. */
#include <stdlib.h>

#include "store/object.h"

static int metadata_field(enum imbrex_kind kind)
{
	return kind == IMBREX_KIND_LAYER   ? (int)LAYER_METADATA
	       : kind == IMBREX_KIND_IMAGE ? (int)IMAGE_METADATA
					   : (int)CONTAINER_METADATA;
}

PUBLIC int imbrex_metadata_get(struct imbrex_store *s, const char *name, unsigned int kinds,
	char **ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	char *text;
	int r;

	r = store_hold(s, object_hold_bits(kinds, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kinds, OBJECT_LAYERS_FIRST, &o, err);
	if (r < 0)
		return r;
	text = record_text(found_record(&o.at), metadata_field(o.kind));
	if (!text)
		return fail_nomem(err);
	*ret = text;
	return 0;
}

PUBLIC int imbrex_metadata_set(struct imbrex_store *s, const char *name, unsigned int kinds,
	const char *text, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	int r;

	r = store_hold(s, object_hold_bits(kinds, true), &hold, err);
	if (r == 0)
		r = object_find(s, name, kinds, OBJECT_LAYERS_FIRST, &o, err);
	if (r == 0)
		r = store_check_own(&o.at, err);
	if (r == 0)
		r = record_set_text(&o.at.t->t, o.at.index, metadata_field(o.kind), text, err);
	if (r < 0)
		return r;
	object_changed(&o.at);
	return store_save(s, o.at.t, err);
}
