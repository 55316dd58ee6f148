/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that flags name, or stdin and stdout. Messages have Go's form: "open /x: no such file or
 * directory".
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/limits.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

#define BLOCK_BYTES (64u * 1024u)

static int file_failure(struct imbrex_error *err, const char *what, const char *path)
{
	int errnum = errno;
	char buf[80];

	return fail(err, status_of_errno(errnum), "%s %s: %s", what, path, text_errno(errnum, buf));
}

static int open_file(
	const char *path, int flags, int *ret_fd, int *ret_close, struct imbrex_error *err)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);

	if (fd < 0)
		return file_failure(err, "open", path);
	*ret_fd = fd;
	*ret_close = fd;
	return 0;
}

int plumbing_open_input(const char *path, int *ret_fd, int *ret_close, struct imbrex_error *err)
{
	*ret_close = -EBADF;
	*ret_fd = STDIN_FILENO;
	return path && *path ? open_file(path, O_RDONLY, ret_fd, ret_close, err) : 0;
}

int plumbing_open_output(const char *path, int *ret_fd, int *ret_close, struct imbrex_error *err)
{
	*ret_close = -EBADF;
	*ret_fd = STDOUT_FILENO;
	if (!path || !*path)
		return 0;
	return open_file(path, O_WRONLY | O_CREAT | O_TRUNC, ret_fd, ret_close, err);
}

/* Up to `len` bytes; fewer at the end of the file only. Negative with errno set. */
static ssize_t read_block(int fd, char *to, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(fd, to + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? n : (ssize_t)done;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int plumbing_read(const char *path, struct str *ret, struct imbrex_error *err)
{
	const char *called = path && *path ? path : "/dev/stdin";
	AUTO_CLOSE int close_it = -EBADF;
	size_t want;
	ssize_t n;
	char *at, extra;
	int fd, r;

	r = plumbing_open_input(path, &fd, &close_it, err);
	if (r < 0)
		return r;
	for (;;) {
		want = MIN(BLOCK_BYTES, ret->max_len - ret->len);
		if (str_reserve(ret, want, &at) < 0)
			return fail_nomem(err);
		n = want ? read_block(fd, at, want) : read_block(fd, &extra, 1);
		if (n < 0)
			return file_failure(err, "read", called);
		if (!want && n > 0)
			return fail(err, IMBREX_ELIMIT, "%s: more than %zu bytes", called,
				ret->max_len);
		ret->len += want ? (size_t)n : 0;
		ret->data[ret->len] = '\0';
		if ((size_t)n < want || !want)
			return 0;
	}
}

int plumbing_write(const char *path, const void *data, size_t len, struct imbrex_error *err)
{
	const char *called = path && *path ? path : "/dev/stdout";
	AUTO_CLOSE int close_it = -EBADF;
	const char *at = data;
	ssize_t n;
	int fd, r;

	(void)fflush(stdout);
	r = plumbing_open_output(path, &fd, &close_it, err);
	if (r < 0)
		return r;
	while (len) {
		n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_failure(err, "write", called);
		at += n;
		len -= (size_t)n;
	}
	if (close_it >= 0 && close(take_fd(close_it)) < 0)
		return file_failure(err, "close", called);
	return 0;
}
