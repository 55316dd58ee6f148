/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One wrapper for each call; see the header. The list of wrapped calls is also in meson.build, for
 * the linker; test_seam.py holds both against what the library calls.
 */
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static struct {
	struct seam_plan plan;
	atomic_bool armed;
	atomic_uint n;
	_Atomic(const char *) failed;
	bool skip_syncs;
	int keep_order;
	int64_t ahead_sec;
} seam = { .keep_order = -1 };

/* The watcher's own calls are not calls of the operation. */
static _Thread_local bool watching;

struct call {
	const char *name;
	unsigned int n; /* 0: not counted */
};

void seam_arm(const struct seam_plan *plan)
{
	seam.plan = *plan;
	atomic_store(&seam.n, 0);
	atomic_store(&seam.failed, NULL);
	atomic_store(&seam.armed, true);
}

unsigned int seam_disarm(void)
{
	atomic_store(&seam.armed, false);
	return atomic_load(&seam.n);
}

const char *seam_failed(void)
{
	return atomic_load(&seam.failed);
}

void seam_skip_syncs(bool skip)
{
	seam.skip_syncs = skip;
}

void seam_keep_order(int keeps)
{
	seam.keep_order = keeps;
}

void seam_advance_clock(int64_t sec)
{
	seam.ahead_sec = sec;
}

/* False: the call shall fail, errno says how. */
static bool enter(struct call *c)
{
	if (!atomic_load(&seam.armed) || watching)
		return true;
	c->n = atomic_fetch_add(&seam.n, 1) + 1;
	if (c->n != seam.plan.n)
		return true;
	if (seam.plan.action == SEAM_BEFORE)
		_exit(SEAM_EXIT);
	if (seam.plan.action != SEAM_FAIL)
		return true;
	atomic_store(&seam.failed, c->name);
	errno = seam.plan.errnum;
	return false;
}

static void leave(const struct call *c)
{
	if (c->n && c->n == seam.plan.n && seam.plan.action == SEAM_AFTER)
		_exit(SEAM_EXIT);
}

/* ---- events ---------------------------------------------------------------------------- */

static bool is_watched(const struct call *c)
{
	return c->n && seam.plan.action == SEAM_WATCH;
}

static void path_of(int dirfd, const char *name, char ret[PATH_MAX])
{
	char link[64];
	ssize_t n;

	if (name[0] == '/' || dirfd == AT_FDCWD) {
		(void)snprintf(ret, PATH_MAX, "%s", name);
		return;
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, ret, PATH_MAX - 1);
	if (n < 0)
		n = 0;
	ret[n] = '\0';
	if (name[0])
		(void)snprintf(ret + n, PATH_MAX - (size_t)n, "/%s", name);
}

static ino_t inode_at(int dirfd, const char *name, int flags)
{
	struct stat st;

	return fstatat(dirfd, name, &st, flags) == 0 ? st.st_ino : 0;
}

static ino_t dir_of(const char *path)
{
	char dir[PATH_MAX];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	return inode_at(AT_FDCWD, dir, 0);
}

static void tell_named(const struct call *c, enum seam_kind kind, int from_fd, const char *from,
	int fd, const char *name)
{
	char path[PATH_MAX];
	char old[PATH_MAX];
	struct seam_event event = { .kind = kind, .call = c->name, .path = path };
	int saved = errno;

	if (!is_watched(c))
		return;
	watching = true;
	path_of(fd, name, path);
	if (from) {
		path_of(from_fd, from, old);
		event.from = old;
	}
	event.inode = inode_at(fd, name, AT_SYMLINK_NOFOLLOW);
	event.dir = dir_of(path);
	seam.plan.watch(seam.plan.ctx, &event);
	watching = false;
	errno = saved;
}

/* Of what an fd or a path names; `flags` as of fstatat(). */
static void tell_object(
	const struct call *c, enum seam_kind kind, int fd, const char *name, int flags)
{
	char path[PATH_MAX];
	struct seam_event event = { .kind = kind, .call = c->name, .path = path };
	int saved = errno;

	if (!is_watched(c))
		return;
	watching = true;
	path_of(fd, name, path);
	event.inode = inode_at(fd, name, flags);
	seam.plan.watch(seam.plan.ctx, &event);
	watching = false;
	errno = saved;
}

static bool is_regular(int fd)
{
	struct stat st;
	int saved = errno;
	bool yes = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

	errno = saved;
	return yes;
}

/* ---- wrappers -------------------------------------------------------------------------- */

#define WRAP(type, name, params, args, counts, told) \
	type __real_##name params;                   \
	type __wrap_##name params;                   \
	type __wrap_##name params                    \
	{                                            \
		struct call c = { #name, 0 };        \
		type r;                              \
                                                     \
		if ((counts) && !enter(&c))          \
			return -1;                   \
		r = __real_##name args;              \
		if (r >= 0)                          \
			told;                        \
		leave(&c);                           \
		return r;                            \
	}

static mode_t mode_argument(int flags, va_list *ap)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(*ap, mode_t) : 0;
}

int __real_openat64(int dirfd, const char *path, int flags, mode_t mode);
int __wrap_openat64(int dirfd, const char *path, int flags, ...);
int __wrap_openat64(int dirfd, const char *path, int flags, ...)
{
	struct call c = { .name = "openat" };
	bool is_new = false;
	va_list ap;
	mode_t mode;
	int r;

	va_start(ap, flags);
	mode = mode_argument(flags, &ap);
	va_end(ap);
	if (flags & O_CREAT) {
		int saved = errno;

		is_new = inode_at(dirfd, path, AT_SYMLINK_NOFOLLOW) == 0;
		errno = saved;
		if (!enter(&c))
			return -1;
	}
	r = __real_openat64(dirfd, path, flags, mode);
	if (r >= 0 && is_new)
		tell_named(&c, SEAM_CREATE, -1, NULL, dirfd, path);
	leave(&c);
	return r;
}

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_argument(flags, &ap);
	va_end(ap);
	return __wrap_openat64(AT_FDCWD, path, flags, mode);
}

WRAP(int, mkdir, (const char *p, mode_t m), (p, m), true,
	tell_named(&c, SEAM_CREATE, -1, NULL, AT_FDCWD, p))
WRAP(int, mkdirat, (int fd, const char *p, mode_t m), (fd, p, m), true,
	tell_named(&c, SEAM_CREATE, -1, NULL, fd, p))
WRAP(int, mknodat, (int fd, const char *p, mode_t m, dev_t d), (fd, p, m, d), true,
	tell_named(&c, SEAM_CREATE, -1, NULL, fd, p))
WRAP(int, symlinkat, (const char *to, int fd, const char *p), (to, fd, p), true,
	tell_named(&c, SEAM_CREATE, -1, NULL, fd, p))
WRAP(int, linkat, (int of, const char *o, int nf, const char *n, int flags), (of, o, nf, n, flags),
	true, tell_named(&c, SEAM_LINK, of, o, nf, n))
WRAP(int, unlink, (const char *p), (p), true, tell_object(&c, SEAM_UNLINK, AT_FDCWD, p, 0))
WRAP(int, rmdir, (const char *p), (p), true, tell_object(&c, SEAM_UNLINK, AT_FDCWD, p, 0))

/* The name is gone when it has succeeded: what it was is asked before. */
int __real_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags)
{
	struct call c = { .name = "unlinkat" };
	char full[PATH_MAX] = "";
	struct seam_event event = { .kind = SEAM_UNLINK, .call = c.name, .path = full };
	struct stat st;
	int r;

	if (!enter(&c))
		return -1;
	if (is_watched(&c)) {
		path_of(fd, path, full);
		if (fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			(S_ISDIR(st.st_mode) || st.st_nlink == 1))
			event.inode = st.st_ino;
	}
	r = __real_unlinkat(fd, path, flags);
	if (r == 0 && is_watched(&c))
		seam.plan.watch(seam.plan.ctx, &event);
	leave(&c);
	return r;
}

static void leave_renamed(const struct call *c, const char *name)
{
	const char *slash = strrchr(name, '/');

	if (c->n && seam.plan.action == SEAM_RENAMED &&
		strcmp(slash ? slash + 1 : name, seam.plan.name) == 0)
		_exit(SEAM_EXIT);
	leave(c);
}

int __real_renameat(int of, const char *from, int nf, const char *to);
int __wrap_renameat(int of, const char *from, int nf, const char *to);
int __wrap_renameat(int of, const char *from, int nf, const char *to)
{
	struct call c = { .name = "renameat" };
	int r;

	if (!enter(&c))
		return -1;
	r = __real_renameat(of, from, nf, to);
	if (r == 0)
		tell_named(&c, SEAM_RENAME, of, from, nf, to);
	leave_renamed(&c, to);
	return r;
}

/* Names that change places: what was made aside goes where it belongs. */
WRAP(int, renameat2, (int of, const char *from, int nf, const char *to, unsigned int flags),
	(of, from, nf, to, flags), true, tell_named(&c, SEAM_RENAME, of, from, nf, to))
WRAP(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), is_regular(fd),
	tell_object(&c, SEAM_DATA, fd, "", AT_EMPTY_PATH))
WRAP(ssize_t, pwrite64, (int fd, const void *b, size_t n, off_t at), (fd, b, n, at), is_regular(fd),
	tell_object(&c, SEAM_DATA, fd, "", AT_EMPTY_PATH))
WRAP(int, ftruncate64, (int fd, off_t len), (fd, len), true,
	tell_object(&c, SEAM_DATA, fd, "", AT_EMPTY_PATH))
WRAP(ssize_t, copy_file_range,
	(int in, off_t *at_in, int out, off_t *at_out, size_t n, unsigned int flags),
	(in, at_in, out, at_out, n, flags), true,
	tell_object(&c, SEAM_DATA, out, "", AT_EMPTY_PATH))

/* Of those that are counted; NULL for all others. */
static const char *ioctl_name(unsigned long request)
{
	switch (request) {
	case FICLONE:
		return "ioctl";
	case BTRFS_IOC_SUBVOL_CREATE:
		return "ioctl SUBVOL_CREATE";
	case BTRFS_IOC_SNAP_CREATE_V2:
		return "ioctl SNAP_CREATE_V2";
	case BTRFS_IOC_SNAP_DESTROY:
		return "ioctl SNAP_DESTROY";
	case BTRFS_IOC_SUBVOL_SETFLAGS:
		return "ioctl SUBVOL_SETFLAGS";
	case BTRFS_IOC_QUOTA_CTL:
		return "ioctl QUOTA_CTL";
	case BTRFS_IOC_QGROUP_LIMIT:
		return "ioctl QGROUP_LIMIT";
	case BTRFS_IOC_QGROUP_CREATE:
		return "ioctl QGROUP_CREATE";
	default:
		return NULL;
	}
}

static void tell_ioctl(const struct call *c, unsigned long request, int fd, const void *arg)
{
	const struct btrfs_ioctl_vol_args_v2 *snapshot = arg;
	const struct btrfs_ioctl_vol_args *named = arg;

	if (request == FICLONE)
		tell_object(c, SEAM_DATA, fd, "", AT_EMPTY_PATH);
	else if (request == BTRFS_IOC_SUBVOL_CREATE)
		tell_named(c, SEAM_CREATE, -1, NULL, fd, named->name);
	else if (request == BTRFS_IOC_SNAP_CREATE_V2)
		tell_named(c, SEAM_CREATE, -1, NULL, fd, snapshot->name);
	else if (request == BTRFS_IOC_SNAP_DESTROY)
		tell_object(c, SEAM_UNLINK, fd, named->name, AT_SYMLINK_NOFOLLOW);
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct call c = { .name = ioctl_name(request) };
	int r;

	if (c.name && !enter(&c))
		return -1;
	r = __real_ioctl(fd, request, arg);
	if (r == 0)
		tell_ioctl(&c, request, fd, arg);
	leave(&c);
	return r;
}

/* What is so already is counted, but is no change that a power cut could take. */
static bool is_change(const struct call *c, int fd, mode_t mode)
{
	struct stat st;

	return is_watched(c) && fstat(fd, &st) == 0 && (st.st_mode & 07777) != mode;
}

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode)
{
	struct call c = { "fchmod", 0 };
	bool changes;
	int r;

	if (!enter(&c))
		return -1;
	changes = is_change(&c, fd, mode);
	r = __real_fchmod(fd, mode);
	if (r == 0 && changes)
		tell_object(&c, SEAM_METADATA, fd, "", AT_EMPTY_PATH);
	leave(&c);
	return r;
}

WRAP(int, chmod, (const char *p, mode_t m), (p, m), true,
	tell_object(&c, SEAM_METADATA, AT_FDCWD, p, 0))
WRAP(int, fchmodat, (int fd, const char *p, mode_t m, int flags), (fd, p, m, flags), true,
	tell_object(&c, SEAM_METADATA, fd, p, flags))
WRAP(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g), true,
	tell_object(&c, SEAM_METADATA, fd, "", AT_EMPTY_PATH))
WRAP(int, fchownat, (int fd, const char *p, uid_t u, gid_t g, int flags), (fd, p, u, g, flags),
	true, tell_object(&c, SEAM_METADATA, fd, p, flags))
WRAP(int, futimens, (int fd, const struct timespec t[2]), (fd, t), true,
	tell_object(&c, SEAM_METADATA, fd, "", AT_EMPTY_PATH))
WRAP(int, utimensat, (int fd, const char *p, const struct timespec t[2], int flags),
	(fd, p, t, flags), true, tell_object(&c, SEAM_METADATA, fd, p, flags))
WRAP(int, setxattr, (const char *p, const char *k, const void *v, size_t n, int flags),
	(p, k, v, n, flags), true, tell_object(&c, SEAM_METADATA, AT_FDCWD, p, 0))
WRAP(int, lsetxattr, (const char *p, const char *k, const void *v, size_t n, int flags),
	(p, k, v, n, flags), true, tell_object(&c, SEAM_METADATA, AT_FDCWD, p, AT_SYMLINK_NOFOLLOW))
WRAP(int, fsetxattr, (int fd, const char *k, const void *v, size_t n, int flags),
	(fd, k, v, n, flags), true, tell_object(&c, SEAM_METADATA, fd, "", AT_EMPTY_PATH))
WRAP(int, removexattr, (const char *p, const char *k), (p, k), true,
	tell_object(&c, SEAM_METADATA, AT_FDCWD, p, 0))
WRAP(int, lremovexattr, (const char *p, const char *k), (p, k), true,
	tell_object(&c, SEAM_METADATA, AT_FDCWD, p, AT_SYMLINK_NOFOLLOW))

WRAP(int, mount,
	(const char *source, const char *target, const char *type, unsigned long flags,
		const void *data),
	(source, target, type, flags, data), true, tell_object(&c, SEAM_MOUNT, AT_FDCWD, target, 0))
WRAP(int, umount2, (const char *target, int flags), (target, flags), true,
	tell_object(&c, SEAM_MOUNT, AT_FDCWD, target, 0))
WRAP(int, move_mount, (int of, const char *from, int nf, const char *to, unsigned int flags),
	(of, from, nf, to, flags), true, tell_object(&c, SEAM_MOUNT, nf, to, 0))

#define WRAP_SYNC(name, kind)                                         \
	int __real_##name(int fd);                                    \
	int __wrap_##name(int fd);                                    \
	int __wrap_##name(int fd)                                     \
	{                                                             \
		struct call c = { #name, 0 };                         \
		int r;                                                \
                                                                      \
		if (!enter(&c))                                       \
			return -1;                                    \
		r = seam.skip_syncs ? 0 : __real_##name(fd);          \
		if (r == 0)                                           \
			tell_object(&c, kind, fd, "", AT_EMPTY_PATH); \
		leave(&c);                                            \
		return r;                                             \
	}

WRAP_SYNC(fdatasync, SEAM_SYNC_DATA)
WRAP_SYNC(fsync, SEAM_SYNC)
WRAP_SYNC(syncfs, SEAM_SYNC_FS)

/* ---- what is not a change -------------------------------------------------------------- */

int __real_fstatfs64(int fd, struct statfs *ret);
int __wrap_fstatfs64(int fd, struct statfs *ret);
int __wrap_fstatfs64(int fd, struct statfs *ret)
{
	int r = __real_fstatfs64(fd, ret);

	if (r == 0 && seam.keep_order >= 0 &&
		(ret->f_type == EXT4_SUPER_MAGIC || ret->f_type == XFS_SUPER_MAGIC ||
			ret->f_type == TMPFS_MAGIC || ret->f_type == BTRFS_SUPER_MAGIC))
		ret->f_type = seam.keep_order ? EXT4_SUPER_MAGIC : BTRFS_SUPER_MAGIC;
	return r;
}

void __real_now_realtime(struct timespec *ret);
void __wrap_now_realtime(struct timespec *ret);
void __wrap_now_realtime(struct timespec *ret)
{
	__real_now_realtime(ret);
	ret->tv_sec += seam.ahead_sec;
}
