/* SPDX-License-Identifier: Apache-2.0 */
/* A tarball is a layer already; it only has to be unpacked, and kept if it passes by once. */
#include "transport/tarfile.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/str.h"
#include "os/fd.h"
#include "stream/detect.h"
#include "stream/fdsink.h"
#include "stream/pump.h"
#include "transport/borrow.h"
#include "transport/plain.h"
#include "transport/spool.h"

/* By position-less reads: several may push at a time. */
static int push_file(int fd, struct sink *to, struct imbrex_error *err)
{
	AUTO_FREE char *buf = malloc(STREAM_BLOCK_BYTES);
	uint64_t pos = 0;
	size_t len;
	int r;

	if (!buf)
		return fail_nomem(err);
	for (;;) {
		r = pread_all(fd, buf, STREAM_BLOCK_BYTES, pos, &len);
		if (r < 0)
			return fail_code(err, r, "read");
		if (len == 0)
			return sink_finish(to, err);
		r = sink_write(to, buf, len, err);
		if (r < 0)
			return r;
		pos += len;
	}
}

static int tarfile_push(int fd, struct sink *to, struct imbrex_error *err)
{
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = borrow_sink_new(to, &end, err);
	if (r < 0)
		return r;
	r = decompress_sink_new(NULL, end, &chain, err);
	if (r < 0)
		return r;
	end = NULL;
	return push_file(fd, chain, err);
}

/* Move what a pipe has into a file; *fd is replaced. */
static int spool(int *fd, struct imbrex_error *err)
{
	AUTO_CLOSE int file = spool_open(err);
	AUTO_CLOSE int copy = -EBADF;
	AUTO_SINK struct sink *sink = NULL;
	int r;

	if (file < 0)
		return file;
	copy = fcntl(file, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return fail_errno(err, "duplicate the spool's descriptor");
	r = fd_sink_new(copy, &sink, err);
	if (r < 0)
		return r;
	(void)take_fd(copy);
	r = pump_fd(*fd, sink, UINT64_MAX, err);
	if (r == 0)
		r = sink_finish(sink, err);
	if (r < 0)
		return r;
	(void)close_fd(*fd);
	*fd = take_fd(file);
	return 0;
}

/* fd or status. */
static int open_tarball(const char *path, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	if (str_eq(path, "-"))
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return fail_errno(err, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '%s'", path);
	if (S_ISDIR(st.st_mode))
		return hint(err, fail(err, IMBREX_EFORMAT, "'%s' is a directory", path),
			"use rootfs:%s", path);
	if (!S_ISREG(st.st_mode)) {
		r = spool(&fd, err);
		if (r < 0)
			return wrap(err, r, "'%s'", path);
	}
	return take_fd(fd);
}

int tarfile_source_open(const char *path, struct source **ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_tarball(path, err);
	int r;

	if (fd < 0)
		return fd;
	r = plain_source_new("tar", tarfile_push, fd, path, ret, err);
	if (r == 0)
		(void)take_fd(fd);
	return r;
}
