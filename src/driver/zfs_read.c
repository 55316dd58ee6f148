/* SPDX-License-Identifier: Apache-2.0 */
/* What layers hold, by views of their datasets, and whether the datasets are as they should be. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "driver/content.h"
#include "driver/diff.h"
#include "driver/where.h"
#include "driver/zfs.h"
#include "os/fd.h"

void zfs_stop_reading(struct zfs_driver *d)
{
	free(take_ptr(d->reading));
	zfs_view_close(&d->reading_view);
}

static int read_layer(struct zfs_driver *d, const char *id, struct imbrex_error *err)
{
	int r;

	if (d->reading && str_eq(d->reading, id))
		return 0;
	zfs_stop_reading(d);
	r = zfs_layer_view(d, id, &d->reading_view, err);
	if (r < 0)
		return r;
	d->reading = strdup(id);
	return d->reading ? 0 : fail_nomem(err);
}

int zfs_open_file(struct driver *base, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	int r, fd;

	r = read_layer(d, id, err);
	if (r < 0)
		return r;
	fd = content_open(d->reading_view.fd, name, name_len);
	if (fd == -EMEDIUMTYPE)
		return fail(err, IMBREX_EFORMAT, "layer %s: '%.*s' is not a regular file", id,
			(int)MIN(name_len, 200), name);
	if (fd < 0)
		return fail_code(
			err, fd, "layer %s: open '%.*s'", id, (int)MIN(name_len, 200), name);
	*ret_fd = fd;
	return 0;
}

/* The descriptor keeps the mount, although nobody can find it any more. */
int zfs_open_tree(struct driver *base, const char *id, int *ret_fd, struct imbrex_error *err)
{
	AUTO_VIEW v = ZFS_VIEW_INIT;
	int r;

	r = zfs_layer_view(zfs_of(base), id, &v, err);
	if (r == 0)
		*ret_fd = take_fd(v.fd);
	return r;
}

/* ---- differences ----------------------------------------------------------------------- */

struct view_pair {
	struct zfs_view new;
	struct zfs_view old;
	struct tree_pair trees;
};

static void view_pair_done(struct view_pair *p)
{
	zfs_view_close(&p->new);
	zfs_view_close(&p->old);
}
#define AUTO_VIEWS __attribute__((cleanup(view_pair_done))) struct view_pair
#define VIEWS_INIT                                         \
	{                                                  \
		.new = ZFS_VIEW_INIT, .old = ZFS_VIEW_INIT \
	}

static int open_pair(struct driver *base, const char *id, const char *other, struct view_pair *ret,
	struct imbrex_error *err)
{
	int r;

	r = zfs_layer_view(zfs_of(base), id, &ret->new, err);
	if (r == 0 && other)
		r = zfs_layer_view(zfs_of(base), other, &ret->old, err);
	ret->trees.new = ret->new.fd;
	ret->trees.old = ret->old.fd;
	return r;
}

int zfs_diff(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_VIEWS p = VIEWS_INIT;
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	p.trees.maps = maps;
	p.trees.old_maps = other_maps;
	r = diff_trees(&p.trees, to, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int zfs_changes(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, driver_change_fn fn, void *ctx, struct imbrex_error *err)
{
	AUTO_VIEWS p = VIEWS_INIT;
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	p.trees.maps = maps;
	p.trees.old_maps = other_maps;
	r = changes_trees(&p.trees, fn, ctx, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int zfs_diff_size(
	struct driver *d, const char *id, const char *other, int64_t *ret, struct imbrex_error *err)
{
	AUTO_VIEWS p = VIEWS_INIT;
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = size_of_difference(&p.trees, ret, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

/* ---- trees ----------------------------------------------------------------------------- */

int zfs_tree_open(
	struct driver *base, const char *id, struct driver_tree *ret, struct imbrex_error *err)
{
	struct zfs_view *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return fail_nomem(err);
	*v = (struct zfs_view)ZFS_VIEW_INIT;
	r = zfs_layer_view(zfs_of(base), id, v, err);
	if (r < 0) {
		free(v);
		return r;
	}
	*ret = (struct driver_tree){
		.fd = v->fd, .view = v, .whole = true, .whiteouts = APPLY_REMOVE
	};
	return 0;
}

void zfs_tree_close(struct driver *d, struct driver_tree *t)
{
	struct zfs_view *v = take_ptr(t->view);

	if (v)
		zfs_view_close(v);
	free(v);
	t->fd = -EBADF;
}

/* Clones have the inodes of what they were cloned from: what differs is the layer's own. */
int zfs_holds(struct driver *d, const char *id, const char *below, const char *inside,
	struct imbrex_error *err)
{
	AUTO_VIEWS p = VIEWS_INIT;
	struct stat a, b;
	int r;

	r = open_pair(d, id, below, &p, err);
	if (r == 0)
		r = tree_holds(p.new.fd, inside, err);
	if (r <= 0 || !below)
		return r;
	r = tree_holds(p.old.fd, inside, err);
	if (r <= 0)
		return r < 0 ? r : 1;
	inside += strspn(inside, "/");
	if (!*inside)
		inside = ".";
	if (fstatat(p.new.fd, inside, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
		fstatat(p.old.fd, inside, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer %s: look at '%s'", id, inside);
	return a.st_ino != b.st_ino || a.st_mode != b.st_mode || a.st_uid != b.st_uid ||
	       a.st_gid != b.st_gid || a.st_ctim.tv_sec != b.st_ctim.tv_sec ||
	       a.st_ctim.tv_nsec != b.st_ctim.tv_nsec;
}

/* ---- check and repair ------------------------------------------------------------------ */

bool zfs_layer_exists(struct driver *base, const char *id)
{
	struct zfs_driver *d = zfs_of(base);
	struct imbrex_error ignored;
	struct zfs_name name;

	return zfs_layer_name(d, id, &name, &ignored) == 0 && zfs_exists(d->z, &name, &ignored) > 0;
}

struct facts {
	bool there;
	bool is_file_system;
	bool is_legacy; /* mounted by us and nobody else */
	char *mountpoint;
};

static void facts_done(struct facts *f)
{
	free(f->mountpoint);
}
#define AUTO_FACTS __attribute__((cleanup(facts_done))) struct facts

static int learn(struct zfs_driver *d, const char *id, struct zfs_name *ret_name, struct facts *ret,
	struct imbrex_error *err)
{
	static const char *const names[] = { "type", "mountpoint" };
	AUTO_STRV values = { 0 };
	int r;

	r = zfs_layer_name(d, id, ret_name, err);
	if (r == 0)
		r = zfs_get_native(d->z, ret_name, names, 2, &values, err);
	if (r == IMBREX_ENOENT)
		return 0;
	if (r < 0)
		return r;
	ret->there = true;
	ret->is_file_system = str_eq(values.items[0], "filesystem");
	ret->is_legacy = str_eq(values.items[1], "legacy");
	ret->mountpoint = take_ptr(values.items[1]);
	return 0;
}

int zfs_check(struct driver *base, const char *id, const char *parent_id, driver_problem_fn fn,
	void *ctx, struct imbrex_error *err)
{
	AUTO_FREE char *text = NULL;
	struct driver_problem p = { .kind = DRIVER_PROBLEM_ABSENT };
	AUTO_FACTS facts = { 0 };
	struct zfs_name name;
	int r;

	r = learn(zfs_of(base), id, &name, &facts, err);
	if (r < 0)
		return r;
	if (facts.there && facts.is_file_system && facts.is_legacy)
		return 0;
	if (!facts.there) {
		text = format_text("no ZFS dataset '%s'", name.text);
	} else if (!facts.is_file_system) {
		text = format_text("ZFS dataset '%s' is no file system", name.text);
	} else {
		p.kind = DRIVER_PROBLEM_DIRECTORY;
		text = format_text("ZFS dataset '%s' has the mountpoint '%s', not legacy",
			name.text, facts.mountpoint);
	}
	if (!text)
		return fail_nomem(err);
	p.text = text;
	return fn(ctx, &p, err);
}

/* Of a death between two renames. */
static int put_back(
	struct zfs_driver *d, const char *id, const struct zfs_name *name, struct imbrex_error *err)
{
	AUTO_FREE char *old = format_text(ZFS_OLD_PREFIX "%s", id);
	struct zfs_name aside;
	int r;

	if (!old)
		return fail_nomem(err);
	r = zfs_name_child(&aside, &d->fs, old, err);
	if (r == 0)
		r = zfs_rename(d->z, &aside, name, err);
	if (r == IMBREX_ENOENT)
		r = fail(err, r, "layer %s: no ZFS dataset '%s'", id, name->text);
	return r;
}

int zfs_repair(struct driver *base, const char *id, const char *parent_id, struct imbrex_error *err)
{
	static const struct zfs_property legacy = { "mountpoint", "legacy" };
	struct zfs_driver *d = zfs_of(base);
	AUTO_FACTS facts = { 0 };
	struct zfs_name name;
	int r;

	r = learn(d, id, &name, &facts, err);
	if (r == 0 && !facts.there)
		r = put_back(d, id, &name, err);
	else if (r == 0 && !facts.is_file_system)
		r = fail(err, IMBREX_EFORMAT, "layer %s: ZFS dataset '%s' is no file system", id,
			name.text);
	else if (r == 0 && !facts.is_legacy)
		r = zfs_set(d->z, &name, &legacy, err);
	return r;
}
