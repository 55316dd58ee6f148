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

/* What is known of a layer. Those of additional stores take nothing here: none. */
static struct use *use_of(struct use *uses, const struct found *layer)
{
	return layer->store ? NULL : &uses[layer->index];
}

static void count_users(struct imbrex_store *s, struct use *uses)
{
	struct layer_walk w;
	struct found f;
	struct use *u;
	bool more;

	for (more = store_first(s, &image_records, &f); more; more = store_next(s, &f)) {
		layer_walk(s, record_plain(found_record(&f), IMAGE_LAYER), &w);
		for (; w.more; layer_walk_next(s, &w)) {
			u = use_of(uses, &w.at);
			if (u)
				u->n_images++;
		}
	}
	for (more = store_first(s, &container_records, &f); more; more = store_next(s, &f)) {
		layer_walk(s, record_plain(found_record(&f), CONTAINER_LAYER), &w);
		for (; w.more; layer_walk_next(s, &w)) {
			u = use_of(uses, &w.at);
			if (!u)
				continue;
			u->n_containers++;
			u->is_writable = u->is_writable || w.n == 0;
		}
	}
}

/* Fills one struct use for each layer; the caller holds all tables. ret: free(). */
static int count_all(struct imbrex_store *s, struct use **ret, struct imbrex_error *err)
{
	AUTO_FREE struct use *uses = calloc(table_slots(&s->layers.t) + 1, sizeof(*uses));
	ptrdiff_t i;
	int r;

	if (!uses)
		return fail_nomem(err);
	count_users(s, uses);
	for (i = table_next(&s->layers.t, -1); i >= 0; i = table_next(&s->layers.t, i)) {
		const struct record *rec = table_at(&s->layers.t, (size_t)i);

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
	ptrdiff_t i;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = count_all(s, &uses, err);
	if (r < 0)
		return r;
	df.n_images = table_count(&s->images.t);
	df.n_containers = table_count(&s->containers.t);
	for (i = table_next(&s->layers.t, -1); i >= 0; i = table_next(&s->layers.t, i)) {
		const struct use *u = &uses[i];

		if (u->is_writable) {
			df.containers_bytes = sum(df.containers_bytes, u->bytes);
			continue;
		}
		df.n_layers++;
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

static int fill_image(struct imbrex_store *s, struct use *uses, const struct record *rec,
	struct imbrex_df_object *ret, struct imbrex_error *err)
{
	struct layer_walk w;

	layer_walk(s, record_plain(rec, IMAGE_LAYER), &w);
	for (; w.more; layer_walk_next(s, &w)) {
		const struct use *u = use_of(uses, &w.at);
		/* Containers on this image's own top layer do not make a layer shared. */
		int64_t *part = u && u->n_images > 1 ? &ret->shared_bytes : &ret->unique_bytes;

		if (!u)
			continue;
		ret->total_bytes = sum(ret->total_bytes, u->bytes);
		*part = sum(*part, u->bytes);
		ret->in_use = ret->in_use || (w.n == 0 && u->n_containers);
	}
	return name_object(rec, ret, err);
}

static int add_limits(struct imbrex_store *s, const char *layer, struct imbrex_df_object *ret,
	struct imbrex_error *err)
{
	struct driver_limits limits;
	int r;

	if (!s->driver->ops->limits)
		return 0;
	r = s->driver->ops->limits(s->driver, layer, &limits, err);
	if (r <= 0)
		return r == IMBREX_ENOENT ? 0 : r; /* a damaged layer: check tells */
	ret->limit_bytes = (int64_t)MIN(limits.size_bytes_max, (uint64_t)INT64_MAX);
	ret->limit_inodes = (int64_t)MIN(limits.inodes_max, (uint64_t)INT64_MAX);
	return 0;
}

static int fill_container(struct imbrex_store *s, const struct use *uses, const struct record *rec,
	struct imbrex_df_object *ret, struct imbrex_error *err)
{
	struct json_span layer = record_plain(rec, CONTAINER_LAYER);
	ptrdiff_t at = layer.len ? table_find_id(&s->layers.t, layer.at, layer.len) : -1;
	AUTO_FREE char *id = strndup(layer.at, layer.len);
	int r;

	if (!id)
		return fail_nomem(err);
	ret->is_container = true;
	ret->in_use = store_mount_find(s, id) != NULL;
	if (at >= 0) {
		ret->total_bytes = uses[at].bytes;
		ret->unique_bytes = uses[at].bytes;
		r = add_limits(s, id, ret, err);
		if (r < 0)
			return r;
	}
	return name_object(rec, ret, err);
}

PUBLIC int imbrex_df_objects(struct imbrex_store *s, struct imbrex_df_object **ret, size_t *ret_n,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE struct use *uses = NULL;
	struct imbrex_df_object *objects;
	size_t n = 0;
	ptrdiff_t i;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r == 0)
		r = count_all(s, &uses, err);
	if (r < 0)
		return r;
	objects = calloc(
		table_count(&s->images.t) + table_count(&s->containers.t) + 1, sizeof(*objects));
	if (!objects)
		return fail_nomem(err);
	for (i = table_next(&s->images.t, -1); r == 0 && i >= 0; i = table_next(&s->images.t, i))
		r = fill_image(s, uses, table_at(&s->images.t, (size_t)i), &objects[n++], err);
	for (i = table_next(&s->containers.t, -1); r == 0 && i >= 0;
		i = table_next(&s->containers.t, i))
		r = fill_container(
			s, uses, table_at(&s->containers.t, (size_t)i), &objects[n++], err);
	if (r < 0) {
		imbrex_df_objects_free(objects, n);
		return r;
	}
	*ret = objects;
	*ret_n = n;
	return 0;
}
