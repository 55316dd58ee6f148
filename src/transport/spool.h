/* SPDX-License-Identifier: Apache-2.0 */
/* A file without a name for bytes that pass by only once. No state. Error tier: err. */
#ifndef TRANSPORT_SPOOL_H
#define TRANSPORT_SPOOL_H

#include "base/error.h"
#include "base/macros.h"

/*
 * Read-write fd of a fresh unlinked file in $TMPDIR, or /var/tmp, which unlike /tmp is meant for
 * large files. Errors name the directory.
 */
int spool_open(struct imbrex_error *err) MUST_CHECK;

#endif
