/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content that lies in another store of this machine already: files are linked or cloned from
 * there, and the bytes that pass are only what proves them.
 *
 * Invariant: what is adopted is what passes. The file's inode has not changed since before the
 * first byte was read (its change time says so), so whoever reads it in between reads the same.
 * Anything else is written from the bytes that pass, as if there were no other store.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "driver/apply_work.h"
#include "os/fd.h"

/* More are not compared: such a file is cloned or copied. */
#define XATTR_NAMES_BYTES 4096
/*
 * A link shows: its file has one more name than its layer knows of. Programs that mind are those
 * that read small files (cron refuses tables that have a second name) or check set-id programs; so
 * both are copied, which costs next to nothing.
 */
#define LINK_MIN_BYTES (64u * 1024u)

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* The file that has the content of the pending entry, or a negative number. */
static int open_origin(const struct apply *a, struct stat *ret)
{
	const struct apply_content *c = a->opts.content;
	AUTO_CLOSE int fd = c->open(c->ctx, a->pending.path);

	if (fd < 0 || fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode) ||
		(uint64_t)ret->st_size != a->pending.e.size_bytes ||
		!is_before(&ret->st_ctim, &c->since))
		return -ENOENT;
	return take_fd(fd);
}

static bool has_value(int fd, const struct entry_xattr *x)
{
	char *value = malloc(x->value_len + 1);
	ssize_t n = value ? fgetxattr(fd, x->name, value, x->value_len + 1) : -1;
	bool same =
		n >= 0 && (size_t)n == x->value_len && memcmp(value, x->value, x->value_len) == 0;

	free(value);
	return same;
}

/* The file has the xattrs of the entry and no others. */
static bool same_xattrs(int fd, const struct entry *e)
{
	char names[XATTR_NAMES_BYTES];
	ssize_t len = flistxattr(fd, names, sizeof(names));
	size_t n = 0;

	if (len < 0)
		return errno == EOPNOTSUPP && e->n_xattrs == 0;
	for (const char *at = names; at < names + len; at += strlen(at) + 1)
		n += !str_eq(at, "security.selinux");
	for (size_t i = 0; i < e->n_xattrs; i++) {
		if (apply_xattr_is_ours(e->xattrs[i].name))
			continue;
		if (n-- == 0 || !has_value(fd, &e->xattrs[i]))
			return false;
	}
	return n == 0;
}

static bool same_metadata(int fd, const struct stat *st, const struct entry *e)
{
	return st->st_uid == e->uid && st->st_gid == e->gid && (st->st_mode & 07777) == e->mode &&
	       st->st_mtim.tv_sec == e->mtime_sec && st->st_mtim.tv_nsec == e->mtime_nsec &&
	       same_xattrs(fd, e);
}

/* 1 if the name is a link to the file now. */
static int link_origin(struct apply *a, int fd, struct imbrex_error *err)
{
	char path[FD_PATH_BYTES];
	int r;

	fd_path(fd, path);
	r = linkat(AT_FDCWD, path, a->parent.fd, a->pending.name, AT_SYMLINK_FOLLOW);
	if (r < 0 && errno == EEXIST) {
		r = apply_clear_name(a, err);
		if (r < 0)
			return r;
		r = linkat(AT_FDCWD, path, a->parent.fd, a->pending.name, AT_SYMLINK_FOLLOW);
	}
	if (r < 0 && errno != EMLINK)
		a->no_link = true; /* another file system, or it has no links */
	return r == 0;
}

/* a->file is new and empty. */
static bool clone_origin(struct apply *a, int fd)
{
	struct stat st;

	if (ioctl(a->file, FICLONE, fd) < 0) {
		a->no_clone = errno == EXDEV || errno == EOPNOTSUPP || errno == ENOTTY ||
			      errno == ENOSYS || errno == EINVAL;
		return false;
	}
	if (fstat(fd, &st) == 0 && is_before(&st.st_ctim, &a->opts.content->since) &&
		(uint64_t)st.st_size == a->pending.e.size_bytes)
		return true;
	/* Changed just now: what passes is written instead. */
	return ftruncate(a->file, 0) < 0;
}

/* 1 if it is a link now. */
static int try_link(struct apply *a, int fd, const struct stat *st, struct imbrex_error *err)
{
	if (a->no_link || !a->opts.content->may_link || a->pending.e.size_bytes < LINK_MIN_BYTES ||
		a->pending.e.mode & (S_ISUID | S_ISGID) || !same_metadata(fd, st, &a->pending.e))
		return 0;
	return link_origin(a, fd, err);
}

int apply_adopt_file(struct apply *a, struct imbrex_error *err)
{
	const struct apply_content *c = a->opts.content;
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	if (!c || a->opts.has_force_mask || (a->no_clone && (a->no_link || !c->may_link)))
		return apply_create_file(a, a->pending.name, err);
	fd = open_origin(a, &st);
	if (fd < 0)
		return apply_create_file(a, a->pending.name, err);
	/* A clone shares blocks and nothing else, so it comes first where there is such a thing. */
	if (!a->no_clone) {
		r = apply_create_file(a, a->pending.name, err);
		if (r < 0)
			return r;
		a->adopted = clone_origin(a, fd);
		if (a->adopted || !a->no_clone)
			return 0;
	}
	/* The first file finds out that there is not, and stands in the way of the link. */
	a->file = close_fd(a->file);
	r = try_link(a, fd, &st, err);
	if (r != 0) {
		a->adopted = r > 0;
		return r < 0 ? r : 0;
	}
	return apply_create_file(a, a->pending.name, err);
}
