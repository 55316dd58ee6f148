/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a layer of the overlay driver. A stage is a whole layer directory inside the transaction's
 * tempdir:
 *
 *   stage_new ─▶ diff/ work/ merged/ ─▶ entries into diff/ ─▶ seal: link, lower | empty/, mode and
 *   owner of diff/ ─▶ publish: rename to <home>/<id>, then l/<link> -> ../<id>/diff
 *                  └▶ replace: its diff/ and that of <home>/<id> change places
 *
 * Invariants:
 * (1) Until publish() nothing of a stage is reachable but through its tempdir, whose lock we hold.
 * (2) The l/ link is made after the directory it leads to; removal takes the link first. So a
 *     crash leaves a directory without link (an orphan, or repaired from its `link` file), and
 *     never a link to nothing that a `lower` file names.
 * (3) `lower` of a stage is made from its parent's `link` and `lower`, which seal() has already
 *     written for a parent in the same transaction; and made again by rebase() if the layer that
 *     is published below has another `link` by then, because another process was faster.
 *
 * Source: docs/formats/overlay-layer.md, "overlay".
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/apply.h"
#include "driver/copy.h"
#include "driver/overlay.h"
#include "driver/override.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/fd.h"

/* The layer that a stage began with a copy of, as it was then. */
struct source {
	int dir; /* owned; its directory; -EBADF: the stage began empty */
	struct timespec mtime;
};

struct overlay_stage {
	struct driver_stage base;
	struct overlay *o;
	struct tempdir *temp;    /* borrowed; NULL: made in place */
	int at;                  /* borrowed; directory that holds `name` until published */
	char name[NAME_MAX + 1]; /* of the layer directory */
	int dir;                 /* owned; the layer directory */
	int diff;                /* owned; its diff */
	bool has_entries;
	bool is_pointer; /* the content is another's: see overlay_additional.c */
	bool sealed;
	bool published;
	struct source source;
	struct id_maps_copy maps;            /* of the entries */
	const struct apply_content *content; /* borrowed; NULL: none */
	struct id_pair root;                 /* who owns what nobody says the owner of */
	char link[OVERLAY_LINK_LEN + 1];
	struct str lower; /* valid once sealed */
};

static struct overlay_stage *stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct overlay_stage, base);
}

/* mkdir with exactly that mode, owned by the layer's root; fd of it in *ret_fd if wanted. */
static int make_dir(struct overlay_stage *s, int dirfd, const char *name, mode_t mode, int *ret_fd,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	if (mkdirat(dirfd, name, mode & 0700) < 0)
		return fail_errno(err, "make directory '%s' of a new layer", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, mode) < 0)
		return fail_errno(err, "open directory '%s' of a new layer", name);
	if (!id_maps_empty(&s->maps.maps) && fchown(fd, s->root.uid, s->root.gid) < 0)
		return fail_errno(err, "set owner of directory '%s' of a new layer", name);
	/* An owner is not on disk when the name is, unless the journal keeps the order. */
	if (!id_maps_empty(&s->maps.maps) && !s->o->config.ordered && sync_dir(fd) < 0)
		return fail_errno(err, "sync directory '%s' of a new layer", name);
	if (ret_fd)
		*ret_fd = take_fd(fd);
	return 0;
}

void overlay_stage_free(struct driver_stage *base)
{
	struct overlay_stage *s = stage_of(base);
	struct imbrex_error ignored;

	s->diff = close_fd(s->diff);
	if (s->is_pointer && !s->published)
		overlay_additional_removed(s->o, s->dir);
	if (s->dir >= 0 && !s->published)
		overlay_release_limit(s->o, s->dir);
	s->dir = close_fd(s->dir);
	s->source.dir = close_fd(s->source.dir);
	if (!s->published && s->name[0])
		(void)!remove_tree_at(s->at, s->name, &ignored);
	str_done(&s->lower);
	id_maps_copy_done(&s->maps);
	free(s);
}

static int keep_maps(
	struct overlay_stage *s, const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	if (!opts || !opts->maps)
		return 0;
	if (id_maps_root(opts->maps, &s->root) < 0)
		return fail(err, IMBREX_EINVAL, "the identity map of a new layer has no root");
	return id_maps_copy(opts->maps, &s->maps) < 0 ? fail_nomem(err) : 0;
}

static int stage_make(
	struct overlay_stage *s, const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	AUTO_CLOSE int work = -EBADF;
	int r;

	if (!(opts && opts->image) && s->o->options.has_force_mask && !s->o->options.mount_program)
		return fail(err, IMBREX_ENOTSUP,
			"option overlay.force_mask: writable layers need overlay.mount_program");
	r = keep_maps(s, opts, err);
	if (r == 0)
		r = overlay_random_link(s->link, err);
	if (r == 0)
		r = make_dir(s, s->at, s->name, 0700, &s->dir, err);
	if (r == 0)
		r = make_dir(s, s->dir, "diff", 0555, &s->diff, err);
	if (r == 0)
		r = make_dir(s, s->dir, "work", 0700, &work, err);
	if (r == 0)
		r = overlay_limit_layer(
			s->o, &(struct overlay_made){ s->dir, s->diff, work }, opts, err);
	return r < 0 ? r : make_dir(s, s->dir, "merged", 0700, NULL, err);
}

static struct overlay_stage *stage_alloc(struct driver *d, int at)
{
	struct overlay_stage *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base.ops = d->ops;
	s->o = overlay_of(d);
	s->at = at;
	s->dir = s->diff = s->source.dir = -EBADF;
	s->lower = (struct str)STR_INIT(OVERLAY_LOWER_BYTES);
	return s;
}

int overlay_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_alloc(d, tempdir_fd(temp));
	char name[TEMPDIR_NAME_BYTES];
	int r;

	if (!s)
		return fail_nomem(err);
	s->temp = temp;
	tempdir_stage_addition(temp, name);
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	s->content = opts ? opts->content : NULL;
	r = stage_make(s, opts, err);
	if (r < 0) {
		overlay_stage_free(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}

int overlay_stage_copy(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	const struct copy_opts opts = { .in_userns = s->o->in_userns,
		.ignore_chown_errors =
			s->o->options.ignore_chown_errors || s->o->config.single_id };
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_CLOSE int diff = -EBADF;
	struct stat st;
	int r;

	assert(!s->sealed && !s->has_entries && s->source.dir < 0);
	r = overlay_layer_open(s->o, id, &layer, err);
	if (r < 0)
		return r;
	if (fstat(layer.fd, &st) < 0)
		return fail_errno(err, "layer %s: stat its directory", id);
	diff = overlay_diff_open(s->o, id, layer.fd, O_RDONLY, err);
	if (diff < 0)
		return diff;
	r = copy_tree(diff, s->diff, &opts, err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	s->source = (struct source){ take_fd(layer.fd), st.st_mtim };
	return 0;
}

int overlay_stage_point(struct driver_stage *base, const char *path, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	int r;

	assert(!s->sealed && !s->has_entries && s->source.dir < 0);
	s->diff = close_fd(s->diff);
	r = overlay_additional_point(s->dir, path, err);
	if (r < 0)
		return r;
	s->is_pointer = true;
	s->diff = overlay_diff_open(s->o, s->name, s->dir, O_RDONLY, err);
	return s->diff < 0 ? s->diff : 0;
}

int overlay_stage_entries(
	struct driver_stage *base, struct entry_sink **ret, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	const struct overlay_options *opts = &s->o->options;
	AUTO_CLOSE int fd = -EBADF;
	int r;

	assert(!s->sealed && !s->has_entries);
	fd = fcntl(s->diff, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return fail_errno(err, "open staged layer");
	r = apply_new(fd,
		&(struct apply_opts){
			.whiteouts = opts->mount_program ? APPLY_AUFS : APPLY_OVERLAY,
			.opaque_xattr = overlay_opaque_xattr(s->o),
			.maps = &s->maps.maps,
			.content = s->content,
			.in_userns = s->o->in_userns,
			.ignore_chown_errors = opts->ignore_chown_errors || s->o->config.single_id,
			.has_force_mask = opts->has_force_mask,
			.force_mask = opts->force_mask,
		},
		ret, err);
	if (r < 0)
		return r;
	(void)take_fd(fd);
	s->has_entries = true;
	return 0;
}

/* A small file of a new layer; its writing to disk is begun, and *ret_fd left open to wait for. */
static int write_small(int dir, const char *name, const char *text, size_t len, int *ret_fd,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	int r;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail_errno(err, "create '%s' of a new layer", name);
	r = write_all(fd, text, len);
	if (r < 0)
		return fail_code(err, r, "write '%s' of a new layer", name);
	if (fchmod(fd, 0644) < 0)
		return fail_errno(err, "set mode of '%s' of a new layer", name);
	*ret_fd = take_fd(fd);
	return 0;
}

/* Both on their way before the first is waited for: one flush of the journal serves both. The
 * directories beside them come with the journal, or need syncs of their own. */
static int sync_small(struct overlay_stage *s, int link, int lower, struct imbrex_error *err)
{
	(void)sync_file_range(link, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (lower >= 0)
		(void)sync_file_range(lower, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (fdatasync(link) < 0 || (lower >= 0 && fdatasync(lower) < 0))
		return fail_errno(err, "sync the links of a new layer");
	if (!s->o->config.ordered && (sync_dir(s->diff) < 0 || sync_dir(s->dir) < 0))
		return fail_errno(err, "sync the directories of a new layer");
	return 0;
}

/* With force_mask: what the root would be is told in its xattr, by entries if there were some. */
static int mask_root(struct overlay_stage *s, int parent_diff, struct imbrex_error *err)
{
	int r = s->has_entries ? 0 : override_inherit(s->diff, parent_diff);

	if (r < 0)
		return fail_code(err, r, "set xattr '%s' of 'diff' of a new layer", OVERRIDE_XATTR);
	if (fchmod(s->diff, s->o->options.force_mask) < 0)
		return fail_errno(err, "set mode of 'diff' of a new layer");
	return 0;
}

/* Mode and owner of the parent's diff, which every layer above it repeats. A copy has its own. */
static int inherit_root(struct overlay_stage *s, int parent_diff, struct imbrex_error *err)
{
	struct stat st, own;

	if (s->source.dir >= 0 || s->is_pointer)
		return 0;
	if (fstat(parent_diff, &st) < 0 || fstat(s->diff, &own) < 0)
		return fail_errno(err, "stat 'diff' of the parent layer");
	if (s->o->options.has_force_mask)
		return mask_root(s, parent_diff, err);
	if ((st.st_uid != own.st_uid || st.st_gid != own.st_gid) &&
		fchown(s->diff, st.st_uid, st.st_gid) < 0 && !s->o->config.single_id &&
		!s->o->options.ignore_chown_errors)
		return fail_errno(err, "set owner of 'diff' of a new layer");
	if (fchmod(s->diff, st.st_mode & 07777) < 0)
		return fail_errno(err, "set mode of 'diff' of a new layer");
	return 0;
}

static int set_lower(
	struct str *ret, const char *link, const struct str *lower, struct imbrex_error *err)
{
	size_t i, n = 1;
	int r;

	for (i = 0; i < lower->len; i++)
		n += lower->data[i] == ':';
	n += lower->len != 0;
	if (n > OVERLAY_LOWERS_MAX)
		return fail(err, IMBREX_ELIMIT, "%zu layers below a new layer, limit is %d", n,
			OVERLAY_LOWERS_MAX);
	r = str_printf(ret, "l/%s%s", link, lower->len ? ":" : "");
	if (r == 0)
		r = str_append(ret, str_text(lower), lower->len);
	return r < 0 ? fail_code(err, r, "list layers below a new layer") : 0;
}

static int read_parent(
	struct overlay *o, const char *id, struct overlay_layer *ret, struct imbrex_error *err)
{
	int r;

	r = overlay_layer_open(o, id, ret, err);
	if (r < 0)
		return r;
	r = overlay_layer_read(id, ret, err);
	if (r == IMBREX_ENOENT && overlay_repair_links(o, NULL) == 0)
		r = overlay_layer_read(id, ret, err);
	return r;
}

static int seal_on_layer(struct overlay_stage *s, const char *id, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER parent = OVERLAY_LAYER_INIT;
	AUTO_CLOSE int diff = -EBADF;
	int r;

	r = read_parent(s->o, id, &parent, err);
	if (r < 0)
		return r;
	diff = overlay_diff_open(s->o, id, parent.fd, O_RDONLY, err);
	if (diff < 0)
		return diff;
	r = inherit_root(s, diff, err);
	if (r < 0)
		return r;
	return set_lower(&s->lower, parent.link, &parent.lower, err);
}

int overlay_stage_seal(struct driver_stage *base, const struct driver_parent *parent, bool sync,
	struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	struct overlay_stage *below = parent && parent->stage ? stage_of(parent->stage) : NULL;
	AUTO_CLOSE int link = -EBADF;
	AUTO_CLOSE int lower = -EBADF;
	int r = 0;

	assert(!s->sealed && (!below || below->sealed));
	if (below) {
		r = inherit_root(s, below->diff, err);
		if (r == 0)
			r = set_lower(&s->lower, below->link, &below->lower, err);
	} else if (parent && parent->id) {
		r = seal_on_layer(s, parent->id, err);
	} else {
		if (s->o->options.has_force_mask && !s->is_pointer)
			r = mask_root(s, -EBADF, err);
		if (r == 0)
			r = make_dir(s, s->dir, "empty", 0700, NULL, err);
	}
	if (r < 0)
		return r;
	r = write_small(s->dir, "link", s->link, OVERLAY_LINK_LEN, &link, err);
	if (r == 0 && s->lower.len)
		r = write_small(s->dir, "lower", s->lower.data, s->lower.len, &lower, err);
	if (r == 0 && sync)
		r = sync_small(s, link, lower, err);
	if (r < 0)
		return r;
	s->sealed = true;
	return 0;
}

int overlay_stage_map(struct driver_stage *base, const struct id_maps *from,
	const struct id_maps *to, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	const struct overlay_staged staged = {
		.name = s->name, .dir = s->dir, .diff = &s->diff, .lower = &s->lower
	};

	assert(s->sealed && !s->published && !s->has_entries);
	return overlay_map_owners(s->o, &staged, from, to, err);
}

/* Other links than those it was sealed with, on disk on return. */
static int replace_lower(struct overlay_stage *s, struct str *lower, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (unlinkat(s->dir, "lower", 0) < 0)
		return fail_errno(err, "replace 'lower' of a new layer");
	r = write_small(s->dir, "lower", lower->data, lower->len, &fd, err);
	if (r < 0)
		return r;
	if (fdatasync(fd) < 0 || (!s->o->config.ordered && sync_dir(s->dir) < 0))
		return fail_errno(err, "sync 'lower' of a new layer");
	str_done(&s->lower);
	s->lower = *lower;
	*lower = (struct str)STR_INIT(0);
	return 0;
}

int overlay_stage_rebase(
	struct driver_stage *base, const struct driver_parent *parent, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	struct overlay_stage *below = parent && parent->stage ? stage_of(parent->stage) : NULL;
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_STR lower = STR_INIT(OVERLAY_LOWER_BYTES);
	int r = 0;

	assert(s->sealed && !s->published);
	if (!below && !(parent && parent->id))
		return 0;
	if (!below)
		r = read_parent(s->o, parent->id, &layer, err);
	if (r == 0)
		r = below ? set_lower(&lower, below->link, &below->lower, err)
			  : set_lower(&lower, layer.link, &layer.lower, err);
	if (r < 0 || str_eq(str_text(&lower), str_text(&s->lower)))
		return r;
	return replace_lower(s, &lower, err);
}

int overlay_stage_publish(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	struct overlay *o = s->o;
	int home = tempdir_parent_fd(s->temp);
	const struct overlay_home *own = &o->homes[overlay_home_of(o, home)];
	char target[256];
	int r;

	assert(s->sealed && !s->published);
	/* An orphan of that name. Looked for first: removing it may have to search all of l/. */
	r = exists_at(home, id) ? overlay_remove(&o->base, id, s->temp, err) : 0;
	if (r < 0)
		return r;
	if (renameat(s->at, s->name, home, id) < 0)
		return fail_errno(err, "layer %s: move into '%s'", id, own->path);
	s->published = true;
	(void)snprintf(target, sizeof(target), "../%s/diff", id);
	if (symlinkat(target, own->links, s->link) < 0)
		return fail_errno(err, "layer %s: make link 'l/%s'", id, s->link);
	return 0;
}

/*
 * Is the layer still what was copied? Whoever mounts a layer makes `merged` anew when it unmounts
 * it, peers too, so that a layer which was in use meanwhile has another mtime.
 */
static int check_source(struct overlay_stage *s, const char *id, int dir, struct imbrex_error *err)
{
	struct stat copied, now;

	if (s->source.dir < 0)
		return 0;
	if (fstat(s->source.dir, &copied) < 0 || fstat(dir, &now) < 0)
		return fail_errno(err, "layer %s: stat its directory", id);
	if (copied.st_dev != now.st_dev || copied.st_ino != now.st_ino ||
		s->source.mtime.tv_sec != now.st_mtim.tv_sec ||
		s->source.mtime.tv_nsec != now.st_mtim.tv_nsec)
		return fail(
			err, IMBREX_EBUSY, "layer %s was used or replaced while it was copied", id);
	return 0;
}

int overlay_stage_replace(
	struct driver_stage *base, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	AUTO_CLOSE int layer = -EBADF;
	int r;

	assert(s->sealed && !s->published);
	r = overlay_check_id(id, err);
	if (r < 0)
		return r;
	layer = open_dir_at(tempdir_parent_fd(s->temp), id, err);
	if (layer < 0)
		return wrap(err, layer, "layer %s", id);
	r = check_source(s, id, layer, err);
	if (r < 0)
		return r;
	overlay_stop_reading(s->o);
	r = is_dir_at(layer, "diff") ? exchange_at(s->dir, "diff", layer, "diff") : -ENOTDIR;
	if (r < 0)
		return fail_code(err, r, "layer %s: replace 'diff'", id);
	if (!s->o->config.ordered && sync_dir(layer) < 0)
		return fail_errno(err, "layer %s: sync its directory", id);
	/* The stage holds the old content now. */
	r = tempdir_stage_deletion(trash, s->at, s->name, err);
	if (r == 0)
		s->published = true;
	return r;
}

/* A layer without content is a few names: made where it belongs, under the caller's lock. */
int overlay_create(struct driver *d, const char *id, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	bool second = opts && opts->image && o->n_own > 1;
	const struct overlay_home *home = &o->homes[second ? 1 : 0];
	struct overlay_stage *s;
	char target[256];
	int r;

	r = overlay_check_id(id, err);
	if (r < 0)
		return r;
	s = stage_alloc(d, home->fd);
	if (!s)
		return fail_nomem(err);
	if (exists_at(home->fd, id)) {
		overlay_stage_free(&s->base);
		return fail(err, IMBREX_EEXIST, "layer %s: its directory exists already", id);
	}
	(void)snprintf(s->name, sizeof(s->name), "%s", id);
	r = stage_make(s, opts, err);
	if (r == 0)
		r = overlay_stage_seal(&s->base, parent, sync, err);
	(void)snprintf(target, sizeof(target), "../%s/diff", id);
	if (r == 0 && symlinkat(target, home->links, s->link) < 0)
		r = fail_errno(err, "layer %s: make link 'l/%s'", id, s->link);
	s->published = r == 0;
	overlay_stage_free(&s->base);
	return r;
}
