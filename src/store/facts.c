/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the store: info, inspect, disk use. Nothing here changes anything. */
#include <stdlib.h>
#include <sys/utsname.h>

#include "base/limits.h"
#include "base/str.h"
#include "imbrex/imbrex.h"
#include "store/layer.h"
#include "store/store.h"

/* ---- info ------------------------------------------------------------------------------ */

static int add_counts(struct imbrex_store *s, struct strv *lines)
{
	int r;

	r = strv_addf(lines, "Images=%zu", s->images.t.n);
	if (r == 0)
		r = strv_addf(lines, "Layers=%zu", s->layers.t.n);
	if (r == 0)
		r = strv_addf(lines, "Containers=%zu", s->containers.t.n);
	return r;
}

static int add_config(struct imbrex_store *s, struct strv *lines)
{
	struct utsname host;
	size_t i;
	int r;

	r = strv_addf(lines, "Version=%s", imbrex_version());
	if (r == 0)
		r = strv_addf(lines, "Driver=%s", s->driver->ops->name);
	if (r == 0)
		r = strv_addf(lines, "Graph Root=%s", s->config.graphroot);
	if (r == 0)
		r = strv_addf(lines, "Run Root=%s", s->config.runroot);
	if (r == 0)
		r = strv_addf(lines, "Rootless=%s", s->rootless ? "true" : "false");
	if (r == 0 && s->rootless)
		r = strv_addf(lines, "Single Id=%s", s->single_id ? "true" : "false");
	for (i = 0; r == 0 && i < s->config.sources.n; i++)
		r = strv_addf(lines, "Config File=%s", s->config.sources.items[i]);
	for (i = 0; r == 0 && i < s->config.driver_options.n; i++)
		r = strv_addf(lines, "Driver Option=%s", s->config.driver_options.items[i]);
	if (r == 0 && uname(&host) == 0)
		r = strv_addf(lines, "Kernel=%s", host.release);
	return r;
}

PUBLIC int imbrex_store_info(struct imbrex_store *s, char ***ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV lines = { 0 };
	char **taken;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r < 0)
		return r;
	if (add_config(s, &lines) < 0 || add_counts(s, &lines) < 0)
		return fail_nomem(err);
	r = s->driver->ops->status(s->driver, &lines, err);
	if (r < 0)
		return r;
	taken = strings_take(&lines);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}

/* ---- inspect --------------------------------------------------------------------------- */

static int inspect_text(
	const char *kind, const struct record *rec, char **ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);

	/* The record as it is in the store, with its kind in front. */
	if (str_printf(&text, "{\"kind\":\"%s\"%s", kind, rec->len > 2 ? "," : "") < 0 ||
		str_append(&text, rec->text + 1, rec->len - 1) < 0)
		return fail_nomem(err);
	*ret = str_take(&text);
	return *ret ? 0 : fail_nomem(err);
}

PUBLIC int imbrex_inspect(
	struct imbrex_store *s, const char *object, char **ret_json, struct imbrex_error *err)
{
	struct imbrex_error found = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	size_t index;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r < 0)
		return r;
	r = store_find(s, &s->containers, object, &index, &found);
	if (r == 0)
		return inspect_text("container", &s->containers.t.records[index], ret_json, err);
	if (r == IMBREX_ENOENT) {
		r = store_find_image(s, object, &index, &found);
		if (r == 0)
			return inspect_text("image", &s->images.t.records[index], ret_json, err);
	}
	if (r == IMBREX_ENOENT) {
		r = store_find(s, &s->layers, object, &index, &found);
		if (r == 0)
			return inspect_text("layer", &s->layers.t.records[index], ret_json, err);
	}
	if (r == IMBREX_ENOENT)
		return fail(err, r, "no container, image or layer is called '%s'", object);
	if (err)
		*err = found;
	return r;
}

/* ---- disk use -------------------------------------------------------------------------- */

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

/* Marks the layers from `id` down as needed. */
static void mark(struct imbrex_store *s, struct json_span id, bool *needed)
{
	ptrdiff_t at = id.len ? table_find_id(&s->layers.t, id.at, id.len) : -1;

	for (; at >= 0 && !needed[at]; at = layer_parent(s, (size_t)at))
		needed[at] = true;
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
	AUTO_FREE bool *needed = NULL;
	AUTO_FREE bool *writable = NULL;
	struct imbrex_df df = { 0 };
	int64_t size = 0;
	size_t i;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r < 0)
		return r;
	df.n_images = s->images.t.n;
	df.n_containers = s->containers.t.n;
	df.n_layers = s->layers.t.n;
	needed = calloc(s->layers.t.n + 1, sizeof(*needed));
	writable = calloc(s->layers.t.n + 1, sizeof(*writable));
	if (!needed || !writable)
		return fail_nomem(err);
	for (i = 0; i < s->containers.t.n; i++) {
		struct json_span layer = record_plain(&s->containers.t.records[i], CONTAINER_LAYER);
		ptrdiff_t at = layer.len ? table_find_id(&s->layers.t, layer.at, layer.len) : -1;

		mark(s, layer, needed);
		if (at >= 0)
			writable[at] = true;
	}
	for (i = 0; i < s->layers.t.n; i++) {
		if (writable[i]) {
			r = measure_layer(s, &s->layers.t.records[i], &size, err);
			if (r < 0)
				return r;
			df.containers_bytes = sum(df.containers_bytes, size);
			continue;
		}
		size = recorded_size(&s->layers.t.records[i]);
		df.layers_bytes = sum(df.layers_bytes, size);
		if (!needed[i])
			df.reclaimable_bytes = sum(df.reclaimable_bytes, size);
	}
	*ret = df;
	return 0;
}
