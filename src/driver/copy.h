/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree copied whole: what vfs does instead of stacking layers.
 * Threading: no state. Errors: err; messages name the path inside the tree.
 */
#ifndef DRIVER_COPY_H
#define DRIVER_COPY_H

#include <stdbool.h>

#include "base/macros.h"
#include "imbrex/error.h"

struct copy_opts {
	bool in_userns; /* device nodes but whiteouts are skipped, EPERM of xattrs is ignored */
	bool ignore_chown_errors;
};

/*
 * Copy everything below `from` into the empty directory `to`, and the metadata of `from` itself.
 * Content by reflink, else copy_file_range, else read and write. Hard links stay hard links;
 * owners, modes, times and xattrs (but security.selinux) are kept.
 */
int copy_tree(int from, int to, const struct copy_opts *opts, struct imbrex_error *err) MUST_CHECK;

#endif
