/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage that unpacks bzip2, where the build has libbz2.
 *
 * bunzip2_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_BZIP2_H
#define STREAM_BZIP2_H

#include "stream/sink.h"

/*
 * Unpack any number of streams into `next`, which is taken on success. Memory is bounded by the
 * format: 3.6 MB at its largest block size of 900,000 bytes.
 *
 * Errors EFORMAT on malformed, truncated or empty input; ELIMIT by unpack.h's guard; ENOTSUP in a
 *        build without libbz2.
 */
int bunzip2_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
