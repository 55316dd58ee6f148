/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User namespaces: making them, and writing their id maps by the way the caller may.
 *
 * A privileged caller writes maps itself; an unprivileged one may map its own id only, and for
 * more asks newuidmap(1) and newgidmap(1), which consult /etc/subuid and /etc/subgid.
 * Threading: userns_new() is safe with threads; userns_run() forks code of the caller's, so the
 * process must have one thread. Errors: err.
 * Source: user_namespaces(7).
 */
#ifndef OS_USERNS_H
#define OS_USERNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "imbrex/error.h"
#include "os/idmap.h"

/* True if this process is in the user namespace the machine booted with. */
bool in_initial_userns(void);

/* Refuse empty lists, ranges that overlap or wrap, and more than LIMIT_ID_MAP_EXTENTS. */
int id_maps_check(const struct id_maps *maps, struct imbrex_error *err) MUST_CHECK;

/* Are the programs there that map subordinate ids for who may not (newuidmap, newgidmap)? */
bool userns_has_helpers(void);

/*
 * Write the maps of the fresh user namespace that our child `pid` is in. The child must not run on
 * before this returns, and must not have been reaped.
 */
int userns_write_maps(pid_t pid, const struct id_maps *maps, struct imbrex_error *err) MUST_CHECK;

/* A user namespace with these maps and nobody in it, as an fd: for mount_change(). */
int userns_new(const struct id_maps *maps, struct imbrex_error *err) MUST_CHECK;

/*
 * Run fn in a child as root of a new user namespace (uid 0 and gid 0 inside, if mapped).
 *
 * flags       more namespaces: CLONE_NEWNS, CLONE_NEWPID, ...
 * ret_status  what fn returned (0..255), or 128 + signal number
 */
int userns_run(const struct id_maps *maps, int flags, int (*fn)(void *ctx), void *ctx,
	int *ret_status, struct imbrex_error *err) MUST_CHECK;

#endif
