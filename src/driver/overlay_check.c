/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer directory of the overlay driver against what it should be, and its content as a tree.
 *
 * Nothing is changed and nothing believed: everything is read as overlay_layer.c reads it.
 * Source: docs/formats/overlay-layer.md, "overlay".
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "driver/overlay.h"
#include "os/fd.h"

struct search {
	struct overlay *o;
	const char *id;
	struct overlay_layer layer;
	driver_problem_fn fn;
	void *ctx;
};

static int PRINTF_LIKE(4, 5) tell(struct search *s, enum driver_problem_kind kind,
	struct imbrex_error *err, const char *fmt, ...)
{
	AUTO_STR text = STR_INIT(2048);
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = str_vprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0 && r != -EFBIG)
		return fail_nomem(err);
	return s->fn(
		s->ctx, &(struct driver_problem){ .kind = kind, .text = str_text(&text) }, err);
}

/* What a function says of the layer by its name is told without it. */
static const char *unnamed(const struct search *s, const struct imbrex_error *why)
{
	const char *rest = str_after(why->message, "layer ");

	rest = rest ? str_after(rest, s->id) : NULL;
	rest = rest ? str_after(rest, ": ") : NULL;
	return rest ? rest : why->message;
}

static int check_link(struct search *s, struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_NAME_BYTES);
	struct imbrex_error why = { 0 };
	int r;

	r = overlay_link_target(s->o, s->layer.home, s->layer.link, &target, &why);
	if (r == IMBREX_ENOENT)
		return tell(s, DRIVER_PROBLEM_LINK, err, "there is no 'l/%s'", s->layer.link);
	if (r < 0)
		return tell(s, DRIVER_PROBLEM_LINK, err, "%s", why.message);
	if (!str_eq(str_text(&target), s->id))
		return tell(s, DRIVER_PROBLEM_LINK, err, "'l/%s' leads to layer %s", s->layer.link,
			str_text(&target));
	return 0;
}

int overlay_wanted_lower(
	struct overlay *o, const char *parent_id, struct str *ret, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER parent = OVERLAY_LAYER_INIT;
	int r;

	if (!parent_id)
		return 0;
	r = overlay_layer_open(o, parent_id, &parent, err);
	if (r == 0)
		r = overlay_layer_read(parent_id, &parent, err);
	if (r < 0)
		return r;
	r = str_printf(
		ret, "l/%s%s%s", parent.link, parent.lower.len ? ":" : "", str_text(&parent.lower));
	return r < 0 ? fail_nomem(err) : 0;
}

int overlay_stands_on_template(struct overlay *o, const struct overlay_layer *layer,
	const char *wanted, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER below = OVERLAY_LAYER_INIT;
	AUTO_STR id = STR_INIT(LIMIT_NAME_BYTES);
	char link[OVERLAY_LINK_LEN + 1] = "";
	size_t i;
	int r = IMBREX_ENOENT;

	/* Its own changed owners, or none of its own: a layer with content has neither. */
	if (!is_dir_at(layer->fd, "diff1") || layer->lower.len < 2 + OVERLAY_LINK_LEN)
		return 0;
	memcpy(link, str_text(&layer->lower) + 2, OVERLAY_LINK_LEN);
	for (i = 0; i < o->n_homes && r == IMBREX_ENOENT; i++)
		r = overlay_link_target(o, i, link, &id, NULL);
	if (r == 0)
		r = overlay_layer_open(o, str_text(&id), &below, NULL);
	if (r == 0)
		r = overlay_layer_read(str_text(&id), &below, NULL);
	if (r == IMBREX_ENOMEM)
		return fail_nomem(err);
	return r == 0 && str_eq(str_text(&below.lower), wanted);
}

static int check_lower(struct search *s, const char *parent_id, struct imbrex_error *err)
{
	AUTO_STR want = STR_INIT(OVERLAY_LOWER_BYTES + 64u);
	struct imbrex_error why = { 0 };
	int r;

	r = overlay_wanted_lower(s->o, parent_id, &want, &why);
	/* A parent that is gone is told once, as what it is. */
	if (r < 0 && !overlay_ops.exists(&s->o->base, parent_id))
		return 0;
	if (r < 0)
		return tell(s, DRIVER_PROBLEM_LINK, err, "parent: %s", why.message);
	if (str_eq(str_text(&want), str_text(&s->layer.lower)))
		return 0;
	r = overlay_stands_on_template(s->o, &s->layer, str_text(&want), err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!parent_id)
		return tell(s, DRIVER_PROBLEM_LINK, err, "has a 'lower' file but no parent");
	return tell(s, DRIVER_PROBLEM_LINK, err,
		"'lower' does not name parent %s and what is below it", parent_id);
}

static int check_names(struct search *s, const char *parent_id, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r;

	r = overlay_layer_read(s->id, &s->layer, &why);
	if (r < 0)
		return tell(s, DRIVER_PROBLEM_LINK, err, "%s", unnamed(s, &why));
	r = check_link(s, err);
	return r < 0 ? r : check_lower(s, parent_id, err);
}

static int check_dir(struct search *s, const char *name, struct imbrex_error *err)
{
	if (is_dir_at(s->layer.fd, name))
		return 0;
	return tell(s, DRIVER_PROBLEM_DIRECTORY, err,
		exists_at(s->layer.fd, name) ? "'%s' is not a directory"
					     : "there is no directory '%s'",
		name);
}

static int check_dirs(struct search *s, const char *parent_id, struct imbrex_error *err)
{
	struct stat st;
	int r = 0;

	if (!is_dir_at(s->layer.fd, "diff") && !is_file_at(s->layer.fd, "additionallayer"))
		r = tell(s, DRIVER_PROBLEM_ABSENT, err, "there is no directory 'diff'");
	if (r == 0)
		r = check_dir(s, "work", err);
	/* The mount point comes and goes: releases before 1.50 remove it at every unmount. */
	if (r == 0 && exists_at(s->layer.fd, "merged"))
		r = check_dir(s, "merged", err);
	if (r == 0 && !parent_id)
		r = check_dir(s, "empty", err);
	if (r == 0 && fstat(s->layer.fd, &st) == 0 && st.st_mode & 0022)
		r = tell(s, DRIVER_PROBLEM_DIRECTORY, err,
			"its directory can be changed by others: mode %04o", st.st_mode & 07777);
	return r;
}

int overlay_check(struct driver *d, const char *id, const char *parent_id, driver_problem_fn fn,
	void *ctx, struct imbrex_error *err)
{
	struct search s = { .o = overlay_of(d), .id = id, .fn = fn, .ctx = ctx };
	struct imbrex_error why = { 0 };
	int r;

	s.layer = (struct overlay_layer)OVERLAY_LAYER_INIT;
	r = overlay_layer_open(s.o, id, &s.layer, &why);
	if (r < 0) {
		r = tell(&s, DRIVER_PROBLEM_ABSENT, err, "%s", unnamed(&s, &why));
	} else {
		r = check_names(&s, parent_id, err);
		if (r == 0)
			r = check_dirs(&s, parent_id, err);
	}
	overlay_layer_done(&s.layer);
	return r;
}

/* ---- content --------------------------------------------------------------------------- */

static int open_view(
	struct overlay *o, const char *id, struct driver_tree *t, struct imbrex_error *err)
{
	struct overlay_view *view = calloc(1, sizeof(*view));
	int r;

	if (!view)
		return fail_nomem(err);
	*view = (struct overlay_view)OVERLAY_VIEW_INIT;
	r = overlay_view_open(o, id, view, err);
	if (r < 0) {
		free(view);
		return r;
	}
	t->view = view;
	t->fd = view->fd;
	t->whole = true;
	t->whiteouts = APPLY_REMOVE;
	return 0;
}

int overlay_tree_open(
	struct driver *d, const char *id, struct driver_tree *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	struct driver_tree t = {
		.fd = -EBADF,
		.any_owner = o->options.ignore_chown_errors || o->config.single_id,
		.any_meta = o->options.has_force_mask,
		.no_devices = o->in_userns,
	};
	int r;

	r = overlay_layer_open(o, id, &layer, err);
	if (r < 0)
		return r;
	if (is_dir_at(layer.fd, "diff1")) {
		r = open_view(o, id, &t, err);
		if (r < 0)
			return r;
	} else {
		t.whiteouts = o->options.mount_program ? APPLY_AUFS : APPLY_OVERLAY;
		if (!o->options.mount_program)
			t.opaque_xattr = overlay_opaque_xattr(o);
		t.fd = overlay_diff_open(o, id, layer.fd, O_RDONLY, err);
		if (t.fd < 0)
			return t.fd;
	}
	*ret = t;
	return 0;
}

void overlay_tree_close(struct driver *d, struct driver_tree *t)
{
	if (t->view) {
		overlay_view_close(t->view);
		free(take_ptr(t->view));
		t->fd = -EBADF;
	}
	t->fd = close_fd(t->fd);
}
