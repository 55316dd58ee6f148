/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity map that storage.conf gives to layers that nobody asked one for: remap-uids and
 * remap-gids, ranges in words; remap-user and remap-group, whose subordinate ids it is made of.
 * Error tier: err.
 */
#ifndef STORE_REMAP_H
#define STORE_REMAP_H

#include "base/error.h"
#include "os/idmap.h"

/* All may be NULL: not set. */
struct remap {
	const char *uids;  /* "0:100000:65536,65536:400000:10" */
	const char *gids;  /* likewise */
	const char *user;  /* a name in /etc/subuid */
	const char *group; /* a name in /etc/subgid; that or `user` stands for both */
};

/* ret is empty if nothing is set. Errors EINVAL malformed; ENOENT no such subordinate ids. */
int remap_maps(
	const struct remap *words, struct id_maps_copy *ret, struct imbrex_error *err) MUST_CHECK;

#endif
