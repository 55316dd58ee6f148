/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses tar-split JSON lines, as they come out of decompression.
 *
 * A sink: new -> write* -> finish -> free (sink.h). One thread. Error tier: err; messages say
 * "tar-split line N".
 */
#ifndef FORMAT_TARSPLIT_READER_H
#define FORMAT_TARSPLIT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "stream/sink.h"

/* A file, whose content is kept elsewhere. */
struct tarsplit_file {
	const char *name; /* not cleaned; NUL terminated, no NUL inside; borrowed */
	size_t name_len;
	uint64_t size_bytes;
	uint64_t crc; /* CRC-64/ISO of the content; 0 if size_bytes is 0 */
};

/* What the lines say, in order. Either may be NULL. finish() is called once, behind the last. */
struct tarsplit_events {
	void *ctx;
	int (*segment)(void *ctx, const void *buf, size_t len, struct imbrex_error *err);
	int (*file)(void *ctx, const struct tarsplit_file *file, struct imbrex_error *err);
	int (*finish)(void *ctx, struct imbrex_error *err);
};

/*
 * Keys may come in any order, unknown keys are passed over, `position` is only checked to be a
 * number (as the reference reader does). Empty segments, which old writers left, are not reported.
 *
 * events copied; ctx must outlive the sink
 * Errors EFORMAT malformed line, or a name twice after cleaning.
 * Limits LIMIT_TARSPLIT_LINE_BYTES, LIMIT_LAYER_BYTES (sum of what is described): ELIMIT.
 * Source docs/formats/tar-split.md.
 */
int tarsplit_reader_new(const struct tarsplit_events *events, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
