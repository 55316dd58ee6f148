/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory that an entry goes to: opened inside the root, made where the layer forgot it,
 * with the times it had put back when the applier leaves it. Invariants (1) and (2) of apply.c.
 */
#include "driver/apply_work.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/macros.h"
#include "os/beneath.h"
#include "os/fd.h"

int apply_put_parent(struct apply *a, struct imbrex_error *err)
{
	struct parent *p = &a->parent;
	int r = 0;

	if (p->fd < 0)
		return 0;
	if (futimens(p->fd, p->times) < 0 && errno != EPERM)
		r = fail_errno(err, "layer entry '%s': set times", p->len ? p->path : ".");
	p->fd = close_fd(p->fd);
	p->len = 0;
	return r;
}

int apply_open_inside(int root, const char *path, int flags)
{
	int fd = open_beneath(root, path, flags | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);

	/* ENOTDIR: O_DIRECTORY met a link as last component; ENOENT cannot hide a link. */
	if (fd == -ELOOP || fd == -ENOTDIR)
		fd = open_beneath(root, path, flags | O_DIRECTORY, 0, BENEATH_IN_ROOT);
	return fd;
}

/* Make the missing directory `name`, whose path is `prefix`, in `dir`, which keeps its times. */
static int make_parent(
	struct apply *a, int dir, const char *name, const char *prefix, struct imbrex_error *err)
{
	struct stat st;
	int r;

	if (fstat(dir, &st) < 0)
		return fail_errno(err, "layer entry '%s': stat parent", a->pending.path);
	r = mkdirat(dir, name, IMPLICIT_DIR_MODE);
	if (r < 0 && errno == EEXIST)
		return fail(err, IMBREX_EFORMAT,
			"layer entry '%s': parent '%s' is a dangling symbolic link",
			a->pending.path, prefix);
	if (r < 0)
		return fail_errno(
			err, "layer entry '%s': make parent '%s'", a->pending.path, prefix);
	if ((a->umask & IMPLICIT_DIR_MODE || a->always_chmod || st.st_mode & S_ISGID) &&
		fchmodat(dir, name, IMPLICIT_DIR_MODE, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(
			err, "layer entry '%s': set mode of parent '%s'", a->pending.path, prefix);
	if ((st.st_gid != a->egid || a->layer_root.uid != a->euid ||
		    a->layer_root.gid != a->egid) &&
		fchownat(dir, name, a->layer_root.uid, a->layer_root.gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(
			err, "layer entry '%s': set owner of parent '%s'", a->pending.path, prefix);
	if (futimens(dir, (const struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
		return fail_errno(
			err, "layer entry '%s': set times of its parents", a->pending.path);
	return 0;
}

/* mkdir -p in the manner of apply_open_inside(). */
static int make_parents(struct apply *a, const char *path, struct imbrex_error *err)
{
	char prefix[LIMIT_PATH_BYTES + 1];
	AUTO_CLOSE int dir = -EBADF;
	const char *p = path;
	int r;

	dir = open_beneath(a->root, ".", O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);
	while (dir >= 0 && *p) {
		size_t n = strcspn(p, "/");
		int next;

		memcpy(prefix, path, (size_t)(p - path) + n);
		prefix[(size_t)(p - path) + n] = 0;
		next = apply_open_inside(a->root, prefix, O_RDONLY);
		if (next == -ENOENT) {
			r = make_parent(a, dir, prefix + (p - path), prefix, err);
			if (r < 0)
				return r;
			next = apply_open_inside(a->root, prefix, O_RDONLY);
		}
		(void)close_fd(dir);
		dir = next;
		p += n;
		p += *p == '/';
	}
	if (dir < 0)
		return fail_code(
			err, dir, "layer entry '%s': open parent '%s'", a->pending.path, path);
	return 0;
}

int apply_note_unpacked(struct apply *a, const char *path, size_t len, struct imbrex_error *err)
{
	int r = 0;

	if (a->unpacked)
		r = pathset_add(a->unpacked, path, len);
	return r < 0 ? fail_nomem(err) : 0;
}

int apply_get_parent(struct apply *a, size_t len, struct imbrex_error *err)
{
	struct parent *p = &a->parent;
	struct stat st;
	size_t i;
	int fd, r;

	if (p->fd >= 0 && p->len == len && memcmp(p->path, a->pending.path, len) == 0)
		return 0;
	r = apply_put_parent(a, err);
	if (r < 0)
		return r;
	memcpy(p->path, a->pending.path, len);
	p->path[len] = 0;
	fd = apply_open_inside(a->root, len ? p->path : ".", O_RDONLY);
	if (fd == -ENOENT) {
		r = make_parents(a, p->path, err);
		if (r < 0)
			return r;
		fd = apply_open_inside(a->root, p->path, O_RDONLY);
	}
	if (fd == -ENOTDIR)
		return 1;
	if (fd < 0)
		return fail_code(err, fd, "layer entry '%s': open parent '%s'", a->pending.path,
			len ? p->path : ".");
	if (fstat(fd, &st) < 0) {
		(void)close_fd(fd);
		return fail_errno(err, "layer entry '%s': stat parent", a->pending.path);
	}
	p->fd = fd;
	p->len = len;
	/* Mount option grpid and the set-gid bit both give the directory's group to new files. */
	p->setgid = st.st_mode & S_ISGID;
	p->plain_ids = st.st_gid == a->egid;
	p->times[0] = st.st_atim;
	p->times[1] = st.st_mtim;
	for (i = 1; i <= len; i++) {
		if (i < len && p->path[i] != '/')
			continue;
		r = apply_note_unpacked(a, p->path, i, err);
		if (r < 0)
			return r;
	}
	return 0;
}
