/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole reads, writes and copies, and small files by name. The calls that change the disk are made
 * by their plain libc names, because the fault tests replace those at link time.
 */
#include "os/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "base/limits.h"

/* One call moves at most this much; Linux itself stops at 2 GiB less a page. */
#define CALL_BYTES_MAX ((size_t)1 << 30)

int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, MIN(len, CALL_BYTES_MAX));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_all(int fd, const void *buf, size_t len, uint64_t offset)
{
	const char *p = buf;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -EFBIG;
	while (len) {
		ssize_t n = pwrite(fd, p, MIN(len, CALL_BYTES_MAX), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int read_all(int fd, void *buf, size_t len, size_t *ret_len)
{
	char *p = buf;
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, p + got, MIN(len - got, CALL_BYTES_MAX));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_len = got;
	return 0;
}

int pread_all(int fd, void *buf, size_t len, uint64_t offset, size_t *ret_len)
{
	char *p = buf;
	size_t got = 0;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -EFBIG;
	while (got < len) {
		ssize_t n =
			pread(fd, p + got, MIN(len - got, CALL_BYTES_MAX), (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_len = got;
	return 0;
}

int read_to_end(int fd, struct str *ret)
{
	size_t chunk = 4096;

	for (;;) {
		size_t room = ret->max_len - ret->len;
		size_t want = MIN(chunk, room);
		size_t n;
		char extra;
		char *to;
		int r;

		if (want == 0) {
			r = read_all(fd, &extra, 1, &n);
			if (r < 0)
				return r;
			return n ? -EFBIG : 0;
		}
		r = str_reserve(ret, want, &to);
		if (r < 0)
			return r;
		r = read_all(fd, to, want, &n);
		if (r < 0) {
			to[0] = '\0';
			return r;
		}
		to[n] = '\0';
		ret->len += n;
		if (n < want)
			return 0;
		chunk = MIN(chunk * 2, STREAM_BLOCK_BYTES);
	}
}

int clone_fd(int from, int to)
{
	return ioctl(to, FICLONE, from) < 0 ? -errno : 0;
}

/* True if the whole of `from` became a reflink in `to`; false means: copy. */
static bool clone_whole(int from, int to, uint64_t len)
{
	struct stat st;

	if (lseek(from, 0, SEEK_CUR) != 0 || lseek(to, 0, SEEK_CUR) != 0)
		return false;
	if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != len)
		return false;
	if (fstat(to, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0)
		return false;
	if (clone_fd(from, to) < 0)
		return false;
	/* The source may have grown meanwhile: exactly len bytes were promised. */
	if (fstat(to, &st) < 0 || (uint64_t)st.st_size != len) {
		(void)!ftruncate(to, 0); /* on failure the copy below overwrites what it needs */
		return false;
	}
	return lseek(from, (off_t)len, SEEK_SET) >= 0 && lseek(to, (off_t)len, SEEK_SET) >= 0;
}

static int copy_by_read(int from, int to, uint64_t len)
{
	const size_t block = MIN((uint64_t)STREAM_BLOCK_BYTES, len ? len : 1);
	AUTO_FREE char *buf = malloc(block);

	if (!buf)
		return -ENOMEM;
	while (len) {
		size_t want = (size_t)MIN(len, (uint64_t)block);
		size_t n;
		int r;

		r = read_all(from, buf, want, &n);
		if (r < 0)
			return r;
		r = write_all(to, buf, n);
		if (r < 0)
			return r;
		if (n < want)
			return -ENODATA;
		len -= n;
	}
	return 0;
}

int copy_fd_range(int from, int to, uint64_t len)
{
	if (len && clone_whole(from, to, len))
		return 0;
	while (len) {
		size_t want = (size_t)MIN(len, (uint64_t)CALL_BYTES_MAX);
		ssize_t n = copy_file_range(from, NULL, to, NULL, want, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
			return -errno;
		/* Everything else means "not between these two"; 0 may be a file without a size. */
		if (n <= 0)
			return copy_by_read(from, to, len);
		len -= (uint64_t)n;
	}
	return 0;
}

void fd_path(int fd, char ret[FD_PATH_BYTES])
{
	(void)snprintf(ret, FD_PATH_BYTES, "/proc/self/fd/%d", fd);
}

static bool has_type(int dirfd, const char *path, mode_t type)
{
	struct stat st;

	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return (st.st_mode & S_IFMT) == type;
}

bool is_dir_at(int dirfd, const char *path)
{
	return has_type(dirfd, path, S_IFDIR);
}

bool is_file_at(int dirfd, const char *path)
{
	return has_type(dirfd, path, S_IFREG);
}

bool is_symlink_at(int dirfd, const char *path)
{
	return has_type(dirfd, path, S_IFLNK);
}

int open_file_at(int dirfd, const char *path, struct stat *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;

	fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ELOOP && is_symlink_at(dirfd, path))
		return fail(err, IMBREX_EFORMAT, "'%s' is a symbolic link", path);
	if (fd < 0)
		return fail_errno(err, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'%s' is not a regular file", path);
	*ret = st;
	return take_fd(fd);
}

int read_file_at(
	int dirfd, const char *path, size_t max_bytes, struct str *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	size_t len_before = ret->len;
	size_t max_before = ret->max_len;
	int r;

	fd = open_file_at(dirfd, path, &st, err);
	if (fd < 0)
		return fd;
	if ((uint64_t)st.st_size > max_bytes)
		return fail(err, IMBREX_ELIMIT, "'%s' is larger than %zu bytes", path, max_bytes);
	if (__builtin_add_overflow(len_before, max_bytes, &ret->max_len))
		ret->max_len = SIZE_MAX;
	r = read_to_end(fd, ret);
	ret->max_len = MAX(max_before, ret->len);
	if (r < 0)
		ret->len = len_before;
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT, "'%s' is larger than %zu bytes", path, max_bytes);
	if (r == -ENOMEM)
		return fail_nomem(err);
	if (r < 0)
		return fail_code(err, r, "read '%s'", path);
	return 0;
}

int write_file_at(int dirfd, const char *path, mode_t mode, const void *buf, size_t len,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	fd = openat(dirfd, path,
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		mode);
	if (fd < 0)
		return fail_errno(err, "create '%s'", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'%s' is not a regular file", path);
	r = write_all(fd, buf, len);
	if (r < 0)
		return fail_code(err, r, "write '%s'", path);
	if (close(take_fd(fd)) < 0)
		return fail_errno(err, "close '%s'", path);
	return 0;
}

int open_dir_at(int dirfd, const char *path, struct imbrex_error *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return fail_errno(err, "open directory '%s'", path);
	return fd;
}

int open_root_dir_at(int dirfd, const char *path, struct imbrex_error *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno(err, "open directory '%s'", path);
	return fd;
}

static bool leads_to_dir(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* mkdir that is content with any directory of that name, whatever mkdir said (EROFS, EACCES). */
static int mkdir_or_there(int dirfd, const char *path, mode_t mode)
{
	int errnum;

	if (mkdirat(dirfd, path, mode) == 0)
		return 0;
	errnum = errno;
	if (leads_to_dir(dirfd, path))
		return 0;
	return errnum == EEXIST ? -ENOTDIR : -errnum;
}

int mkdirs_at(int dirfd, const char *path, mode_t mode, struct imbrex_error *err)
{
	AUTO_FREE char *prefix = NULL;
	char *p;
	int r;

	if (!path[0])
		return fail(err, IMBREX_EINVAL, "empty directory name");
	if (leads_to_dir(dirfd, path))
		return 0;
	prefix = strdup(path);
	if (!prefix)
		return fail_nomem(err);
	for (p = prefix; *p; p++) {
		if (*p != '/' || p == prefix || p[-1] == '/')
			continue;
		*p = '\0';
		r = mkdir_or_there(dirfd, prefix, mode);
		if (r < 0)
			return fail_code(err, r, "create directory '%s'", prefix);
		*p = '/';
	}
	r = mkdir_or_there(dirfd, path, mode);
	if (r < 0)
		return fail_code(err, r, "create directory '%s'", path);
	return 0;
}

int mkdir_at(int dirfd, const char *path, mode_t mode, struct imbrex_error *err)
{
	if (mkdirat(dirfd, path, mode) == 0)
		return 0;
	if (errno == EEXIST && is_dir_at(dirfd, path))
		return 0;
	return fail_errno(err, "create directory '%s'", path);
}

int read_link_at(int dirfd, const char *path, struct str *ret, struct imbrex_error *err)
{
	char target[LIMIT_PATH_BYTES + 1];
	ssize_t n = readlinkat(dirfd, path, target, sizeof(target));
	int r;

	if (n < 0 && errno == EINVAL)
		return fail(err, IMBREX_EFORMAT, "'%s' is not a symbolic link", path);
	if (n < 0)
		return fail_errno(err, "read link '%s'", path);
	if ((size_t)n >= sizeof(target))
		return fail(err, IMBREX_ELIMIT, "target of link '%s' is longer than %d bytes", path,
			LIMIT_PATH_BYTES);
	r = str_append(ret, target, (size_t)n);
	if (r < 0)
		return fail_code(err, r, "read link '%s'", path);
	return 0;
}

bool exists_at(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int sync_dir(int fd)
{
	/* Some FUSE and network file systems have no fsync of directories: nothing to wait for. */
	if (fsync(fd) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}
