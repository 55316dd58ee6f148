/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a tar stream together again from its tar-split lines and the files of the layer.
 *
 * A sink that takes the (decompressed) JSON lines: new -> write* -> finish -> free (sink.h).
 * One thread. Error tier: err.
 */
#ifndef FORMAT_TARSPLIT_ASSEMBLE_H
#define FORMAT_TARSPLIT_ASSEMBLE_H

#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "stream/sink.h"

/*
 * Open the content of the file the archive calls `name` (not cleaned, from outside: resolve it
 * beneath the layer). Returns an fd at offset 0, which the caller closes, or a negative status.
 */
typedef int (*tarsplit_open_fn)(
	void *ctx, const char *name, size_t name_len, struct imbrex_error *err);

/*
 * ctx    borrowed, must outlive the sink
 * next   taken on success; gets the tar bytes; finished after the last
 * Errors EDIGEST if a file's length or checksum is not what was recorded; EFORMAT for malformed
 *        lines; what open and next return.
 */
int tarsplit_assemble_sink_new(tarsplit_open_fn open, void *ctx, struct sink *next,
	struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
