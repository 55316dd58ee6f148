/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage that counts the bytes that pass.
 *
 * count_sink_new -> write* -> finish -> free. One thread; the counter is read on the thread that
 * drives the stage. Errors by err.
 */
#ifndef STREAM_COUNT_H
#define STREAM_COUNT_H

#include <stdint.h>

#include "stream/sink.h"

/*
 * Takes `next` on success. *ret_bytes is borrowed, must outlive the stage, is not reset, and grows
 * as bytes are accepted by `next`.
 */
int count_sink_new(uint64_t *ret_bytes, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
