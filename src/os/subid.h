/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subordinate id ranges of a user: /etc/subuid and /etc/subgid.
 *
 * Threading: no state. Errors: err.
 * Source: subuid(5): "name-or-uid:start:count" a line; lines of another form are skipped.
 */
#ifndef OS_SUBID_H
#define OS_SUBID_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/limits.h"
#include "base/macros.h"
#include "imbrex/error.h"

#define SUBUID_PATH "/etc/subuid"
#define SUBGID_PATH "/etc/subgid"

struct subid_range {
	uint32_t start;
	uint32_t count; /* > 0; start + count never passes 2^32 - 1 */
};

struct subid_ranges {
	struct subid_range items[LIMIT_ID_MAP_EXTENTS];
	size_t n;
};

/*
 * Ranges in `text` whose owner is `user` or the number `uid`, in the order of the file. More than
 * LIMIT_ID_MAP_EXTENTS cannot be mapped and are left out.
 *
 * user  login name; NULL to match by number only
 */
void subid_parse(
	const char *text, size_t len, const char *user, uid_t uid, struct subid_ranges *ret);
/* The same from a file; a missing file holds no ranges. */
int subid_read(const char *path, const char *user, uid_t uid, struct subid_ranges *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
