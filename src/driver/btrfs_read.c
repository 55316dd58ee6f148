/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a layer of btrfs, and how two differ. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/btrfs.h"
#include "driver/content.h"
#include "driver/diff.h"
#include "driver/where.h"
#include "os/fd.h"

int btrfs_open_file(struct driver *d, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	int fd;

	if (!b->reading || !str_eq(b->reading, id)) {
		btrfs_stop_reading(b);
		fd = btrfs_open_layer(b, id, NULL, err);
		if (fd < 0)
			return fd;
		b->reading_fd = fd;
		b->reading = strdup(id);
		if (!b->reading)
			return fail_nomem(err);
	}
	fd = content_open(b->reading_fd, name, name_len);
	if (fd == -EMEDIUMTYPE)
		return fail(err, IMBREX_EFORMAT, "layer %s: '%.*s' is not a regular file", id,
			(int)MIN(name_len, 200), name);
	if (fd < 0)
		return fail_code(
			err, fd, "layer %s: open '%.*s'", id, (int)MIN(name_len, 200), name);
	*ret_fd = fd;
	return 0;
}

int btrfs_open_tree(struct driver *d, const char *id, int *ret_fd, struct imbrex_error *err)
{
	int fd = btrfs_open_layer(btrfs_of(d), id, NULL, err);

	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* Both trees; `old` stays closed if there is no other. */
static int open_pair(struct driver *d, const char *id, const char *other, struct tree_pair *ret,
	struct imbrex_error *err)
{
	int fd = btrfs_open_layer(btrfs_of(d), id, NULL, err);

	if (fd < 0)
		return fd;
	ret->new = fd;
	if (!other)
		return 0;
	fd = btrfs_open_layer(btrfs_of(d), other, NULL, err);
	if (fd < 0)
		return fd;
	ret->old = fd;
	return 0;
}

static void close_pair(struct tree_pair *p)
{
	(void)close_fd(p->new);
	(void)close_fd(p->old);
}
#define AUTO_PAIR __attribute__((cleanup(close_pair))) struct tree_pair

int btrfs_diff(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF, .maps = maps, .old_maps = other_maps };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = diff_trees(&p, to, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int btrfs_changes(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, driver_change_fn fn, void *ctx, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF, .maps = maps, .old_maps = other_maps };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = changes_trees(&p, fn, ctx, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int btrfs_diff_size(
	struct driver *d, const char *id, const char *other, int64_t *ret, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = size_of_difference(&p, ret, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int btrfs_tree_open(
	struct driver *d, const char *id, struct driver_tree *ret, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	int fd = btrfs_open_layer(b, id, NULL, err);

	if (fd < 0)
		return fd;
	*ret = (struct driver_tree){
		.fd = fd,
		.whole = true,
		.whiteouts = APPLY_REMOVE,
		.any_owner = b->config.single_id,
		.no_devices = b->in_userns,
	};
	return 0;
}

void btrfs_tree_close(struct driver *d, struct driver_tree *t)
{
	t->fd = close_fd(t->fd);
}

/* A snapshot has the inodes of its parent: what is another, or was changed, is the layer's own. */
int btrfs_holds(struct driver *d, const char *id, const char *below, const char *inside,
	struct imbrex_error *err)
{
	AUTO_CLOSE int upper = btrfs_open_layer(btrfs_of(d), id, NULL, err);
	AUTO_CLOSE int lower = -EBADF;
	struct stat a, b;
	int r;

	if (upper < 0)
		return upper;
	r = tree_holds(upper, inside, err);
	if (r <= 0 || !below)
		return r;
	lower = btrfs_open_layer(btrfs_of(d), below, NULL, err);
	if (lower < 0)
		return lower;
	r = tree_holds(lower, inside, err);
	if (r <= 0)
		return r < 0 ? r : 1;
	inside += strspn(inside, "/");
	if (!*inside)
		inside = ".";
	if (fstatat(upper, inside, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
		fstatat(lower, inside, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer %s: look at '%s'", id, inside);
	return a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid ||
	       a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec ||
	       (!S_ISDIR(a.st_mode) && a.st_size != b.st_size);
}
