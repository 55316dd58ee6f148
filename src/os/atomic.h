/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replace a file whole: readers see the old bytes or the new ones, also after a power cut.
 *
 * open -> write* -> commit, or abort (also by AUTO_ATOMIC_FILE): an abort removes the temporary.
 * Threading: one thread per object. Errors: err; messages name the file, not the temporary.
 * Source: docs/formats/store.md, "Temporary directories". Unlike containers/storage we sync the
 * directory too, so that a committed record survives a power cut.
 */
#ifndef OS_ATOMIC_H
#define OS_ATOMIC_H

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "imbrex/error.h"

enum atomic_sync {
	ATOMIC_SYNC,      /* fdatasync, rename, fsync of the directory */
	ATOMIC_SYNC_FILE, /* fdatasync, rename: the name may be lost, never half a file */
	ATOMIC_VOLATILE   /* no sync: for data that a reboot may lose */
};

struct atomic_file {
	int dirfd;               /* borrowed */
	int fd;                  /* owned; write here; -EBADF when committed or aborted */
	char name[NAME_MAX + 1]; /* final name */
	char temp[NAME_MAX + 1]; /* ".tmp-<name><digits>"; "" when there is none to remove, or none
				    yet */
};

#define ATOMIC_FILE_INIT                      \
	{                                     \
		.dirfd = -EBADF, .fd = -EBADF \
	}

/* Make the temporary (0600) beside the final `name`, which is one component. */
int atomic_file_open(
	struct atomic_file *f, int dirfd, const char *name, struct imbrex_error *err) MUST_CHECK;
/*
 * The same for files that take long: where the file system can, it has no name before it is whole,
 * so that nothing is left of it whoever dies.
 */
int atomic_file_open_unnamed(
	struct atomic_file *f, int dirfd, const char *name, struct imbrex_error *err) MUST_CHECK;
int atomic_file_write(
	struct atomic_file *f, const void *buf, size_t len, struct imbrex_error *err) MUST_CHECK;
/*
 * Give the file its mode (exactly; no umask) and its name. Consumes: on failure the temporary is
 * gone and the old file is whole, unless only the sync of the directory failed.
 *
 * ret  the new file's metadata as taken before the rename (its mtime is what other programs
 *      compare); may be NULL
 */
int atomic_file_commit(struct atomic_file *f, mode_t mode, enum atomic_sync sync, struct stat *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Remove the temporary; nothing to do after a commit. */
void atomic_file_abort(struct atomic_file *f);
#define AUTO_ATOMIC_FILE __attribute__((cleanup(atomic_file_abort))) struct atomic_file

/* All of it for bytes at hand. */
int atomic_write_at(int dirfd, const char *name, mode_t mode, const void *buf, size_t len,
	enum atomic_sync sync, struct stat *ret, struct imbrex_error *err) MUST_CHECK;

/*
 * Two names of one file system change places, in one step for all who look; a crash leaves one
 * state or the other. Leaf tier: 0 or -errno; -EOPNOTSUPP where the file system cannot.
 */
int exchange_at(int dirfd_a, const char *a, int dirfd_b, const char *b) MUST_CHECK;

#endif
