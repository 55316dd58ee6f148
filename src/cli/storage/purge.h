/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `check --repair` means on this command line: whatever is damaged and could not be mended
 * goes. The library's own repair never takes what somebody stands on; scripts that call this one
 * expect it to.
 * Threading: none. Errors: err.
 */
#ifndef CLI_STORAGE_PURGE_H
#define CLI_STORAGE_PURGE_H

#include "cli/storage/report.h"
#include "cli/storage/storage.h"

/*
 * Remove containers (with --force only), images and layers that have problems left, in this order.
 *
 * ret_failures  one line for each that stays: "deleting image ID: text"
 */
int purge_damaged(struct plumbing *p, const struct report *report, struct strv *ret_failures,
	struct imbrex_error *err) MUST_CHECK;
/* Is the object of a problem gone? */
bool purge_is_gone(struct plumbing *p, const struct imbrex_problem *problem);

#endif
