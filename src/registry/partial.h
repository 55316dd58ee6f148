/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrived of a large blob, kept in a file until the blob is whole, so that the next run goes
 * on where this one was cut off.
 *
 * partial_open -> partial_replay -> (bytes by the observer)* -> partial_drop | partial_done.
 * One thread; between processes and threads the file's lock decides: whoever comes second does
 * without. Errors: never an obstacle to a pull, so only replaying, which feeds the sink, has any.
 *
 * The file "sha256-<hex>" (mode 0600) holds the first bytes of the blob and nothing else. It is
 * not synced: damage shows as a digest mismatch, and then the file is dropped.
 */
#ifndef REGISTRY_PARTIAL_H
#define REGISTRY_PARTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "registry/client.h"
#include "stream/sink.h"

#define PARTIAL_NAME_MAX (7 + HASH_HEX_MAX)

struct partial {
	struct blob_observer observer; /* appends; give its address to repository_blob() */
	int dirfd;                     /* borrowed */
	int fd;                        /* owned, locked; -EBADF: nothing is kept */
	uint64_t len;                  /* bytes in the file */
	char name[PARTIAL_NAME_MAX];
};

/* Never fails: p->fd tells whether bytes are kept. A file longer than `size` is emptied. */
void partial_open(struct partial *p, int dirfd, const struct hash_value *digest, uint64_t size);
/* Push what is there into `to`: *ret_len bytes. Errors of the sink, or EIO. */
int partial_replay(
	struct partial *p, struct sink *to, uint64_t *ret_len, struct imbrex_error *err) MUST_CHECK;
/* The blob is whole or wrong: remove the file. */
void partial_drop(struct partial *p);
/* Keep what there is and unlock. An empty file is removed. */
void partial_done(struct partial *p);
#define AUTO_PARTIAL __attribute__((cleanup(partial_done))) struct partial

/* Remove the file of a blob, if there is one. */
void partial_forget(int dirfd, const struct hash_value *digest);

#endif
