/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer hides of the layers below it: a mark that overlay or fuse-overlayfs reads, or, in a
 * tree that holds the lower layers, its removal. Invariant (4) of apply.c.
 */
#include "driver/apply_work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"

/* The layer itself has something where it whites out the layers below: what it has stays, a
 * directory of it must not show what is below. */
static int whiteout_over_own(struct apply *a, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	fd = openat(a->parent.fd, a->pending.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	return apply_set_xattr(a, fd, a->opts.opaque_xattr, "y", 1, err);
}

static int whiteout_overlay(struct apply *a, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;

	if (mknodat(a->parent.fd, a->pending.name, S_IFCHR, 0) < 0) {
		if (errno == EEXIST)
			return whiteout_over_own(a, err);
		return fail_errno(err, "layer entry '%s': make whiteout", a->pending.path);
	}
	if (apply_needs_chown(a) &&
		fchownat(a->parent.fd, a->pending.name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return apply_chown_failed(a, err);
	return 0;
}

static int whiteout_aufs(struct apply *a, struct imbrex_error *err)
{
	char name[LIMIT_NAME_BYTES + 1];
	int n;

	if (a->pending.e.type == ENTRY_OPAQUE)
		n = snprintf(name, sizeof(name), ".wh..wh..opq");
	else
		n = snprintf(name, sizeof(name), ".wh.%s", a->pending.name);
	if (n >= (int)sizeof(name))
		return fail(err, IMBREX_ELIMIT, "layer entry '%s': name of whiteout is too long",
			a->pending.path);
	a->pending.name = name;
	n = apply_create_file(a, name, err);
	a->pending.name = NULL;
	return n < 0 ? n : apply_close_file(a, err);
}

/*
 * Remove what the layers below have in the parent directory. Iterative: `stack` holds open
 * directories, so depth is bounded by LIMIT_PATH_DEPTH and the limit of open files, and a deeper
 * tree is an error instead of an overflow.
 */
struct clear_level {
	DIR *dir;
	size_t len;               /* of the path up to this directory */
	struct timespec times[2]; /* to put back when what is below it has gone */
};
#define CLEAR_DEPTH_MAX 512

struct clear {
	struct clear_level level[CLEAR_DEPTH_MAX];
	size_t depth;
	char path[LIMIT_PATH_BYTES + 1];
};

static void clear_free(struct clear *c)
{
	if (!c)
		return;
	while (c->depth)
		(void)closedir(c->level[--c->depth].dir);
	free(c);
}
DEFINE_CLEANUP(clear, struct clear, clear_free)

/* Enter the directory `fd` (taken), unless it was cleared before. */
static int clear_enter(
	struct apply *a, struct clear *c, int fd, size_t len, struct imbrex_error *err)
{
	struct stat st;
	DIR *dir;
	int r;

	if (fstat(fd, &st) < 0) {
		(void)close_fd(fd);
		return fail_errno(err, "layer entry '%s': stat '%s'", a->pending.path, c->path);
	}
	if (pathset_has(a->cleared, &st.st_ino, sizeof(st.st_ino))) {
		(void)close_fd(fd);
		return 0;
	}
	r = pathset_add(a->cleared, &st.st_ino, sizeof(st.st_ino));
	if (r < 0 || c->depth == CLEAR_DEPTH_MAX) {
		(void)close_fd(fd);
		return r < 0 ? fail_nomem(err)
			     : fail(err, IMBREX_ELIMIT,
				       "layer entry '%s': opaque directory is deeper than %d",
				       a->pending.path, CLEAR_DEPTH_MAX);
	}
	dir = fdopendir(fd);
	if (!dir) {
		(void)close_fd(fd);
		return fail_errno(err, "layer entry '%s': read '%s'", a->pending.path, c->path);
	}
	c->level[c->depth++] =
		(struct clear_level){ .dir = dir, .len = len, .times = { st.st_atim, st.st_mtim } };
	return 0;
}

static int clear_leave(struct apply *a, struct clear *c, struct imbrex_error *err)
{
	struct clear_level *level = &c->level[--c->depth];
	int r = 0;

	if (futimens(dirfd(level->dir), level->times) < 0 && errno != EPERM)
		r = fail_errno(err, "layer entry '%s': set times below it", a->pending.path);
	(void)closedir(level->dir);
	return r;
}

static int clear_one(
	struct apply *a, struct clear *c, const struct dirent *d, struct imbrex_error *err)
{
	struct clear_level *level = &c->level[c->depth - 1];
	size_t n = strlen(d->d_name), len = level->len;
	int fd, r;

	if (len + 1 + n > LIMIT_PATH_BYTES)
		return fail(err, IMBREX_ELIMIT, "layer entry '%s': a path below it is too long",
			a->pending.path);
	if (len)
		c->path[len++] = '/';
	memcpy(c->path + len, d->d_name, n + 1);
	len += n;
	if (!pathset_has(a->unpacked, c->path, len)) {
		r = remove_tree_at(dirfd(level->dir), d->d_name, err);
		return r < 0 ? wrap(err, r, "layer entry '%s'", a->pending.path) : 0;
	}
	fd = openat(dirfd(level->dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0; /* no directory: a file of this layer, which stays */
	return clear_enter(a, c, fd, len, err);
}

static int opaque_remove(struct apply *a, struct imbrex_error *err)
{
	AUTO(clear) struct clear *c = calloc(1, sizeof(*c));
	int fd, r;

	if (!c)
		return fail_nomem(err);
	memcpy(c->path, a->parent.path, a->parent.len + 1);
	/* A description of its own: reading must not share the offset of `parent`. */
	fd = openat(a->parent.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "layer entry '%s': open", a->pending.path);
	r = clear_enter(a, c, fd, a->parent.len, err);
	while (r == 0 && c->depth) {
		const struct dirent *d;

		errno = 0;
		d = readdir(c->level[c->depth - 1].dir);
		if (!d && errno)
			return fail_errno(err, "layer entry '%s': read directory", a->pending.path);
		if (!d)
			r = clear_leave(a, c, err);
		else if (!str_eq(d->d_name, ".") && !str_eq(d->d_name, ".."))
			r = clear_one(a, c, d, err);
	}
	return r;
}

int apply_begin_whiteout(struct apply *a, struct imbrex_error *err)
{
	switch (a->opts.whiteouts) {
	case APPLY_AUFS:
		return whiteout_aufs(a, err);
	case APPLY_OVERLAY:
		if (a->pending.e.type == ENTRY_WHITEOUT)
			return whiteout_overlay(a, err);
		return apply_set_xattr(a, a->parent.fd, a->opts.opaque_xattr, "y", 1, err);
	case APPLY_REMOVE:
		break;
	}
	return a->pending.e.type == ENTRY_WHITEOUT ? apply_clear_name(a, err)
						   : opaque_remove(a, err);
}
