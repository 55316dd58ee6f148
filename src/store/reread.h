/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's tar put together again from its tar-split file and its content, going on where content
 * is damaged, so that all of the damage is known.
 * Threading: no state. Error tier: err.
 */
#ifndef STORE_REREAD_H
#define STORE_REREAD_H

#include "base/hash.h"
#include "base/strv.h"
#include "driver/expected.h"

struct reread {
	struct hash_value digest; /* of the bytes as they are */
	uint64_t tar_bytes;       /* as recorded */
	struct strv damaged;      /* names of files whose content is not the recorded one */
	struct strv missing;      /* names of files that are not there, or are no files */
};
void reread_done(struct reread *r);
#define AUTO_REREAD __attribute__((cleanup(reread_done))) struct reread

/*
 * split    borrowed; read from its position
 * rootfd   borrowed; the content; negative: zeros are read in its place, and nothing is missed
 * entries  borrowed; what the tar describes, finished; NULL: not wanted
 * Errors   those of a tar-split file that cannot be read, and of a tar that no layer has
 */
int reread_layer(int split, int rootfd, enum hash_algorithm algorithm, struct entry_sink *entries,
	struct reread *ret, struct imbrex_error *err) MUST_CHECK;

#endif
