/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree whose owners follow another identity map.
 * Threading: no state. Errors: err; messages name the path inside the tree.
 */
#ifndef DRIVER_CHOWN_H
#define DRIVER_CHOWN_H

#include "base/macros.h"
#include "imbrex/error.h"
#include "os/idmap.h"

/*
 * Everything at and below `rootfd` is owned as `to` has it, that was owned as `from` has it. Set-id
 * bits, file capabilities, times and hard links stay.
 *
 * An id that `to` does not hold becomes the kernel's overflow id, which is what an id-mapped mount
 * of the same tree would show; the host's root may be missing in `from`, and counts as root inside.
 *
 * Errors EINVAL with errnum EOVERFLOW for any other id that `from` does not hold
 * Source containers/storage, drivers/chown*.go: what becomes of which id
 */
int chown_tree(int rootfd, const struct id_maps *from, const struct id_maps *to,
	struct imbrex_error *err) MUST_CHECK;

#endif
