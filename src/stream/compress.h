/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages that compress.
 *
 * ..._sink_new -> write* -> finish -> free. One thread drives; zstd may hide workers. Errors by
 * err.
 */
#ifndef STREAM_COMPRESS_H
#define STREAM_COMPRESS_H

#include "stream/sink.h"

/*
 * One gzip member by zlib, `level` 0 to 9 (EINVAL otherwise). The header carries no time, no name
 * and an unknown system, so equal input and zlib give equal bytes. Takes `next` on success.
 */
int gzip_sink_new(
	int level, struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

/*
 * One gzip member, fast rather than small: ISA-L where the build has it, else zlib level 1. Bytes
 * differ between the two; for files that nobody identifies by digest. Takes `next` on success.
 */
int gzip_fast_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

/*
 * One zstd frame with a content checksum. `level` as ZSTD_minCLevel() to ZSTD_maxCLevel() allow
 * (EINVAL otherwise); 0 is the library's default. `n_threads` of 0 or 1 compresses on the calling
 * thread; any larger number gives the same bytes as 2, which differ from those of 1. Takes `next`
 * on success.
 */
int zstd_compress_sink_new(int level, unsigned int n_threads, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
