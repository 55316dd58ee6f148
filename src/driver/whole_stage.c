/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole trees in the making: entries change in place what a copy or a clone of the layers below
 * began, so whiteouts remove. See the header.
 */
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/apply.h"
#include "driver/chown.h"
#include "driver/whole.h"
#include "os/fd.h"
#include "os/probe.h"
#include "os/xattr.h"

void whole_stage_init(struct whole_stage *s, struct whole *w)
{
	s->base.ops = w->base.ops;
	s->w = w;
	s->dir = s->parent = s->source = -EBADF;
}

void whole_stage_done(struct whole_stage *s)
{
	s->dir = close_fd(s->dir);
	s->parent = close_fd(s->parent);
	s->source = close_fd(s->source);
	id_maps_copy_done(&s->maps);
}

static int open_dir(struct whole_stage *s, struct imbrex_error *err)
{
	return s->open_dir ? s->open_dir(s, err) : 0;
}

int whole_prepare_root(
	int fd, const struct driver_layer_opts *opts, bool fresh, struct imbrex_error *err)
{
	struct id_pair root;
	int r = 0;

	if (!opts)
		return 0;
	if (opts->label && *opts->label && selinux_is_on())
		r = setxattr_at(fd, "", "security.selinux", opts->label, strlen(opts->label) + 1);
	if (r < 0 && r != -EOPNOTSUPP)
		return fail_code(err, r, "set SELinux label of a new layer");
	if (id_maps_empty(opts->maps))
		return 0;
	if (id_maps_root(opts->maps, &root) < 0)
		return fail(err, IMBREX_EINVAL, "the identity map of a new layer has no root");
	if (fresh && fchown(fd, root.uid, root.gid) < 0)
		return fail_errno(err, "set owner of the root of a new layer");
	return 0;
}

int whole_stage_take(
	struct whole_stage *s, const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	if (!opts)
		return 0;
	s->content = opts->content;
	if (!id_maps_empty(opts->maps) && id_maps_copy(opts->maps, &s->maps) < 0)
		return fail_nomem(err);
	return 0;
}

int whole_stage_copy_from(struct whole_stage *s, int from, struct imbrex_error *err)
{
	const struct copy_opts opts = { .in_userns = s->w->in_userns,
		.ignore_chown_errors = s->w->ignore_chown_errors };

	return copy_tree(from, s->dir, &opts, err);
}

int whole_stage_entries(
	struct driver_stage *base, struct entry_sink **ret, struct imbrex_error *err)
{
	struct whole_stage *s = whole_stage_of(base);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	assert(!s->sealed && !s->has_entries);
	r = open_dir(s, err);
	if (r < 0)
		return r;
	fd = fcntl(s->dir, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return fail_errno(err, "open staged layer");
	r = apply_new(fd,
		&(struct apply_opts){
			.whiteouts = APPLY_REMOVE,
			.apply_root = true,
			.maps = &s->maps.maps,
			.content = s->content,
			.in_userns = s->w->in_userns,
			.ignore_chown_errors = s->w->ignore_chown_errors,
		},
		ret, err);
	if (r < 0)
		return r;
	(void)take_fd(fd);
	s->has_entries = true;
	return 0;
}

static int sync_stage(struct whole_stage *s, struct imbrex_error *err)
{
	int r = open_dir(s, err);

	if (r < 0)
		return r;
	return syncfs(s->dir) < 0 ? fail_errno(err, "sync a new layer") : 0;
}

int whole_stage_seal(struct driver_stage *base, const struct driver_parent *parent, bool sync,
	struct imbrex_error *err)
{
	struct whole_stage *s = whole_stage_of(base);
	int r;

	assert(!s->sealed);
	r = sync ? sync_stage(s, err) : 0;
	s->sealed = r == 0;
	return r;
}

int whole_stage_map(struct driver_stage *base, const struct id_maps *from, const struct id_maps *to,
	struct imbrex_error *err)
{
	struct whole_stage *s = whole_stage_of(base);
	int r;

	assert(s->sealed && !s->published && !s->has_entries);
	r = open_dir(s, err);
	if (r == 0)
		r = chown_tree(s->dir, from, to, err);
	return r < 0 ? r : sync_stage(s, err);
}

int whole_check_copied(struct whole *w, const char *id, int copied, struct imbrex_error *err)
{
	AUTO_CLOSE int now = w->open_layer(w, id, err);
	struct stat then, there;

	if (now < 0)
		return now;
	if (fstat(copied, &then) < 0 || fstat(now, &there) < 0)
		return fail_errno(err, "layer %s: stat its directory", id);
	/* Each subvolume that somebody has open has a device number of its own. */
	if (then.st_dev != there.st_dev || then.st_ino != there.st_ino)
		return fail(err, IMBREX_EBUSY, "layer %s was replaced while it was copied", id);
	return 0;
}

int whole_stage_rebase(
	struct driver_stage *base, const struct driver_parent *parent, struct imbrex_error *err)
{
	struct whole_stage *s = whole_stage_of(base);

	assert(s->sealed && !s->published);
	if (s->parent < 0 || !parent || !parent->id)
		return 0;
	return whole_check_copied(s->w, parent->id, s->parent, err);
}
