/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree copy along one walk of the source. The directory of the copy that was written to last stays
 * open; its times are set when the walk leaves it, as often as it comes back.
 */
#include "driver/copy.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strv.h"
#include "driver/treewalk.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/xattr.h"

struct copy {
	const struct copy_opts *opts; /* borrowed */
	int to;                       /* borrowed; root of the copy */
	int dir;                      /* owned; open directory of the copy; -EBADF: none */
	struct timespec times[2];     /* of that directory, as the source has them */
	struct map *links;            /* owned; dev and ino -> first path (in link_paths) */
	struct strv link_paths;
	struct str names, value;
	bool cannot_clone;               /* the two file systems do not share blocks */
	char path[LIMIT_PATH_BYTES + 1]; /* of `dir`; "" for the root */
};

static void copy_free(struct copy *c)
{
	if (!c)
		return;
	(void)close_fd(c->dir);
	map_free(c->links);
	strv_done(&c->link_paths);
	str_done(&c->names);
	str_done(&c->value);
	free(c);
}
DEFINE_CLEANUP(copy, struct copy, copy_free)

static int leave_dir(struct copy *c, struct imbrex_error *err)
{
	int r = 0;

	if (c->dir < 0)
		return 0;
	if (futimens(c->dir, c->times) < 0)
		r = fail_errno(err, "set times of '%s'", c->path);
	c->dir = close_fd(c->dir);
	return r;
}

/* Open the directory of the copy that belongs to the item. */
static int enter_dir(struct copy *c, const struct tree_item *item, struct imbrex_error *err)
{
	size_t len = (size_t)(item->name - item->path);
	struct stat st;
	int fd, r;

	len -= len != 0; /* the slash */
	if (c->dir >= 0 && strlen(c->path) == len && memcmp(c->path, item->path, len) == 0)
		return 0;
	r = leave_dir(c, err);
	if (r < 0)
		return r;
	memcpy(c->path, item->path, len);
	c->path[len] = 0;
	if (fstat(item->dirfd, &st) < 0)
		return fail_errno(err, "stat '%s'", c->path);
	fd = open_beneath(
		c->to, len ? c->path : ".", O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);
	if (fd < 0)
		return fail_code(err, fd, "open '%s' of the copy", c->path);
	c->dir = fd;
	c->times[0] = st.st_atim;
	c->times[1] = st.st_mtim;
	return 0;
}

/* name "" with dirfds: the directories themselves. */
static int copy_xattrs(struct copy *c, int from, const char *from_name, int to, const char *to_name,
	const char *path, struct imbrex_error *err)
{
	size_t i;
	int r;

	str_clear(&c->names);
	r = listxattr_at(from, from_name, &c->names);
	if (r == -EOPNOTSUPP)
		return 0;
	for (i = 0; r == 0 && i < c->names.len; i += strlen(c->names.data + i) + 1) {
		const char *name = c->names.data + i;

		if (str_eq(name, "security.selinux"))
			continue;
		str_clear(&c->value);
		r = getxattr_at(from, from_name, name, &c->value);
		if (r == 0)
			r = setxattr_at(to, to_name, name, str_text(&c->value), c->value.len);
		if (r == -ENODATA || r == -EOPNOTSUPP || (r == -EPERM && c->opts->in_userns))
			r = 0;
	}
	return r < 0 ? fail_code(err, r, "copy xattrs of '%s'", path) : 0;
}

/* fd: of the copy, if it is a regular file; else -EBADF. */
static int copy_metadata(
	struct copy *c, const struct tree_item *item, int fd, struct imbrex_error *err)
{
	const struct stat *st = &item->st;
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int r;

	if (fchownat(c->dir, item->name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
		!c->opts->ignore_chown_errors)
		return fail_errno(err, "set owner of '%s'", item->path);
	r = 0;
	if (fd >= 0)
		r = fchmod(fd, st->st_mode & 07777);
	else if (!S_ISLNK(st->st_mode))
		r = fchmodat(c->dir, item->name, st->st_mode & 07777, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return fail_errno(err, "set mode of '%s'", item->path);
	r = copy_xattrs(c, item->dirfd, item->name, c->dir, item->name, item->path, err);
	if (r < 0)
		return r;
	if (utimensat(c->dir, item->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "set times of '%s'", item->path);
	return 0;
}

static int copy_content(struct copy *c, int from, int to, uint64_t size)
{
	int r = -EOPNOTSUPP;

	if (size == 0)
		return 0;
	if (!c->cannot_clone)
		r = clone_fd(from, to);
	if (r == 0)
		return 0;
	/* Other failures are of this file alone. */
	if (r == -EOPNOTSUPP || r == -EXDEV)
		c->cannot_clone = true;
	return copy_fd_range(from, to, size);
}

static int copy_file(struct copy *c, const struct tree_item *item, struct imbrex_error *err)
{
	AUTO_CLOSE int from = -EBADF;
	AUTO_CLOSE int to = -EBADF;
	struct stat st;
	int r;

	from = openat(item->dirfd, item->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) < 0)
		return fail_errno(err, "open '%s'", item->path);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFAIL, "'%s' was replaced while it was copied", item->path);
	to = openat(c->dir, item->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return fail_errno(err, "create '%s'", item->path);
	r = copy_content(c, from, to, (uint64_t)st.st_size);
	if (r < 0)
		return fail_code(err, r, "copy '%s'", item->path);
	r = copy_metadata(c, item, to, err);
	if (r < 0)
		return r;
	if (close(take_fd(to)) < 0)
		return fail_errno(err, "close '%s'", item->path);
	return 0;
}

static int copy_symlink(struct copy *c, const struct tree_item *item, struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_PATH_BYTES);
	int r = read_link_at(item->dirfd, item->name, &target, err);

	if (r < 0)
		return r;
	if (symlinkat(str_text(&target), c->dir, item->name) < 0)
		return fail_errno(err, "make symbolic link '%s'", item->path);
	return copy_metadata(c, item, -EBADF, err);
}

/* 1 if the item is another name of an inode that was copied, and was linked to it. */
static int copy_hardlink(struct copy *c, const struct tree_item *item, struct imbrex_error *err)
{
	const uint64_t key[2] = { item->st.st_dev, item->st.st_ino };
	void *first = NULL;

	if (S_ISDIR(item->st.st_mode) || item->st.st_nlink < 2)
		return 0;
	if (map_get(c->links, (const char *)key, sizeof(key), &first)) {
		if (linkat(c->to, first, c->dir, item->name, 0) < 0)
			return fail_errno(
				err, "link '%s' to '%s'", item->path, (const char *)first);
		return 1;
	}
	if (strv_add(&c->link_paths, item->path) < 0 ||
		map_add(c->links, (const char *)key, sizeof(key),
			c->link_paths.items[c->link_paths.n - 1]) < 0)
		return fail_nomem(err);
	return 0;
}

static int copy_item(struct copy *c, const struct tree_item *item, struct imbrex_error *err)
{
	mode_t type = item->st.st_mode & S_IFMT;
	int r;

	/* A user namespace may make one device: the whiteout of overlays, 0:0. */
	if (c->opts->in_userns && (type == S_IFBLK || (type == S_IFCHR && item->st.st_rdev != 0)))
		return 0;
	r = enter_dir(c, item, err);
	if (r == 0)
		r = copy_hardlink(c, item, err);
	if (r != 0)
		return r < 0 ? r : 0;
	switch (type) {
	case S_IFREG:
		return copy_file(c, item, err);
	case S_IFLNK:
		return copy_symlink(c, item, err);
	case S_IFDIR:
		if (mkdirat(c->dir, item->name, 0700) < 0)
			return fail_errno(err, "make directory '%s'", item->path);
		break;
	default:
		if (mknodat(c->dir, item->name, type | 0600, item->st.st_rdev) < 0)
			return fail_errno(err, "make '%s'", item->path);
	}
	return copy_metadata(c, item, -EBADF, err);
}

static int copy_root(struct copy *c, int from, struct imbrex_error *err)
{
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return fail_errno(err, "stat the tree to copy");
	if (fchown(c->to, st.st_uid, st.st_gid) < 0 && !c->opts->ignore_chown_errors)
		return fail_errno(err, "set owner of the copy");
	if (fchmod(c->to, st.st_mode & 07777) < 0)
		return fail_errno(err, "set mode of the copy");
	r = copy_xattrs(c, from, "", c->to, "", ".", err);
	if (r < 0)
		return r;
	if (futimens(c->to, (const struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
		return fail_errno(err, "set times of the copy");
	return 0;
}

int copy_tree(int from, int to, const struct copy_opts *opts, struct imbrex_error *err)
{
	AUTO(copy) struct copy *c = calloc(1, sizeof(*c));
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	if (!c)
		return fail_nomem(err);
	c->opts = opts;
	c->to = to;
	c->dir = -EBADF;
	c->names.max_len = c->value.max_len = LIMIT_XATTR_VALUE_BYTES;
	c->links = map_new();
	if (!c->links)
		return fail_nomem(err);
	r = tree_walk_new(from, &w, err);
	if (r < 0)
		return r;
	while ((r = tree_walk_next(w, &item, err)) > 0) {
		r = copy_item(c, &item, err);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = leave_dir(c, err);
	return r < 0 ? r : copy_root(c, from, err);
}
