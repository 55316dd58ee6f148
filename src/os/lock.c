/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock files of a store.
 *
 *   closed --file_lock_acquire / file_lock_try--> held --file_lock_release--> closed
 *
 * Invariants:
 * (1) fd >= 0 exactly while the lock is held; the lock lives and dies with that fd.
 * (2) A held lock's file is the one its path names when the lock was got: a file replaced while
 *     we waited is noticed, and the new one is waited for.
 * (3) held[] counts this thread's locks by rank and mode; the order of the header is asserted
 *     before any waiting, so that a wrong order fails in a test and not as a deadlock in the field.
 */
#include "os/lock.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hex.h"
#include "os/clock.h"
#include "os/fd.h"

/* How often a lock file may be replaced under us before we call that broken. */
#define REPLACED_MAX 1000

static _Thread_local unsigned int held_shared[N_LOCK_RANKS];
static _Thread_local unsigned int held_exclusive[N_LOCK_RANKS];

static unsigned int n_held(enum lock_rank rank)
{
	return held_shared[rank] + held_exclusive[rank];
}

static bool may_acquire(enum lock_rank rank)
{
	unsigned int i;

	if (rank == LOCK_NONE || rank == LOCK_STAGING)
		return true;
	if (n_held(LOCK_MOUNTPOINTS))
		return false;
	if (rank == LOCK_MOUNTPOINTS)
		return n_held(LOCK_LAYERS) > 0;
	for (i = (unsigned int)rank + 1; i < LOCK_MOUNTPOINTS; i++) {
		if (n_held((enum lock_rank)i))
			return false;
	}
	if (rank == LOCK_LAYERS_IMAGESTORE && !n_held(LOCK_LAYERS))
		return false;
	return !n_held(rank) || rank == LOCK_LAYERS_RO || rank == LOCK_IMAGES_RO;
}

static void note_acquired(const struct file_lock *l)
{
	if (l->mode == LOCK_EXCLUSIVE)
		held_exclusive[l->rank]++;
	else
		held_shared[l->rank]++;
}

static void note_released(const struct file_lock *l)
{
	unsigned int *n =
		l->mode == LOCK_EXCLUSIVE ? &held_exclusive[l->rank] : &held_shared[l->rank];

	assert(*n > 0); /* else another thread acquired it */
	--*n;
}

static int lock_range(int fd, off_t at, off_t len, enum lock_mode mode, bool wait)
{
	struct flock fl = {
		.l_type = mode == LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = at,
		.l_len = len,
	};

	for (;;) {
		if (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &fl) == 0)
			return 0;
		if (errno == EINTR)
			continue;
		return errno == EACCES ? -EAGAIN : -errno;
	}
}

int fd_lock(int fd, enum lock_mode mode, bool wait)
{
	return lock_range(fd, 0, /* len= to any end */ 0, mode, wait);
}

int fd_lock_byte(int fd, uint64_t at, enum lock_mode mode, bool wait)
{
	assert(at < INT64_MAX);
	return lock_range(fd, (off_t)at, 1, mode, wait);
}

static int open_once(const struct file_lock *l)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

	return openat(
		l->dirfd, l->path, flags | (l->read_only ? O_RDONLY : O_RDWR | O_CREAT), 0644);
}

/* Makes the directories above the path; nothing if it has none. */
static int make_parent(const struct file_lock *l, struct imbrex_error *err)
{
	const char *slash = strrchr(l->path, '/');
	AUTO_FREE char *parent = NULL;

	if (!slash || slash == l->path)
		return 0;
	parent = strndup(l->path, (size_t)(slash - l->path));
	if (!parent)
		return fail_nomem(err);
	return mkdirs_at(l->dirfd, parent, 0700, err);
}

/* Opens or creates the file; fd or status. */
static int open_lock_file(const struct file_lock *l, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	fd = open_once(l);
	if (fd < 0 && errno == ENOENT && !l->read_only) {
		r = make_parent(l, err);
		if (r < 0)
			return wrap(err, r, "lock file '%s'", l->path);
		fd = open_once(l);
	}
	if (fd < 0 && (errno == ELOOP || errno == ENXIO || errno == EISDIR))
		return fail(err, IMBREX_EFORMAT, "lock file '%s' is not a regular file", l->path);
	if (fd < 0)
		return fail_errno(err, "open lock file '%s'", l->path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat lock file '%s'", l->path);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "lock file '%s' is not a regular file", l->path);
	return take_fd(fd);
}

int file_lock_open(struct file_lock *l, int dirfd, const char *path, enum lock_rank rank,
	bool read_only, struct imbrex_error *err)
{
	struct file_lock made = {
		.dirfd = dirfd,
		.read_only = read_only,
		.rank = rank,
		.fd = -EBADF,
	};
	AUTO_FREE char *copy = strdup(path);
	int fd;

	assert(rank < N_LOCK_RANKS);
	if (!copy)
		return fail_nomem(err);
	made.path = copy;
	fd = open_lock_file(&made, err);
	if (fd < 0)
		return fd;
	(void)close_fd(fd);
	made.path = take_ptr(copy);
	*l = made;
	return 0;
}

/* True if the path still names the file of this fd. */
static bool is_current(const struct file_lock *l, int fd)
{
	struct stat named;
	struct stat ours;

	if (fstat(fd, &ours) < 0)
		return false;
	if (fstatat(l->dirfd, l->path, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* 1 got it, 0 busy (only without `wait`), or status. */
static int take_lock(struct file_lock *l, enum lock_mode mode, bool wait, struct imbrex_error *err)
{
	unsigned int n;
	int r;

	assert(l->path && l->fd < 0);
	assert(!l->read_only || mode == LOCK_SHARED);
	assert(may_acquire(l->rank));
	for (n = 0; n < REPLACED_MAX; n++) {
		AUTO_CLOSE int fd = open_lock_file(l, err);

		if (fd < 0)
			return fd;
		r = fd_lock(fd, mode, wait);
		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return fail_code(err, r, "lock '%s'", l->path);
		if (!is_current(l, fd))
			continue;
		l->fd = take_fd(fd);
		l->mode = mode;
		note_acquired(l);
		return 1;
	}
	return fail(err, IMBREX_EBUSY, "lock '%s': the file keeps being replaced", l->path);
}

int file_lock_acquire(struct file_lock *l, enum lock_mode mode, struct imbrex_error *err)
{
	int r = take_lock(l, mode, /* wait= */ true, err);

	return r < 0 ? r : 0;
}

int file_lock_try(struct file_lock *l, enum lock_mode mode, struct imbrex_error *err)
{
	return take_lock(l, mode, /* wait= */ false, err);
}

void file_lock_release(struct file_lock *l)
{
	if (l->fd < 0)
		return;
	note_released(l);
	l->fd = close_fd(l->fd);
}

void file_lock_done(struct file_lock *l)
{
	file_lock_release(l);
	free(l->path);
	l->path = NULL;
}

bool lock_rank_is_held(enum lock_rank rank, enum lock_mode at_least)
{
	return held_exclusive[rank] || (at_least == LOCK_SHARED && held_shared[rank]);
}

int lock_token_read(const struct file_lock *l, struct lock_token *ret, struct imbrex_error *err)
{
	struct lock_token token = { .len = 0 };
	int r;

	assert(file_lock_is_held(l));
	r = pread_all(l->fd, token.bytes, sizeof(token.bytes), 0, &token.len);
	if (r < 0)
		return fail_code(err, r, "read lock file '%s'", l->path);
	*ret = token;
	return 0;
}

static void put_le(unsigned char *to, uint64_t value, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = (unsigned char)(value >> (8 * i));
}

int lock_token_write(struct file_lock *l, struct lock_token *ret, struct imbrex_error *err)
{
	/* The layout asks for a per-process counter; the one thing here that outlives an object. */
	static _Atomic uint64_t counter;
	struct lock_token token = { .len = LOCK_TOKEN_BYTES };
	int r;

	assert(file_lock_is_held(l) && l->mode == LOCK_EXCLUSIVE);
	put_le(token.bytes, now_realtime_ns(), 8);
	put_le(token.bytes + 8, atomic_fetch_add(&counter, 1) + 1, 8);
	put_le(token.bytes + 16, (uint64_t)getpid(), 4);
	r = random_bytes(token.bytes + 20, LOCK_TOKEN_BYTES - 20);
	if (r < 0)
		return fail_code(err, r, "make a change stamp for '%s'", l->path);
	r = pwrite_all(l->fd, token.bytes, token.len, 0);
	if (r < 0)
		return fail_code(err, r, "write lock file '%s'", l->path);
	if (ret)
		*ret = token;
	return 0;
}

bool lock_token_equal(const struct lock_token *a, const struct lock_token *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}
