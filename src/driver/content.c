/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Looked at by an O_PATH fd first, and opened through that same fd. */
#include "driver/content.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "os/beneath.h"
#include "os/fd.h"

int content_open(int rootfd, const char *name, size_t name_len)
{
	char path[LIMIT_PATH_BYTES + 1], magic[FD_PATH_BYTES];
	AUTO_CLOSE int seen = -EBADF;
	struct stat st;
	int fd;

	if (name_len > LIMIT_PATH_BYTES)
		return -ENAMETOOLONG;
	if (name_len == 0 || memchr(name, 0, name_len))
		return -EINVAL;
	memcpy(path, name, name_len);
	path[name_len] = 0;
	seen = open_beneath(rootfd, path, O_PATH | O_NOFOLLOW, 0, BENEATH_IN_ROOT);
	if (seen < 0)
		return seen;
	if (fstat(seen, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	fd_path(seen, magic);
	fd = open(magic, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
