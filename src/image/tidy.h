/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries as a user keeps them in a directory of his own: everything is his, he can read it and get
 * into it, and what only the machine can have is left out.
 *
 * tidy_new -> as entry_sink.h. One thread. Errors: those of the sink behind it.
 */
#ifndef IMAGE_TIDY_H
#define IMAGE_TIDY_H

#include <stdbool.h>

#include "tree/entry_sink.h"

struct tidy_opts {
	uint32_t uid, gid; /* of everything */
	bool strip_setid;  /* set-user-ID and set-group-ID of files */
	bool without_dev;  /* what is below /dev */
	bool keep_xattrs;  /* user.* and security.capability; else user.* only */
	bool has_root;     /* push a root, 0755 with this time, before everything else */
	int64_t root_mtime_sec;
};

/* Takes `next` on success. */
int tidy_new(const struct tidy_opts *opts, struct entry_sink *next, struct entry_sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
