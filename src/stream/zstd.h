/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage that unpacks zstd (RFC 8878).
 *
 * unzstd_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_ZSTD_H
#define STREAM_ZSTD_H

#include "stream/sink.h"

/*
 * Unpack any number of frames into `next`, which is taken on success. Skippable frames are ignored,
 * wherever they stand; frames of the formats before 1.0 are refused.
 *
 * Errors EFORMAT on malformed frames, on input that ends inside one or is empty; ELIMIT on a window
 *        beyond 2^LIMIT_ZSTD_WINDOW_LOG or by unpack.h's guard. Messages name byte offsets.
 */
int unzstd_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
