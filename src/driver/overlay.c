/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay driver: a layer is a directory with its own changes, a chain is an overlay mount.
 *
 * A stage is a whole layer directory inside the transaction's tempdir:
 *
 *   stage_new ─▶ diff/ work/ merged/ ─▶ entries into diff/ ─▶ seal: link, lower | empty/, mode and
 *   owner of diff/ ─▶ publish: rename to <home>/<id>, then l/<link> -> ../<id>/diff
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
#include "driver/overlay.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/apply.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/userns.h"

struct overlay_stage {
	struct driver_stage base;
	struct overlay *o;
	struct tempdir *temp;    /* borrowed; NULL: made in place */
	int at;                  /* borrowed; directory that holds `name` until published */
	char name[NAME_MAX + 1]; /* of the layer directory */
	int dir;                 /* owned; the layer directory */
	int diff;                /* owned; its diff */
	bool has_entries;
	bool sealed;
	bool published;
	char link[OVERLAY_LINK_LEN + 1];
	struct str lower; /* valid once sealed */
};

static struct overlay_stage *stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct overlay_stage, base);
}

static int add_home(struct overlay *o, const char *root, bool make, struct imbrex_error *err)
{
	struct overlay_home *homes, *h;
	int fd, r;

	homes = realloc(o->homes, (o->n_homes + 1) * sizeof(*homes));
	if (!homes)
		return fail_nomem(err);
	o->homes = homes;
	h = &homes[o->n_homes];
	h->path = format_text("%s/overlay", root);
	if (!h->path)
		return fail_nomem(err);
	if (make) {
		r = mkdirs_at(AT_FDCWD, h->path, 0700, err);
		if (r < 0) {
			free(h->path);
			return r;
		}
	}
	fd = open_root_dir_at(AT_FDCWD, h->path, err);
	if (fd < 0) {
		free(h->path);
		return fd;
	}
	h->fd = fd;
	o->n_homes++;
	return 0;
}

static int open_links(struct overlay *o, struct imbrex_error *err)
{
	int r;

	if (!o->config.read_only) {
		r = mkdir_at(o->homes[0].fd, "l", 0755, err);
		if (r < 0)
			return wrap(err, r, "in '%s'", o->homes[0].path);
	}
	r = openat(o->homes[0].fd, "l", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r < 0 && !(o->config.read_only && errno == ENOENT))
		return fail_errno(err, "open '%s/l'", o->homes[0].path);
	o->links = r;
	return 0;
}

static int open_runhome(struct overlay *o, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/overlay", o->config.runroot);
	int r;

	if (!path)
		return fail_nomem(err);
	r = mkdirs_at(AT_FDCWD, path, 0700, err);
	if (r < 0)
		return r;
	r = open_root_dir_at(AT_FDCWD, path, err);
	if (r < 0)
		return r;
	o->runhome = r;
	return 0;
}

static void overlay_close(struct driver *d)
{
	struct overlay *o = overlay_of(d);
	size_t i;

	overlay_stop_reading(o);
	for (i = 0; i < o->n_homes; i++) {
		(void)close_fd(o->homes[i].fd);
		free(o->homes[i].path);
	}
	free(o->homes);
	(void)close_fd(o->links);
	(void)close_fd(o->runhome);
	overlay_options_done(&o->options);
	free(o);
}

static int overlay_setup(struct overlay *o, struct imbrex_error *err)
{
	const struct driver_config *config = &o->config;
	size_t i;
	int r;

	r = overlay_options_parse(&o->options, config->options, err);
	if (r < 0)
		return r;
	r = add_home(o, config->graphroot, !config->read_only, err);
	if (r < 0)
		return r;
	for (i = 0; i < o->options.image_stores.n; i++) {
		struct imbrex_error ignored;

		r = add_home(o, o->options.image_stores.items[i], false, &ignored);
		if (r < 0 && r != IMBREX_ENOENT) {
			if (err)
				*err = ignored;
			return r;
		}
	}
	r = open_links(o, err);
	if (r < 0)
		return r;
	if (config->read_only)
		return 0;
	r = open_runhome(o, err);
	if (r < 0)
		return r;
	return overlay_probe_support(o, err);
}

/* Where the driver does not work, a home without layers goes again: it would decide about the
 * driver the next time. */
static void forget_home(struct overlay *o)
{
	if (o->config.read_only || !o->n_homes || unlinkat(o->homes[0].fd, "l", AT_REMOVEDIR) < 0)
		return;
	(void)unlinkat(o->homes[0].fd, "tempdirs", AT_REMOVEDIR);
	(void)unlinkat(o->homes[0].fd, ".has-mount-program", 0);
	(void)rmdir(o->homes[0].path);
}

static int overlay_open(
	const struct driver_config *config, struct driver **ret, struct imbrex_error *err)
{
	struct overlay *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return fail_nomem(err);
	o->base.ops = &overlay_ops;
	o->config = *config;
	o->links = o->runhome = o->reading_diff = -EBADF;
	o->in_userns = config->rootless || !in_initial_userns();
	r = overlay_setup(o, err);
	if (r < 0) {
		if (r == IMBREX_ENOTSUP)
			forget_home(o);
		overlay_close(&o->base);
		return r;
	}
	*ret = &o->base;
	return 0;
}

/* mkdir with exactly that mode; fd of it in *ret_fd if wanted. */
static int make_dir(int dirfd, const char *name, mode_t mode, int *ret_fd, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	if (mkdirat(dirfd, name, mode & 0700) < 0)
		return fail_errno(err, "make directory '%s' of a new layer", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, mode) < 0)
		return fail_errno(err, "open directory '%s' of a new layer", name);
	if (ret_fd)
		*ret_fd = take_fd(fd);
	return 0;
}

static void overlay_stage_free(struct driver_stage *base)
{
	struct overlay_stage *s = stage_of(base);
	struct imbrex_error ignored;

	s->diff = close_fd(s->diff);
	s->dir = close_fd(s->dir);
	if (!s->published && s->name[0])
		(void)!remove_tree_at(s->at, s->name, &ignored);
	str_done(&s->lower);
	free(s);
}

static int stage_make(struct overlay_stage *s, struct imbrex_error *err)
{
	int r;

	r = overlay_random_link(s->link, err);
	if (r < 0)
		return r;
	r = make_dir(s->at, s->name, 0700, &s->dir, err);
	if (r < 0)
		return r;
	r = make_dir(s->dir, "diff", 0555, &s->diff, err);
	if (r < 0)
		return r;
	r = make_dir(s->dir, "work", 0700, NULL, err);
	if (r < 0)
		return r;
	return make_dir(s->dir, "merged", 0700, NULL, err);
}

static struct overlay_stage *stage_alloc(struct driver *d, int at)
{
	struct overlay_stage *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base.ops = d->ops;
	s->o = overlay_of(d);
	s->at = at;
	s->dir = s->diff = -EBADF;
	s->lower = (struct str)STR_INIT(OVERLAY_LOWER_BYTES);
	return s;
}

static int overlay_stage_new(struct driver *d, struct tempdir *temp,
	const struct driver_parent *parent, const struct driver_layer_opts *opts,
	struct driver_stage **ret, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_alloc(d, tempdir_fd(temp));
	char name[TEMPDIR_NAME_BYTES];
	int r;

	if (!s)
		return fail_nomem(err);
	s->temp = temp;
	tempdir_stage_addition(temp, name);
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	r = stage_make(s, err);
	if (r < 0) {
		overlay_stage_free(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}

static int overlay_stage_entries(
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

/* Mode and owner of the parent's diff, which every layer above it repeats. */
static int inherit_root(struct overlay_stage *s, int parent_diff, struct imbrex_error *err)
{
	struct stat st, own;
	mode_t mode;

	if (fstat(parent_diff, &st) < 0 || fstat(s->diff, &own) < 0)
		return fail_errno(err, "stat 'diff' of the parent layer");
	mode = s->o->options.has_force_mask ? s->o->options.force_mask : st.st_mode & 07777;
	if ((st.st_uid != own.st_uid || st.st_gid != own.st_gid) &&
		fchown(s->diff, st.st_uid, st.st_gid) < 0 && !s->o->config.single_id &&
		!s->o->options.ignore_chown_errors)
		return fail_errno(err, "set owner of 'diff' of a new layer");
	if (fchmod(s->diff, mode) < 0)
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
	diff = openat(parent.fd, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (diff < 0)
		return fail_errno(err, "layer %s: open 'diff'", id);
	r = inherit_root(s, diff, err);
	if (r < 0)
		return r;
	return set_lower(&s->lower, parent.link, &parent.lower, err);
}

static int overlay_stage_seal(struct driver_stage *base, const struct driver_parent *parent,
	bool sync, struct imbrex_error *err)
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
		if (s->o->options.has_force_mask && fchmod(s->diff, s->o->options.force_mask) < 0)
			return fail_errno(err, "set mode of 'diff' of a new layer");
		r = make_dir(s->dir, "empty", 0700, NULL, err);
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

static int overlay_stage_rebase(
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

/* Find the name in l/ of a layer that does not say it itself; "" if there is none. */
static void search_link(struct overlay *o, const char *id, char ret[OVERLAY_LINK_LEN + 1])
{
	int fd = openat(o->links, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct imbrex_error ignored;
	const struct dirent *d;

	ret[0] = 0;
	if (!dir) {
		(void)close_fd(fd);
		return;
	}
	while (!ret[0] && (d = readdir(dir)) != NULL) {
		AUTO_STR target = STR_INIT(4096);

		if (overlay_is_link_name(d->d_name, strlen(d->d_name)) &&
			overlay_link_target(o, 0, d->d_name, &target, &ignored) == 0 &&
			str_eq(str_text(&target), id))
			memcpy(ret, d->d_name, OVERLAY_LINK_LEN + 1);
	}
	(void)closedir(dir);
}

/* Name in l/ that leads to layer `id` of our own home; "" if there is none. A `link` file that
 * names another layer's link is not believed. */
static void find_link(struct overlay *o, const char *id, char ret[OVERLAY_LINK_LEN + 1])
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_STR target = STR_INIT(4096);
	struct imbrex_error ignored;

	ret[0] = 0;
	if (o->links < 0)
		return;
	if (overlay_layer_open(o, id, &layer, &ignored) == 0 && layer.home == 0 &&
		overlay_layer_read(id, &layer, &ignored) == 0 &&
		overlay_link_target(o, 0, layer.link, &target, &ignored) == 0 &&
		str_eq(str_text(&target), id))
		memcpy(ret, layer.link, OVERLAY_LINK_LEN + 1);
	else
		search_link(o, id, ret);
}

static int overlay_remove(
	struct driver *d, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	char link[OVERLAY_LINK_LEN + 1];
	/* Peers bind the home onto itself, and undo it, at any time: see tempdir_parent_fd(). */
	int home = tempdir_parent_fd(trash);
	AUTO_CLOSE int links = -EBADF;
	int r;

	r = overlay_check_id(id, err);
	if (r < 0)
		return r;
	overlay_stop_reading(o);
	find_link(o, id, link);
	links = link[0] ? open_dir_at(home, "l", err) : -EBADF;
	if (links >= 0) {
		r = tempdir_stage_deletion(trash, links, link, err);
		if (r < 0 && r != IMBREX_ENOENT)
			return wrap(err, r, "layer %s", id);
	}
	r = tempdir_stage_deletion(trash, home, id, err);
	if (r < 0 && r != IMBREX_ENOENT)
		return wrap(err, r, "layer %s", id);
	return 0;
}

static int overlay_stage_publish(
	struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct overlay_stage *s = stage_of(base);
	struct overlay *o = s->o;
	int home = tempdir_parent_fd(s->temp);
	char target[256];
	int r;

	assert(s->sealed && !s->published);
	/* An orphan of that name. Looked for first: removing it may have to search all of l/. */
	r = exists_at(home, id) ? overlay_remove(&o->base, id, s->temp, err) : 0;
	if (r < 0)
		return r;
	if (renameat(s->at, s->name, home, id) < 0)
		return fail_errno(err, "layer %s: move into '%s'", id, o->homes[0].path);
	s->published = true;
	(void)snprintf(target, sizeof(target), "../%s/diff", id);
	if (symlinkat(target, o->links, s->link) < 0)
		return fail_errno(err, "layer %s: make link 'l/%s'", id, s->link);
	return 0;
}

/* A layer without content is a few names: made where it belongs, under the caller's lock. */
static int overlay_create(struct driver *d, const char *id, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	struct overlay_stage *s;
	char target[256];
	int r;

	r = overlay_check_id(id, err);
	if (r < 0)
		return r;
	s = stage_alloc(d, o->homes[0].fd);
	if (!s)
		return fail_nomem(err);
	if (exists_at(o->homes[0].fd, id)) {
		overlay_stage_free(&s->base);
		return fail(err, IMBREX_EEXIST, "layer %s: its directory exists already", id);
	}
	(void)snprintf(s->name, sizeof(s->name), "%s", id);
	r = stage_make(s, err);
	if (r == 0)
		r = overlay_stage_seal(&s->base, parent, sync, err);
	(void)snprintf(target, sizeof(target), "../%s/diff", id);
	if (r == 0 && symlinkat(target, o->links, s->link) < 0)
		r = fail_errno(err, "layer %s: make link 'l/%s'", id, s->link);
	s->published = r == 0;
	overlay_stage_free(&s->base);
	return r;
}

static int overlay_list(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	int fd = openat(o->homes[0].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct imbrex_error ignored;
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		(void)close_fd(fd);
		return fail_errno(err, "read '%s'", o->homes[0].path);
	}
	while (r == 0 && (e = readdir(dir)) != NULL) {
		if (overlay_check_id(e->d_name, &ignored) < 0)
			continue;
		if (e->d_type == DT_DIR ||
			(e->d_type == DT_UNKNOWN && is_dir_at(o->homes[0].fd, e->d_name)))
			r = strv_add(ret, e->d_name);
	}
	(void)closedir(dir);
	return r < 0 ? fail_nomem(err) : 0;
}

static bool overlay_exists(struct driver *d, const char *id)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	struct imbrex_error ignored;

	return overlay_layer_open(overlay_of(d), id, &layer, &ignored) == 0;
}

static int overlay_sync_homes(struct driver *d, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	int r;

	if (o->config.read_only)
		return 0;
	r = sync_dir(o->homes[0].fd);
	if (r == 0)
		r = sync_dir(o->links);
	return r < 0 ? fail_code(err, r, "sync '%s'", o->homes[0].path) : 0;
}

const struct driver_ops overlay_ops = {
	.name = "overlay",
	.independent = true,
	.open = overlay_open,
	.close = overlay_close,
	.stage_new = overlay_stage_new,
	.stage_entries = overlay_stage_entries,
	.stage_seal = overlay_stage_seal,
	.create = overlay_create,
	.stage_rebase = overlay_stage_rebase,
	.stage_publish = overlay_stage_publish,
	.stage_free = overlay_stage_free,
	.remove = overlay_remove,
	.mount = overlay_mount,
	.unmount = overlay_unmount,
	.open_file = overlay_open_file,
	.diff = overlay_diff,
	.changes = overlay_changes,
	.diff_size = overlay_diff_size,
	.list = overlay_list,
	.exists = overlay_exists,
	.sync_homes = overlay_sync_homes,
	.check = overlay_check,
	.status = overlay_status,
	.locate = overlay_locate,
	.holds = overlay_holds,
	.metadata = overlay_metadata,
};
