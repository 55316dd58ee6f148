/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a layer may hold: a limit of its subvolume's quota group, and btrfs/quotas/<id>, from
 * which it is set again at each mount. Both are upstream's.
 *
 * The kernel counts per subvolume only while quotas are on, for the whole file system. They are
 * switched on by the first limit, not before.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "driver/btrfs.h"
#include "driver/options.h"
#include "os/atomic.h"
#include "os/fd.h"
#include "os/qgroup.h"

#define QUOTAS "quotas"
/* Digits of 2^64, and what is too much. */
#define TEXT_MAX 32

int btrfs_limit_parse(const char *text, size_t len, uint64_t *ret)
{
	uint64_t bytes = 0;
	size_t i;

	if (len == 0)
		return -EINVAL;
	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' ||
			__builtin_mul_overflow(bytes, UINT64_C(10), &bytes) ||
			__builtin_add_overflow(bytes, (uint64_t)(text[i] - '0'), &bytes))
			return -EINVAL;
	}
	*ret = bytes;
	return 0;
}

int btrfs_limit_wanted(struct btrfs *b, const struct driver_layer_opts *opts, uint64_t *ret,
	struct imbrex_error *err)
{
	static const struct option_key keys[] = { { "size", option_set_bytes, 0 } };
	static const struct option_table table = { "btrfs", true, keys, ARRAY_LEN(keys) };
	const uint64_t unasked = UINT64_MAX;
	uint64_t bytes = opts && !opts->image && b->size_bytes ? b->size_bytes : unasked;
	int r;

	r = option_table_read(&table, opts ? opts->options : NULL, &bytes, err);
	if (r < 0)
		return r;
	/* Nothing, asked for, is little too. */
	if (bytes < b->min_space_bytes)
		return fail(err, IMBREX_EINVAL,
			"layer option 'size': %" PRIu64
			" bytes are less than btrfs.min_space, %" PRIu64,
			bytes, b->min_space_bytes);
	*ret = bytes == unasked ? 0 : bytes;
	return 0;
}

int btrfs_limit_set(struct btrfs *b, int fd, uint64_t bytes, struct imbrex_error *err)
{
	enum quota_kind kind;
	int r;

	r = quota_enable(fd, &kind);
	if (r == -EPERM)
		return fail(err, IMBREX_EPERM,
			"layer option 'size': only root may use quotas of btrfs");
	if (r < 0)
		return fail_code(err, r, "switch on quotas of btrfs for '%s'", b->path);
	r = qgroup_limit(fd, bytes);
	return r < 0 ? fail_code(err, r, "set the quota of a new layer") : 0;
}

/* The directory with the limits; negative if there is none, or it cannot be opened. */
static int open_quotas(struct btrfs *b)
{
	if (b->home < 0)
		return -ENOENT;
	return openat(b->home, QUOTAS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int fail_quotas(struct btrfs *b, struct imbrex_error *err)
{
	if (errno == ELOOP || errno == ENOTDIR)
		return fail(err, IMBREX_EFORMAT, "'%s/btrfs/" QUOTAS "' is not a directory",
			b->whole.config.graphroot);
	return fail_errno(err, "open '%s/btrfs/" QUOTAS "'", b->whole.config.graphroot);
}

int btrfs_limit_record(
	struct btrfs *b, const char *id, uint64_t bytes, bool sync, struct imbrex_error *err)
{
	AUTO_CLOSE int dir = -EBADF;
	char text[TEXT_MAX];
	int n;

	if (bytes && mkdirat(b->home, QUOTAS, 0700) < 0 && errno != EEXIST)
		return fail_errno(err, "create '%s/btrfs/" QUOTAS "'", b->whole.config.graphroot);
	dir = open_quotas(b);
	if (dir < 0)
		return errno == ENOENT && !bytes ? 0 : fail_quotas(b, err);
	if (!bytes) {
		if (unlinkat(dir, id, 0) < 0 && errno != ENOENT)
			return fail_errno(err, "layer %s: forget its quota", id);
		return 0;
	}
	n = snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return atomic_write_at(
		dir, id, 0644, text, (size_t)n, sync ? ATOMIC_SYNC : ATOMIC_VOLATILE, NULL, err);
}

/* 1 and the limit; 0: there is none; -EINVAL: junk. */
static int read_limit(struct btrfs *b, const char *id, uint64_t *ret)
{
	AUTO_CLOSE int dir = open_quotas(b);
	AUTO_STR text = STR_INIT(TEXT_MAX);
	struct imbrex_error ignored;
	int r;

	if (dir < 0)
		return 0;
	r = read_file_at(dir, id, text.max_len, &text, &ignored);
	if (r == IMBREX_ENOENT)
		return 0;
	if (r < 0 || btrfs_limit_parse(str_text(&text), text.len, ret) < 0)
		return -EINVAL;
	return 1;
}

int btrfs_limit_restore(struct btrfs *b, const char *id, int fd, struct imbrex_error *err)
{
	uint64_t bytes;
	int r;

	if (b->whole.config.read_only || read_limit(b, id, &bytes) <= 0 ||
		bytes < b->min_space_bytes)
		return 0;
	r = btrfs_limit_set(b, fd, bytes, err);
	/* Set by root before, who alone may; the kernel still knows. */
	if (r == IMBREX_EPERM && b->whole.in_userns)
		return 0;
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int btrfs_limit_is_junk(struct btrfs *b, const char *id, struct imbrex_error *err)
{
	uint64_t bytes;

	return read_limit(b, id, &bytes) < 0;
}

int btrfs_limit_garbage(
	struct btrfs *b, bool collect, driver_problem_fn fn, void *ctx, struct imbrex_error *err)
{
	int fd = open_quotas(b);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		(void)close_fd(fd);
		return 0;
	}
	while (r == 0 && (e = readdir(dir)) != NULL) {
		AUTO_FREE char *path = NULL;

		if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
			(whole_check_id(e->d_name, NULL) == 0 &&
				is_dir_at(b->subvolumes, e->d_name)) ||
			!(str_after(e->d_name, ".tmp-") || is_file_at(fd, e->d_name)))
			continue;
		path = format_text("%s/btrfs/" QUOTAS "/%s", b->whole.config.graphroot, e->d_name);
		if (!path)
			r = fail_nomem(err);
		else if (collect && unlinkat(fd, e->d_name, 0) < 0 && errno != ENOENT)
			r = fail_errno(err, "remove '%s'", path);
		else
			r = fn(ctx,
				&(struct driver_problem){ .kind = DRIVER_PROBLEM_LEFTOVER,
					.path = path,
					.text = "the quota of a layer that is gone" },
				err);
	}
	(void)closedir(dir);
	return r;
}
