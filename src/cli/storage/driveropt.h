/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --storage-opt beside --storage-driver: the library passes over what is another driver's, since
 * storage.conf may hold options of all; upstream refuses it on the command line, in these words.
 * Threading: none. Errors: err.
 */
#ifndef CLI_STORAGE_DRIVEROPT_H
#define CLI_STORAGE_DRIVEROPT_H

#include "base/macros.h"
#include "cli/storage/flag.h"
#include "imbrex/error.h"

/* driver: NULL or "" if none was named; then nothing is refused. EINVAL. */
int driveropt_check(
	const char *driver, const struct flag_list *options, struct imbrex_error *err) MUST_CHECK;

#endif
