/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage that gives every byte to two chains.
 *
 * tee_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_TEE_H
#define STREAM_TEE_H

#include "stream/sink.h"

/*
 * Takes `side` and `next` on success. Each write goes to `side` first; finish finishes `side`, then
 * `next`, so a commit in `next` knows that the side has what it needs.
 */
int tee_sink_new(struct sink *side, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
