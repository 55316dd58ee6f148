/* SPDX-License-Identifier: Apache-2.0 */
/* Where a store lies, of what a caller asks for, files say, and is usual. Error tier: err. */
#ifndef STORE_ROOTS_H
#define STORE_ROOTS_H

#include "store/config.h"

/* What the files say; borrowed; NULL: nothing. */
struct storage_roots {
	const char *graphroot;
	const char *runroot;
	const char *rootless_storage_path; /* in place of graphroot, of unprivileged users only */
	const char *data_dir;              /* the user's, for containers; never NULL */
};

/* Fills graphroot and runroot. */
int storage_roots_choose(const struct storage_config_request *request,
	const struct storage_roots *said, struct storage_config *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Absolute, with links resolved as far as the path exists. NULL on no memory. */
char *storage_path_settle(const char *path) MUST_CHECK;

#endif
