/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries in, a squashfs 4.0 image out; the same entries in the same order, with the same options,
 * always give the same bytes, however many processors work on them.
 *
 * new -> (begin -> data* -> end)* -> finish -> free (entry_sink.h). finish() makes the image whole;
 * until then the file is no image. One thread drives it; compression runs on threads of its own.
 * Errors: err; messages name the entry.
 */
#ifndef FORMAT_SQUASHFS_WRITER_H
#define FORMAT_SQUASHFS_WRITER_H

#include "format/squashfs/file.h"
#include "format/squashfs/options.h"
#include "tree/entry_sink.h"

/*
 * Directories that no entry names are made, 0755. A directory may come twice: the last one counts.
 * Attributes of other classes than user, trusted and security are left out, as the format has none.
 *
 * file   empty; borrowed until free
 * Errors EFORMAT for any other path that comes twice, EINVAL for whiteouts, which an image cannot
 *        hold; ENOTSUP without libsquashfs; what the file returns.
 */
int squashfs_writer_new(struct squashfs_file *file, const struct squashfs_options *opts,
	struct entry_sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
