/* SPDX-License-Identifier: Apache-2.0 */
/* A build without the headers of libsquashfs. */
#include <string.h>

#include "format/squashfs/reader.h"
#include "format/squashfs/writer.h"

bool squashfs_is_image(const void *buf, size_t len)
{
	return len >= SQUASHFS_MAGIC_BYTES && memcmp(buf, "hsqs", SQUASHFS_MAGIC_BYTES) == 0;
}

int squashfs_writer_new(struct squashfs_file *file, const struct squashfs_options *opts,
	struct entry_sink **ret, struct imbrex_error *err)
{
	return fail(err, IMBREX_ENOTSUP, "this build cannot write squashfs images");
}

int squashfs_read(struct squashfs_file *file, unsigned int n_threads, struct entry_sink *to,
	struct imbrex_error *err)
{
	return fail(err, IMBREX_ENOTSUP, "this build cannot read squashfs images");
}
