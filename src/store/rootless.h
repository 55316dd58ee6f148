/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are: root of the machine, an unprivileged user, or root of a user namespace that stands
 * for one. Read anew at each call; nothing is kept.
 */
#ifndef STORE_ROOTLESS_H
#define STORE_ROOTLESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rootless_facts {
	bool rootless;   /* per-user defaults apply, and overlay marks are user.* */
	uid_t uid;       /* of the user, outside of the namespace */
	uint64_t n_ids;  /* user ids that this namespace maps */
	uint64_t n_gids; /* group ids */
};

void rootless_facts_read(struct rootless_facts *ret);

#endif
