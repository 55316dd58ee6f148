/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from byte strings to pointers. Keys are copied; values are borrowed.
 * Seeded per map, so that names from outside cannot be chosen to collide.
 * Leaf tier: 0 or -errno (-EEXIST, -ENOMEM).
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct map;

struct map *map_new(void) MUST_CHECK;
void map_free(struct map *m);
DEFINE_CLEANUP(map, struct map, map_free)
#define AUTO_MAP AUTO(map) struct map

/* -EEXIST if the key is there (value unchanged). */
int map_add(struct map *m, const char *key, size_t key_len, void *value) MUST_CHECK;
/* Adds or replaces. */
int map_set(struct map *m, const char *key, size_t key_len, void *value) MUST_CHECK;
/* True and *ret_value (may be NULL pointer argument) if there. */
bool map_get(const struct map *m, const char *key, size_t key_len, void **ret_value);
void map_remove(struct map *m, const char *key, size_t key_len);
size_t map_count(const struct map *m);

#endif
