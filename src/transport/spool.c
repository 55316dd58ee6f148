/* SPDX-License-Identifier: Apache-2.0 */
/* O_TMPFILE where the file system knows it; else a temporary name that is removed at once. */
#include "transport/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

static int open_named(const char *dir, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/imbrex-XXXXXX", dir);
	AUTO_CLOSE int fd = -EBADF;

	if (!path)
		return fail_nomem(err);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "temporary file in '%s'", dir);
	if (unlink(path) < 0)
		return fail_errno(err, "unlink '%s'", path);
	return take_fd(fd);
}

int spool_open(struct imbrex_error *err)
{
	const char *dir = secure_getenv("TMPDIR");
	int fd;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return fail_errno(err, "temporary file in '%s'", dir);
	return open_named(dir, err);
}
