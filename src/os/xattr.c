/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes relative to a directory fd; see the header. */
#include "os/xattr.h"

#include <limits.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/limits.h"

#define XATTR_PATH_BYTES (sizeof("/proc/self/fd/2147483647/") + NAME_MAX)
/* Most values and lists are small; the second try takes the kernel's maximum. */
#define XATTR_FIRST_BYTES 256
/* Linux XATTR_LIST_MAX. */
#define XATTR_LIST_BYTES 65536

/* "" asks for dirfd itself: the magic link must then be followed, hence *ret_follow. */
static int xattr_path(int dirfd, const char *name, char ret[XATTR_PATH_BYTES], bool *ret_follow)
{
	if (strchr(name, '/') || str_eq(name, "."))
		return -EINVAL;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	*ret_follow = !name[0];
	(void)snprintf(
		ret, XATTR_PATH_BYTES, "/proc/self/fd/%d%s%s", dirfd, name[0] ? "/" : "", name);
	return 0;
}

int setxattr_at(int dirfd, const char *name, const char *attr, const void *value, size_t len)
{
	char path[XATTR_PATH_BYTES];
	bool follow;
	int r;

	r = xattr_path(dirfd, name, path, &follow);
	if (r < 0)
		return r;
	if (follow)
		r = setxattr(path, attr, value, len, 0);
	else
		r = lsetxattr(path, attr, value, len, 0);
	return r < 0 ? -errno : 0;
}

/* One read of a value, or of the list if attr is NULL; bytes or -errno. */
static ssize_t read_once(const char *path, bool follow, const char *attr, char *buf, size_t size)
{
	ssize_t n;

	if (attr)
		n = follow ? getxattr(path, attr, buf, size) : lgetxattr(path, attr, buf, size);
	else
		n = follow ? listxattr(path, buf, size) : llistxattr(path, buf, size);
	return n < 0 ? -errno : n;
}

static int read_xattr(
	int dirfd, const char *name, const char *attr, size_t size_max, struct str *ret)
{
	char small[XATTR_FIRST_BYTES];
	AUTO_FREE char *large = NULL;
	char path[XATTR_PATH_BYTES];
	bool follow;
	ssize_t n;
	int r;

	r = xattr_path(dirfd, name, path, &follow);
	if (r < 0)
		return r;
	n = read_once(path, follow, attr, small, sizeof(small));
	if (n >= 0)
		return str_append(ret, small, (size_t)n);
	if (n != -ERANGE)
		return (int)n;
	large = malloc(size_max);
	if (!large)
		return -ENOMEM;
	n = read_once(path, follow, attr, large, size_max);
	if (n < 0)
		return (int)n;
	return str_append(ret, large, (size_t)n);
}

int getxattr_at(int dirfd, const char *name, const char *attr, struct str *ret)
{
	return read_xattr(dirfd, name, attr, LIMIT_XATTR_VALUE_BYTES, ret);
}

int listxattr_at(int dirfd, const char *name, struct str *ret)
{
	return read_xattr(dirfd, name, /* attr= */ NULL, XATTR_LIST_BYTES, ret);
}

int removexattr_at(int dirfd, const char *name, const char *attr)
{
	char path[XATTR_PATH_BYTES];
	bool follow;
	int r;

	r = xattr_path(dirfd, name, path, &follow);
	if (r < 0)
		return r;
	r = follow ? removexattr(path, attr) : lremovexattr(path, attr);
	return r < 0 ? -errno : 0;
}
