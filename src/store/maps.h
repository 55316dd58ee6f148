/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Id maps as records keep them: "uidmap":[{"container_id":0,"host_id":100000,"size":65536}].
 * Leaf tier: 0 or -errno, unless there is an `err`.
 */
#ifndef STORE_MAPS_H
#define STORE_MAPS_H

#include "base/error.h"
#include "base/str.h"
#include "os/idmap.h"
#include "store/record.h"

#define AUTO_MAPS __attribute__((cleanup(id_maps_copy_done))) struct id_maps_copy

/* The map in a field; what is no range in it is passed over. ret: free(); NULL if there is none. */
int map_read(
	const struct record *r, int field, struct imbrex_id_map **ret, size_t *ret_n) MUST_CHECK;
/* Both maps of a layer's or container's record. */
int maps_read(
	const struct record *r, int uid_field, int gid_field, struct id_maps_copy *ret) MUST_CHECK;
static inline int MUST_CHECK maps_of_layer(const struct record *r, struct id_maps_copy *ret)
{
	return maps_read(r, LAYER_UIDMAP, LAYER_GIDMAP, ret);
}
/* `,"<key>":[…]`, or nothing for an empty map. */
int map_put(struct str *to, const char *key, const struct imbrex_id_map *map, size_t n) MUST_CHECK;

/* What a caller asks for: EINVAL for ranges that overlap or wrap, ELIMIT for too many. Either list
 * may be empty. */
int maps_check(const struct id_maps *maps, struct imbrex_error *err) MUST_CHECK;

#endif
