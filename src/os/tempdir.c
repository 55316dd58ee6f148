/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary directories with a lock beside them.
 *
 * Invariants:
 * (1) temp-dir-X exists only while lock-X does: the lock comes first and goes last.
 * (2) A lock file is unlinked before it is released, so whoever gets a lock on a file that has no
 *     name any more lost a race and starts over (or has nothing to do).
 */
#include "os/tempdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/lock.h"

#define LOCK_PREFIX "lock-"
#define DIR_PREFIX  "temp-dir-"
/* As many names as containers/storage tries. */
#define NAME_TRIES 1000
/* Whoever leaves an empty root behind may remove it, until there is a lock in it. */
#define ROOT_TRIES 100

struct tempdir {
	int parent_fd; /* owned; what the root lies in */
	int root_fd;   /* owned */
	int fd;        /* owned; the directory */
	int lock_fd;   /* owned; holds the exclusive lock */
	char digits[11];
	_Atomic unsigned int next; /* number of the next staged thing */
};

/* Unlinks the lock while it is held, then lets go of it. */
static int drop_lock(int root_fd, const char *name, int *lock_fd, struct imbrex_error *err)
{
	int r = 0;

	if (unlinkat(root_fd, name, 0) < 0 && errno != ENOENT)
		r = fail_errno(err, "remove '%s'", name);
	*lock_fd = close_fd(*lock_fd);
	return r;
}

static bool has_name(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* A fresh lock file, locked and named; -EEXIST to try another name. */
static int make_lock(int root_fd, const char *name)
{
	AUTO_CLOSE int fd = -EBADF;
	int r;

	fd = openat(root_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_lock(fd, LOCK_EXCLUSIVE, /* wait= */ false);
	if (r == -EAGAIN)
		return -EEXIST; /* a recovery looks at it, and will remove it */
	if (r < 0) {
		(void)unlinkat(root_fd, name, 0);
		return r;
	}
	return has_name(fd) ? take_fd(fd) : -EEXIST;
}

static int make_pair(struct tempdir *t, struct imbrex_error *err)
{
	char dir_name[sizeof(DIR_PREFIX) + sizeof(t->digits)];
	char lock_name[sizeof(LOCK_PREFIX) + sizeof(t->digits)];
	unsigned int n;
	int r = -EEXIST;

	for (n = 0; n < NAME_TRIES && r == -EEXIST; n++) {
		r = random_digits(t->digits);
		if (r < 0)
			break;
		(void)snprintf(lock_name, sizeof(lock_name), LOCK_PREFIX "%s", t->digits);
		r = make_lock(t->root_fd, lock_name);
	}
	if (r < 0)
		return fail_code(err, r, "make a temporary directory: lock file");
	t->lock_fd = r;
	(void)snprintf(dir_name, sizeof(dir_name), DIR_PREFIX "%s", t->digits);
	if (mkdirat(t->root_fd, dir_name, 0700) < 0)
		return fail_errno(err, "create directory '%s'", dir_name);
	t->fd = open_dir_at(t->root_fd, dir_name, err);
	return t->fd < 0 ? t->fd : 0;
}

/* One after the other, so that all are on the same mount, whatever is mounted meanwhile. */
static int open_root(struct tempdir *t, int dirfd, const char *root, struct imbrex_error *err)
{
	const char *slash = strrchr(root, '/');
	AUTO_FREE char *parent = slash ? strndup(root, (size_t)(slash - root)) : strdup(".");

	if (!parent)
		return fail_nomem(err);
	t->parent_fd = open_dir_at(dirfd, parent, err);
	if (t->parent_fd < 0)
		return t->parent_fd;
	t->root_fd = open_dir_at(t->parent_fd, slash ? slash + 1 : root, err);
	return t->root_fd < 0 ? t->root_fd : 0;
}

static int make_in_root(struct tempdir *t, int dirfd, const char *root, struct imbrex_error *err)
{
	int r;

	r = mkdirs_at(dirfd, root, 0700, err);
	if (r < 0)
		return r;
	r = open_root(t, dirfd, root, err);
	if (r < 0)
		return r;
	r = make_pair(t, err);
	return r < 0 ? wrap(err, r, "'%s'", root) : 0;
}

int tempdir_new(int dirfd, const char *root, struct tempdir **ret, struct imbrex_error *err)
{
	AUTO_TEMPDIR *t = calloc(1, sizeof(*t));
	unsigned int n;
	int r = IMBREX_ENOENT;

	if (!t)
		return fail_nomem(err);
	t->parent_fd = t->root_fd = t->fd = t->lock_fd = -EBADF;
	for (n = 0; n < ROOT_TRIES && r == IMBREX_ENOENT; n++) {
		t->root_fd = close_fd(t->root_fd);
		t->parent_fd = close_fd(t->parent_fd);
		r = make_in_root(t, dirfd, root, err);
	}
	if (r < 0)
		return r;
	*ret = take_ptr(t);
	return 0;
}

int tempdir_finish(struct tempdir *t, struct imbrex_error *err)
{
	char name[sizeof(DIR_PREFIX) + sizeof(t->digits)];
	int r = 0;

	if (t->lock_fd >= 0) {
		(void)snprintf(name, sizeof(name), DIR_PREFIX "%s", t->digits);
		r = remove_tree_at(t->root_fd, name, err);
		(void)snprintf(name, sizeof(name), LOCK_PREFIX "%s", t->digits);
		if (r == 0)
			r = drop_lock(t->root_fd, name, &t->lock_fd, err);
	}
	(void)close_fd(t->fd);
	(void)close_fd(t->lock_fd); /* still named after a failure: the next recovery's work */
	(void)close_fd(t->root_fd);
	(void)close_fd(t->parent_fd);
	free(t);
	return r;
}

void tempdir_free(struct tempdir *t)
{
	if (t && tempdir_finish(t, NULL) < 0)
		return; /* what is left is found by the next recovery */
}

const char *tempdir_digits(const struct tempdir *t)
{
	return t->digits;
}

/* Invariant (1): without the lock nobody lives. One that cannot be asked may. */
bool tempdir_is_live(int rootfd, const char *digits)
{
	char name[sizeof(LOCK_PREFIX) + LIMIT_NAME_BYTES];
	AUTO_CLOSE int fd = -EBADF;

	if (strlen(digits) > LIMIT_NAME_BYTES - strlen(LOCK_PREFIX))
		return false;
	(void)snprintf(name, sizeof(name), LOCK_PREFIX "%s", digits);
	fd = openat(rootfd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT;
	return fd_lock(fd, LOCK_EXCLUSIVE, /* wait= */ false) < 0;
}

int tempdir_fd(const struct tempdir *t)
{
	return t->fd;
}

int tempdir_parent_fd(const struct tempdir *t)
{
	return t->parent_fd;
}

void tempdir_stage_addition(struct tempdir *t, char ret[TEMPDIR_NAME_BYTES])
{
	(void)snprintf(ret, TEMPDIR_NAME_BYTES, "%u-addition", atomic_fetch_add(&t->next, 1));
}

int tempdir_stage_deletion(struct tempdir *t, int dirfd, const char *name, struct imbrex_error *err)
{
	const char *slash = strrchr(name, '/');
	char to[NAME_MAX + 1];

	/* Cut at NAME_MAX: the number in front keeps it unique. */
	(void)snprintf(to, sizeof(to), "%u-%.200s", atomic_fetch_add(&t->next, 1),
		slash ? slash + 1 : name);
	if (renameat(dirfd, name, t->fd, to) < 0)
		return fail_errno(err, "move '%s' to a temporary directory", name);
	return 0;
}

/* Removes the pair `id` if its owner is gone. */
static int recover_one(int root_fd, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *lock_name = format_text(LOCK_PREFIX "%s", id);
	AUTO_FREE char *dir_name = format_text(DIR_PREFIX "%s", id);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (!lock_name || !dir_name)
		return fail_nomem(err);
	fd = openat(root_fd, lock_name,
		O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT)
		return 0; /* and so is the root */
	if (fd < 0)
		return fail_errno(err, "open lock file '%s'", lock_name);
	r = fd_lock(fd, LOCK_EXCLUSIVE, /* wait= */ false);
	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return fail_code(err, r, "lock '%s'", lock_name);
	if (!has_name(fd))
		return 0; /* its owner, or another recovery, was faster */
	r = remove_tree_at(root_fd, dir_name, err);
	if (r < 0)
		return r;
	return drop_lock(root_fd, lock_name, &fd, err);
}

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* Takes root_fd in every case. */
static int recover_all(int root_fd, const char *root, struct imbrex_error *err)
{
	DIR *dir __attribute__((cleanup(cleanup_dir))) = NULL;
	struct imbrex_error later;
	int first = 0;

	dir = fdopendir(root_fd);
	if (!dir) {
		(void)close_fd(root_fd);
		return fail_errno(err, "read directory '%s'", root);
	}
	for (;;) {
		struct dirent *de;
		const char *id;
		int r;

		errno = 0;
		de = readdir(dir);
		if (!de && errno && errno != ENOENT && first == 0)
			return fail_errno(err, "read directory '%s'", root);
		if (!de)
			return first;
		id = str_after(de->d_name, LOCK_PREFIX);
		if (!id)
			id = str_after(de->d_name, DIR_PREFIX);
		if (!id || !id[0])
			continue;
		r = recover_one(root_fd, id, first ? &later : err);
		if (r < 0 && first == 0)
			first = wrap(err, r, "'%s'", root);
	}
}

int tempdir_recover(int dirfd, const char *root, struct imbrex_error *err)
{
	AUTO_CLOSE int root_fd = -EBADF;

	root_fd = openat(dirfd, root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root_fd < 0 && errno == ENOENT)
		return 0;
	if (root_fd < 0)
		return fail_errno(err, "open directory '%s'", root);
	return recover_all(take_fd(root_fd), root, err);
}
