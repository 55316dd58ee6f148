/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of an image's top layer under other id maps; see the header. */
#include "store/mapped.h"

#include <string.h>

#include "base/strv.h"
#include "store/layer.h"
#include "store/maps.h"
#include "store/newlayer.h"
#include "store/object.h"

/* 1 if the layer shows what a container with these maps is to see. */
static int fits(struct imbrex_store *s, const struct found *layer, const struct id_maps *maps)
{
	AUTO_MAPS own = { 0 };

	if (maps_of_layer(found_record(layer), &own) < 0)
		return -ENOMEM;
	if (id_maps_equal(&own.maps, maps))
		return 1;
	return id_maps_empty(&own.maps) && store_shifts(s, maps);
}

int mapped_find(struct imbrex_store *s, const struct found *image, const struct id_maps *maps,
	struct found *ret, bool *ret_copy, struct imbrex_error *err)
{
	AUTO_FREE char *top = record_text(found_record(image), IMAGE_LAYER);
	AUTO_STRV ids = { 0 };
	struct found first;
	bool any = false;
	struct found f;
	size_t pass;
	size_t i;
	int r;

	if (!top || strv_add(&ids, top) < 0 ||
		record_list(found_record(image), IMAGE_MAPPED_LAYERS, &ids) < 0)
		return fail_nomem(err);
	/* Our own layers first: only those can be copied. */
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < ids.n; i++) {
			if (!store_get(s, &layer_records, ids.items[i], strlen(ids.items[i]), &f) ||
				f.read_only != (pass == 1))
				continue;
			r = fits(s, &f, maps);
			if (r < 0)
				return fail_nomem(err);
			if (r > 0) {
				*ret = f;
				*ret_copy = false;
				return 0;
			}
			if (!any)
				first = f;
			any = true;
		}
	}
	if (!any)
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer %s of the image is not in the store", top);
	*ret = first;
	*ret_copy = !image->read_only && !first.read_only;
	return 0;
}

int mapped_add(const struct found *image, const char *layer, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };

	if (record_list(found_record(image), IMAGE_MAPPED_LAYERS, &ids) < 0 ||
		strv_add(&ids, layer) < 0)
		return fail_nomem(err);
	object_changed(image);
	return record_set_list(&image->t->t, image->index, IMAGE_MAPPED_LAYERS, &ids, err);
}

bool mapped_template(struct imbrex_store *s, const struct found *layer, struct found *ret)
{
	const struct record *rec = found_record(layer);
	AUTO_FREE char *id = record_text(rec, LAYER_ID);
	struct json_span top;
	struct found image;

	if (!id || layer->read_only || !layer_image(s, id, NULL, /* mapped= */ true, &image))
		return false;
	top = record_plain(found_record(&image), IMAGE_LAYER);
	return store_get(s, &layer_records, top.at, top.len, ret) &&
	       !record_is(found_record(ret), LAYER_ID, id) &&
	       record_same(found_record(ret), LAYER_PARENT, rec, LAYER_PARENT);
}

char *mapped_below(struct imbrex_store *s, const struct found *layer)
{
	struct found original;

	return mapped_template(s, layer, &original)
		       ? record_text(found_record(&original), LAYER_ID)
		       : record_text(found_record(layer), LAYER_PARENT);
}
