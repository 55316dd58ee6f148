/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary directories that other programs clean up after a crash, and not before.
 *
 * In a root R live pairs: `lock-<digits>`, locked exclusively for the life of the owner, and
 * `temp-dir-<digits>`. Whoever gets the lock of another's pair knows that its owner died.
 *
 * new -> (stage_addition | stage_deletion)* -> finish (or free, which ignores failures)
 * Threading: staging is thread-safe; the rest is one thread per object. Errors: err.
 * Source: docs/formats/store.md, "Temporary directories".
 */
#ifndef OS_TEMPDIR_H
#define OS_TEMPDIR_H

#include <stdbool.h>

#include "base/macros.h"
#include "imbrex/error.h"

struct tempdir;

/* `root` (relative to dirfd; made 0700 with mkdir -p) is the R above. */
int tempdir_new(
	int dirfd, const char *root, struct tempdir **ret, struct imbrex_error *err) MUST_CHECK;
/* Remove the directory with all in it, then the lock. Frees in every case. */
int tempdir_finish(struct tempdir *t, struct imbrex_error *err) MUST_CHECK;
void tempdir_free(struct tempdir *t);
DEFINE_CLEANUP(tempdir, struct tempdir, tempdir_free)
#define AUTO_TEMPDIR AUTO(tempdir) struct tempdir

/* The digits of its name: what lies elsewhere under a name with them is told to be of a live owner
 * by tempdir_is_live(). Borrowed. */
const char *tempdir_digits(const struct tempdir *t);
/* Does the pair of these digits in the directory `rootfd` have a live owner? */
bool tempdir_is_live(int rootfd, const char *digits);

/* The directory's fd; borrowed. */
int tempdir_fd(const struct tempdir *t);
/*
 * The directory that holds R, on the mount that the temporary directory is on; borrowed. Names move
 * within one mount only, and its path may lead to another one by now.
 */
int tempdir_parent_fd(const struct tempdir *t);

/* Name ("<n>-addition") for something that is made in the directory and later renamed away. */
#define TEMPDIR_NAME_BYTES 32
void tempdir_stage_addition(struct tempdir *t, char ret[TEMPDIR_NAME_BYTES]);
/* Rename `name` of dirfd (same file system) into the directory: deleted by finish. ENOENT if it
 * is not there. */
int tempdir_stage_deletion(
	struct tempdir *t, int dirfd, const char *name, struct imbrex_error *err) MUST_CHECK;

/*
 * Remove what dead owners left in the root R. Pairs in use are skipped, a missing R is fine. Goes
 * on after a failure and returns the first one.
 */
int tempdir_recover(int dirfd, const char *root, struct imbrex_error *err) MUST_CHECK;

#endif
