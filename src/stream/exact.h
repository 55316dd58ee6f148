/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage that lets exactly the announced number of bytes pass.
 *
 * exact_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_EXACT_H
#define STREAM_EXACT_H

#include <stdint.h>

#include "stream/sink.h"

/*
 * Takes `next` on success.
 *
 * Errors EDIGEST as soon as one byte too many arrives (nothing of that write is passed on), or at
 *        finish if bytes are missing; the message has the difference and the announced size.
 */
int exact_sink_new(uint64_t size_bytes, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
