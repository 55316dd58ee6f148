/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and trees between layers and the host.
 *
 * A path in a layer is resolved inside of it, symbolic links included, as after a chroot: whatever
 * lies there, nothing outside is read or written. (Upstream joins the path to the mount point.)
 *
 * What a copy is made of are the entries of a diff of nothing and the source; the driver's way of
 * applying entries puts them below the target.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/str.h"
#include "driver/apply.h"
#include "driver/diff.h"
#include "imbrex/imbrex.h"
#include "os/beneath.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/userns.h"
#include "store/maps.h"
#include "store/store.h"

/* One of the words of a command. */
struct place {
	struct imbrex_store *s; /* of `layer` */
	char *layer;            /* owned; mounted layer, NULL: the host */
	const char *path;       /* borrowed; on the host, or in the layer */
	int root;               /* owned; that of the layer; -EBADF: the host */
	struct id_maps_copy maps;
};
#define PLACE_INIT              \
	{                       \
		.root = -EBADF, \
	}

static void place_done(struct place *p)
{
	struct imbrex_error ignored;

	p->root = close_fd(p->root);
	if (p->layer)
		(void)!imbrex_unmount_kind(
			p->s, p->layer, IMBREX_KIND_LAYER, false, NULL, &ignored);
	free(p->layer);
	id_maps_copy_done(&p->maps);
}
#define AUTO_PLACE __attribute__((cleanup(place_done))) struct place

/* Where copies go: below `below` of the directory `root`. */
struct target {
	const struct place *place;
	int root;    /* owned */
	char *below; /* owned; clean; "." if `root` itself is the target, a directory that is there
		      */
	bool into;   /* it was given with a slash at its end */
	bool is_there; /* and is no directory */
};
#define TARGET_INIT             \
	{                       \
		.root = -EBADF, \
	}

static void target_done(struct target *t)
{
	t->root = close_fd(t->root);
	free(t->below);
}
#define AUTO_TARGET __attribute__((cleanup(target_done))) struct target

/* ---- places ------------------------------------------------------------------------------ */

/* Where "LAYER:" of a place ends, NULL for a path of the host. */
static const char *layer_end(const char *text)
{
	return *text == '/' || *text == '.' ? NULL : strchr(text, ':');
}

static int read_maps(struct place *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	r = store_hold(p->s, HOLD_LAYERS, &hold, err);
	if (r == 0)
		r = store_find(p->s, &layer_records, p->layer, &f, err);
	if (r == 0 && maps_of_layer(found_record(&f), &p->maps) < 0)
		r = fail_nomem(err);
	return r;
}

/* The host as it is, or the mounted layer. */
static int place_open(struct place *p, struct imbrex_store *s, const char *text, bool read_only,
	struct imbrex_error *err)
{
	const struct imbrex_mount_opts opts = {
		.read_only = read_only, .kinds = IMBREX_KIND_LAYER, .exact = true
	};
	const char *colon = layer_end(text);
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *mount = NULL;
	int r;

	p->s = s;
	p->path = colon ? colon + 1 : text;
	if (!colon)
		return 0;
	name = strndup(text, (size_t)(colon - text));
	if (!name)
		return fail_nomem(err);
	r = imbrex_mount(s, name, &opts, &mount, err);
	if (r < 0)
		return r;
	p->layer = take_ptr(name);
	r = open_dir_at(AT_FDCWD, mount, err);
	if (r < 0)
		return r;
	p->root = r;
	return read_maps(p, err);
}

/* fd or -errno. Only a layer is somebody else's tree. */
static int place_look(const struct place *p, const char *path, int flags)
{
	int fd;

	if (p->layer)
		return open_beneath(p->root, *path ? path : "/", flags, 0, BENEATH_IN_ROOT);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Without empty and "." components; NULL on no memory, or if it is too long. */
static char *clean_path(const char *path)
{
	AUTO_STR clean = STR_INIT(LIMIT_PATH_BYTES);

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n && !(n == 1 && *path == '.') &&
			((clean.len && str_putc(&clean, '/') < 0) ||
				str_append(&clean, path, n) < 0))
			return NULL;
		path += n;
		path += *path == '/';
	}
	return clean.len ? str_take(&clean) : strdup(".");
}

/* On the host: the directory that the target is to be made in, itself made if it is missing. */
static int open_parent(struct target *t, struct imbrex_error *err)
{
	AUTO_FREE char *path = strdup(t->place->path);
	size_t len = path ? strlen(path) : 0;
	char *slash;
	int r;

	if (!path)
		return fail_nomem(err);
	while (len > 1 && path[len - 1] == '/')
		path[--len] = 0;
	slash = strrchr(path, '/');
	t->below = strdup(slash ? slash + 1 : path);
	if (!t->below)
		return fail_nomem(err);
	if (!*t->below || str_eq(t->below, "..") || str_eq(t->below, "."))
		return fail_code(err, ENOENT, "open '%s'", t->place->path);
	if (slash)
		slash[slash == path] = 0;
	r = mkdirs_at(AT_FDCWD, slash ? path : ".", 0700, err);
	if (r == 0)
		r = open_root_dir_at(AT_FDCWD, slash ? path : ".", err);
	if (r < 0)
		return r;
	t->root = r;
	return 0;
}

static int target_open(struct target *t, const struct place *place, struct imbrex_error *err)
{
	AUTO_CLOSE int there = -EBADF;
	int fd;

	t->place = place;
	t->into = str_ends(place->path, "/");
	fd = place_look(place, place->path, O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		t->root = fd;
		t->below = strdup(".");
		return t->below ? 0 : fail_nomem(err);
	}
	if (fd != -ENOENT && fd != -ENOTDIR)
		return fail_code(err, fd, "open '%s'", place->path);
	there = place_look(place, place->path, O_PATH | O_NOFOLLOW);
	t->is_there = there >= 0;
	if (!place->layer)
		return open_parent(t, err);
	t->below = clean_path(place->path);
	t->root = fcntl(place->root, F_DUPFD_CLOEXEC, 3);
	if (t->root < 0)
		return fail_errno(err, "open the target");
	return t->below ? 0 : fail(err, IMBREX_ELIMIT, "'%.200s' is too long", place->path);
}

/* ---- what is pushed ---------------------------------------------------------------------- */

/* Entries on their way to the target: below its path, and owned as asked for. */
struct moved {
	struct entry_sink base;
	struct entry_sink *to; /* owned */
	const char *below;     /* borrowed; "." for the root */
	const struct imbrex_copy_opts *opts;
	char path[LIMIT_PATH_BYTES + 1];
	char link[LIMIT_PATH_BYTES + 1];
};

static struct moved *moved_of(struct entry_sink *s)
{
	return CONTAINER_OF(s, struct moved, base);
}

static int put_below(const struct moved *m, const char *path, char ret[LIMIT_PATH_BYTES + 1],
	struct imbrex_error *err)
{
	bool root = str_eq(m->below, ".");
	bool itself = !root && str_eq(path, ".");
	size_t prefix = root ? 0 : strlen(m->below) + 1, len = strlen(path);

	if (prefix + len > LIMIT_PATH_BYTES)
		return fail(err, IMBREX_ELIMIT, "a path below '%.200s' is longer than %d bytes",
			m->below, LIMIT_PATH_BYTES);
	if (prefix) {
		memcpy(ret, m->below, prefix - 1);
		ret[prefix - 1] = '/';
	}
	memcpy(ret + prefix, path, len + 1);
	if (itself)
		ret[prefix - 1] = 0;
	return 0;
}

static int moved_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct moved *m = moved_of(s);
	struct entry copy = *e;
	int r;

	r = put_below(m, e->path, m->path, err);
	copy.path = m->path;
	if (r == 0 && e->type == ENTRY_HARDLINK) {
		r = put_below(m, e->link, m->link, err);
		copy.link = m->link;
	}
	if (m->opts->uid >= 0)
		copy.uid = (uint32_t)m->opts->uid;
	if (m->opts->gid >= 0)
		copy.gid = (uint32_t)m->opts->gid;
	return r < 0 ? r : m->to->ops->begin(m->to, &copy, err);
}

static int moved_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct entry_sink *to = moved_of(s)->to;

	return to->ops->data(to, buf, len, err);
}

static int moved_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct entry_sink *to = moved_of(s)->to;

	return to->ops->end(to, err);
}

static int moved_finish(struct entry_sink *s, struct imbrex_error *err)
{
	struct entry_sink *to = moved_of(s)->to;

	return to->ops->finish(to, err);
}

static void moved_free(struct entry_sink *s)
{
	entry_sink_free(moved_of(s)->to);
	free(moved_of(s));
}

static const struct entry_sink_ops moved_ops = {
	.begin = moved_begin,
	.data = moved_data,
	.end = moved_end,
	.finish = moved_finish,
	.free = moved_free,
};

static int moved_new(const struct target *target, const struct imbrex_copy_opts *opts,
	struct entry_sink **ret, struct imbrex_error *err)
{
	const struct place *place = target->place;
	const struct apply_opts how = {
		.whiteouts = APPLY_REMOVE,
		.maps = id_maps_empty(&place->maps.maps) ? NULL : &place->maps.maps,
		.in_userns = !in_initial_userns(),
		.ignore_chown_errors = place->s->single_id,
	};
	AUTO_CLOSE int root = fcntl(target->root, F_DUPFD_CLOEXEC, 3);
	AUTO_FREE struct moved *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return fail_nomem(err);
	if (root < 0)
		return fail_errno(err, "open the target");
	m->base.ops = &moved_ops;
	m->below = target->below;
	m->opts = opts;
	r = apply_new(root, &how, &m->to, err);
	if (r < 0)
		return r;
	(void)take_fd(root);
	*ret = &m->base;
	m = NULL;
	return 0;
}

/* ---- copying ----------------------------------------------------------------------------- */

static int push_bytes(
	int fd, uint64_t left, const char *name, struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_FREE char *buf = malloc(STREAM_BLOCK_BYTES);
	int r = 0;

	if (!buf)
		return fail_nomem(err);
	while (r == 0 && left) {
		size_t len, want = (size_t)MIN(left, (uint64_t)STREAM_BLOCK_BYTES);

		r = read_all(fd, buf, want, &len);
		if (r < 0)
			return fail_code(err, r, "read '%s'", name);
		if (len < want)
			return fail(
				err, IMBREX_EFAIL, "'%s' became shorter while it was read", name);
		r = to->ops->data(to, buf, len, err);
		left -= len;
	}
	return r;
}

/* `name`: what it is called below the target. */
static int push_file(const struct place *from, int seen, const struct stat *st, const char *name,
	struct entry_sink *to, struct imbrex_error *err)
{
	const struct tree_item item = { .path = name, .name = "", .dirfd = seen };
	AUTO_FREE struct item_xattrs *xattrs = calloc(1, sizeof(*xattrs));
	struct id_pair owner = { st->st_uid, st->st_gid };
	char magic[FD_PATH_BYTES];
	AUTO_CLOSE int fd = -EBADF;
	struct entry e = {
		.path = name,
		.type = ENTRY_FILE,
		.mode = st->st_mode & 07777,
		.size_bytes = (uint64_t)st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.atime_sec = st->st_mtim.tv_sec,
		.atime_nsec = (uint32_t)st->st_mtim.tv_nsec,
	};
	int r;

	if (!xattrs)
		return fail_nomem(err);
	fd_path(seen, magic);
	fd = open(magic, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "open '%s'", from->path);
	if (id_maps_to_inside(&from->maps.maps, &owner) < 0)
		return fail(err, IMBREX_EFORMAT,
			"'%s': its owner %u:%u of the host is not in the layer's identity map",
			from->path, owner.uid, owner.gid);
	e.uid = owner.uid;
	e.gid = owner.gid;
	item_xattrs_init(xattrs);
	r = item_xattrs_read(xattrs, &item, err);
	e.xattrs = xattrs->items;
	e.n_xattrs = xattrs->n;
	if (r == 0)
		r = to->ops->begin(to, &e, err);
	item_xattrs_done(xattrs);
	if (r == 0)
		r = push_bytes(fd, e.size_bytes, from->path, to, err);
	if (r == 0)
		r = to->ops->end(to, err);
	return r;
}

/* A target that ends with a slash is a directory to copy into. */
static int copy_file(const struct place *from, int seen, const struct stat *st,
	const struct target *target, const struct imbrex_copy_opts *opts, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *to = NULL;
	const char *slash = strrchr(from->path, '/');
	int r;

	if (!S_ISREG(st->st_mode))
		return fail(
			err, IMBREX_EINVAL, "'%s' is neither a file nor a directory", from->path);
	if (!target->into && str_eq(target->below, "."))
		return fail(err, IMBREX_EEXIST, "cannot overwrite directory '%s' with file '%s'",
			target->place->path, from->path);
	r = moved_new(target, opts, &to, err);
	if (r == 0)
		r = push_file(from, seen, st, target->into ? (slash ? slash + 1 : from->path) : ".",
			to, err);
	return r < 0 ? r : to->ops->finish(to, err);
}

/* What is in the directory comes into the target, which is made if it is missing. */
static int copy_dir(const struct place *from, int seen, const struct target *target,
	const struct imbrex_copy_opts *opts, struct imbrex_error *err)
{
	AUTO_CLOSE int dir = openat(seen, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct tree_pair tree = { .new = dir, .old = -EBADF, .maps = &from->maps.maps };
	struct entry made = { .path = ".", .type = ENTRY_DIR, .mode = 0755 };
	AUTO_ENTRY_SINK struct entry_sink *to = NULL;
	struct timespec now;
	int r;

	if (dir < 0)
		return fail_errno(err, "open '%s'", from->path);
	if (target->is_there)
		return fail(err, IMBREX_EEXIST, "cannot overwrite file '%s' with directory '%s'",
			target->place->path, from->path);
	now_realtime(&now);
	made.mtime_sec = made.atime_sec = now.tv_sec;
	r = moved_new(target, opts, &to, err);
	if (r == 0 && !str_eq(target->below, ".")) {
		r = to->ops->begin(to, &made, err);
		if (r == 0)
			r = to->ops->end(to, err);
	}
	return r < 0 ? r : diff_trees(&tree, to, err);
}

/* A tree that grows while it is copied would never end. */
static int check_outside(int seen, const struct target *target, struct imbrex_error *err)
{
	AUTO_CLOSE int dir = fcntl(target->root, F_DUPFD_CLOEXEC, 3);
	struct stat source, st, above = { 0 };

	if (fstat(seen, &source) < 0)
		return fail_errno(err, "stat the source");
	for (;;) {
		int up;

		if (dir < 0 || fstat(dir, &st) < 0)
			return fail_errno(err, "look above the target");
		if (st.st_dev == source.st_dev && st.st_ino == source.st_ino)
			return fail(err, IMBREX_EINVAL, "cannot copy a directory into itself");
		if (st.st_dev == above.st_dev && st.st_ino == above.st_ino)
			return 0;
		above = st;
		up = openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		(void)close_fd(dir);
		dir = up;
	}
}

static int copy_one(struct imbrex_store *s, const char *source, const struct place *to,
	const struct imbrex_copy_opts *opts, struct imbrex_error *err)
{
	AUTO_PLACE from = PLACE_INIT;
	AUTO_TARGET target = TARGET_INIT;
	AUTO_CLOSE int seen = -EBADF;
	struct stat st;
	int r;

	r = place_open(&from, s, source, /* read_only= */ true, err);
	if (r < 0)
		return r;
	seen = place_look(&from, from.path, O_PATH);
	if (seen < 0)
		return fail_code(err, seen, "open '%s'", source);
	if (fstat(seen, &st) < 0)
		return fail_errno(err, "stat '%s'", source);
	r = target_open(&target, to, err);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode))
		return copy_file(&from, seen, &st, &target, opts, err);
	r = check_outside(seen, &target, err);
	return r < 0 ? r : copy_dir(&from, seen, &target, opts, err);
}

PUBLIC int imbrex_copy(struct imbrex_store *s, const char *const *sources, const char *target,
	const struct imbrex_copy_opts *opts, struct imbrex_error *err)
{
	static const struct imbrex_copy_opts as_they_are = { .uid = -1, .gid = -1 };
	AUTO_PLACE to = PLACE_INIT;
	size_t i;
	int r;

	r = place_open(&to, s, target, /* read_only= */ false, err);
	for (i = 0; r == 0 && sources[i]; i++) {
		r = copy_one(s, sources[i], &to, opts ? opts : &as_they_are, err);
		if (r < 0)
			r = wrap(err, r, "copy '%s' to '%s'", sources[i], target);
	}
	return r;
}
