/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A staged layer whose owners follow another identity map, where the kernel cannot shift.
 *
 *   diff/ empty ─▶ mounted above the layers below, seen by nobody ─▶ owners change: the kernel
 *   copies up into diff/ ─▶ unmounted ─▶ diff/ becomes diff1/, work/ and diff/ are new
 *
 * The copies lie in `diff1`, so what a container writes later (`diff`) stays apart from them:
 * containers/storage makes and expects it so. With metacopy=on among the configured options the
 * kernel copies no content; without, it may not, because the layer could not be mounted again.
 *
 * Source: docs/formats/overlay-layer.md, "Identity maps".
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/chown.h"
#include "driver/overlay.h"
#include "driver/override.h"
#include "os/beneath.h"
#include "os/fd.h"

/* As containers/storage makes it anew. */
#define WORK_MODE 0555

static int make_again(int dir, const char *name, mode_t mode, const struct id_pair *owner,
	int *ret_fd, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	if (mkdirat(dir, name, 0700) < 0)
		return fail_errno(err, "make directory '%s' of a new layer", name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, owner->uid, owner->gid) < 0 || fchmod(fd, mode) < 0)
		return fail_errno(err, "set owner of '%s' of a new layer", name);
	*ret_fd = take_fd(fd);
	return 0;
}

static int rotate(const struct overlay *o, int dir, const struct id_pair *owner, int *diff,
	struct imbrex_error *err)
{
	AUTO_CLOSE int work = -EBADF;
	AUTO_CLOSE int fresh = -EBADF;
	struct stat st;
	int r;

	if (fstat(*diff, &st) < 0)
		return fail_errno(err, "stat 'diff' of a new layer");
	if (renameat(dir, "diff", dir, "diff1") < 0)
		return fail_errno(err, "rename 'diff' of a new layer to 'diff1'");
	r = remove_tree_at(dir, "work", err);
	if (r == 0)
		r = make_again(dir, "work", WORK_MODE, owner, &work, err);
	if (r == 0)
		r = make_again(dir, "diff", st.st_mode & 07777, owner, &fresh, err);
	if (r < 0)
		return r;
	r = o->options.has_force_mask ? override_inherit(fresh, *diff) : 0;
	if (r < 0)
		return fail_code(err, r, "set xattr '%s' of 'diff' of a new layer", OVERRIDE_XATTR);
	(void)close_fd(*diff);
	*diff = take_fd(fresh);
	return 0;
}

int overlay_map_owners(struct overlay *o, const struct overlay_staged *s,
	const struct id_maps *from, const struct id_maps *to, struct imbrex_error *err)
{
	AUTO_OVERLAY_VIEW view = OVERLAY_VIEW_INIT;
	struct id_pair root;
	int r;

	if (id_maps_root(to, &root) < 0)
		return fail(err, IMBREX_EINVAL, "the identity map of a new layer has no root");
	r = overlay_view_stage(o, s->name, s->dir, s->lower, &view, err);
	if (r == 0)
		r = chown_tree(view.fd, from, to, err);
	if (r < 0)
		return r;
	overlay_view_close(&view);
	r = rotate(o, s->dir, &root, s->diff, err);
	if (r < 0)
		return r;
	/* The mount was volatile: the kernel has synced nothing of what it copied. */
	if (syncfs(s->dir) < 0)
		return fail_errno(err, "sync a new layer");
	return 0;
}
