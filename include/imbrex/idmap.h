/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity maps: which ids of the host stand behind the ids that a layer or container sees.
 * Plain data; nothing here allocates.
 */
#ifndef IMBREX_IDMAP_H
#define IMBREX_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imbrex/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `count` ids from `inside` on are the host's ids from `outside` on. */
struct imbrex_id_map {
	uint32_t inside;
	uint32_t outside;
	uint32_t count; /* > 0 */
};

/* How a range for a user namespace of its own is chosen. Zero means default. */
struct imbrex_auto_ids {
	uint32_t size;         /* ids; 0: as many as the image's ids and passwd files need */
	uint32_t initial_size; /* at least that many; 0: the store's minimum */
	const char *passwd_file, *group_file;   /* in the image; NULL: /etc/passwd, /etc/group */
	const struct imbrex_id_map *extra_uids; /* mapped besides; borrowed */
	size_t n_extra_uids;
	const struct imbrex_id_map *extra_gids;
	size_t n_extra_gids;
};

/*
 * The map of a new layer or container. All zero: the parent layer's, or else none (containers: see
 * there). `automatic` is for containers only, and beats the rest.
 */
struct imbrex_id_maps {
	const struct imbrex_id_map *uids; /* borrowed; NULL: none asked for */
	size_t n_uids;
	const struct imbrex_id_map *gids;
	size_t n_gids;
	bool host_uids; /* the host's own ids, whatever parent and store have */
	bool host_gids;
	const struct imbrex_auto_ids *automatic; /* borrowed; NULL: no */
};

/*
 * The subordinate ids of a user (`groups`: of a group), from /etc/subuid or /etc/subgid, as a map
 * of the ids 0, 1, 2 … to all their ranges, lowest first. ret: free().
 * Errors ENOENT if none are given to that name (message names it and the file).
 */
__attribute__((visibility("default"))) int imbrex_subids_map(const char *name, bool groups,
	struct imbrex_id_map **ret, size_t *ret_n, struct imbrex_error *err)
	__attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
