/* SPDX-License-Identifier: Apache-2.0 */
/* treewalk -> tar writer -> the layer. */
#include "transport/rootfs.h"

#include <fcntl.h>

#include "format/tar/writer.h"
#include "os/fd.h"
#include "transport/borrow.h"
#include "transport/plain.h"
#include "transport/treewalk.h"

static int rootfs_push(int fd, struct sink *to, struct imbrex_error *err)
{
	const struct tar_writer_opts opts = { .keep_nsec = true };
	AUTO_SINK struct sink *end = NULL;
	AUTO_ENTRY_SINK struct entry_sink *writer = NULL;
	int r;

	r = borrow_sink_new(to, &end, err);
	if (r < 0)
		return r;
	r = tar_writer_new(end, &opts, &writer, err);
	if (r < 0)
		return r;
	end = NULL;
	return treewalk_push(fd, writer, err);
}

int rootfs_source_open(const char *dir, struct source **ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_root_dir_at(AT_FDCWD, dir, err);
	int r;

	if (fd < 0)
		return fd;
	r = plain_source_new("rootfs", rootfs_push, fd, dir, ret, err);
	if (r == 0)
		(void)take_fd(fd);
	return r;
}
