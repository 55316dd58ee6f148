/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread boundary of a chain: what follows runs on a thread of its own.
 *
 * queue_sink_new -> write* -> finish -> free. One thread drives the stage; `next` is written and
 * finished by the hidden consumer thread and freed by the thread that frees the stage.
 * Errors by err.
 */
#ifndef STREAM_QUEUE_H
#define STREAM_QUEUE_H

#include "stream/sink.h"

/*
 * Takes `next` on success. Holds at most `n_blocks` (at least 1) blocks of STREAM_BLOCK_BYTES;
 * write copies, and waits while all are full. Bytes reach `next` in full blocks, the last excepted.
 *
 * A failure of `next` is returned, message and all, by a later write or by finish. finish waits
 * until everything is drained and returns the result of next's finish. free without finish stops
 * the consumer after the write it is in.
 */
int queue_sink_new(
	size_t n_blocks, struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
