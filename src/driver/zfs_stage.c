/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers in the making.
 *
 *   stage_new: <fsname>/imbrex-new-<digits>-<n>, empty or a clone of the parent
 *     ─▶ entries change its tree, seen by nobody else (whiteouts remove)
 *     ─▶ publish: renamed to <fsname>/<id>
 *
 * Invariants:
 * (1) No lock is held while content is made, and nothing is mounted that could outlive us.
 * (2) A rename of a dataset is one transaction, on disk when it returns, and all content written
 *     before is on disk with it: publish() needs no sync.
 * (3) A stage that others were cloned from is not destroyed under them: zfs_dispose().
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "driver/zfs.h"

struct stage {
	struct whole_stage whole; /* its `dir` is opened when needed */
	struct zfs_name name;
	char *parent;        /* owned; id of the published layer it was cloned from; or NULL */
	char *source_guid;   /* owned; of the layer whose content was copied; NULL: none */
	const char *digits;  /* borrowed of the temporary directory */
	uint64_t size_bytes; /* quota */
	bool exists;         /* there is a dataset to destroy */
};

static struct stage *stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct stage, whole.base);
}

static struct zfs_driver *driver_of(const struct stage *s)
{
	return zfs_of(&s->whole.w->base);
}

static void close_view(struct stage *s)
{
	s->whole.dir = close_fd(s->whole.dir);
}

static int open_view(struct whole_stage *base, struct imbrex_error *err)
{
	struct stage *s = stage_of(&base->base);
	int r;

	if (base->dir >= 0)
		return 0;
	r = zfs_view_open(driver_of(s), &s->name, /* read_only= */ false, err);
	if (r < 0)
		return r;
	base->dir = r;
	return 0;
}

void zfs_stage_free(struct driver_stage *base)
{
	struct stage *s = stage_of(base);
	struct imbrex_error ignored;

	close_view(s);
	if (s->exists && !s->whole.published)
		(void)!zfs_dispose(driver_of(s), &s->name, "stage", &ignored);
	free(s->parent);
	free(s->source_guid);
	whole_stage_done(&s->whole);
	free(s);
}

/* ---- making ---------------------------------------------------------------------------- */

static int make_root(
	struct stage *s, const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	int r;

	r = zfs_make(driver_of(s), &s->name, s->size_bytes, err);
	if (r < 0)
		return r;
	s->exists = true;
	r = open_view(&s->whole, err);
	return r < 0 ? r : zfs_prepare_root(s->whole.dir, opts, err);
}

static int clone_from(struct stage *s, const struct zfs_name *from, struct imbrex_error *err)
{
	int r = zfs_copy(driver_of(s), from, &s->name, s->size_bytes, s->digits, err);

	s->exists = r == 0;
	return r;
}

static int fill_from_parent(
	struct stage *s, const struct driver_parent *parent, struct imbrex_error *err)
{
	struct zfs_name from;
	int r;

	if (parent->stage) {
		/* It is whole, or nobody would stand on it: one view less. */
		close_view(stage_of(parent->stage));
		return clone_from(s, &stage_of(parent->stage)->name, err);
	}
	s->parent = strdup(parent->id);
	if (!s->parent)
		return fail_nomem(err);
	r = zfs_layer_name(driver_of(s), parent->id, &from, err);
	if (r == 0)
		r = clone_from(s, &from, err);
	return r < 0 ? wrap(err, r, "layer %s", parent->id) : 0;
}

static int set_name(struct stage *s, struct tempdir *temp, struct imbrex_error *err)
{
	char word[TEMPDIR_NAME_BYTES];
	AUTO_FREE char *component = NULL;

	tempdir_stage_addition(temp, word);
	s->digits = tempdir_digits(temp);
	component = format_text(
		ZFS_NEW_PREFIX "%s-%.*s", s->digits, (int)strspn(word, "0123456789"), word);
	return component ? zfs_name_child(&s->name, &driver_of(s)->fs, component, err)
			 : fail_nomem(err);
}

int zfs_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret, struct imbrex_error *err)
{
	AUTO_STAGE struct driver_stage *base = NULL;
	struct stage *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return fail_nomem(err);
	whole_stage_init(&s->whole, whole_of(d));
	s->whole.open_dir = open_view;
	base = &s->whole.base;
	r = zfs_layer_size(driver_of(s), opts, &s->size_bytes, err);
	if (r == 0)
		r = set_name(s, temp, err);
	if (r == 0)
		r = whole_stage_take(&s->whole, opts, err);
	if (r < 0)
		return r;
	if (parent && (parent->id || parent->stage))
		r = fill_from_parent(s, parent, err);
	else
		r = make_root(s, opts, err);
	if (r < 0)
		return r;
	*ret = take_ptr(base);
	return 0;
}

/* A layer holds what is below it too: to copy it, begin without a parent. */
int zfs_stage_copy(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct stage *s = stage_of(base);
	struct zfs_name from;
	int r;

	assert(!s->whole.sealed && !s->whole.has_entries && !s->parent && !s->source_guid);
	r = zfs_layer_name(driver_of(s), id, &from, err);
	if (r == 0)
		r = zfs_get(driver_of(s)->z, &from, "guid", &s->source_guid, NULL, err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	close_view(s);
	r = zfs_dispose(driver_of(s), &s->name, "stage", err);
	if (r < 0)
		return r;
	s->exists = false;
	r = clone_from(s, &from, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

/* ---- publishing ------------------------------------------------------------------------ */

int zfs_stage_rebase(
	struct driver_stage *base, const struct driver_parent *parent, struct imbrex_error *err)
{
	struct stage *s = stage_of(base);
	struct zfs_name from;
	int r;

	assert(s->whole.sealed && !s->whole.published);
	if (!s->parent || !parent || !parent->id)
		return 0;
	r = zfs_layer_name(driver_of(s), parent->id, &from, err);
	if (r == 0)
		r = zfs_stands_on(driver_of(s), &s->name, &from, err);
	if (r == 0)
		r = fail(
			err, IMBREX_EBUSY, "layer %s was replaced while it was copied", parent->id);
	return r < 0 ? r : 0;
}

/* A dataset in our place without a record: ours from a crash, or somebody else's. */
static int clear_way(
	struct zfs_driver *d, const struct zfs_name *name, const char *id, struct imbrex_error *err)
{
	int r = zfs_is_ours(d, name, err);

	if (r < 0)
		return r == IMBREX_ENOENT ? 0 : r;
	if (r > 0)
		return zfs_remove_layer(&d->whole.base, id, NULL, err);
	r = fail(err, IMBREX_EEXIST, "ZFS dataset '%s' exists, and is not of this store",
		name->text);
	return hint(err, r, "destroy it if nobody needs it, or set zfs.fsname to another dataset");
}

/* Something opened below a view, by a sink that was freed, may need a moment to let go. */
static int move_to(struct stage *s, const struct zfs_name *to, struct imbrex_error *err)
{
	int r;

	close_view(s);
	r = zfs_rename(driver_of(s)->z, &s->name, to, err);
	if (r == 0)
		s->whole.published = true;
	return r;
}

int zfs_stage_publish(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct stage *s = stage_of(base);
	struct zfs_name name;
	int r;

	assert(s->whole.sealed && !s->whole.published);
	r = zfs_layer_name(driver_of(s), id, &name, err);
	if (r == 0)
		r = move_to(s, &name, err);
	if (r == IMBREX_EEXIST) {
		r = clear_way(driver_of(s), &name, id, err);
		if (r == 0)
			r = move_to(s, &name, err);
	}
	if (r == 0)
		s->name = name; /* stages above are cloned from it by name */
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int check_source(
	struct stage *s, const struct zfs_name *name, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *guid = NULL;
	int r;

	if (!s->source_guid)
		return 0;
	r = zfs_get(driver_of(s)->z, name, "guid", &guid, NULL, err);
	if (r == 0 && !str_eq(guid, s->source_guid))
		r = fail(err, IMBREX_EBUSY, "layer %s was replaced while it was copied", id);
	return r;
}

int zfs_stage_replace(
	struct driver_stage *base, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct stage *s = stage_of(base);
	AUTO_FREE char *old = format_text(ZFS_OLD_PREFIX "%s", id);
	struct imbrex_error ignored;
	struct zfs_name name, aside;
	int r;

	assert(s->whole.sealed && !s->whole.published);
	r = old ? zfs_layer_name(driver_of(s), id, &name, err) : fail_nomem(err);
	if (r == 0)
		r = zfs_name_child(&aside, &driver_of(s)->fs, old, err);
	if (r == 0)
		r = check_source(s, &name, id, err);
	if (r < 0)
		return r;
	whole_stop_reading(s->whole.w);
	/* Of an earlier death, between the next two. */
	(void)!zfs_dispose(driver_of(s), &aside, id, &ignored);
	r = zfs_rename(driver_of(s)->z, &name, &aside, err);
	if (r < 0)
		return r;
	r = move_to(s, &name, err);
	if (r < 0) {
		(void)!zfs_rename(driver_of(s)->z, &aside, &name, &ignored);
		return r;
	}
	s->name = name;
	/* It stays for gc if it cannot go; the layer has its new content. */
	(void)!zfs_dispose(driver_of(s), &aside, id, &ignored);
	return 0;
}

/* ---- in place -------------------------------------------------------------------------- */

/* Made at once: a clone takes as long for a large layer as for a small one. */
int zfs_create_layer(struct driver *base, const char *id, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	struct imbrex_error ignored;
	struct zfs_name name, from;
	uint64_t size_bytes;
	int r;

	r = zfs_layer_size(d, opts, &size_bytes, err);
	if (r == 0)
		r = zfs_layer_name(d, id, &name, err);
	if (r < 0)
		return r;
	if (parent && parent->id) {
		r = zfs_layer_name(d, parent->id, &from, err);
		return r < 0 ? r : zfs_copy(d, &from, &name, size_bytes, NULL, err);
	}
	r = zfs_make(d, &name, size_bytes, err);
	if (r < 0)
		return r;
	{
		AUTO_CLOSE int view = zfs_view_open(d, &name, /* read_only= */ false, err);

		r = view < 0 ? view : zfs_prepare_root(view, opts, err);
		if (r == 0 && sync && syncfs(view) < 0)
			r = fail_errno(err, "sync a new layer");
	}
	if (r < 0)
		(void)!zfs_dispose(d, &name, id, &ignored);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int zfs_remove_layer(
	struct driver *base, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	struct zfs_name name;
	int r;

	r = zfs_layer_name(d, id, &name, err);
	if (r < 0)
		return r;
	whole_stop_reading(&d->whole);
	r = zfs_unmount_layer(base, id, err);
	if (r == 0)
		r = zfs_dispose(d, &name, id, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}
