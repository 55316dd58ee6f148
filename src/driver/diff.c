/* SPDX-License-Identifier: Apache-2.0 */
/* Trees -> entries, changes and sizes; see the header. */
#include "driver/diff.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "driver/compare.h"
#include "driver/pathset.h"
#include "driver/treewalk.h"
#include "os/xattr.h"

/* ---- an upper directory ------------------------------------------------------------------ */

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* 1: an opaque directory, and something is below at its path. */
static int hides_below(
	const struct upper_tree *u, const struct tree_item *item, struct imbrex_error *err)
{
	AUTO_STR value = STR_INIT(16);
	struct stat below;

	if (!S_ISDIR(item->st.st_mode) ||
		getxattr_at(item->dirfd, item->name, u->opaque_xattr, &value) < 0 ||
		!str_eq(str_text(&value), "y"))
		return 0;
	return lower_tree_find(u->below, item->path, &below, err);
}

static int emit_upper(struct emitter *m, const struct upper_tree *u, const struct tree_item *item,
	struct imbrex_error *err)
{
	int r;

	if (is_whiteout(&item->st))
		return emit_mark(m, item, ENTRY_WHITEOUT, err);
	r = emit(m, item, err);
	if (r == 0)
		r = hides_below(u, item, err);
	return r > 0 ? emit_mark(m, item, ENTRY_OPAQUE, err) : r;
}

int diff_upper(const struct upper_tree *u, const struct emit_opts *opts, struct entry_sink *to,
	struct imbrex_error *err)
{
	AUTO_EMITTER *m = NULL;
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	r = emitter_new(to, opts, &m, err);
	if (r == 0)
		r = tree_walk_new(u->fd, &w, err);
	if (r < 0)
		return r;
	while ((r = tree_walk_next(w, &item, err)) > 0) {
		r = emit_upper(m, u, &item, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : to->ops->finish(to, err);
}

struct upper_changes {
	const struct upper_tree *u;
	struct pathset *told; /* owned; directories that need not be told as somebody's parent */
	driver_change_fn fn;
	void *ctx;
};

static int tell(struct upper_changes *c, int kind, const char *path, struct imbrex_error *err)
{
	return c->fn(c->ctx, &(struct driver_change){ kind, path }, err);
}

static int tell_parents(struct upper_changes *c, const char *path, struct imbrex_error *err)
{
	char dir[LIMIT_PATH_BYTES + 1];
	size_t i;
	int r;

	for (i = 0; path[i]; i++) {
		dir[i] = path[i];
		if (path[i] != '/' || pathset_has(c->told, dir, i))
			continue;
		dir[i] = 0;
		if (pathset_add(c->told, dir, i) < 0)
			return fail_nomem(err);
		r = tell(c, CHANGE_MODIFY, dir, err);
		if (r < 0)
			return r;
		dir[i] = '/';
	}
	return 0;
}

/* As upstream has it, and the owner, which it overlooks. */
static bool same_dir(const struct stat *a, const struct stat *b)
{
	const struct timespec *x = &a->st_mtim, *y = &b->st_mtim;

	return S_ISDIR(a->st_mode) && a->st_mode == b->st_mode && a->st_size == b->st_size &&
	       a->st_uid == b->st_uid && a->st_gid == b->st_gid && x->tv_sec == y->tv_sec &&
	       (x->tv_nsec == y->tv_nsec || !x->tv_nsec || !y->tv_nsec);
}

/* 1 and what the item changes of what is below; 0: nothing. */
static int kind_of(const struct upper_tree *u, const struct tree_item *item, int *ret,
	struct imbrex_error *err)
{
	struct stat below;
	int r;

	*ret = CHANGE_DELETE;
	if (is_whiteout(&item->st))
		return 1;
	r = hides_below(u, item, err);
	if (r != 0)
		return r;
	r = lower_tree_find(u->below, item->path, &below, err);
	if (r < 0)
		return r;
	*ret = r ? CHANGE_MODIFY : CHANGE_ADD;
	return !(r && S_ISDIR(item->st.st_mode) && same_dir(&item->st, &below));
}

static int tell_item(
	struct upper_changes *c, const struct tree_item *item, struct imbrex_error *err)
{
	int r, kind;

	r = kind_of(c->u, item, &kind, err);
	if (r <= 0)
		return r;
	if (S_ISDIR(item->st.st_mode) && pathset_add(c->told, item->path, strlen(item->path)) < 0)
		return fail_nomem(err);
	r = kind == CHANGE_MODIFY ? 0 : tell_parents(c, item->path, err);
	return r < 0 ? r : tell(c, kind, item->path, err);
}

int changes_upper(
	const struct upper_tree *u, driver_change_fn fn, void *ctx, struct imbrex_error *err)
{
	AUTO_PATHSET *told = pathset_new();
	struct upper_changes c = { .u = u, .told = told, .fn = fn, .ctx = ctx };
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	if (!told)
		return fail_nomem(err);
	r = tree_walk_new(u->fd, &w, err);
	if (r < 0)
		return r;
	while ((r = tree_walk_next(w, &item, err)) > 0) {
		r = tell_item(&c, &item, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- sizes ------------------------------------------------------------------------------- */

struct size {
	struct pathset *counted; /* owned; dev and ino of what has several names */
	int64_t bytes;
};

static int size_init(struct size *s, struct imbrex_error *err)
{
	s->bytes = 0;
	s->counted = pathset_new();
	return s->counted ? 0 : fail_nomem(err);
}

static void size_done(struct size *s)
{
	pathset_free(s->counted);
}
#define AUTO_SIZE __attribute__((cleanup(size_done))) struct size

static int size_add(struct size *s, const struct stat *st, struct imbrex_error *err)
{
	const uint64_t key[2] = { st->st_dev, st->st_ino };

	if (S_ISDIR(st->st_mode))
		return 0;
	if (st->st_nlink > 1) {
		if (pathset_has(s->counted, key, sizeof(key)))
			return 0;
		if (pathset_add(s->counted, key, sizeof(key)) < 0)
			return fail_nomem(err);
	}
	if (__builtin_add_overflow(s->bytes, st->st_size, &s->bytes))
		return fail(err, IMBREX_ELIMIT, "the sum of file sizes does not fit 64 bits");
	return 0;
}

int size_of_tree(int fd, int64_t *ret, struct imbrex_error *err)
{
	AUTO_SIZE size = { 0 };
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	r = size_init(&size, err);
	if (r == 0)
		r = tree_walk_new(fd, &w, err);
	if (r < 0)
		return r;
	while ((r = tree_walk_next(w, &item, err)) > 0) {
		r = size_add(&size, &item.st, err);
		if (r < 0)
			return r;
	}
	if (r == 0)
		*ret = size.bytes;
	return r;
}

/* ---- two trees --------------------------------------------------------------------------- */

static int emit_difference(void *ctx, const struct tree_difference *d, struct imbrex_error *err)
{
	struct emitter *m = ctx;

	if (d->kind == CHANGE_DELETE)
		return emit_removal(m, d->item->path, err);
	return emit(m, d->item, err);
}

int diff_trees(const struct tree_pair *p, struct entry_sink *to, struct imbrex_error *err)
{
	const struct emit_opts opts = { .maps = p->maps, .override_stat = p->override_stat };
	AUTO_EMITTER *m = NULL;
	int r;

	r = emitter_new(to, &opts, &m, err);
	if (r == 0)
		r = compare_trees(p->new, p->maps, p->old, p->old_maps, emit_difference, m, err);
	return r < 0 ? r : to->ops->finish(to, err);
}

struct told {
	driver_change_fn fn;
	void *ctx;
};

static int tell_difference(void *ctx, const struct tree_difference *d, struct imbrex_error *err)
{
	const struct told *t = ctx;

	return t->fn(t->ctx, &(struct driver_change){ d->kind, d->item->path }, err);
}

int changes_trees(
	const struct tree_pair *p, driver_change_fn fn, void *ctx, struct imbrex_error *err)
{
	struct told t = { fn, ctx };

	return compare_trees(p->new, p->maps, p->old, p->old_maps, tell_difference, &t, err);
}

static int size_difference(void *ctx, const struct tree_difference *d, struct imbrex_error *err)
{
	return d->kind == CHANGE_DELETE ? 0 : size_add(ctx, &d->item->st, err);
}

int size_of_difference(const struct tree_pair *p, int64_t *ret, struct imbrex_error *err)
{
	AUTO_SIZE size = { 0 };
	int r;

	r = size_init(&size, err);
	if (r == 0)
		r = compare_trees(
			p->new, p->maps, p->old, p->old_maps, size_difference, &size, err);
	if (r == 0)
		*ret = size.bytes;
	return r;
}
