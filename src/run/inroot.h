/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names inside the root file system, as the program will see them after the pivot: absolute paths,
 * symbolic links resolved with the root as "/". Nothing outside can be reached or made.
 *
 * Threading: none. Errors: as each says.
 */
#ifndef RUN_INROOT_H
#define RUN_INROOT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/macros.h"
#include "imbrex/error.h"
#include "os/beneath.h"

/* open_beneath() of an absolute path. fd or -errno. */
int inroot_open(int rootfd, const char *path, int flags, enum beneath_mode how) MUST_CHECK;

enum inroot_kind {
	INROOT_DIR,
	INROOT_FILE
};

/*
 * The directory or file (an empty one) at `path`, made with what is missing above it if need be.
 * A dangling link is followed and its target made. ret_fd is O_PATH.
 *
 * Errors EFORMAT if something else has the name, or a name on the way is no directory; EPERM,
 *        EIO where it cannot be made (a read-only root file system).
 */
int inroot_make(int rootfd, const char *path, enum inroot_kind kind, int *ret_fd,
	struct imbrex_error *err) MUST_CHECK;

#endif
