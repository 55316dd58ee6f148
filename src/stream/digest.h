/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 and SHA-512, step by step and of what passes a stage. Of memory at once: base/hash.h.
 *
 * hasher_new -> hasher_update* -> hasher_final -> hasher_free
 * digest_sink_new -> write* -> finish -> free
 * One thread per object; the stage hides a helper thread. Errors by err (EFAIL from libcrypto,
 * ENOTSUP where it lacks the algorithm). An algorithm argument is never HASH_NONE.
 */
#ifndef STREAM_DIGEST_H
#define STREAM_DIGEST_H

#include <stddef.h>

#include "base/hash.h"
#include "stream/sink.h"

struct hasher;

int hasher_new(
	enum hash_algorithm algorithm, struct hasher **ret, struct imbrex_error *err) MUST_CHECK;
int hasher_update(
	struct hasher *h, const void *buf, size_t len, struct imbrex_error *err) MUST_CHECK;
/* After this only hasher_free() may be called. */
int hasher_final(struct hasher *h, struct hash_value *ret, struct imbrex_error *err) MUST_CHECK;
void hasher_free(struct hasher *h);
DEFINE_CLEANUP(hasher, struct hasher, hasher_free)
#define AUTO_HASHER AUTO(hasher) struct hasher

/*
 * Hash what passes to `next`, which is taken on success. Bytes pass before they are verified;
 * finish tells.
 *
 * expect     copied; NULL only computes. Its algorithm must be `algorithm`: an unset value is no
 *            way to ask for no check.
 * ret_value  borrowed, may be NULL; written by finish when the check has passed, before the next
 *            stage's finish runs, so that a commit there may read it
 * Errors     EDIGEST at finish: "content is sha256:... but sha256:... was announced"
 */
int digest_sink_new(enum hash_algorithm algorithm, const struct hash_value *expect,
	struct hash_value *ret_value, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
