/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every step hands one whole path to the kernel's in-root resolution and then touches one last
 * component relative to the directory that came back. Paths are never resolved here.
 */
#include "run/inroot.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

/* Links in a row that point to nothing yet; the kernel follows 40 in one resolution. */
#define LINKS_MAX 40

int inroot_open(int rootfd, const char *path, int flags, enum beneath_mode how)
{
	path += strspn(path, "/");
	return open_beneath(rootfd, *path ? path : ".", flags, 0, how);
}

/* Where the dangling link `name` in the directory of `path` (dir_len bytes) points to. */
static int follow_dangling(int dirfd, const char *name, const char *path, size_t dir_len,
	char ret[LIMIT_PATH_BYTES + 1], struct imbrex_error *err)
{
	char target[LIMIT_PATH_BYTES + 1];
	ssize_t len;
	int n;

	len = readlinkat(dirfd, name, target, sizeof(target) - 1);
	if (len < 0)
		return fail_errno(err, "'%s' of the root file system", path);
	target[len] = '\0';
	if (target[0] == '/')
		n = snprintf(ret, LIMIT_PATH_BYTES + 1, "%s", target);
	else
		n = snprintf(ret, LIMIT_PATH_BYTES + 1, "%.*s/%s", (int)dir_len, path, target);
	if (n > LIMIT_PATH_BYTES)
		return fail(err, IMBREX_ELIMIT, "'%.200s' of the root file system: link too long",
			path);
	return 0;
}

/*
 * Make one missing component. 0 made (or there meanwhile), 1 a dangling link is in its place and
 * ret_next names the path to go on with.
 */
static int make_one(int rootfd, const char *path, size_t len, enum inroot_kind kind,
	char ret_next[LIMIT_PATH_BYTES + 1], struct imbrex_error *err)
{
	char name[LIMIT_NAME_BYTES + 1], dir[LIMIT_PATH_BYTES + 1];
	AUTO_CLOSE int dirfd = -EBADF;
	AUTO_CLOSE int fd = -EBADF;
	size_t start = len;
	struct stat st;
	int r;

	while (start && path[start - 1] != '/')
		start--;
	if (len - start > LIMIT_NAME_BYTES)
		return fail_code(err, ENAMETOOLONG, "make '%.200s' in the root file system", path);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(len - start), path + start);
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)start, path);
	dirfd = inroot_open(rootfd, dir, O_PATH | O_DIRECTORY, BENEATH_IN_ROOT);
	if (dirfd < 0)
		return fail_code(err, dirfd, "open '%s' of the root file system", dir);
	if (kind == INROOT_DIR) {
		r = mkdirat(dirfd, name, 0755);
	} else {
		fd = openat(
			dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		r = fd < 0 ? -1 : 0;
	}
	if (r == 0)
		return 0;
	if (errno != EEXIST)
		return fail_errno(err, "make '%.*s' in the root file system", (int)len, path);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
		r = follow_dangling(dirfd, name, path, start, ret_next, err);
		return r < 0 ? r : 1;
	}
	return 0;
}

/* mkdir -p of all of `path` as directories but the last component, which is of `kind`. */
static int make_path(int rootfd, const char *path, enum inroot_kind kind, unsigned links,
	struct imbrex_error *err)
{
	char part[LIMIT_PATH_BYTES + 1], next[LIMIT_PATH_BYTES + 1];
	size_t at = 0, end, comp;
	enum inroot_kind now;
	int fd, r;

	if (links > LINKS_MAX)
		return fail_code(err, ELOOP, "'%.200s' of the root file system", path);
	while (path[at += strspn(path + at, "/")]) {
		comp = strcspn(path + at, "/");
		end = at + comp;
		(void)snprintf(part, sizeof(part), "%.*s", (int)end, path);
		now = path[end + strspn(path + end, "/")] ? INROOT_DIR : kind;
		at = end;
		fd = inroot_open(rootfd, part, O_PATH, BENEATH_IN_ROOT);
		(void)close_fd(fd);
		if (fd >= 0)
			continue;
		if (fd == -ENOTDIR)
			return fail(err, IMBREX_EFORMAT,
				"'%s' of the root file system: a name on the way is not a "
				"directory",
				part);
		if (fd != -ENOENT)
			return fail_code(err, fd, "'%s' of the root file system", part);
		r = make_one(rootfd, part, end, now, next, err);
		if (r < 0)
			return r;
		if (r == 1)
			r = make_path(rootfd, next, now, links + 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int inroot_make(
	int rootfd, const char *path, enum inroot_kind kind, int *ret_fd, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	fd = inroot_open(rootfd, path, O_PATH, BENEATH_IN_ROOT);
	if (fd == -ENOENT) {
		r = make_path(rootfd, path, kind, 0, err);
		if (r < 0)
			return r;
		fd = inroot_open(rootfd, path, O_PATH, BENEATH_IN_ROOT);
	}
	if (fd == -ENOTDIR)
		return fail(err, IMBREX_EFORMAT,
			"'%s' of the root file system: a name on the way is not a directory", path);
	if (fd == -ELOOP)
		return fail(err, IMBREX_EFORMAT,
			"'%s' of the root file system leads into a loop of links or a magic link "
			"of /proc",
			path);
	if (fd < 0)
		return fail_code(err, fd, "open '%s' of the root file system", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '%s' of the root file system", path);
	if ((kind == INROOT_DIR) != S_ISDIR(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'%s' of the root file system is %sa directory",
			path, kind == INROOT_DIR ? "not " : "");
	*ret_fd = take_fd(fd);
	return 0;
}
