/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage that unpacks xz, where the build has liblzma.
 *
 * unxz_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_XZ_H
#define STREAM_XZ_H

#include "stream/sink.h"

/*
 * Unpack any number of streams, with stream padding, into `next`, which is taken on success.
 *
 * Errors EFORMAT on malformed, truncated or empty input; ELIMIT if decoding needs more memory than
 *        LIMIT_XZ_MEMORY_BYTES or by unpack.h's guard; ENOTSUP for filters or checks that liblzma
 *        lacks, and in a build without it.
 */
int unxz_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
