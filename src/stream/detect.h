/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which compression a stream has, by its first bytes, and the stage that undoes it.
 *
 * decompress_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_DETECT_H
#define STREAM_DETECT_H

#include "stream/sink.h"

/* The numbers are those that containers/storage writes to layers.json ("compression"). */
enum compression {
	COMPRESSION_NONE = 0,
	COMPRESSION_BZIP2 = 1,
	COMPRESSION_GZIP = 2,
	COMPRESSION_XZ = 3,
	COMPRESSION_ZSTD = 4,
};

/* Enough bytes for every magic number. */
#define COMPRESSION_MAGIC_MAX 6

/* By the first `len` bytes; NONE if they match no whole magic number. */
enum compression compression_detect(const void *buf, size_t len);
/* "none", "bzip2", "gzip", "xz" or "zstd". Static storage. */
const char *compression_name(enum compression c);

/* The unpacking stage of one compression; COMPRESSION_NONE is EINVAL. Takes `next` on success. */
int unpack_sink_new(enum compression c, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Detect by the first bytes, then unpack into `next`, which is taken on success. Uncompressed and
 * empty input pass as they are.
 *
 * ret_found  borrowed, may be NULL; written when the first bytes have told, at the latest by finish
 *            before the next stage's finish runs
 * Errors     of the stage found
 */
int decompress_sink_new(enum compression *ret_found, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
