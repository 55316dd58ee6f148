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

#include "driver/btrfs.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/subvolume.h"

struct btrfs_stage {
	struct whole_stage whole;
	struct tempdir *temp; /* borrowed; NULL: made in place */
	char name[LIMIT_ID_BYTES + 1];
	uint64_t limit_bytes; /* 0: none */
	bool is_dirty;        /* not a snapshot and nothing else */
};

static struct btrfs_stage *stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct btrfs_stage, whole.base);
}

static struct btrfs *btrfs_of_stage(const struct btrfs_stage *s)
{
	return btrfs_of(&s->whole.w->base);
}

/* The directory that the stage has its name in. */
static int holder(const struct btrfs_stage *s)
{
	return s->temp ? tempdir_fd(s->temp) : btrfs_of_stage(s)->subvolumes;
}

void btrfs_stage_free(struct driver_stage *base)
{
	struct btrfs_stage *s = stage_of(base);
	struct imbrex_error ignored;
	bool published = s->whole.published;

	whole_stage_done(&s->whole);
	if (!published && s->name[0])
		(void)!remove_tree_at(holder(s), s->name, &ignored);
	free(s);
}

static int open_stage(struct btrfs_stage *s, struct imbrex_error *err)
{
	s->whole.dir = openat(holder(s), s->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->whole.dir < 0 ? fail_errno(err, "open the subvolume of a new layer") : 0;
}

static int make_empty(struct btrfs_stage *s, struct imbrex_error *err)
{
	int r = subvolume_create(holder(s), s->name);

	if (r < 0)
		return fail_code(err, r, "make the subvolume of a new layer");
	r = open_stage(s, err);
	if (r == 0 && fchmod(s->whole.dir, 0555) < 0)
		r = fail_errno(err, "set mode of a new layer");
	return r;
}

/* The stage becomes a copy of the tree at `from`, in place of what it is. */
static int become(struct btrfs_stage *s, int from, struct imbrex_error *err)
{
	int r;

	if (!subvolume_is(from)) {
		r = s->whole.dir < 0 ? make_empty(s, err) : 0;
		s->is_dirty = true;
		return r < 0 ? r : whole_stage_copy_from(&s->whole, from, err);
	}
	if (s->whole.dir >= 0) {
		s->whole.dir = close_fd(s->whole.dir);
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
		return become(s, whole_stage_of(parent->stage)->dir, err);
	r = btrfs_open_layer(btrfs_of_stage(s), parent->id, NULL, err);
	if (r < 0)
		return r;
	s->whole.parent = r;
	r = become(s, s->whole.parent, err);
	return r < 0 ? wrap(err, r, "layer %s", parent->id) : 0;
}

static int take_layer_opts(struct btrfs_stage *s, const struct driver_layer_opts *opts, bool fresh,
	struct imbrex_error *err)
{
	int r = 0;

	if (s->limit_bytes)
		r = btrfs_limit_set(btrfs_of_stage(s), s->whole.dir, s->limit_bytes, err);
	if (r < 0 || !opts)
		return r;
	s->is_dirty = s->is_dirty || !id_maps_empty(opts->maps) || (opts->label && *opts->label);
	r = whole_prepare_root(s->whole.dir, opts, fresh, err);
	return r < 0 ? r : whole_stage_take(&s->whole, opts, err);
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
	whole_stage_init(&s->whole, whole_of(d));
	s->temp = temp;
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
	base = &s->whole.base;
	r = btrfs_limit_wanted(btrfs_of_stage(s), opts, &s->limit_bytes, err);
	if (r < 0)
		return r;
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

	r = whole_check_id(id, err);
	if (r < 0)
		return r;
	if (exists_at(b->subvolumes, id))
		return fail(err, IMBREX_EEXIST, "layer %s: its directory exists already", id);
	s = stage_alloc(d, NULL);
	if (!s)
		return fail_nomem(err);
	base = &s->whole.base;
	r = btrfs_limit_wanted(b, opts, &s->limit_bytes, err);
	if (r < 0)
		return r;
	(void)snprintf(s->name, sizeof(s->name), "%s", id);
	r = btrfs_limit_record(b, id, s->limit_bytes, sync, err);
	if (r == 0)
		r = begin(s, parent, opts, err);
	/* A snapshot is on disk when it is there; what else was made or changed is not. */
	if (r == 0 && sync && (s->is_dirty || s->whole.parent < 0) && syncfs(s->whole.dir) < 0)
		r = fail_errno(err, "sync a new layer");
	if (r < 0)
		(void)!btrfs_limit_record(b, id, 0, /* sync= */ false, NULL);
	s->whole.published = r == 0;
	return r;
}

/* A layer holds what is below it too: to copy it, begin without a parent. */
int btrfs_stage_copy(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);
	int r;

	assert(!s->whole.sealed && !s->whole.has_entries && s->whole.parent < 0 &&
		s->whole.source < 0);
	r = btrfs_open_layer(btrfs_of_stage(s), id, NULL, err);
	if (r < 0)
		return r;
	s->whole.source = r;
	r = become(s, s->whole.source, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
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
	whole_stop_reading(&b->whole);
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

	assert(s->whole.sealed && !s->whole.published);
	r = btrfs_remove(&s->whole.w->base, id, s->temp, err);
	if (r == 0)
		r = btrfs_limit_record(
			btrfs_of_stage(s), id, s->limit_bytes, /* sync= */ true, err);
	if (r < 0)
		return r;
	home = open_subvolumes(btrfs_of_stage(s), s->temp, err);
	if (home < 0)
		return home;
	if (renameat(tempdir_fd(s->temp), s->name, home, id) < 0)
		return fail_errno(err, "layer %s: move to where layers are", id);
	s->whole.published = true;
	return 0;
}

int btrfs_stage_replace(
	struct driver_stage *base, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct btrfs_stage *s = stage_of(base);
	AUTO_CLOSE int home = open_subvolumes(btrfs_of_stage(s), s->temp, err);
	int r;

	assert(s->whole.sealed && !s->whole.published);
	if (home < 0)
		return home;
	r = s->whole.source < 0 ? whole_check_id(id, err)
				: whole_check_copied(s->whole.w, id, s->whole.source, err);
	if (r < 0)
		return r;
	whole_stop_reading(s->whole.w);
	r = exchange_at(tempdir_fd(s->temp), s->name, home, id);
	if (r < 0)
		return fail_code(err, r, "layer %s: replace its subvolume", id);
	if (sync_dir(home) < 0)
		return fail_errno(err, "layer %s: sync the directory above it", id);
	/* The stage is the old content now. */
	r = tempdir_stage_deletion(trash, tempdir_fd(s->temp), s->name, err);
	if (r == 0)
		s->whole.published = true;
	return r;
}
