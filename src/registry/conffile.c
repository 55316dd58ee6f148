/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of configuration, whole. */
#include "registry/conffile.h"

#include <fcntl.h>

#include "base/limits.h"
#include "os/fd.h"

int conffile_open(int dirfd, const char *path, const char *what, int *ret_fd, struct stat *ret_stat,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return fail_errno(err, "open %s '%s'", what, path);
	}
	if (fstat(fd, ret_stat) < 0)
		return fail_errno(err, "stat %s '%s'", what, path);
	if (!S_ISREG(ret_stat->st_mode))
		return fail(err, IMBREX_EFORMAT, "%s '%s' is not a regular file", what, path);
	if (ret_stat->st_size > LIMIT_CONF_BYTES)
		return fail(err, IMBREX_ELIMIT, "%s '%s' exceeds %u bytes", what, path,
			LIMIT_CONF_BYTES);
	*ret_fd = take_fd(fd);
	return 1;
}

int conffile_read_fd(int fd, const struct stat *st, const char *path, const char *what,
	struct str *to, struct imbrex_error *err)
{
	char *room;
	int r;

	/* At once, so that no piece of a secret stays behind in a smaller buffer. */
	if (str_reserve(to, (size_t)st->st_size + 1, &room) < 0)
		return fail(err, IMBREX_ELIMIT, "%s '%s' is too large", what, path);
	r = read_to_end(fd, to);
	return r < 0 ? fail_code(err, r, "read %s '%s'", what, path) : 0;
}

int conffile_read(
	int dirfd, const char *path, const char *what, struct str *to, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	r = conffile_open(dirfd, path, what, &fd, &st, err);
	if (r <= 0)
		return r;
	r = conffile_read_fd(fd, &st, path, what, to, err);
	return r < 0 ? r : 1;
}
