/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory that appears under its name when it is complete, or not at all. What a dead process
 * left of its own is taken away by the next that makes one at the same place, in the hidden
 * directory ".imbrex-UID" there, which is gone when nobody needs it.
 *
 * new_dir_begin -> fill .fd -> new_dir_commit; new_dir_done in every case (AUTO_NEW_DIR): without a
 * commit it removes everything. new_dir_begin_temporary: never committed. Errors: err; messages
 * name the path.
 */
#ifndef IMAGE_NEWDIR_H
#define IMAGE_NEWDIR_H

#include <limits.h>

#include "os/tempdir.h"

struct new_dir {
	int fd;               /* owned; of the new directory */
	int parent_fd;        /* owned */
	struct tempdir *temp; /* owned */
	char root[32];        /* of the temporary directory, in the parent */
	char made[TEMPDIR_NAME_BYTES];
	char name[NAME_MAX + 1]; /* final name in the parent */
};
#define NEW_DIR_INIT                              \
	{                                         \
		.fd = -EBADF, .parent_fd = -EBADF \
	}

/* EEXIST if something has that name. */
int new_dir_begin(struct new_dir *d, const char *path, struct imbrex_error *err) MUST_CHECK;
/* One in the directory `parent` that is not to stay. */
int new_dir_begin_temporary(
	struct new_dir *d, const char *parent, struct imbrex_error *err) MUST_CHECK;
/* What dead processes left in the directory `parent`. Somebody else's is left alone. */
int new_dir_recover(const char *parent, struct imbrex_error *err) MUST_CHECK;
/* Sync what is in it, then give it its name. */
int new_dir_commit(struct new_dir *d, struct imbrex_error *err) MUST_CHECK;
void new_dir_done(struct new_dir *d);
#define AUTO_NEW_DIR __attribute__((cleanup(new_dir_done))) struct new_dir

/* Open the directory above a path and copy its last component, which must be a name. */
int open_parent_dir(const char *path, char ret_name[NAME_MAX + 1], int *ret_fd,
	struct imbrex_error *err) MUST_CHECK;

#endif
