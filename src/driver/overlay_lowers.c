/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies below a layer: the diff directories of the layers that its `lower` names by way of l/.
 * Each is checked to be a directory and no symbolic link.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "driver/overlay.h"
#include "os/fd.h"

/* diff1, diff2, … of a layer: what lay in `diff` before its owners were changed. */
static int add_generations(struct overlay *o, const char *id, const struct overlay_layer *layer,
	struct strv *ret, struct imbrex_error *err)
{
	char name[32];
	unsigned int i;

	for (i = 1; i <= OVERLAY_LOWERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "diff%u", i);
		if (!is_dir_at(layer->fd, name))
			break;
		if (strv_addf(ret, "%s/%s/%s", o->homes[layer->home].path, id, name) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* The id behind l/<link>, in whichever home has it. */
static int find_lower(
	struct overlay *o, const char *link, struct str *ret_id, struct imbrex_error *err)
{
	bool repaired = false;
	size_t i;
	int r;

	for (;;) {
		for (i = 0; i < o->n_homes; i++) {
			r = overlay_link_target(o, i, link, ret_id, err);
			if (r != IMBREX_ENOENT)
				return r;
		}
		if (repaired || o->config.read_only)
			break;
		r = overlay_repair_links(o, err);
		if (r < 0)
			return r;
		repaired = true;
	}
	return fail(err, IMBREX_ENOENT, "no layer has the link 'l/%s'", link);
}

static int add_lower(struct overlay *o, const char *id, const char *link, struct strv *ret,
	struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_STR lower_id = STR_INIT(LIMIT_NAME_BYTES);
	AUTO_FREE char *dir = NULL;
	AUTO_FREE char *diff = NULL;
	int r;

	r = find_lower(o, link, &lower_id, err);
	if (r == 0)
		r = overlay_layer_open(o, str_text(&lower_id), &layer, err);
	if (r < 0)
		return wrap(err, r, "layer %s: below it", id);
	if (!is_dir_at(layer.fd, "diff") && !is_symlink_at(layer.fd, "diff"))
		return fail(err, IMBREX_EFORMAT, "layer %s: 'diff' is not a directory",
			str_text(&lower_id));
	dir = format_text("%s/%s", o->homes[layer.home].path, str_text(&lower_id));
	if (!dir)
		return fail_nomem(err);
	r = overlay_diff_path(o, dir, str_text(&lower_id), layer.fd, &diff, err);
	if (r < 0)
		return r;
	if (strv_take(ret, take_ptr(diff)) < 0)
		return fail_nomem(err);
	return add_generations(o, str_text(&lower_id), &layer, ret, err);
}

int overlay_lowers_of(struct overlay *o, const char *id, const struct overlay_layer *layer,
	struct strv *ret, struct imbrex_error *err)
{
	const char *p = str_text(&layer->lower);
	int r;

	r = add_generations(o, id, layer, ret, err);
	while (r == 0 && *p) {
		char link[OVERLAY_LINK_LEN + 1];

		/* overlay_layer_read() has checked the form. */
		memcpy(link, p + 2, OVERLAY_LINK_LEN);
		link[OVERLAY_LINK_LEN] = 0;
		r = add_lower(o, id, link, ret, err);
		p += 2 + OVERLAY_LINK_LEN;
		p += *p == ':';
	}
	return r;
}

int overlay_lowers(struct overlay *o, const char *id, struct strv *ret, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	int r;

	r = overlay_layer_open(o, id, &layer, err);
	if (r == 0)
		r = overlay_layer_read(id, &layer, err);
	return r < 0 ? r : overlay_lowers_of(o, id, &layer, ret, err);
}
