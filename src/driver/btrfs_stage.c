/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of btrfs in the making, and out of the way.
 *
 * A stage is a subvolume in a temporary directory, a snapshot of its parent if it has one. It is
 * renamed to where layers are; a rename is all that publishing takes, since the names of a
 * subvolume lie in the tree around it.
 *
 * A parent that is a plain directory (somebody has copied a store file by file) is copied likewise:
 * by reflink, but file by file.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/apply.h"
#include "driver/btrfs.h"
#include "driver/chown.h"
#include "driver/copy.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/probe.h"
#include "os/subvolume.h"
#include "os/userns.h"
#include "os/xattr.h"

struct btrfs_stage {
	struct driver_stage base;
	struct btrfs *b;
	struct tempdir *temp; /* borrowed; NULL: made in place */
	char name[LIMIT_ID_BYTES + 1];
	int dir;                  /* owned; the tree */
	int parent;               /* owned; the published tree that it began as; -EBADF: none */
	int source;               /* owned; the layer whose own content was copied; -EBADF: none */
	struct id_maps_copy maps; /* of the entries */
	const struct apply_content *content; /* borrowed; NULL: none */
	uint64_t limit_bytes;                /* 0: none */
	bool has_entries;
	bool is_dirty; /* not a snapshot and nothing else */
	bool sealed;
	bool published;
};

static struct btrfs_stage *stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct btrfs_stage, base);
}

/* The directory that the stage has its name in. */
static int holder(const struct btrfs_stage *s)
{
	return s->temp ? tempdir_fd(s->temp) : s->b->subvolumes;
}

void btrfs_stage_free(struct driver_stage *base)
{
	struct btrfs_stage *s = stage_of(base);
	struct imbrex_error ignored;

	s->dir = close_fd(s->dir);
	s->parent = close_fd(s->parent);
	s->source = close_fd(s->source);
	if (!s->published && s->name[0])
		(void)!remove_tree_at(holder(s), s->name, &ignored);
	id_maps_copy_done(&s->maps);
	free(s);
}

static int open_stage(struct btrfs_stage *s, struct imbrex_error *err)
{
	s->dir = openat(holder(s), s->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->dir < 0 ? fail_errno(err, "open the subvolume of a new layer") : 0;
}

static int make_empty(struct btrfs_stage *s, struct imbrex_error *err)
{
	int r = subvolume_create(holder(s), s->name);

	if (r < 0)
		return fail_code(err, r, "make the subvolume of a new layer");
	r = open_stage(s, err);
	if (r == 0 && fchmod(s->dir, 0555) < 0)
		r = fail_errno(err, "set mode of a new layer");
	return r;
}

/* The stage becomes a copy of the tree at `from`, in place of what it is. */
static int become(struct btrfs_stage *s, int from, struct imbrex_error *err)
{
	const struct copy_opts opts = { .in_userns = s->b->in_userns };
	int r;

	if (!subvolume_is(from)) {
		r = s->dir < 0 ? make_empty(s, err) : 0;
		s->is_dirty = true;
		return r < 0 ? r : copy_tree(from, s->dir, &opts, err);
	}
	if (s->dir >= 0) {
		s->dir = close_fd(s->dir);
		r = remove_tree_at(holder(s), s->name, err);
		if (r < 0)
			return r;
	}
	r = subvolume_snapshot(holder(s), s->name, from);
	if (r < 0)
		return fail_code(err, r, "take a snapshot");
	return open_stage(s, err);
}

static int begin_on(
	struct btrfs_stage *s, const struct driver_parent *parent, struct imbrex_error *err)
{
	int r;

	if (parent->stage)
		return become(s, stage_of(parent->stage)->dir, err);
	r = btrfs_open_layer(s->b, parent->id, NULL, err);
	if (r < 0)
		return r;
	s->parent = r;
	r = become(s, s->parent, err);
	return r < 0 ? wrap(err, r, "layer %s", parent->id) : 0;
}

/* `fresh`: there is nothing below, whose owner of the root would be right already. */
static int take_layer_opts(struct btrfs_stage *s, const struct driver_layer_opts *opts, bool fresh,
	struct imbrex_error *err)
{
	struct id_pair root;
	int r = 0;

	if (s->limit_bytes)
		r = btrfs_limit_set(s->b, s->dir, s->limit_bytes, err);
	if (r < 0 || !opts)
		return r;
	s->is_dirty = s->is_dirty || !id_maps_empty(opts->maps) || (opts->label && *opts->label);
	if (opts->label && *opts->label && selinux_is_on())
		r = setxattr_at(
			s->dir, "", "security.selinux", opts->label, strlen(opts->label) + 1);
	if (r < 0 && r != -EOPNOTSUPP)
		return fail_code(err, r, "set SELinux label of a new layer");
	if (id_maps_empty(opts->maps))
		return 0;
	if (id_maps_root(opts->maps, &root) < 0)
		return fail(err, IMBREX_EINVAL, "the identity map of a new layer has no root");
	if (fresh && fchown(s->dir, root.uid, root.gid) < 0)
		return fail_errno(err, "set owner of the subvolume of a new layer");
	return id_maps_copy(opts->maps, &s->maps) < 0 ? fail_nomem(err) : 0;
}

static int begin(struct btrfs_stage *s, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	bool fresh = !parent || (!parent->id && !parent->stage);
	int r = fresh ? make_empty(s, err) : begin_on(s, parent, err);

	return r < 0 ? r : take_layer_opts(s, opts, fresh, err);
}

static struct btrfs_stage *stage_alloc(struct driver *d, struct tempdir *temp)
{
	struct btrfs_stage *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base.ops = d->ops;
	s->b = btrfs_of(d);
	s->temp = temp;
	s->dir = s->parent = s->source = -EBADF;
	return s;
}

int btrfs_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_alloc(d, temp);
	AUTO_STAGE struct driver_stage *base = NULL;
	int r;

	if (!s)
		return fail_nomem(err);
	base = &s->base;
	r = btrfs_limit_wanted(s->b, opts, &s->limit_bytes, err);
	if (r < 0)
		return r;
	s->content = opts ? opts->content : NULL;
	tempdir_stage_addition(temp, s->name);
	r = begin(s, parent, opts, err);
	if (r < 0)
		return r;
	*ret = take_ptr(base);
	return 0;
}

int btrfs_create(struct driver *d, const char *id, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err)
{
	AUTO_STAGE struct driver_stage *base = NULL;
	struct btrfs *b = btrfs_of(d);
	struct btrfs_stage *s;
	int r;

	r = btrfs_check_id(id, err);
	if (r < 0)
		return r;
	if (exists_at(b->subvolumes, id))
		return fail(err, IMBREX_EEXIST, "layer %s: its directory exists already", id);
	s = stage_alloc(d, NULL);
	if (!s)
		return fail_nomem(err);
	base = &s->base;
	r = btrfs_limit_wanted(b, opts, &s->limit_bytes, err);
	if (r < 0)
		return r;
	(void)snprintf(s->name, sizeof(s->name), "%s", id);
	r = btrfs_limit_record(b, id, s->limit_bytes, sync, err);
	if (r == 0)
		r = begin(s, parent, opts, err);
	/* A snapshot is on disk when it is there; what else was made or changed is not. */
	if (r == 0 && sync && (s->is_dirty || s->parent < 0) && syncfs(s->dir) < 0)
		r = fail_errno(err, "sync a new layer");
	if (r < 0)
		(void)!btrfs_limit_record(b, id, 0, /* sync= */ false, NULL);
	s->published = r == 0;
	return r;
}

/* A layer holds what is below it too: to copy it, begin without a parent. */
int btrfs_stage_copy(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);
	int r;

	assert(!s->sealed && !s->has_entries && s->parent < 0 && s->source < 0);
	r = btrfs_open_layer(s->b, id, NULL, err);
	if (r < 0)
		return r;
	s->source = r;
	r = become(s, s->source, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int btrfs_stage_entries(
	struct driver_stage *base, struct entry_sink **ret, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	assert(!s->sealed && !s->has_entries);
	fd = fcntl(s->dir, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return fail_errno(err, "open staged layer");
	r = apply_new(fd,
		&(struct apply_opts){
			.whiteouts = APPLY_REMOVE,
			.apply_root = true,
			.maps = &s->maps.maps,
			.content = s->content,
			.in_userns = s->b->in_userns,
			.ignore_chown_errors = s->b->config.single_id,
		},
		ret, err);
	if (r < 0)
		return r;
	(void)take_fd(fd);
	s->has_entries = true;
	return 0;
}

int btrfs_stage_seal(struct driver_stage *base, const struct driver_parent *parent, bool sync,
	struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);

	assert(!s->sealed);
	if (sync && syncfs(s->dir) < 0)
		return fail_errno(err, "sync a new layer");
	s->sealed = true;
	return 0;
}

int btrfs_stage_map(struct driver_stage *base, const struct id_maps *from, const struct id_maps *to,
	struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);
	int r;

	assert(s->sealed && !s->published && !s->has_entries);
	r = chown_tree(s->dir, from, to, err);
	if (r < 0)
		return r;
	return syncfs(s->dir) < 0 ? fail_errno(err, "sync a new layer") : 0;
}

/* EBUSY unless layer `id` is the subvolume that was copied. */
static int check_copied(struct btrfs *b, const char *id, int copied, struct imbrex_error *err)
{
	AUTO_CLOSE int now = btrfs_open_layer(b, id, NULL, err);
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

int btrfs_stage_rebase(
	struct driver_stage *base, const struct driver_parent *parent, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);

	assert(s->sealed && !s->published);
	if (s->parent < 0 || !parent || !parent->id)
		return 0;
	return check_copied(s->b, parent->id, s->parent, err);
}

/*
 * Where layers are, on the mount that the temporary directory is on: peers bind our home onto
 * itself, and undo it, at any time, and names move within one mount only.
 */
static int open_subvolumes(struct btrfs *b, const struct tempdir *temp, struct imbrex_error *err)
{
	int fd = openat(tempdir_parent_fd(temp), "subvolumes",
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? fail_errno(err, "open '%s'", b->path) : fd;
}

int btrfs_remove(struct driver *d, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	AUTO_CLOSE int home = -EBADF;
	int r;

	/* A view that somebody has forgotten, too. */
	r = btrfs_unmount(d, id, err);
	if (r < 0)
		return r;
	btrfs_stop_reading(b);
	home = open_subvolumes(b, trash, err);
	r = home < 0 ? home : tempdir_stage_deletion(trash, home, id, err);
	if (r < 0 && r != IMBREX_ENOENT)
		return wrap(err, r, "layer %s", id);
	return btrfs_limit_record(b, id, 0, /* sync= */ false, err);
}

int btrfs_stage_publish(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);
	AUTO_CLOSE int home = -EBADF;
	int r;

	assert(s->sealed && !s->published);
	r = btrfs_remove(&s->b->base, id, s->temp, err);
	if (r == 0)
		r = btrfs_limit_record(s->b, id, s->limit_bytes, /* sync= */ true, err);
	if (r < 0)
		return r;
	home = open_subvolumes(s->b, s->temp, err);
	if (home < 0)
		return home;
	if (renameat(tempdir_fd(s->temp), s->name, home, id) < 0)
		return fail_errno(err, "layer %s: move to where layers are", id);
	s->published = true;
	return 0;
}

int btrfs_stage_replace(
	struct driver_stage *base, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);
	AUTO_CLOSE int home = open_subvolumes(s->b, s->temp, err);
	int r;

	assert(s->sealed && !s->published);
	if (home < 0)
		return home;
	r = s->source < 0 ? btrfs_check_id(id, err) : check_copied(s->b, id, s->source, err);
	if (r < 0)
		return r;
	btrfs_stop_reading(s->b);
	r = exchange_at(tempdir_fd(s->temp), s->name, home, id);
	if (r < 0)
		return fail_code(err, r, "layer %s: replace its subvolume", id);
	if (sync_dir(home) < 0)
		return fail_errno(err, "layer %s: sync the directory above it", id);
	/* The stage is the old content now. */
	r = tempdir_stage_deletion(trash, tempdir_fd(s->temp), s->name, err);
	if (r == 0)
		s->published = true;
	return r;
}
