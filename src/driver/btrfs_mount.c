/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer as a path. Its own, where it may be written to, since that is podman's place for it, too;
 * else a view of it that the kernel keeps read-only, below the run root:
 *
 *   <runroot>/btrfs/<id>/merged
 *
 * An unprivileged user's view would end with the command that made it. He gets the tree itself.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "driver/btrfs.h"
#include "os/fd.h"
#include "os/mountfd.h"

/* The words that are about a mount; no others, since nothing but a view is mounted. */
static int take_words(const struct driver_mount_opts *opts, uint64_t *ret, struct imbrex_error *err)
{
	size_t i;

	*ret = opts->read_only ? MOUNT_ATTR_RDONLY : 0;
	for (i = 0; opts->options && i < opts->options->n; i++) {
		const char *word = opts->options->items[i];

		if (*word && !mount_attr_from_word(word, ret))
			return fail(err, IMBREX_ENOTSUP,
				"the driver btrfs has no mount option '%s'", word);
	}
	if (opts->read_only)
		*ret |= MOUNT_ATTR_RDONLY;
	return 0;
}

static int mount_view(struct btrfs *b, const char *id, int fd, uint64_t attrs, char **ret_path,
	struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/btrfs/%s/merged", b->whole.config.runroot, id);
	const struct mount_change how = { .set = attrs,
		.clear = attrs & MOUNT_ATTR__ATIME ? MOUNT_ATTR__ATIME : 0,
		.propagation = MS_PRIVATE };
	AUTO_CLOSE int view = -EBADF;
	int r;

	if (!path)
		return fail_nomem(err);
	r = mkdirs_at(AT_FDCWD, path, 0700, err);
	if (r < 0)
		return r;
	/* Made for another count of the same layer. */
	if (is_mount_point(AT_FDCWD, path) <= 0) {
		view = mount_clone(fd, "", /* recursive= */ false, err);
		r = view < 0 ? view : mount_change(view, "", &how, err);
		if (r == 0)
			r = mount_attach(view, AT_FDCWD, path, err);
		if (r < 0)
			return wrap(err, r, "layer %s", id);
	}
	*ret_path = take_ptr(path);
	return 0;
}

int btrfs_mount(struct driver *d, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int fd = -EBADF;
	uint64_t attrs;
	int r;

	r = take_words(opts, &attrs, err);
	if (r < 0)
		return r;
	fd = btrfs_open_layer(b, id, &path, err);
	if (fd < 0)
		return fd;
	r = btrfs_limit_restore(b, id, fd, err);
	if (r == 0 && attrs & ~(b->whole.in_userns ? MOUNT_ATTR_RDONLY : 0))
		return mount_view(b, id, fd, attrs, ret_path, err);
	if (r == 0)
		*ret_path = take_ptr(path);
	return r;
}

int btrfs_unmount(struct driver *d, const char *id, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	AUTO_FREE char *path = format_text("%s/btrfs/%s/merged", b->whole.config.runroot, id);
	int r = whole_check_id(id, err);

	if (r < 0)
		return r;
	if (!path)
		return fail_nomem(err);
	while (r == 0 && is_mount_point(AT_FDCWD, path) > 0)
		r = unmount_at(AT_FDCWD, path, /* detach= */ true, err);
	if (r < 0 && r != IMBREX_ENOENT)
		return wrap(err, r, "layer %s", id);
	(void)rmdir(path);
	path[strlen(path) - strlen("/merged")] = '\0';
	(void)rmdir(path);
	return 0;
}
