/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a chain that keeps a small document in memory.
 *
 * buffer_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_BUFFER_H
#define STREAM_BUFFER_H

#include "base/str.h"
#include "stream/sink.h"

/*
 * Collects at most `max_bytes`. *ret_text is borrowed, must outlive the sink, and is replaced at a
 * successful finish only; the caller releases it by str_done().
 *
 * Errors ELIMIT beyond max_bytes.
 */
int buffer_sink_new(size_t max_bytes, struct str *ret_text, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
