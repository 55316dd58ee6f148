/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be made again of the overlay driver's files: names of layers from each other, and the
 * directories that a mount needs; and what nobody needs any more.
 *
 * Of three things that say the same (`link`, l/, the `lower` of the layers above) any one is enough
 * for the other two. A name that is lost everywhere is made anew: layers above repeat it when they
 * are repaired, which comes after the layer below.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/overlay.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/lock.h"

/* Who stages something makes its lock right after the directory. */
#define LOCKLESS_AGE_SEC (24 * 60 * 60)

/* ---- one layer ------------------------------------------------------------------------- */

/* A directory that holds nothing of anybody's; what else has its name goes. */
static int make_again(int dir, const char *name, struct imbrex_error *err)
{
	if (is_dir_at(dir, name))
		return 0;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return fail_errno(err, "remove '%s'", name);
	return mkdir_at(dir, name, 0700, err);
}

static int repair_dirs(int dir, bool has_parent, struct imbrex_error *err)
{
	struct stat st;
	int r;

	if (!exists_at(dir, "diff") && mkdirat(dir, "diff", 0755) < 0)
		return fail_errno(err, "make directory 'diff'");
	if (!is_dir_at(dir, "diff") && !is_file_at(dir, "additionallayer"))
		return fail(err, IMBREX_EFORMAT,
			"'diff' is not a directory: what it is must be decided by hand");
	r = make_again(dir, "work", err);
	if (r == 0)
		r = make_again(dir, "merged", err);
	if (r == 0 && !has_parent)
		r = make_again(dir, "empty", err);
	if (r == 0 && fstat(dir, &st) == 0 && st.st_mode & 0022 &&
		fchmod(dir, st.st_mode & 07755) < 0)
		r = fail_errno(err, "set mode of its directory");
	return r;
}

static bool leads_here(struct overlay *o, size_t home, const char *link, const char *id)
{
	AUTO_STR target = STR_INIT(LIMIT_NAME_BYTES);

	return overlay_link_target(o, home, link, &target, NULL) == 0 &&
	       str_eq(str_text(&target), id);
}

/* Does the name in l/ belong to another layer, which says so itself? */
static bool is_taken(struct overlay *o, size_t home, const char *link, const char *id)
{
	AUTO_OVERLAY_LAYER other = OVERLAY_LAYER_INIT;
	AUTO_STR target = STR_INIT(LIMIT_NAME_BYTES);

	if (overlay_link_target(o, home, link, &target, NULL) < 0 || str_eq(str_text(&target), id))
		return false;
	return overlay_layer_open(o, str_text(&target), &other, NULL) == 0;
}

static int put_link(
	struct overlay *o, size_t home, const char *link, const char *id, struct imbrex_error *err)
{
	int links = o->homes[home].links;
	AUTO_FREE char *target = format_text("../%s/diff", id);

	if (!target)
		return fail_nomem(err);
	if (leads_here(o, home, link, id))
		return 0;
	if (exists_at(links, link)) {
		int r = remove_tree_at(links, link, err);

		if (r < 0)
			return r;
	}
	if (symlinkat(target, links, link) < 0)
		return fail_errno(err, "make link 'l/%s'", link);
	return 0;
}

static int repair_link(struct overlay *o, size_t home, const char *id, int dir,
	char ret[OVERLAY_LINK_LEN + 1], struct imbrex_error *err)
{
	AUTO_STR have = STR_INIT(LIMIT_NAME_BYTES);
	bool good;
	int r;

	good = read_file_at(dir, "link", LIMIT_NAME_BYTES, &have, NULL) == 0 &&
	       overlay_is_link_name(str_text(&have), have.len) &&
	       !is_taken(o, home, str_text(&have), id);
	ret[0] = 0;
	if (good)
		memcpy(ret, have.data, OVERLAY_LINK_LEN + 1);
	else
		overlay_search_link(o, home, id, ret);
	if (!ret[0]) {
		r = overlay_random_link(ret, err);
		if (r < 0)
			return r;
	}
	if (!good) {
		r = is_dir_at(dir, "link") ? remove_tree_at(dir, "link", err) : 0;
		if (r == 0)
			r = atomic_write_at(
				dir, "link", 0644, ret, OVERLAY_LINK_LEN, ATOMIC_SYNC, NULL, err);
		if (r < 0)
			return r;
	}
	return put_link(o, home, ret, id, err);
}

/* What is to be made again of a layer. */
struct job {
	const char *id;
	const char *parent_id; /* NULL: none */
	bool is_sure;          /* it stands on that one, and not on a copy of it */
};

static int repair_lower(struct overlay *o, const struct job *j, struct overlay_layer *layer,
	struct imbrex_error *err)
{
	AUTO_STR want = STR_INIT(OVERLAY_LOWER_BYTES + 64u);
	int r;

	r = overlay_wanted_lower(o, j->parent_id, &want, err);
	if (r < 0)
		return wrap(err, r, "parent");
	if (overlay_layer_read(j->id, layer, NULL) == 0) {
		if (str_eq(str_text(&want), str_text(&layer->lower)))
			return 0;
		r = overlay_stands_on_template(o, layer, str_text(&want), err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	if (!j->is_sure && is_dir_at(layer->fd, "diff1"))
		return fail(err, IMBREX_EFORMAT,
			"it is a copy of a layer under other owners, and neither 'lower' nor an "
			"image says of which: remove it, the next container that needs one gets a "
			"new copy");
	r = is_dir_at(layer->fd, "lower") ? remove_tree_at(layer->fd, "lower", err) : 0;
	if (r < 0)
		return r;
	if (want.len)
		return atomic_write_at(
			layer->fd, "lower", 0644, want.data, want.len, ATOMIC_SYNC, NULL, err);
	if (unlinkat(layer->fd, "lower", 0) < 0 && errno != ENOENT)
		return fail_errno(err, "remove 'lower'");
	return 0;
}

static int repair(struct overlay *o, const struct job *j, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	char link[OVERLAY_LINK_LEN + 1];
	int r;

	r = overlay_layer_open(o, j->id, &layer, err);
	if (r < 0)
		return r;
	if (layer.home >= o->n_own || o->config.read_only)
		return fail(err, IMBREX_EPERM, "it lies in a store that is only read");
	overlay_stop_reading(o);
	r = repair_dirs(layer.fd, j->parent_id != NULL, err);
	if (r == 0)
		r = repair_link(o, layer.home, j->id, layer.fd, link, err);
	if (r == 0)
		r = repair_lower(o, j, &layer, err);
	return r;
}

int overlay_repair(
	struct driver *d, const char *id, const char *parent_id, struct imbrex_error *err)
{
	return repair(overlay_of(d), &(struct job){ .id = id, .parent_id = parent_id }, err);
}

int overlay_repair_mapped(
	struct driver *d, const char *id, const char *below, struct imbrex_error *err)
{
	const struct job j = { .id = id, .parent_id = below, .is_sure = true };

	return repair(overlay_of(d), &j, err);
}

/* ---- what nobody needs ----------------------------------------------------------------- */

struct sweep {
	struct overlay *o;
	size_t home; /* that is being swept */
	bool collect;
	driver_problem_fn fn;
	void *ctx;
	struct strv named; /* "l/NAME" of all `lower` files; what they name is not taken */
};

static int PRINTF_LIKE(4, 5)
	report(struct sweep *s, const char *path, struct imbrex_error *err, const char *fmt, ...)
{
	AUTO_FREE char *about = format_text("%s/%s", s->o->homes[s->home].path, path);
	AUTO_STR text = STR_INIT(2048);
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = str_vprintf(&text, fmt, ap);
	va_end(ap);
	if (!about || (r < 0 && r != -EFBIG))
		return fail_nomem(err);
	return s->fn(s->ctx,
		&(struct driver_problem){
			.kind = DRIVER_PROBLEM_LEFTOVER, .path = about, .text = str_text(&text) },
		err);
}

static int read_dir(int dirfd, const char *name, struct strv *ret, struct imbrex_error *err)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		(void)close_fd(fd);
		return errno == ENOENT || errno == ENOTDIR ? 0 : fail_errno(err, "read '%s'", name);
	}
	while (r == 0 && (e = readdir(dir)) != NULL) {
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			r = strv_add(ret, e->d_name);
	}
	(void)closedir(dir);
	return r < 0 ? fail_nomem(err) : 0;
}

static int note_lower(struct sweep *s, const char *lower)
{
	while (*lower) {
		size_t n = strcspn(lower, ":");

		if (n == 2 + OVERLAY_LINK_LEN && strv_addf(&s->named, "%.*s", (int)n, lower) < 0)
			return -ENOMEM;
		lower += n;
		lower += *lower == ':';
	}
	return 0;
}

/* Only those that a stale link might be among matter, so this is read when there is one. */
static int read_lowers(struct sweep *s, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };
	size_t i;
	int r;

	if (s->named.n)
		return 0;
	r = overlay_ops.list(&s->o->base, &ids, err);
	for (i = 0; r == 0 && i < ids.n; i++) {
		AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;

		if (overlay_layer_open(s->o, ids.items[i], &layer, NULL) < 0 ||
			overlay_layer_read(ids.items[i], &layer, NULL) < 0)
			continue;
		if (note_lower(s, str_text(&layer.lower)) < 0)
			r = fail_nomem(err);
	}
	if (r == 0 && strv_add(&s->named, "") < 0)
		r = fail_nomem(err);
	return r;
}

static int sweep_link(struct sweep *s, const char *name, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("l/%s", name);
	AUTO_STR id = STR_INIT(LIMIT_NAME_BYTES);
	struct imbrex_error why = { 0 };
	int r;

	if (!path)
		return fail_nomem(err);
	if (!overlay_is_link_name(name, strlen(name)))
		return 0;
	r = overlay_link_target(s->o, s->home, name, &id, &why);
	if (r == 0 && exists_at(s->o->homes[s->home].fd, str_text(&id)))
		return 0;
	if (r < 0 && r != IMBREX_EFORMAT)
		return 0;
	r = read_lowers(s, err);
	if (r < 0 || strv_has(&s->named, path))
		return r;
	if (s->collect) {
		r = remove_tree_at(s->o->homes[s->home].links, name, err);
		if (r < 0)
			return r;
	}
	return id.len ? report(s, path, err, "leads to layer %s, which is gone", str_text(&id))
		      : report(s, path, err, "leads to no layer");
}

static int sweep_links(struct sweep *s, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	size_t i;
	int r;

	r = read_dir(s->o->homes[s->home].fd, "l", &names, err);
	for (i = 0; r == 0 && i < names.n; i++)
		r = sweep_link(s, names.items[i], err);
	return r;
}

/* 1 if whoever staged this is dead. */
static int is_dead(int staging, const char *name)
{
	AUTO_CLOSE int lock = -EBADF;
	AUTO_FREE char *path = format_text("%s/staging.lock", name);
	struct timespec now;
	struct stat st;

	if (!path)
		return -ENOMEM;
	lock = openat(staging, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (lock >= 0)
		return fd_lock(lock, LOCK_EXCLUSIVE, /* wait= */ false) == 0;
	if (errno != ENOENT || fstatat(staging, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	now_realtime(&now);
	return now.tv_sec - st.st_mtim.tv_sec > LOCKLESS_AGE_SEC;
}

static int sweep_staging(struct sweep *s, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	AUTO_CLOSE int fd = openat(s->o->homes[s->home].fd, "staging",
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	size_t i;
	int r;

	if (fd < 0)
		return 0;
	r = read_dir(fd, ".", &names, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		AUTO_FREE char *path = format_text("staging/%s", names.items[i]);
		int dead = is_dead(fd, names.items[i]);

		if (!path || dead < 0)
			return fail_nomem(err);
		if (!dead)
			continue;
		if (s->collect)
			r = remove_tree_at(fd, names.items[i], err);
		if (r == 0)
			r = report(s, path, err, "its owner died");
	}
	return r;
}

/* Files that an atomic write of a dead process left: beside the homes' own files, in l/, and in the
 * directories of layers. */
static int sweep_temporaries(struct sweep *s, const char *dir, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	AUTO_CLOSE int fd = openat(
		s->o->homes[s->home].fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	size_t i;
	int r;

	if (fd < 0)
		return 0;
	r = read_dir(fd, ".", &names, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		AUTO_FREE char *path = str_eq(dir, ".") ? strdup(names.items[i])
							: format_text("%s/%s", dir, names.items[i]);

		if (!path)
			return fail_nomem(err);
		if (!str_after(names.items[i], ".tmp-") || is_dir_at(fd, names.items[i]))
			continue;
		if (s->collect && unlinkat(fd, names.items[i], 0) < 0 && errno != ENOENT)
			return fail_errno(err, "remove 'overlay/%s'", path);
		r = report(s, path, err, "left by a writer that died");
	}
	return r;
}

static int sweep_home(struct sweep *s, const struct strv *ids, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = s->o->homes[s->home].links >= 0 ? sweep_links(s, err) : 0;
	if (r == 0)
		r = sweep_staging(s, err);
	if (r == 0)
		r = sweep_temporaries(s, ".", err);
	if (r == 0)
		r = sweep_temporaries(s, "l", err);
	for (i = 0; r == 0 && i < ids->n; i++)
		r = sweep_temporaries(s, ids->items[i], err);
	return r;
}

int overlay_garbage(
	struct driver *d, bool collect, driver_problem_fn fn, void *ctx, struct imbrex_error *err)
{
	struct sweep s = { .o = overlay_of(d), .collect = collect, .fn = fn, .ctx = ctx };
	AUTO_STRV ids = { 0 };
	int r;

	r = overlay_ops.list(d, &ids, err);
	for (; r == 0 && s.home < s.o->n_own; s.home++)
		r = sweep_home(&s, &ids, err);
	strv_done(&s.named);
	return r;
}
