/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subordinate id ranges of a user: /etc/subuid and /etc/subgid, or what a central service says in
 * their place, if /etc/nsswitch.conf names one ("subid: sss").
 *
 * Threading: no state. Errors: err.
 * Source: subuid(5): "name-or-uid:start:count" a line; lines of another form are skipped.
 */
#ifndef OS_SUBID_H
#define OS_SUBID_H

#include <stdbool.h>
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

/*
 * The ranges that count on this machine: of the file `path` (SUBUID_PATH or SUBGID_PATH), or of
 * libsubid, which is loaded when nsswitch.conf names another source than files.
 *
 * Errors ENOTSUP if it does and libsubid cannot be loaded; EFAIL if the service does not answer
 */
int subid_find(const char *path, const char *user, uid_t uid, struct subid_ranges *ret,
	struct imbrex_error *err) MUST_CHECK;

/* In the text of an nsswitch.conf: the source of subordinate ids ("sss") if it is not files, and
 * true. Only the first counts: libsubid takes one. */
#define SUBID_SOURCE_BYTES 64
bool subid_source(const char *text, char ret[SUBID_SOURCE_BYTES]);

/* subid_library.c: ask the library `file`, or NULL: libsubid as installed. */
int subid_ask(const char *file, bool groups, const char *owner, struct subid_ranges *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
