/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity maps at work: from ids as a layer or container sees them to ids of the host, and back.
 *
 * A map without ranges (or NULL) changes nothing. Ranges are tried in the order given; whoever
 * takes maps from outside calls id_maps_check() (os/userns.h) first.
 * Threading: no state. Errors: leaf tier; -EOVERFLOW is an id that no range holds.
 */
#ifndef OS_IDMAP_H
#define OS_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "imbrex/idmap.h"

/* Empty lists: no map, ids as they are. */
struct id_maps {
	const struct imbrex_id_map *uids; /* borrowed */
	size_t n_uids;
	const struct imbrex_id_map *gids; /* borrowed */
	size_t n_gids;
};

/* The owner of an inode. */
struct id_pair {
	uint32_t uid;
	uint32_t gid;
};

/* True if neither uids nor gids change; maps may be NULL. */
bool id_maps_empty(const struct id_maps *maps);
/* The same ranges in the same order; NULL is an empty map. */
bool id_maps_equal(const struct id_maps *a, const struct id_maps *b);
/* Does each range go on where the one before ended, inside and outside? For mount programs. */
bool id_maps_contiguous(const struct id_maps *maps);

/* `ids` inside become ids of the host; unchanged on failure. */
int id_maps_to_host(const struct id_maps *maps, struct id_pair *ids) MUST_CHECK;
/* The same; an id that no range holds becomes that of `unknown`. */
void id_maps_to_host_or(
	const struct id_maps *maps, struct id_pair *ids, const struct id_pair *unknown);
/* `ids` of the host become ids inside; unchanged on failure. */
int id_maps_to_inside(const struct id_maps *maps, struct id_pair *ids) MUST_CHECK;
/* The host's owner of what belongs to root inside; a map of one single id is taken for root. */
int id_maps_root(const struct id_maps *maps, struct id_pair *ret) MUST_CHECK;

/* Ids that the kernel shows for those that a map does not hold. */
struct id_pair id_overflow(void);

/* A copy that outlives its original. init with { 0 }. */
struct id_maps_copy {
	struct id_maps maps;          /* points into `ranges` */
	struct imbrex_id_map *ranges; /* owned; NULL: empty maps */
};
int id_maps_copy(const struct id_maps *from, struct id_maps_copy *ret) MUST_CHECK;
void id_maps_copy_done(struct id_maps_copy *c);

#endif
