/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of byte strings that remembers a keyed 64-bit hash of each: 16 bytes a member at most.
 * With the limit of entries in a layer a false "is there" has a chance below 1 in 2^40.
 * Leaf tier: 0 or -ENOMEM.
 */
#ifndef DRIVER_PATHSET_H
#define DRIVER_PATHSET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct pathset;

struct pathset *pathset_new(void) MUST_CHECK;
void pathset_free(struct pathset *s);
DEFINE_CLEANUP(pathset, struct pathset, pathset_free)
#define AUTO_PATHSET AUTO(pathset) struct pathset

/* Adding what is there is a success. */
int pathset_add(struct pathset *s, const void *key, size_t len) MUST_CHECK;
bool pathset_has(const struct pathset *s, const void *key, size_t len);

#endif
