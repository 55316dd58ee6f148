/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the store: info, inspect. Nothing here changes anything. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
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

	r = strv_addf(lines, "Images=%zu", store_count(s, &image_records));
	if (r == 0)
		r = strv_addf(lines, "Layers=%zu", store_count(s, &layer_records));
	if (r == 0)
		r = strv_addf(lines, "Containers=%zu", table_count(&s->containers.t));
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

PUBLIC int imbrex_store_status(struct imbrex_store *s, char ***ret, struct imbrex_error *err)
{
	AUTO_STRV lines = { 0 };
	char **taken;
	int r;

	r = s->driver->ops->status(s->driver, &lines, err);
	if (r < 0)
		return r;
	taken = strings_take(&lines);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

PUBLIC int imbrex_driver_layers(struct imbrex_store *s, char ***ret, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	char **taken;
	int r;

	r = s->driver->ops->list(s->driver, &names, err);
	if (r < 0)
		return r;
	if (names.n)
		qsort(names.items, names.n, sizeof(*names.items), compare_names);
	taken = strings_take(&names);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}

PUBLIC const char *const *imbrex_store_driver_options(const struct imbrex_store *s)
{
	static const char *const none[] = { NULL };

	return s->config.driver_options.n ? (const char *const *)s->config.driver_options.items
					  : none;
}

/* ---- inspect --------------------------------------------------------------------------- */

/* What the container may take and takes, as a member, where the file system counts it. */
static int add_limits(struct imbrex_store *s, const struct record *rec, struct str *text,
	struct imbrex_error *err)
{
	struct json_span layer = record_plain(rec, CONTAINER_LAYER);
	AUTO_FREE char *id = strndup(layer.at ? layer.at : "", layer.len);
	struct driver_limits limits;
	struct imbrex_error ignored;

	if (!id)
		return fail_nomem(err);
	if (!s->driver->ops->limits ||
		s->driver->ops->limits(s->driver, id, &limits, &ignored) <= 0)
		return 0;
	return str_printf(text,
		       ",\"limits\":{\"bytes\":%" PRIu64 ",\"inodes\":%" PRIu64
		       ",\"used_bytes\":%" PRIu64 ",\"used_inodes\":%" PRIu64 "}",
		       limits.size_bytes_max, limits.inodes_max, limits.size_bytes,
		       limits.inodes) < 0
		       ? fail_nomem(err)
		       : 0;
}

/* The record as it is in the store, with its kind, and what else is known, in front. */
static int inspect_text(struct imbrex_store *s, const char *kind, const struct record *rec,
	char **ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	int r;

	if (str_printf(&text, "{\"kind\":\"%s\"", kind) < 0)
		return fail_nomem(err);
	r = str_eq(kind, "container") ? add_limits(s, rec, &text, err) : 0;
	if (r < 0)
		return r;
	if (str_append(&text, ",", rec->len > 2 ? 1 : 0) < 0 ||
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
	struct found f;
	int r;

	r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r < 0)
		return r;
	r = store_find(s, &container_records, object, &f, &found);
	if (r == 0)
		return inspect_text(s, "container", found_record(&f), ret_json, err);
	if (r == IMBREX_ENOENT) {
		r = store_find_image(s, object, &f, &found);
		if (r == 0)
			return inspect_text(s, "image", found_record(&f), ret_json, err);
	}
	if (r == IMBREX_ENOENT) {
		r = store_find(s, &layer_records, object, &f, &found);
		if (r == 0)
			return inspect_text(s, "layer", found_record(&f), ret_json, err);
	}
	if (r == IMBREX_ENOENT)
		return fail(err, r, "no container, image or layer is called '%s'", object);
	if (err)
		*err = found;
	return r;
}
