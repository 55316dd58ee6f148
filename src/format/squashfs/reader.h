/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A squashfs 4.0 image in, entries out: all of it, a directory before what is in it.
 *
 * One call. Errors: err; messages name the path inside the image.
 */
#ifndef FORMAT_SQUASHFS_READER_H
#define FORMAT_SQUASHFS_READER_H

#include <stdbool.h>

#include "format/squashfs/file.h"
#include "tree/entry_sink.h"

#define SQUASHFS_MAGIC_BYTES 4

/* Does a file that begins with these bytes claim to be a squashfs image? */
bool squashfs_is_image(const void *buf, size_t len);

/*
 * Push every entry and finish `to`, which is borrowed. Further names of an inode become hard links
 * to its first. Sockets are left out.
 *
 * n_threads  that decompress; 0: one per core
 * Errors EFORMAT for damage: directories that loop or occur twice, names that are none or out of
 *        order, anything that points outside; ELIMIT; ENOTSUP; what the sink returns.
 * Limits LIMIT_LAYER_ENTRIES, LIMIT_LAYER_BYTES, LIMIT_PATH_BYTES, LIMIT_XATTR*
 * Source docs/formats/squashfs.md; Linux Documentation/filesystems/squashfs.rst.
 */
int squashfs_read(struct squashfs_file *file, unsigned int n_threads, struct entry_sink *to,
	struct imbrex_error *err) MUST_CHECK;

#endif
