/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock files of a containers/storage store, shared with podman and friends.
 *
 * Go programs take classic POSIX record locks of the whole file; we take open file description
 * (OFD) locks of the same range, which conflict with those across processes, but belong to our fd:
 * closing another fd of the file does not drop them, and two threads exclude each other.
 *
 * open -> (acquire | try -> release)* -> done
 * Threading: one thread per object; the thread that acquires must release, because the order of
 * locks is checked per thread (assert). Errors: err; fd_lock() is leaf tier.
 * Source: docs/formats/store.md, Locks; fcntl(2) "Open file description locks".
 */
#ifndef OS_LOCK_H
#define OS_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "imbrex/error.h"

enum lock_mode {
	LOCK_SHARED = 1,
	LOCK_EXCLUSIVE
};

/*
 * A thread takes locks in this order and never goes back, with these rules:
 * - a rank is held once, except the read-only ones, of which there are many;
 * - MOUNTPOINTS is taken only while LAYERS is held, however high the thread has gone since, and
 *   nothing but STAGING is taken while it is held;
 * - STAGING and NONE are outside the order: they are new or only tried, so cannot deadlock.
 */
enum lock_rank {
	LOCK_NONE,              /* not of a store's order, e.g. a caller's lock on one blob */
	LOCK_GRAPH,             /* <graphroot>/storage.lock */
	LOCK_USERNS,            /* <graphroot>/userns.lock */
	LOCK_LAYERS,            /* <graphroot>/D-layers/layers.lock */
	LOCK_LAYERS_IMAGESTORE, /* <imagestore>/D-layers/layers.lock, right after LAYERS */
	LOCK_LAYERS_RO,         /* additional image stores */
	LOCK_IMAGES,            /* D-images/images.lock */
	LOCK_IMAGES_RO,
	LOCK_CONTAINERS,  /* D-containers/containers.lock */
	LOCK_MOUNTPOINTS, /* <runroot>/D-layers/mountpoints.lock */
	LOCK_STAGING,     /* temporary directories */
	N_LOCK_RANKS
};

struct file_lock {
	int dirfd;      /* borrowed; path is relative to it */
	char *path;     /* owned */
	bool read_only; /* opened O_RDONLY: shared mode only */
	enum lock_rank rank;
	int fd;              /* owned; -EBADF while not held */
	enum lock_mode mode; /* valid while held */
};

#define FILE_LOCK_INIT       \
	{                    \
		.fd = -EBADF \
	}

/*
 * Name a lock file, creating it (0644 less umask; a missing parent is made 0700 with mkdir -p)
 * if it is not there, unless read_only. Nothing is locked yet. The file must be a regular one: a
 * FIFO or a link in its place is refused.
 *
 * dirfd      borrowed until done; AT_FDCWD with an absolute path is fine
 * read_only  nothing is written: opened O_RDONLY, only LOCK_SHARED may be acquired
 * Errors     ENOENT if read_only and the file is missing
 */
int file_lock_open(struct file_lock *l, int dirfd, const char *path, enum lock_rank rank,
	bool read_only, struct imbrex_error *err) MUST_CHECK;
/* Wait for the lock. The file is opened anew, so that a replaced lock file is picked up. */
int file_lock_acquire(
	struct file_lock *l, enum lock_mode mode, struct imbrex_error *err) MUST_CHECK;
/* 1 got it, 0 someone else has it. */
int file_lock_try(struct file_lock *l, enum lock_mode mode, struct imbrex_error *err) MUST_CHECK;
/* Nothing to do if not held. */
void file_lock_release(struct file_lock *l);
/* Release and forget. */
void file_lock_done(struct file_lock *l);
#define AUTO_FILE_LOCK __attribute__((cleanup(file_lock_done))) struct file_lock

static inline bool file_lock_is_held(const struct file_lock *l)
{
	return l->fd >= 0;
}

/* True if this thread holds a lock of that rank (in that mode or a stronger one). */
bool lock_rank_is_held(enum lock_rank rank, enum lock_mode at_least);

/*
 * The change stamp in a lock file: whoever changes what the lock protects writes a new one first,
 * and whoever finds another than the remembered one reloads. Opaque; up to 64 bytes; empty if
 * never written.
 */
#define LOCK_TOKEN_BYTES 64

struct lock_token {
	unsigned char bytes[LOCK_TOKEN_BYTES];
	size_t len; /* valid bytes */
};

/* Read the stamp; the lock must be held in either mode (assert). */
int lock_token_read(
	const struct file_lock *l, struct lock_token *ret, struct imbrex_error *err) MUST_CHECK;
/*
 * Write a fresh stamp; the lock must be held exclusively (assert). Before the data files change,
 * so that a crash in between makes others reload needlessly rather than miss a change.
 *
 * ret  the new stamp, to be remembered; may be NULL
 * Layout: u64 LE time in ns, u64 LE counter, u32 LE pid, 44 random bytes.
 */
int lock_token_write(
	struct file_lock *l, struct lock_token *ret, struct imbrex_error *err) MUST_CHECK;
bool lock_token_equal(const struct lock_token *a, const struct lock_token *b);

/* OFD lock of the whole file: 0, -EAGAIN if `wait` is false and it is taken, or -errno. */
int fd_lock(int fd, enum lock_mode mode, bool wait) MUST_CHECK;
/* The same for one byte, wherever the file ends: many locks in one file. */
int fd_lock_byte(int fd, uint64_t at, enum lock_mode mode, bool wait) MUST_CHECK;

#endif
