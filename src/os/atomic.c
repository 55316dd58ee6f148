/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replace a file whole. The order of the calls is the whole point: content and metadata reach the
 * disk before the name does, and the name before commit returns.
 */
#include "os/atomic.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hex.h"
#include "os/fd.h"

#define TEMP_PREFIX ".tmp-"
#define TEMP_DIGITS 10
/* Names tried before the random source is called broken. */
#define TEMP_TRIES 100

static int link_to(const struct atomic_file *f, const char *name)
{
	char path[FD_PATH_BYTES];

	fd_path(f->fd, path);
	return linkat(AT_FDCWD, path, f->dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A new name for f->fd, or a new file of that name if it is none yet. */
static int make_name(struct atomic_file *f)
{
	if (f->fd < 0) {
		f->fd = openat(f->dirfd, f->temp,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		return f->fd < 0 ? -errno : 0;
	}
	return link_to(f, f->temp);
}

/* Creates f->temp; the base part is cut if the whole would be too long for a name. */
static int make_temp(struct atomic_file *f)
{
	const int base_max = NAME_MAX - (int)strlen(TEMP_PREFIX) - TEMP_DIGITS;
	char digits[TEMP_DIGITS + 1];
	unsigned int n;
	int r;

	for (n = 0; n < TEMP_TRIES; n++) {
		r = random_digits(digits);
		if (r < 0)
			return r;
		(void)snprintf(
			f->temp, sizeof(f->temp), TEMP_PREFIX "%.*s%s", base_max, f->name, digits);
		r = make_name(f);
		if (r == 0)
			return 0;
		f->temp[0] = '\0'; /* not ours */
		if (r != -EEXIST)
			return r;
	}
	return -EEXIST;
}

static int open_file(
	struct atomic_file *f, int dirfd, const char *name, bool unnamed, struct imbrex_error *err)
{
	struct atomic_file made = { .dirfd = dirfd, .fd = -EBADF };
	size_t len = strlen(name);
	int r = 0;

	if (len > NAME_MAX)
		return fail_code(err, ENAMETOOLONG, "write '%s'", name);
	if (len == 0 || strchr(name, '/') || str_eq(name, ".") || str_eq(name, ".."))
		return fail(err, IMBREX_EINVAL, "write '%s': not the name of a file", name);
	memcpy(made.name, name, len + 1);
	if (unnamed)
		made.fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (made.fd < 0) {
		made.fd = -EBADF;
		r = make_temp(&made);
	}
	if (r < 0)
		return fail_code(err, r, "write '%s': create a temporary file", name);
	*f = made;
	return 0;
}

int atomic_file_open(struct atomic_file *f, int dirfd, const char *name, struct imbrex_error *err)
{
	return open_file(f, dirfd, name, /* unnamed= */ false, err);
}

int atomic_file_open_unnamed(
	struct atomic_file *f, int dirfd, const char *name, struct imbrex_error *err)
{
	return open_file(f, dirfd, name, /* unnamed= */ true, err);
}

int atomic_file_write(struct atomic_file *f, const void *buf, size_t len, struct imbrex_error *err)
{
	int r = write_all(f->fd, buf, len);

	if (r < 0)
		return fail_code(err, r, "write '%s'", f->name);
	return 0;
}

/* Everything up to the rename. */
static int settle(struct atomic_file *f, mode_t mode, enum atomic_sync sync, struct stat *ret,
	struct imbrex_error *err)
{
	int r;

	if (sync != ATOMIC_VOLATILE && fdatasync(f->fd) < 0)
		return fail_errno(err, "write '%s': sync", f->name);
	if (fchmod(f->fd, mode) < 0)
		return fail_errno(err, "write '%s': set mode", f->name);
	if (fstat(f->fd, ret) < 0)
		return fail_errno(err, "write '%s': stat", f->name);
	/* In one step, if nothing has the name. */
	r = f->temp[0] ? 0 : link_to(f, f->name);
	if (r == 0 && !f->temp[0])
		return close(take_fd(f->fd)) < 0 ? fail_errno(err, "write '%s': close", f->name)
						 : 0;
	if (r == -EEXIST)
		r = make_temp(f);
	if (r < 0)
		return fail_code(err, r, "write '%s': name it", f->name);
	if (close(take_fd(f->fd)) < 0)
		return fail_errno(err, "write '%s': close", f->name);
	if (renameat(f->dirfd, f->temp, f->dirfd, f->name) < 0)
		return fail_errno(err, "write '%s': rename into place", f->name);
	f->temp[0] = '\0';
	return 0;
}

int atomic_file_commit(struct atomic_file *f, mode_t mode, enum atomic_sync sync, struct stat *ret,
	struct imbrex_error *err)
{
	struct stat st;
	int r;

	r = settle(f, mode, sync, &st, err);
	if (r < 0) {
		atomic_file_abort(f);
		return r;
	}
	if (sync == ATOMIC_SYNC) {
		r = sync_dir(f->dirfd);
		if (r < 0)
			return fail_code(err, r, "write '%s': sync its directory", f->name);
	}
	if (ret)
		*ret = st;
	return 0;
}

void atomic_file_abort(struct atomic_file *f)
{
	int saved = errno;

	f->fd = close_fd(f->fd);
	if (f->temp[0])
		(void)unlinkat(f->dirfd, f->temp, 0); /* a stray temporary is harmless */
	f->temp[0] = '\0';
	errno = saved;
}

int atomic_write_at(int dirfd, const char *name, mode_t mode, const void *buf, size_t len,
	enum atomic_sync sync, struct stat *ret, struct imbrex_error *err)
{
	AUTO_ATOMIC_FILE f = ATOMIC_FILE_INIT;
	int r;

	r = atomic_file_open(&f, dirfd, name, err);
	if (r < 0)
		return r;
	r = atomic_file_write(&f, buf, len, err);
	if (r < 0)
		return r;
	return atomic_file_commit(&f, mode, sync, ret, err);
}

int exchange_at(int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	if (renameat2(dirfd_a, a, dirfd_b, b, RENAME_EXCHANGE) == 0)
		return 0;
	return errno == EINVAL ? -EOPNOTSUPP : -errno;
}
