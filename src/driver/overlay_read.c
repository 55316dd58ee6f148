/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of a layer for who knows its name, and what is known about layers.
 *
 * Source: docs/formats/overlay-layer.md, "Content on the way out".
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/limits.h"
#include "driver/content.h"
#include "driver/overlay.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/probe.h"

void overlay_stop_reading(struct overlay *o)
{
	free(take_ptr(o->reading));
	o->reading_diff = close_fd(o->reading_diff);
	strv_done(&o->reading_lowers);
	o->reading_lowers = (struct strv){ 0 };
}

static int start_reading(struct overlay *o, const char *id, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	int r;

	if (o->reading && str_eq(o->reading, id))
		return 0;
	overlay_stop_reading(o);
	r = overlay_layer_open(o, id, &layer, err);
	if (r < 0)
		return r;
	r = overlay_diff_open(o, id, layer.fd, O_PATH, err);
	if (r < 0)
		return r;
	o->reading_diff = r;
	o->reading = strdup(id);
	return o->reading ? 0 : fail_nomem(err);
}

/* A layer whose owners were changed keeps its content in diff1 …, or below. */
static int open_in_lowers(struct overlay *o, const char *id, const char *name, size_t name_len,
	struct imbrex_error *err)
{
	size_t i;
	int r;

	if (o->reading_lowers.n == 0) {
		r = overlay_lowers(o, id, &o->reading_lowers, err);
		if (r < 0)
			return r;
	}
	for (i = 0; i < o->reading_lowers.n; i++) {
		AUTO_CLOSE int dir = -EBADF;

		dir = open(
			o->reading_lowers.items[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir < 0)
			return fail_errno(
				err, "layer %s: open '%s'", id, o->reading_lowers.items[i]);
		r = content_open(dir, name, name_len);
		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

int overlay_open_file(struct driver *d, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	int fd, r;

	r = start_reading(o, id, err);
	if (r < 0)
		return r;
	fd = content_open(o->reading_diff, name, name_len);
	if (fd == -ENOENT)
		fd = open_in_lowers(o, id, name, name_len, err);
	if (fd <= IMBREX_EFAIL)
		return fd; /* a status: err is filled; errno values are all above */
	if (fd == -EMEDIUMTYPE)
		return fail(err, IMBREX_EFORMAT, "layer %s: '%.*s' is not a regular file", id,
			(int)MIN(name_len, 200), name);
	if (fd < 0)
		return fail_code(
			err, fd, "layer %s: open '%.*s'", id, (int)MIN(name_len, 200), name);
	*ret_fd = fd;
	return 0;
}

static const char *truth(bool value)
{
	return value ? "true" : "false";
}

int overlay_status(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	uint32_t magic = 0;
	int r = fs_magic(o->homes[0].fd, &magic);

	if (r < 0)
		return fail_code(err, r, "statfs '%s'", o->homes[0].path);
	r = strv_addf(ret, "Backing Filesystem=%s", fs_name(magic));
	if (r == 0)
		r = strv_add(ret, "Supports d_type=true");
	if (r == 0)
		r = strv_addf(ret, "Native Overlay Diff=%s",
			truth(!overlay_moves_content(o) && overlay_probe_native_diff(o) > 0));
	if (r == 0)
		r = strv_addf(ret, "Using metacopy=%s", truth(overlay_uses_metacopy(o)));
	if (r == 0)
		r = strv_addf(ret, "Supports shifting=%s", truth(overlay_shifts(d, NULL)));
	if (r == 0)
		r = strv_addf(ret, "Supports volatile=%s", truth(overlay_probe_volatile(o) > 0));
	return r < 0 ? fail_nomem(err) : 0;
}

int overlay_metadata(struct driver *d, const char *id, struct strv *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_STR joined = STR_INIT(4u * 1024u * 1024u);
	AUTO_STRV lowers = { 0 };
	const char *home;
	size_t i;
	int r;

	r = overlay_layer_open(o, id, &layer, err);
	if (r == 0)
		r = overlay_lowers(o, id, &lowers, err);
	if (r < 0)
		return r;
	home = o->homes[layer.home].path;
	for (i = 0; r == 0 && i < lowers.n; i++)
		r = str_printf(&joined, "%s%s", i ? ":" : "", lowers.items[i]);
	if (r == 0 && lowers.n)
		r = strv_addf(ret, "LowerDir=%s", str_text(&joined));
	if (r == 0)
		r = strv_addf(ret, "MergedDir=%s/%s/merged", home, id);
	if (r == 0)
		r = strv_addf(ret, "UpperDir=%s/%s/diff", home, id);
	if (r == 0)
		r = strv_addf(ret, "WorkDir=%s/%s/work", home, id);
	return r < 0 ? fail_nomem(err) : 0;
}
