/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content of layers on the way out, and what is known about them.
 *
 * A diff comes from the layer's own directory when that says everything: the kernel mounts, no
 * option moves content elsewhere (metacopy, redirect_dir), and the other layer is the direct
 * parent. Otherwise both trees are mounted read-only, seen by nobody, and compared.
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
#include "driver/diff.h"
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
	o->reading_diff = openat(layer.fd, "diff", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o->reading_diff < 0)
		return fail_errno(err, "layer %s: open 'diff'", id);
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

struct lower_look {
	const struct strv *lowers; /* absolute diff directories, topmost first */
};

/* In one layer: 1 a directory is there, 0 this layer hides it, -1 this layer says nothing. */
static int look_in(int root, const char *path)
{
	char prefix[LIMIT_PATH_BYTES + 1];
	const char *p = path;
	struct stat st;

	do {
		size_t n = strcspn(p, "/");
		size_t len = (size_t)(p - path) + n;
		AUTO_CLOSE int fd = -EBADF;

		memcpy(prefix, path, len);
		prefix[len] = 0;
		fd = open_beneath(root, prefix, O_PATH | O_NOFOLLOW, 0, BENEATH_NO_SYMLINKS);
		if (fd < 0 || fstat(fd, &st) < 0)
			return -1;
		if (!S_ISDIR(st.st_mode))
			return 0;
		p += n;
		p += *p == '/';
	} while (*p);
	return 1;
}

static bool lower_has_dir(void *ctx, const char *path)
{
	const struct lower_look *look = ctx;
	size_t i;
	int found = -1;

	for (i = 0; i < look->lowers->n && found < 0; i++) {
		AUTO_CLOSE int root = -EBADF;

		root = open(look->lowers->items[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (root >= 0)
			found = look_in(root, path);
	}
	return found > 0;
}

/* 1 if `parent_id` is what `lower` of the layer begins with. */
static int is_direct_parent(struct overlay *o, const char *id, const char *parent_id,
	struct overlay_layer *layer, struct imbrex_error *err)
{
	AUTO_STR above = STR_INIT(LIMIT_NAME_BYTES);
	char link[OVERLAY_LINK_LEN + 1];
	size_t i;
	int r;

	r = overlay_layer_open(o, id, layer, err);
	if (r == 0)
		r = overlay_layer_read(id, layer, err);
	if (r < 0)
		return r;
	if (!parent_id || !layer->lower.len)
		return !parent_id && !layer->lower.len;
	memcpy(link, layer->lower.data + 2, OVERLAY_LINK_LEN);
	link[OVERLAY_LINK_LEN] = 0;
	for (i = 0; i < o->n_homes; i++) {
		r = overlay_link_target(o, i, link, &above, NULL);
		if (r == 0)
			return str_eq(str_text(&above), parent_id);
	}
	return 0;
}

static bool moves_content(const struct overlay *o)
{
	const char *opt = o->options.mountopt ? o->options.mountopt : "";

	return strstr(opt, "metacopy=on") || strstr(opt, "redirect_dir=on");
}

static int diff_native(struct overlay *o, const char *id, const struct overlay_layer *layer,
	struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_CLOSE int diff = -EBADF;
	AUTO_STRV lowers = { 0 };
	struct lower_look look = { &lowers };
	int r;

	r = overlay_lowers(o, id, &lowers, err);
	if (r < 0)
		return r;
	diff = openat(layer->fd, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (diff < 0)
		return fail_errno(err, "layer %s: open 'diff'", id);
	r = diff_upper(diff,
		&(struct diff_opts){
			.opaque_xattr = overlay_opaque_xattr(o),
			.lower_has_dir = lower_has_dir,
			.ctx = &look,
			.override_stat = o->options.has_force_mask,
		},
		to, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int diff_naive(struct overlay *o, const char *id, const char *parent_id,
	struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_OVERLAY_VIEW new = OVERLAY_VIEW_INIT;
	AUTO_OVERLAY_VIEW old = OVERLAY_VIEW_INIT;
	int r;

	r = overlay_view_open(o, id, &new, err);
	if (r == 0 && parent_id)
		r = overlay_view_open(o, parent_id, &old, err);
	if (r < 0)
		return r;
	r = diff_trees(new.fd, old.fd, o->options.has_force_mask, to, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int overlay_diff(struct driver *d, const char *id, const struct id_maps *maps,
	const char *parent_id, const struct id_maps *parent_maps, struct entry_sink *to,
	struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	int r;

	r = is_direct_parent(o, id, parent_id, &layer, err);
	if (r < 0)
		return r;
	if (r > 0 && !moves_content(o) && !is_dir_at(layer.fd, "diff1") &&
		(o->config.read_only || overlay_probe_native_diff(o) > 0))
		return diff_native(o, id, &layer, to, err);
	return diff_naive(o, id, parent_id, to, err);
}

static int check_links(
	struct overlay *o, const char *id, struct overlay_layer *layer, struct strv *ret)
{
	AUTO_STR target = STR_INIT(LIMIT_NAME_BYTES);
	struct imbrex_error why = { 0 };
	int r;

	r = overlay_link_target(o, layer->home, layer->link, &target, &why);
	if (r == IMBREX_ENOENT)
		return strv_addf(ret, "layer %s: there is no 'l/%s'", id, layer->link);
	if (r < 0)
		return strv_addf(ret, "layer %s: %s", id, why.message);
	if (!str_eq(str_text(&target), id))
		return strv_addf(ret, "layer %s: 'l/%s' leads to layer %s", id, layer->link,
			str_text(&target));
	return 0;
}

static int check_lower(struct overlay *o, const char *id, const char *parent_id,
	const struct overlay_layer *layer, struct strv *ret)
{
	AUTO_OVERLAY_LAYER parent = OVERLAY_LAYER_INIT;
	AUTO_STR want = STR_INIT(OVERLAY_LOWER_BYTES + 64u);
	struct imbrex_error why = { 0 };
	int r;

	if (!parent_id)
		return layer->lower.len
			       ? strv_addf(ret, "layer %s: has a 'lower' file but no parent", id)
			       : 0;
	r = overlay_layer_open(o, parent_id, &parent, &why);
	if (r == 0)
		r = overlay_layer_read(parent_id, &parent, &why);
	if (r < 0)
		return strv_addf(ret, "layer %s: parent: %s", id, why.message);
	r = str_printf(&want, "l/%s%s%s", parent.link, parent.lower.len ? ":" : "",
		str_text(&parent.lower));
	if (r < 0)
		return r;
	if (!str_eq(str_text(&want), str_text(&layer->lower)))
		return strv_addf(ret,
			"layer %s: 'lower' does not name parent %s and what is below it", id,
			parent_id);
	return 0;
}

int overlay_check(struct driver *d, const char *id, const char *parent_id, struct strv *ret,
	struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	struct imbrex_error why = { 0 };
	int r;

	r = overlay_layer_open(o, id, &layer, &why);
	if (r < 0)
		return strv_add(ret, why.message) < 0 ? fail_nomem(err) : 0;
	r = overlay_layer_read(id, &layer, &why);
	if (r < 0) {
		r = strv_add(ret, why.message);
	} else {
		r = check_links(o, id, &layer, ret);
		if (r == 0)
			r = check_lower(o, id, parent_id, &layer, ret);
	}
	if (r == 0 && !is_dir_at(layer.fd, "diff") && !is_file_at(layer.fd, "additionallayer"))
		r = strv_addf(ret, "layer %s: there is no directory 'diff'", id);
	return r < 0 ? fail_nomem(err) : 0;
}

static const char *truth(bool value)
{
	return value ? "true" : "false";
}

int overlay_status(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	const char *opt = o->options.mountopt ? o->options.mountopt : "";
	uint32_t magic = 0;
	bool metacopy = strstr(opt, "metacopy=on") && overlay_probe_metacopy(o) > 0;
	int r = fs_magic(o->homes[0].fd, &magic);

	if (r < 0)
		return fail_code(err, r, "statfs '%s'", o->homes[0].path);
	r = strv_addf(ret, "Backing Filesystem=%s", fs_name(magic));
	if (r == 0)
		r = strv_add(ret, "Supports d_type=true");
	if (r == 0)
		r = strv_addf(ret, "Native Overlay Diff=%s",
			truth(!moves_content(o) && overlay_probe_native_diff(o) > 0));
	if (r == 0)
		r = strv_addf(ret, "Using metacopy=%s", truth(metacopy));
	if (r == 0)
		r = strv_add(ret, "Supports shifting=false");
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
