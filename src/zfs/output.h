/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What zfs(8) says: tables of tab separated fields on stdout, one complaint on stderr.
 *
 * Threading: no state. Errors: err.
 */
#ifndef ZFS_OUTPUT_H
#define ZFS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "imbrex/error.h"

#define ZFS_FIELDS_MAX 16

/* `fields` are borrowed until return. Negative ends the reading with that status. */
typedef int (*zfs_row_fn)(void *ctx, char *const *fields, struct imbrex_error *err);

/*
 * Each line of `text`, which is changed, has exactly `n_fields` fields; the first is not empty.
 *
 * Errors EFORMAT, with the number of the line; ELIMIT for a field beyond LIMIT_ZFS_VALUE_BYTES.
 */
int zfs_rows(char *text, size_t len, size_t n_fields, zfs_row_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;

/* The status that a complaint in English (LC_ALL=C) stands for, whatever the names in it say; EFAIL
 * if none is known. */
int zfs_status_of_words(const char *said);

/* Is it about clones or holds, which end when somebody ends them? */
bool zfs_no_waiting_helps(const char *said);

#endif
