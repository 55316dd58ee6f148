/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ids as sorted ranges that do not touch. Leaf tier: 0 or -errno. */
#ifndef STORE_IDSET_H
#define STORE_IDSET_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* Ids from `start` up to, and without, `end`. */
struct id_range {
	uint64_t start;
	uint64_t end;
};

struct id_set {
	struct id_range *ranges; /* owned; sorted */
	size_t n;
};

void id_set_done(struct id_set *s);
#define AUTO_ID_SET __attribute__((cleanup(id_set_done))) struct id_set

int id_set_add(struct id_set *s, uint64_t start, uint64_t count) MUST_CHECK;
int id_set_remove(struct id_set *s, uint64_t start, uint64_t count) MUST_CHECK;
uint64_t id_set_size(const struct id_set *s);
/* Keep the `n` lowest ids. -ENOENT if there are not so many. */
int id_set_cut(struct id_set *s, uint64_t n) MUST_CHECK;

#endif
