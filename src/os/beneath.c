/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a hostile directory, and removal of hostile trees.
 *
 * Removal walks depth first with a list of frames, one for each directory on the way down. Only
 * the lowest FRAMES_OPEN frames keep an open directory; an older one is reopened through ".." of
 * its child when the walk comes back to it.
 *
 * Invariants:
 * (1) A frame's directory was opened by one name in its parent, without following a link and
 *     without crossing a mount; its device and inode are remembered.
 * (2) ".." is believed only if it leads to the remembered device and inode. Else someone moved a
 *     directory meanwhile: every frame is dropped and the walk starts again from the top.
 * (3) Names are only ever removed through the fd of the frame they were read from.
 * (4) Every way to loop (a pass over a directory, a restart, a stacked mount) is counted.
 */
#include "os/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/subvolume.h"

/* Open directories at a time; each costs an fd and the C library's 32 KiB buffer. */
#define FRAMES_OPEN 32
/* Renames elsewhere that may disturb one resolution before we give up. */
#define AGAIN_MAX 1000
/* Passes over one directory that others keep filling. */
#define PASSES_MAX 100
/* Walks from the top, when others keep moving directories. */
#define RESTARTS_MAX 1000
/* Mounts stacked on one name. */
#define STACKED_MAX 1000

static int open_how(int dirfd, const char *path, const struct open_how *how)
{
	unsigned int again = 0;

	for (;;) {
		long fd = syscall(SYS_openat2, dirfd, path, how, sizeof(*how));

		if (fd >= 0)
			return (int)fd;
		if ((errno != EAGAIN && errno != EINTR) || ++again > AGAIN_MAX)
			return -errno;
	}
}

int open_beneath(int rootfd, const char *path, int flags, mode_t mode, enum beneath_mode mode_of)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.resolve = RESOLVE_NO_MAGICLINKS,
	};

	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
		how.mode = mode;
	if (mode_of == BENEATH_IN_ROOT)
		how.resolve |= RESOLVE_IN_ROOT;
	else
		how.resolve |= RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
	return open_how(rootfd, path, &how);
}

/* Opens (making it if needed) one component; fd O_PATH or -errno. */
static int step_into(int dirfd, const char *name, mode_t mode)
{
	int fd;

	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return -errno;
	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int mkdirs_beneath(int rootfd, const char *path, mode_t mode, int *ret_fd, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	char name[NAME_MAX + 1];
	const char *p = path;

	if (path[0] == '/')
		return fail(err, IMBREX_EINVAL, "create directory '%s': not a relative path", path);
	fd = openat(rootfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "create directory '%s'", path);
	while (*p) {
		size_t len = strcspn(p, "/");
		int next;

		if (len == 0 || (len == 1 && p[0] == '.')) {
			p += len ? len : 1;
			continue;
		}
		if (len > NAME_MAX)
			return fail_code(err, ENAMETOOLONG, "create directory '%s'", path);
		if (len == 2 && p[0] == '.' && p[1] == '.')
			return fail(err, IMBREX_EINVAL, "create directory '%s': has a '..'", path);
		memcpy(name, p, len);
		name[len] = '\0';
		next = step_into(fd, name, mode);
		if (next < 0)
			return fail_code(err, next, "create directory '%s' (at '%s')", path, name);
		(void)close_fd(fd);
		fd = next;
		p += len;
	}
	if (ret_fd)
		*ret_fd = take_fd(fd);
	return 0;
}

/* One directory on the way down. */
struct frame {
	DIR *dir;   /* NULL while closed, see FRAMES_OPEN */
	char *name; /* owned; name in the parent */
	dev_t dev;
	ino_t ino;
	unsigned int passes; /* how often the directory was read from its start */
};

struct remover {
	int dirfd;            /* borrowed: holds the top name */
	const char *top;      /* borrowed: one component */
	bool detach;          /* unmount what is in the way */
	struct frame *frames; /* owned; [0] is the top directory itself */
	size_t n;
	size_t cap;
	size_t first_open; /* frames below this index are closed */
	unsigned int restarts;
	struct imbrex_error *err;
};

static void drop_frame(struct frame *f)
{
	if (f->dir)
		(void)closedir(f->dir);
	free(f->name);
}

static void drop_frames(struct remover *rm)
{
	while (rm->n)
		drop_frame(&rm->frames[--rm->n]);
	rm->first_open = 0;
}

static void cleanup_remover(struct remover *rm)
{
	drop_frames(rm);
	free(rm->frames);
}

/* "remove 'top/a/b/entry'"; the middle is left out when the path is long. */
static int fail_at(struct remover *rm, int errnum, const char *entry)
{
	char path[384];
	size_t used = 0;
	size_t i;

	for (i = 0; i < rm->n; i++) {
		int n = snprintf(path + used, sizeof(path) - used, "%s/", rm->frames[i].name);

		if (n < 0 || (size_t)n >= sizeof(path) - used)
			break;
		used += (size_t)n;
	}
	path[used] = '\0';
	return fail_code(rm->err, errnum, "remove '%s%s%s'", path, i < rm->n ? ".../" : "", entry);
}

/* The fd that holds the names of frame `depth`: its parent's. */
static int holder_fd(const struct remover *rm)
{
	return rm->n ? dirfd(rm->frames[rm->n - 1].dir) : rm->dirfd;
}

/* Add u+rwx to the directory itself, whatever its name now means; 0 or -errno. */
static int allow_dir(int fd)
{
	char path[FD_PATH_BYTES];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || (st.st_mode & 0700) == 0700)
		return -EACCES;
	fd_path(fd, path); /* an O_PATH fd cannot be given to fchmod */
	return chmod(path, (st.st_mode & 07777) | 0700) < 0 ? -errno : 0;
}

static int open_child(int fd, const char *name, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return open_how(fd, name, &how);
}

/* Detach one mount on `name`; 0 or -errno. */
static int detach_mount(int fd, const char *name)
{
	AUTO_FREE char *path = NULL;

	path = format_text("/proc/self/fd/%d/%s", fd, name);
	if (!path)
		return -ENOMEM;
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

/* Opens the directory `name` for reading, helping with permissions and mounts; fd or -errno. */
static int open_for_removal(const struct remover *rm, int fd, const char *name)
{
	AUTO_CLOSE int path_fd = -EBADF;
	unsigned int n;
	int child = -EXDEV;
	int r;

	for (n = 0; n < STACKED_MAX; n++) {
		child = open_child(fd, name, O_RDONLY);
		if (child == -EXDEV)
			child = -EBUSY;
		if (child != -EBUSY || !rm->detach)
			break;
		r = detach_mount(fd, name);
		if (r < 0)
			return r;
	}
	if (child != -EACCES)
		return child;
	/* The holder may lack search permission, or the child all; what is not ours stays shut. */
	if (rm->n)
		(void)allow_dir(fd);
	path_fd = open_child(fd, name, O_PATH);
	if (path_fd < 0)
		return path_fd;
	(void)allow_dir(path_fd);
	return open_child(path_fd, ".", O_RDONLY);
}

static int add_frame(struct remover *rm, int child, const char *name)
{
	AUTO_CLOSE int fd = child;
	AUTO_FREE char *copy = strdup(name);
	struct frame *f;
	struct stat st;

	if (!copy)
		return -ENOMEM;
	if (rm->n == rm->cap) {
		size_t cap = rm->cap ? rm->cap * 2 : 32;
		struct frame *grown = reallocarray(rm->frames, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		rm->frames = grown;
		rm->cap = cap;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	f = &rm->frames[rm->n];
	*f = (struct frame){ .dir = fdopendir(fd), .dev = st.st_dev, .ino = st.st_ino };
	if (!f->dir)
		return -errno;
	(void)take_fd(fd);
	f->name = take_ptr(copy);
	rm->n++;
	if (rm->n - rm->first_open > FRAMES_OPEN) {
		struct frame *old = &rm->frames[rm->first_open++];

		(void)closedir(old->dir);
		old->dir = NULL;
	}
	return 0;
}

/* Descends into the directory `name`. 0, or -errno; -ENOTDIR/-ENOENT if it is none any more. */
static int descend(struct remover *rm, const char *name)
{
	int child = open_for_removal(rm, holder_fd(rm), name);

	if (child == -ELOOP)
		return -ENOTDIR;
	if (child < 0)
		return child;
	/* A subvolume goes at once, where we may; else it is emptied like any directory. */
	if (subvolume_is(child)) {
		if (subvolume_destroy(holder_fd(rm), name) == 0) {
			(void)close_fd(child);
			return -ENOENT;
		}
		(void)!subvolume_make_writable(child);
	}
	return add_frame(rm, child, name);
}

/* unlinkat with help for permissions of the holder and for mounts; 0 or -errno, ENOENT is 0. */
static int unlink_entry(const struct remover *rm, int fd, const char *name, int flags)
{
	bool allowed = false;
	unsigned int n;
	int r;

	for (n = 0; n < STACKED_MAX; n++) {
		if (unlinkat(fd, name, flags) == 0 || errno == ENOENT)
			return 0;
		r = -errno;
		if (r == -EACCES && !allowed && rm->n) {
			allowed = true;
			if (allow_dir(fd) < 0)
				return r;
		} else if (r == -EBUSY && rm->detach) {
			if (detach_mount(fd, name) < 0)
				return r;
		} else {
			return r;
		}
	}
	return -EBUSY;
}

/* Removes one name, or descends into it: 0, or a status. */
static int remove_entry(struct remover *rm, const char *name, unsigned char type)
{
	unsigned int n;
	int r;

	/* Someone may swap a directory for a file and back: each way is tried in turn. */
	for (n = 0; n < PASSES_MAX; n++) {
		if (type != DT_DIR) {
			r = unlink_entry(rm, holder_fd(rm), name, 0);
			if (r == 0)
				return 0;
			if (r != -EISDIR)
				return fail_at(rm, r, name);
		}
		r = descend(rm, name);
		if (r == 0 || r == -ENOENT)
			return 0;
		if (r != -ENOTDIR)
			return fail_at(rm, r, name);
		type = DT_UNKNOWN;
	}
	return fail_at(rm, EBUSY, name);
}

/* The next entry of the lowest frame: 1 with its name, 0 at the end, or -errno. */
static int next_entry(struct frame *f, struct dirent **ret)
{
	struct dirent *de;

	for (;;) {
		errno = 0;
		de = readdir(f->dir);
		if (!de)
			return errno == ENOENT ? 0 : -errno;
		if (str_eq(de->d_name, ".") || str_eq(de->d_name, ".."))
			continue;
		*ret = de;
		return 1;
	}
}

/* Makes sure the parent of the lowest frame is open: 0, -ESTALE (restart), or -errno. */
static int reopen_parent(struct remover *rm)
{
	struct frame *child = &rm->frames[rm->n - 1];
	AUTO_CLOSE int fd = -EBADF;
	struct frame *parent;
	struct stat st;

	if (rm->n < 2)
		return 0;
	parent = &rm->frames[rm->n - 2];
	if (parent->dir)
		return 0;
	fd = open_child(dirfd(child->dir), "..", O_RDONLY);
	if (fd == -EACCES && allow_dir(dirfd(child->dir)) == 0)
		fd = open_child(dirfd(child->dir), "..", O_RDONLY);
	if (fd == -EXDEV || fd == -ENOENT || fd == -EACCES)
		return -ESTALE;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != parent->dev || st.st_ino != parent->ino)
		return -ESTALE;
	parent->dir = fdopendir(fd);
	if (!parent->dir)
		return -errno;
	(void)take_fd(fd);
	rm->first_open = rm->n - 2;
	return 0;
}

static int restart(struct remover *rm)
{
	drop_frames(rm);
	if (++rm->restarts > RESTARTS_MAX)
		return fail(rm->err, IMBREX_EBUSY, "remove '%s': others keep changing the tree",
			rm->top);
	return remove_entry(rm, rm->top, DT_UNKNOWN);
}

/* The lowest directory was read to its end: remove it and go up. */
static int ascend(struct remover *rm)
{
	struct frame *f = &rm->frames[rm->n - 1];
	AUTO_FREE char *name = NULL;
	int r;

	r = reopen_parent(rm);
	if (r == -ESTALE)
		return restart(rm);
	if (r < 0)
		return fail_at(rm, r, ".");
	rm->n--;
	name = take_ptr(f->name);
	r = unlink_entry(rm, holder_fd(rm), name, AT_REMOVEDIR);
	if (r == -ENOTEMPTY || r == -EEXIST) {
		/* Filled meanwhile, or a file system that loses its place when entries go. */
		f->name = take_ptr(name);
		rm->n++;
		if (++f->passes > PASSES_MAX)
			return fail_at(rm, EBUSY, ".");
		rewinddir(f->dir);
		return 0;
	}
	drop_frame(f);
	if (rm->first_open > rm->n)
		rm->first_open = rm->n;
	if (r == -ENOTDIR) /* swapped for a file meanwhile */
		return remove_entry(rm, name, DT_UNKNOWN);
	if (r < 0)
		return fail_at(rm, r, name);
	return 0;
}

static int remove_top(struct remover *rm)
{
	struct dirent *de = NULL;
	int r;

	r = remove_entry(rm, rm->top, DT_UNKNOWN);
	while (r == 0 && rm->n) {
		r = next_entry(&rm->frames[rm->n - 1], &de);
		if (r < 0)
			r = fail_at(rm, r, ".");
		else if (r == 0)
			r = ascend(rm);
		else
			r = remove_entry(rm, de->d_name, de->d_type);
	}
	return r;
}

static int remove_tree(int dir, const char *name, bool detach, struct imbrex_error *err)
{
	const char *slash = strrchr(name, '/');
	AUTO_CLOSE int parent_fd = -EBADF;
	AUTO_FREE char *parent = NULL;
	struct remover rm __attribute__((cleanup(cleanup_remover))) = {
		.dirfd = dir,
		.top = name,
		.detach = detach,
		.err = err,
	};

	if (slash) {
		parent = strndup(name, (size_t)(slash - name));
		if (!parent)
			return fail_nomem(err);
		rm.top = slash + 1;
	}
	if (!rm.top[0] || str_eq(rm.top, ".") || str_eq(rm.top, ".."))
		return fail(err, IMBREX_EINVAL, "remove '%s': not the name of an entry", name);
	if (parent) {
		parent_fd = open_beneath(dir, parent, O_PATH | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);
		if (parent_fd == -ENOENT)
			return 0;
		if (parent_fd < 0)
			return fail_code(err, parent_fd, "remove '%s'", name);
		rm.dirfd = parent_fd;
	}
	return remove_top(&rm);
}

int remove_tree_at(int dir, const char *name, struct imbrex_error *err)
{
	return remove_tree(dir, name, /* detach= */ false, err);
}

int remove_tree_detach_at(int dir, const char *name, struct imbrex_error *err)
{
	return remove_tree(dir, name, /* detach= */ true, err);
}
