/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole reads, writes and copies on file descriptors, and small files by name.
 *
 * Threading: no state; safe as far as the fds are.
 * Errors: functions that take no name are leaf tier (0 or -errno); those that take a path fill err.
 */
#ifndef OS_FD_H
#define OS_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "base/str.h"
#include "imbrex/error.h"

/* Write all of buf, through short writes and EINTR. */
int write_all(int fd, const void *buf, size_t len) MUST_CHECK;
int pwrite_all(int fd, const void *buf, size_t len, uint64_t offset) MUST_CHECK;

/* Read until buf is full or the file ends; *ret_len < len means the end was met. */
int read_all(int fd, void *buf, size_t len, size_t *ret_len) MUST_CHECK;
int pread_all(int fd, void *buf, size_t len, uint64_t offset, size_t *ret_len) MUST_CHECK;

/* Append everything up to the end of the file; -EFBIG when `ret` would pass its maximum. */
int read_to_end(int fd, struct str *ret) MUST_CHECK;

/*
 * Copy exactly `len` bytes from the offset of `from` to the offset of `to`, moving both offsets.
 * The cheapest way that works is used: reflink of the whole file, copy_file_range, read and write.
 * Errors -ENODATA if `from` ends early.
 */
int copy_fd_range(int from, int to, uint64_t len) MUST_CHECK;

/* Let the empty file `to` share all blocks of `from`, whatever their offsets; -errno where it
 * cannot. */
int clone_fd(int from, int to) MUST_CHECK;

/* fd of "/proc/self/fd/N" as a path, for calls that have no fd form. */
#define FD_PATH_BYTES 32
void fd_path(int fd, char ret[FD_PATH_BYTES]);

/*
 * Open a regular file for reading: fd, or a status. A last component that is a symbolic link, and
 * anything but a regular file, is refused without blocking (a FIFO never hangs us).
 *
 * Errors ENOENT, EFORMAT if it is no regular file.
 */
int open_file_at(
	int dirfd, const char *path, struct stat *ret, struct imbrex_error *err) MUST_CHECK;

/*
 * Read a small regular file whole. A last component that is a symbolic link, and anything but a
 * regular file, is refused without blocking (a FIFO never hangs us).
 *
 * ret    appended to on success only; max_bytes counts here, not the maximum of the string
 * Errors ENOENT, ELIMIT if the file is larger than max_bytes, EFORMAT if it is no regular file.
 */
int read_file_at(int dirfd, const char *path, size_t max_bytes, struct str *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Create or truncate a small regular file and write it; mode is subject to the umask. Not atomic
 * and not synced: for files that a crash may leave short (see os/atomic.h for the others).
 */
int write_file_at(int dirfd, const char *path, mode_t mode, const void *buf, size_t len,
	struct imbrex_error *err) MUST_CHECK;

/* Open a directory for reading; the last component must not be a symbolic link. fd or status. */
int open_dir_at(int dirfd, const char *path, struct imbrex_error *err) MUST_CHECK;
/* The same, following symbolic links: for roots that the administrator named. */
int open_root_dir_at(int dirfd, const char *path, struct imbrex_error *err) MUST_CHECK;

/* mkdir -p following symbolic links: for roots that the administrator named. Existing directories
 * are left as they are. Inside a store or a root file system use mkdirs_beneath(). */
int mkdirs_at(int dirfd, const char *path, mode_t mode, struct imbrex_error *err) MUST_CHECK;

/* One directory that may be there already (then its mode is left alone). */
int mkdir_at(int dirfd, const char *path, mode_t mode, struct imbrex_error *err) MUST_CHECK;

/* Target of a symbolic link, appended to ret. EFORMAT if it is none. */
int read_link_at(int dirfd, const char *path, struct str *ret, struct imbrex_error *err) MUST_CHECK;

/* What the name itself is, links not followed; false for anything that cannot be looked at. */
bool is_dir_at(int dirfd, const char *path);
bool is_file_at(int dirfd, const char *path);
bool is_symlink_at(int dirfd, const char *path);
/* True if something of that name exists, even a dangling link. */
bool exists_at(int dirfd, const char *path);

/* fsync of a directory, so that names made in it survive a power cut. */
int sync_dir(int fd) MUST_CHECK;

#endif
