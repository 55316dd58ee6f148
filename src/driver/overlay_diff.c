/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a layer differs from another one: as entries, as changes, as a number.
 *
 * The answer comes from the layer's own directory when that says everything: the kernel mounts, no
 * option moves content elsewhere (metacopy, redirect_dir), and the other layer is the direct
 * parent. Otherwise both trees are mounted read-only, seen by nobody, and compared.
 *
 * Source: docs/formats/overlay-layer.md, "Content on the way out".
 */
#include <fcntl.h>
#include <string.h>

#include "base/limits.h"
#include "driver/diff.h"
#include "driver/overlay.h"
#include "os/fd.h"

/* 1 if `other` is what `lower` of the layer begins with, or both are nothing. Opens the layer. */
static int is_direct_parent(struct overlay *o, const char *id, const char *other,
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
	if (!other || !layer->lower.len)
		return !other && !layer->lower.len;
	memcpy(link, layer->lower.data + 2, OVERLAY_LINK_LEN);
	link[OVERLAY_LINK_LEN] = 0;
	for (i = 0; i < o->n_homes; i++) {
		r = overlay_link_target(o, i, link, &above, NULL);
		if (r == 0)
			return str_eq(str_text(&above), other);
	}
	return 0;
}

bool overlay_moves_content(const struct overlay *o)
{
	const char *opt = o->options.mountopt ? o->options.mountopt : "";

	return strstr(opt, "metacopy=on") || strstr(opt, "redirect_dir=on");
}

/* What a question about one layer and another needs. */
struct look {
	struct overlay_layer layer;
	bool is_parent; /* the other is right below; `diff` is all that is in between */
	bool is_native; /* and it says so in full */
	int diff;       /* owned; if is_parent */
	struct strv lowers;
	struct lower_tree below; /* if is_native */
	struct overlay_view new, old;
};
#define LOOK_INIT                                                                      \
	{                                                                              \
		.layer = OVERLAY_LAYER_INIT, .diff = -EBADF, .new = OVERLAY_VIEW_INIT, \
		.old = OVERLAY_VIEW_INIT,                                              \
	}

static void look_done(struct look *l)
{
	lower_tree_done(&l->below);
	strv_done(&l->lowers);
	(void)close_fd(l->diff);
	overlay_view_close(&l->new);
	overlay_view_close(&l->old);
	overlay_layer_done(&l->layer);
}
#define AUTO_LOOK __attribute__((cleanup(look_done))) struct look

static int open_views(struct overlay *o, const char *id, const char *other, struct look *l,
	struct imbrex_error *err)
{
	int r = overlay_view_open(o, id, &l->new, err);

	if (r == 0 && other)
		r = overlay_view_open(o, other, &l->old, err);
	return r;
}

/* `whole`: every path counts, not only the sum of what lies in `diff`. */
static int look_open(struct overlay *o, const char *id, const char *other, bool whole,
	struct look *l, struct imbrex_error *err)
{
	int r;

	r = is_direct_parent(o, id, other, &l->layer, err);
	if (r < 0)
		return r;
	/* Layers whose owners were changed have their content in older generations of `diff`. */
	l->is_parent = r > 0 && !is_dir_at(l->layer.fd, "diff1");
	l->is_native = l->is_parent && !o->options.mount_program && !overlay_moves_content(o) &&
		       (o->config.read_only || overlay_probe_native_diff(o) > 0);
	if (whole ? !l->is_native : !l->is_parent)
		return open_views(o, id, other, l, err);
	l->diff = overlay_diff_open(o, id, l->layer.fd, O_RDONLY, err);
	if (l->diff < 0)
		return l->diff;
	if (!whole)
		return 0;
	r = overlay_lowers(o, id, &l->lowers, err);
	if (r == 0)
		r = lower_tree_init(&l->below, &l->lowers, overlay_opaque_xattr(o), err);
	return r;
}

int overlay_open_tree(struct driver *d, const char *id, int *ret_fd, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	int fd, r;

	r = overlay_layer_open(overlay_of(d), id, &layer, err);
	if (r < 0)
		return r;
	fd = openat(layer.fd, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "layer %s: open 'diff'", id);
	*ret_fd = fd;
	return 0;
}

static struct upper_tree upper_of(const struct overlay *o, struct look *l)
{
	return (struct upper_tree){ l->diff, overlay_opaque_xattr(o), &l->below };
}

static struct tree_pair pair_of(const struct overlay *o, const struct look *l,
	const struct id_maps *maps, const struct id_maps *other_maps)
{
	return (struct tree_pair){ l->new.fd, l->old.fd, maps, other_maps,
		o->options.has_force_mask };
}

int overlay_diff(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, struct entry_sink *to, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	const struct emit_opts opts = { maps, o->options.has_force_mask };
	AUTO_LOOK l = LOOK_INIT;
	struct upper_tree upper;
	struct tree_pair pair;
	int r;

	r = look_open(o, id, other, /* whole= */ true, &l, err);
	if (r < 0)
		return r;
	upper = upper_of(o, &l);
	pair = pair_of(o, &l, maps, other_maps);
	r = l.is_native ? diff_upper(&upper, &opts, to, err) : diff_trees(&pair, to, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int overlay_changes(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, driver_change_fn fn, void *ctx, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_LOOK l = LOOK_INIT;
	struct upper_tree upper;
	struct tree_pair pair;
	int r;

	r = look_open(o, id, other, /* whole= */ true, &l, err);
	if (r < 0)
		return r;
	upper = upper_of(o, &l);
	pair = pair_of(o, &l, maps, other_maps);
	r = l.is_native ? changes_upper(&upper, fn, ctx, err) : changes_trees(&pair, fn, ctx, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int overlay_diff_size(
	struct driver *d, const char *id, const char *other, int64_t *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_LOOK l = LOOK_INIT;
	struct tree_pair pair;
	int r;

	r = look_open(o, id, other, /* whole= */ false, &l, err);
	if (r < 0)
		return r;
	pair = pair_of(o, &l, NULL, NULL);
	r = l.is_parent ? size_of_tree(l.diff, ret, err) : size_of_difference(&pair, ret, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}
