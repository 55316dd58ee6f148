/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries in, tar bytes out; the same entries always give the same bytes.
 *
 * new -> (begin -> data* -> end)* -> finish -> free (entry_sink.h). One thread. Error tier: err.
 *
 * Header blocks follow the choices of Go's archive/tar for headers of unspecified format, which is
 * what podman exports: ustar where everything fits, else pax with the records sorted by keyword.
 * User and group names are not written, atime neither.
 */
#ifndef FORMAT_TAR_WRITER_H
#define FORMAT_TAR_WRITER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/macros.h"
#include "stream/sink.h"
#include "tree/entry_sink.h"

struct tar_writer_opts {
	bool keep_nsec; /* write fractions of mtime as pax records; default: whole seconds, cut off
			 */
};

/*
 * Whiteouts become files named ".wh.NAME" and ".wh..wh..opq", without content. Directory names get
 * a trailing slash; the root is "./".
 *
 * next   taken on success; finished after the two blocks of zeros
 * opts   NULL for the defaults
 * Errors EINVAL for xattr names that pax cannot hold ('=' in them); what next returns.
 * Source docs/formats/tar.md#writing.
 */
int tar_writer_new(struct sink *next, const struct tar_writer_opts *opts, struct entry_sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
