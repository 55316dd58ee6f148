/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower directories shown through identity maps, so that no owner changes on disk.
 *
 * A clone of the mount that a home of layers lies on is mapped by a user namespace, and the lowers
 * are named by way of it: one clone a home. overlay keeps a reference of its own, so the clones go
 * as soon as the overlay exists. From Linux 6.15 on they are never attached, and nothing of them
 * can be left behind; before, overlay takes layers only from mounts of the namespace, and they are
 * attached to `mapped/N` of the layer meanwhile, as containers/storage does.
 *
 * Source: mount_setattr(2), "ID-mapped mounts"; Linux fs/namespace.c, clone_private_mount();
 * docs/formats/overlay-layer.md, "Identity maps".
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "driver/overlay_plan.h"
#include "os/fd.h"
#include "os/mountfd.h"
#include "os/probe.h"
#include "os/userns.h"

struct overlay_clone {
	char *root; /* owned; the directory it is a clone of */
	int fd;     /* owned; the mount */
	bool attached;
};

bool overlay_shifts(struct driver *d, const struct id_maps *maps)
{
	struct overlay *o = overlay_of(d);
	const char *off = getenv("_CONTAINERS_OVERLAY_DISABLE_IDMAP");

	if (off && str_eq(off, "yes"))
		return false;
	/* Programs map their upper directory too, range by range. */
	if (o->options.mount_program)
		return id_maps_contiguous(maps);
	return overlay_probe_shifts(o) > 0;
}

static void clone_name(char ret[24], size_t i)
{
	(void)snprintf(ret, 24, "%zu", i);
}

void overlay_shift_done(struct overlay_shift *s)
{
	struct imbrex_error ignored;

	while (s->n) {
		struct overlay_clone *c = &s->clones[--s->n];
		char name[24];

		clone_name(name, s->n);
		if (c->attached && unmount_at(s->dir, name, true, &ignored) == 0)
			(void)unlinkat(s->dir, name, AT_REMOVEDIR);
		(void)close_fd(c->fd);
		free(c->root);
	}
	free(s->clones);
	s->clones = NULL;
	if (s->dir >= 0)
		(void)unlinkat(s->at, "mapped", AT_REMOVEDIR);
	s->dir = close_fd(s->dir);
}

/* Length of the part of a lower directory's path that one clone serves. */
static size_t root_len(const struct overlay *o, const char *lower)
{
	size_t i;

	for (i = 0; i < o->n_homes; i++) {
		const char *rest = str_after(lower, o->homes[i].path);

		if (rest && *rest == '/')
			return strlen(o->homes[i].path);
	}
	return strlen(lower);
}

static int attach(struct overlay_shift *s, int at, struct imbrex_error *err)
{
	struct overlay_clone *c = &s->clones[s->n - 1];
	char name[24];
	int r;

	if (s->dir < 0) {
		r = mkdir_at(at, "mapped", 0700, err);
		if (r < 0)
			return r;
		r = open_dir_at(at, "mapped", err);
		if (r < 0)
			return r;
		s->dir = r;
		s->at = at;
	}
	clone_name(name, s->n - 1);
	r = mkdir_at(s->dir, name, 0700, err);
	if (r == 0)
		r = mount_attach(c->fd, s->dir, name, err);
	c->attached = r == 0;
	return r;
}

static int add_clone(struct overlay_shift *s, const char *root, size_t len, int userns, int at,
	struct imbrex_error *err)
{
	const struct mount_change change = { .propagation = MS_PRIVATE, .userns_fd = userns };
	struct overlay_clone *clones = realloc(s->clones, (s->n + 1) * sizeof(*clones));
	struct overlay_clone *c;
	int r;

	if (!clones)
		return fail_nomem(err);
	s->clones = clones;
	c = &clones[s->n];
	*c = (struct overlay_clone){ .root = strndup(root, len), .fd = -EBADF };
	if (!c->root)
		return fail_nomem(err);
	s->n++;
	r = mount_clone(AT_FDCWD, c->root, false, err);
	if (r < 0)
		return r;
	c->fd = r;
	r = mount_change(c->fd, "", &change, err);
	if (r < 0)
		return wrap(err, r, "show '%s' through identity maps", c->root);
	return kernel_at_least(6, 15) ? 0 : attach(s, at, err);
}

static int find_clone(struct overlay_shift *s, const char *root, size_t len, int userns, int at,
	size_t *ret, struct imbrex_error *err)
{
	size_t i;
	int r;

	for (i = 0; i < s->n; i++)
		if (strlen(s->clones[i].root) == len && memcmp(s->clones[i].root, root, len) == 0)
			break;
	if (i == s->n) {
		r = add_clone(s, root, len, userns, at, err);
		if (r < 0)
			return r;
	}
	*ret = i;
	return 0;
}

int overlay_shift_lowers(struct overlay *o, const struct id_maps *maps, int at, struct strv *lowers,
	struct overlay_shift *ret, struct imbrex_error *err)
{
	AUTO_OVERLAY_SHIFT s = OVERLAY_SHIFT_INIT;
	AUTO_CLOSE int userns = -EBADF;
	AUTO_STRV shown = { 0 };
	size_t i;
	int r;

	userns = userns_new(maps, err);
	if (userns < 0)
		return userns;
	for (i = 0; i < lowers->n; i++) {
		const char *lower = lowers->items[i];
		size_t which, len = root_len(o, lower);

		r = find_clone(&s, lower, len, userns, at, &which, err);
		if (r < 0)
			return r;
		if (strv_addf(&shown, "/proc/self/fd/%d%s", s.clones[which].fd, lower + len) < 0)
			return fail_nomem(err);
	}
	strv_done(lowers);
	*lowers = shown;
	shown = (struct strv){ 0 };
	*ret = s;
	s = (struct overlay_shift)OVERLAY_SHIFT_INIT;
	return 0;
}

void overlay_shift_forget(int dir)
{
	int fd = openat(dir, "mapped", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct imbrex_error ignored;
	const struct dirent *d;

	if (!list) {
		(void)close_fd(fd);
		return;
	}
	while ((d = readdir(list)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		(void)!unmount_at(fd, d->d_name, true, &ignored);
		(void)unlinkat(fd, d->d_name, AT_REMOVEDIR);
	}
	(void)closedir(list);
	(void)unlinkat(dir, "mapped", AT_REMOVEDIR);
}
