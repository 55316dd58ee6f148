/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk use, with sharing: what each layer takes, how many images and containers stand on it, and
 * so what would come back if one of them, or all that nobody uses, were removed.
 *
 * Sizes of image layers are those of their records; a writable layer is measured. Each layer is
 * visited once for each image that stands on it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "imbrex/imbrex.h"
#include "store/layer.h"
#include "store/store.h"

/* One layer. */
struct use {
	int64_t bytes;
	size_t n_images;     /* that stand on it */
	size_t n_containers; /* that stand on it, their own layer included */
	bool is_writable;    /* a container's own */
};

/* Size of an image layer by its record; of others there is no record to go by. */
static int64_t recorded_size(const struct record *rec)
{
	return record_int(rec, LAYER_DIFF_SIZE, 0) > 0 ? record_int(rec, LAYER_DIFF_SIZE, 0) : 0;
}

/* Sums sizes of what a layer holds, as entries of its own diff. */
struct measure {
	struct entry_sink sink;
	int64_t bytes;
};

static int measure_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct measure *m = (struct measure *)s;

	(void)err;
	if (e->type == ENTRY_FILE)
		m->bytes += (int64_t)e->size_bytes;
	return 0;
}

static int measure_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	(void)s;
	(void)buf;
	(void)len;
	(void)err;
	return 0;
}

static int measure_nothing(struct entry_sink *s, struct imbrex_error *err)
{
	(void)s;
	(void)err;
	return 0;
}

static void measure_free(struct entry_sink *s)
{
	(void)s;
}

static const struct entry_sink_ops measure_ops = {
	.begin = measure_begin,
	.data = measure_data,
	.end = measure_nothing,
	.finish = measure_nothing,
	.free = measure_free,
};

static int measure_layer(
	struct imbrex_store *s, const struct record *rec, int64_t *ret, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(rec, LAYER_ID);
	AUTO_FREE char *parent = record_text(rec, LAYER_PARENT);
	struct measure m = { .sink.ops = &measure_ops };
	int r;

	if (!id || !parent)
		return fail_nomem(err);
	r = s->driver->ops->diff(s->driver, id, NULL, *parent ? parent : NULL, NULL, &m.sink, err);
	if (r == 0)
		*ret = m.bytes;
	return r;
}

/* The layer of a record and all below it, with a limit for chains without an end. */
#define EACH_LAYER(s, at, n, top)                                                                 \
	for ((n) = 0, (at) = (top).len ? table_find_id(&(s)->layers.t, (top).at, (top).len) : -1; \
		(at) >= 0 && (n) <= LIMIT_IMAGE_LAYERS;                                           \
		(at) = layer_parent((s), (size_t)(at)), (n)++)

static void count_users(struct imbrex_store *s, struct use *uses)
{
	size_t i, n;
	ptrdiff_t at;

	for (i = 0; i < s->images.t.n; i++) {
		EACH_LAYER(s, at, n, record_plain(&s->images.t.records[i], IMAGE_LAYER))
		uses[at].n_images++;
	}
	for (i = 0; i < s->containers.t.n; i++) {
		EACH_LAYER(s, at, n, record_plain(&s->containers.t.records[i], CONTAINER_LAYER))
		{
			uses[at].n_containers++;
			uses[at].is_writable = uses[at].is_writable || n == 0;
		}
	}
}

/* Fills one struct use for each layer; the caller holds all tables. ret: free(). */
static int count_all(struct imbrex_store *s, struct use **ret, struct imbrex_error *err)
{
	AUTO_FREE struct use *uses = calloc(s->layers.t.n + 1, sizeof(*uses));
	size_t i;
	int r;

	if (!uses)
		return fail_nomem(err);
	count_users(s, uses);
	for (i = 0; i < s->layers.t.n; i++) {
		const struct record *rec = &s->layers.t.records[i];

		uses[i].bytes = recorded_size(rec);
		if (!uses[i].is_writable)
			continue;
		r = measure_layer(s, rec, &uses[i].bytes, err);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(uses);
	return 0;
}

/* Records may say anything: a sum that does not fit is as large as can be said. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t total;

	return __builtin_add_overflow(a, b, &total) ? INT64_MAX : total;
}

PUBLIC int imbrex_df(struct imbrex_store *s, struct imbrex_df *ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE struct use *uses = NULL;
	struct imbrex_df df = { 0 };
	size_t i;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = count_all(s, &uses, err);
	if (r < 0)
		return r;
	df.n_images = s->images.t.n;
	df.n_containers = s->containers.t.n;
	df.n_layers = s->layers.t.n;
	for (i = 0; i < s->layers.t.n; i++) {
		const struct use *u = &uses[i];

		if (u->is_writable) {
			df.containers_bytes = sum(df.containers_bytes, u->bytes);
			continue;
		}
		df.layers_bytes = sum(df.layers_bytes, u->bytes);
		if (!u->n_containers)
			df.reclaimable_bytes = sum(df.reclaimable_bytes, u->bytes);
		if (u->n_images > 1)
			df.shared_bytes = sum(df.shared_bytes, u->bytes);
		else if (u->n_images == 1)
			df.unique_bytes = sum(df.unique_bytes, u->bytes);
		else if (!u->n_containers)
			df.unused_bytes = sum(df.unused_bytes, u->bytes);
	}
	*ret = df;
	return 0;
}

/* ---- by object --------------------------------------------------------------------------- */

PUBLIC void imbrex_df_objects_free(struct imbrex_df_object *objects, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(objects[i].id);
		free(objects[i].name);
	}
	free(objects);
}

static int name_object(
	const struct record *rec, struct imbrex_df_object *ret, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };

	if (record_list(rec, RECORD_NAMES, &names) < 0)
		return fail_nomem(err);
	ret->id = record_text(rec, RECORD_ID);
	ret->name = strdup(names.n ? names.items[0] : "");
	return ret->id && ret->name ? 0 : fail_nomem(err);
}

static int fill_image(struct imbrex_store *s, const struct use *uses, const struct record *rec,
	struct imbrex_df_object *ret, struct imbrex_error *err)
{
	ptrdiff_t at;
	size_t n;

	EACH_LAYER(s, at, n, record_plain(rec, IMAGE_LAYER))
	{
		const struct use *u = &uses[at];
		/* Containers on this image's own top layer do not make a layer shared. */
		int64_t *part = u->n_images > 1 ? &ret->shared_bytes : &ret->unique_bytes;

		ret->total_bytes = sum(ret->total_bytes, u->bytes);
		*part = sum(*part, u->bytes);
		ret->in_use = ret->in_use || (n == 0 && u->n_containers);
	}
	return name_object(rec, ret, err);
}

static int fill_container(struct imbrex_store *s, const struct use *uses, const struct record *rec,
	struct imbrex_df_object *ret, struct imbrex_error *err)
{
	struct json_span layer = record_plain(rec, CONTAINER_LAYER);
	ptrdiff_t at = layer.len ? table_find_id(&s->layers.t, layer.at, layer.len) : -1;
	AUTO_FREE char *id = strndup(layer.at, layer.len);

	if (!id)
		return fail_nomem(err);
	ret->is_container = true;
	ret->in_use = store_mount_find(s, id) != NULL;
	if (at >= 0) {
		ret->total_bytes = uses[at].bytes;
		ret->unique_bytes = uses[at].bytes;
	}
	return name_object(rec, ret, err);
}

PUBLIC int imbrex_df_objects(struct imbrex_store *s, struct imbrex_df_object **ret, size_t *ret_n,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE struct use *uses = NULL;
	struct imbrex_df_object *objects;
	size_t i, n = 0;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r == 0)
		r = count_all(s, &uses, err);
	if (r < 0)
		return r;
	objects = calloc(s->images.t.n + s->containers.t.n + 1, sizeof(*objects));
	if (!objects)
		return fail_nomem(err);
	for (i = 0; r == 0 && i < s->images.t.n; i++)
		r = fill_image(s, uses, &s->images.t.records[i], &objects[n++], err);
	for (i = 0; r == 0 && i < s->containers.t.n; i++)
		r = fill_container(s, uses, &s->containers.t.records[i], &objects[n++], err);
	if (r < 0) {
		imbrex_df_objects_free(objects, n);
		return r;
	}
	*ret = objects;
	*ret_n = n;
	return 0;
}
