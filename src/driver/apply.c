/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries -> directory.
 *
 * The cost of an entry is the cost of its inode: the directory of the last entry stays open, so
 * that its neighbours need no path walk; creation is tried first and only "exists" makes us look;
 * owner and mode are only set when creation cannot have made them right already.
 *
 * Invariants:
 * (1) Nothing outside `root` is touched. Every parent is opened by openat2 from `root`, first
 *     without symbolic links, then (a layer may say "lib -> usr/lib" and "lib/x") as after a chroot
 *     into it. The last component is created, removed or linked by name in that directory and
 *     never followed.
 * (2) A directory keeps the times it was given while entries are made in it: they are read when
 *     it becomes `parent` and put back when it stops being it. So no list of directories is kept,
 *     and memory does not grow with the layer (APPLY_REMOVE: 8 bytes an entry).
 * (3) Between begin() and end() of a file with content `file` is open and `pending` describes it.
 *     Owner, mode and xattrs follow the content, because writing drops set-id bits and file
 *     capabilities; owner precedes mode, because chown drops set-id bits.
 * (4) The work is bounded by the entries plus what lies in the tree: a subtree that an opaque mark
 *     has cleared is not walked again.
 *
 * Source: docs/formats/overlay-layer.md, "How entries become inodes"; tests/driver compares with
 * podman.
 */
#include "driver/apply_work.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "driver/override.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/xattr.h"

int apply_chown_failed(struct apply *a, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;
	int r;

	if (a->opts.ignore_chown_errors)
		return 0;
	if (errno == EINVAL && a->opts.in_userns) {
		r = fail(err, IMBREX_EPERM,
			"layer entry '%s': uid %u or gid %u is not mapped in the user namespace",
			a->pending.path, e->uid, e->gid);
		return hint(err, r,
			"give the user more ids in /etc/subuid and /etc/subgid, or set "
			"ignore_chown_errors");
	}
	return fail_errno(
		err, "layer entry '%s': set owner %u:%u", a->pending.path, e->uid, e->gid);
}

/* Ids of the entry, as inside of the maps, become those of the host. */
static int map_ids(struct apply *a, struct imbrex_error *err)
{
	struct entry *e = &a->pending.e;
	struct id_pair ids = { e->uid, e->gid };
	int r;

	if (id_maps_to_host(a->opts.maps, &ids) < 0) {
		r = fail(err, IMBREX_EINVAL,
			"layer entry '%s': uid %u or gid %u is not in the layer's identity map",
			a->pending.path, e->uid, e->gid);
		if (err)
			err->errnum = EOVERFLOW;
		return r;
	}
	e->uid = ids.uid;
	e->gid = ids.gid;
	return 0;
}

bool apply_needs_chown(const struct apply *a)
{
	const struct entry *e = &a->pending.e;

	return !a->opts.has_force_mask &&
	       (!a->parent.plain_ids || e->uid != a->euid || e->gid != a->egid);
}

/* True if an inode created with `mode & 0777` can have other bits than `mode`. */
static bool needs_chmod(const struct apply *a, mode_t mode)
{
	return a->always_chmod || mode & 07000 || mode & a->umask;
}

static void entry_times(const struct entry *e, struct timespec ret[2])
{
	bool older = e->atime_sec < e->mtime_sec ||
		     (e->atime_sec == e->mtime_sec && e->atime_nsec < e->mtime_nsec);

	ret[1] = (struct timespec){ .tv_sec = e->mtime_sec, .tv_nsec = e->mtime_nsec };
	ret[0] = older ? ret[1]
		       : (struct timespec){ .tv_sec = e->atime_sec, .tv_nsec = e->atime_nsec };
}

bool apply_xattr_is_ours(const char *name)
{
	const char *rest = str_after(name, "trusted.overlay.");

	if (!rest)
		rest = str_after(name, "user.overlay.");
	if (rest)
		return !str_after(rest, "overlay.");
	return str_eq(name, "security.selinux") || str_eq(name, OVERRIDE_XATTR) ||
	       str_after(name, "user.fuseoverlayfs.");
}

int apply_set_xattr(struct apply *a, int fd, const char *name, const void *value, size_t len,
	struct imbrex_error *err)
{
	int r;

	if (fd < 0)
		r = setxattr_at(a->parent.fd, a->pending.name, name, value, len);
	else
		r = fsetxattr(fd, name, value, len, 0) < 0 ? -errno : 0;
	if (r == 0 || r == -EOPNOTSUPP || (r == -EPERM && a->opts.in_userns))
		return 0;
	return fail_code(err, r, "layer entry '%s': set xattr '%s'", a->pending.path, name);
}

static int apply_xattrs(struct apply *a, int fd, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;
	size_t i;
	int r;

	for (i = 0; i < e->n_xattrs; i++) {
		const struct entry_xattr *x = &e->xattrs[i];

		if (apply_xattr_is_ours(x->name))
			continue;
		r = apply_set_xattr(a, fd, x->name, x->value, x->value_len, err);
		if (r < 0)
			return r;
		a->always_chmod |= str_eq(x->name, "system.posix_acl_default");
	}
	return 0;
}

static int set_override(struct apply *a, int fd, struct imbrex_error *err)
{
	char text[OVERRIDE_TEXT_BYTES];

	override_format(&a->pending.e, text);
	return apply_set_xattr(a, fd, OVERRIDE_XATTR, text, strlen(text), err);
}

/* Everything after content, for an inode that is open. */
static int finish_fd(struct apply *a, int fd, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;
	struct timespec times[2];
	mode_t mode = a->opts.has_force_mask ? a->opts.force_mask : e->mode;
	int r;

	if (apply_needs_chown(a) && fchown(fd, e->uid, e->gid) < 0) {
		r = apply_chown_failed(a, err);
		if (r < 0)
			return r;
	}
	if (needs_chmod(a, mode) && fchmod(fd, mode) < 0)
		return fail_errno(err, "layer entry '%s': set mode %04o", a->pending.path, mode);
	entry_times(e, times);
	if (futimens(fd, times) < 0)
		return fail_errno(err, "layer entry '%s': set times", a->pending.path);
	r = apply_xattrs(a, fd, err);
	if (r == 0 && a->opts.has_force_mask)
		r = set_override(a, fd, err);
	return r;
}

/*
 * The same for an inode that cannot be opened.
 *
 * was_there  owner and mode are not what creation would have given
 * mode       S_IFLNK: no mode to set
 */
static int finish_name(struct apply *a, bool was_there, mode_t type, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;
	const char *name = a->pending.name;
	struct timespec times[2];
	int r;

	if ((was_there || apply_needs_chown(a)) &&
		fchownat(a->parent.fd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0) {
		r = apply_chown_failed(a, err);
		if (r < 0)
			return r;
	}
	if (type != S_IFLNK && (was_there || needs_chmod(a, e->mode) || a->parent.setgid) &&
		fchmodat(a->parent.fd, name, e->mode, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer entry '%s': set mode %04o", a->pending.path, e->mode);
	entry_times(e, times);
	if (utimensat(a->parent.fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer entry '%s': set times", a->pending.path);
	return apply_xattrs(a, -EBADF, err);
}

int apply_clear_name(struct apply *a, struct imbrex_error *err)
{
	int r;

	if (unlinkat(a->parent.fd, a->pending.name, 0) == 0)
		return 0;
	r = remove_tree_at(a->parent.fd, a->pending.name, err);
	return r < 0 ? wrap(err, r, "layer entry '%s'", a->pending.path) : 0;
}

/* Keep the xattrs of the entry until its content has been written. */
static int keep_xattrs(struct apply *a, struct imbrex_error *err)
{
	struct entry *e = &a->pending.e;
	size_t i, bytes = e->n_xattrs * sizeof(*e->xattrs);
	struct entry_xattr *copy;
	char *p;

	for (i = 0; i < e->n_xattrs; i++)
		bytes += strlen(e->xattrs[i].name) + 1 + e->xattrs[i].value_len;
	copy = malloc(bytes);
	if (!copy)
		return fail_nomem(err);
	p = (char *)(copy + e->n_xattrs);
	for (i = 0; i < e->n_xattrs; i++) {
		size_t n = strlen(e->xattrs[i].name) + 1;

		copy[i].name = memcpy(p, e->xattrs[i].name, n);
		copy[i].value_len = e->xattrs[i].value_len;
		copy[i].value = p + n;
		if (copy[i].value_len)
			memcpy(p + n, e->xattrs[i].value, copy[i].value_len);
		p += n + copy[i].value_len;
	}
	a->pending.xattrs = copy;
	e->xattrs = copy;
	return 0;
}

int apply_create_file(struct apply *a, const char *name, struct imbrex_error *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	mode_t mode = (a->opts.has_force_mask ? a->opts.force_mask : a->pending.e.mode) & 0777;
	int fd, r;

	fd = openat(a->parent.fd, name, flags, mode);
	if (fd < 0 && errno == EEXIST) {
		r = apply_clear_name(a, err);
		if (r < 0)
			return r;
		fd = openat(a->parent.fd, name, flags, mode);
	}
	if (fd < 0)
		return fail_errno(err, "layer entry '%s': create file", a->pending.path);
	a->file = fd;
	return 0;
}

int apply_close_file(struct apply *a, struct imbrex_error *err)
{
	int r = finish_fd(a, a->file, err);
	int fd = take_fd(a->file);

	free(take_ptr(a->pending.xattrs));
	if (r < 0) {
		(void)close_fd(fd);
		return r;
	}
	if (close(fd) < 0)
		return fail_errno(err, "layer entry '%s': close", a->pending.path);
	return 0;
}

static int begin_file(struct apply *a, struct imbrex_error *err)
{
	uint64_t left = a->pending.e.type == ENTRY_FILE ? a->pending.e.size_bytes : 0;
	int r = left ? apply_adopt_file(a, err) : apply_create_file(a, a->pending.name, err);

	if (r < 0)
		return r;
	a->left = left;
	if (a->left == 0)
		return apply_close_file(a, err);
	if (a->file < 0)
		return 0;
	return a->pending.e.n_xattrs ? keep_xattrs(a, err) : 0;
}

static int begin_dir(struct apply *a, struct imbrex_error *err)
{
	const char *name = a->pending.name;
	mode_t mode = a->opts.has_force_mask ? a->opts.force_mask : a->pending.e.mode;
	bool was_there = false;
	struct stat st;
	int r;

	r = mkdirat(a->parent.fd, name, mode & 0777);
	if (r < 0 && errno == EEXIST) {
		r = fstatat(a->parent.fd, name, &st, AT_SYMLINK_NOFOLLOW);
		was_there = r == 0 && S_ISDIR(st.st_mode);
		if (!was_there) {
			r = apply_clear_name(a, err);
			if (r < 0)
				return r;
			r = mkdirat(a->parent.fd, name, mode & 0777);
		}
	}
	if (r < 0)
		return fail_errno(err, "layer entry '%s': make directory", a->pending.path);
	if (a->opts.has_force_mask) {
		AUTO_CLOSE int fd = -EBADF;

		fd = openat(a->parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return fail_errno(err, "layer entry '%s': open", a->pending.path);
		return finish_fd(a, fd, err);
	}
	return finish_name(a, was_there, S_IFDIR, err);
}

static int begin_symlink(struct apply *a, struct imbrex_error *err)
{
	const char *target = a->pending.e.link;
	int r;

	r = symlinkat(target, a->parent.fd, a->pending.name);
	if (r < 0 && errno == EEXIST) {
		r = apply_clear_name(a, err);
		if (r < 0)
			return r;
		r = symlinkat(target, a->parent.fd, a->pending.name);
	}
	if (r < 0)
		return fail_errno(err, "layer entry '%s': make symbolic link", a->pending.path);
	return finish_name(a, false, S_IFLNK, err);
}

static int make_node(struct apply *a, mode_t type, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;
	const char *name = a->pending.name;
	dev_t dev = type == S_IFIFO ? 0 : makedev(e->dev_major, e->dev_minor);
	int r;

	if (type != S_IFIFO && a->opts.in_userns)
		return 0;
	r = mknodat(a->parent.fd, name, type | (e->mode & 0777), dev);
	if (r < 0 && errno == EEXIST) {
		r = apply_clear_name(a, err);
		if (r < 0)
			return r;
		r = mknodat(a->parent.fd, name, type | (e->mode & 0777), dev);
	}
	if (r < 0)
		return fail_errno(err, "layer entry '%s': make %s", a->pending.path,
			type == S_IFIFO ? "fifo" : "device node");
	return finish_name(a, false, type, err);
}

/* The metadata of a hard link entry goes to the shared inode; what is right already is left
 * alone, so that file capabilities survive links whose entry does not repeat them. */
static int finish_hardlink(struct apply *a, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;
	struct timespec times[2];
	struct stat st;
	bool chown;

	if (a->opts.has_force_mask)
		return 0;
	if (fstatat(a->parent.fd, a->pending.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer entry '%s': stat", a->pending.path);
	chown = st.st_uid != e->uid || st.st_gid != e->gid;
	if (chown || (!S_ISLNK(st.st_mode) && (st.st_mode & 07777) != e->mode))
		return finish_name(a, true, st.st_mode & S_IFMT, err);
	if (S_ISLNK(st.st_mode))
		return 0;
	entry_times(e, times);
	if (utimensat(a->parent.fd, a->pending.name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer entry '%s': set times", a->pending.path);
	return apply_xattrs(a, -EBADF, err);
}

static int begin_hardlink(struct apply *a, struct imbrex_error *err)
{
	const char *link = a->pending.e.link;
	const char *slash = strrchr(link, '/');
	const char *name = slash ? slash + 1 : link;
	size_t dir_len = slash ? (size_t)(slash - link) : 0;
	AUTO_CLOSE int other = -EBADF;
	char path[LIMIT_PATH_BYTES + 1];
	struct stat st;
	int from, r;

	if (!*name || str_eq(name, ".") || str_eq(name, "..") || dir_len > LIMIT_PATH_BYTES)
		return fail(err, IMBREX_EFORMAT,
			"layer entry '%s': hard link to '%s', which names no file", a->pending.path,
			link);
	if (dir_len == a->parent.len && memcmp(link, a->parent.path, dir_len) == 0) {
		from = a->parent.fd;
	} else {
		memcpy(path, link, dir_len);
		path[dir_len] = 0;
		other = apply_open_inside(a->root, dir_len ? path : ".", O_PATH);
		if (other < 0)
			return fail_code(err, other, "layer entry '%s': hard link to '%s'",
				a->pending.path, link);
		from = other;
	}
	r = linkat(from, name, a->parent.fd, a->pending.name, 0);
	if (r < 0 && errno == EEXIST) {
		r = apply_clear_name(a, err);
		if (r < 0)
			return r;
		r = linkat(from, name, a->parent.fd, a->pending.name, 0);
	}
	if (r < 0) {
		int saved = errno;

		if (saved == EPERM && fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISDIR(st.st_mode))
			return fail(err, IMBREX_EFORMAT,
				"layer entry '%s': hard link to the directory '%s'",
				a->pending.path, link);
		return fail_code(
			err, saved, "layer entry '%s': hard link to '%s'", a->pending.path, link);
	}
	return finish_hardlink(a, err);
}

/* The entry "." */
static int begin_root(struct apply *a, struct imbrex_error *err)
{
	const struct entry *e = &a->pending.e;
	int r;

	if (e->type == ENTRY_OPAQUE) {
		r = apply_get_parent(a, 0, err);
		return r < 0 ? r : apply_begin_whiteout(a, err);
	}
	if (e->type != ENTRY_DIR)
		return fail(err, IMBREX_EFORMAT,
			"layer entry '.': the root of a layer can only be a directory");
	if (a->opts.has_force_mask) {
		a->root_overridden = true;
		return set_override(a, a->root, err);
	}
	if (!a->opts.apply_root)
		return 0;
	/* As a parent, so that its times are put back when the last entry has been made. */
	r = apply_get_parent(a, 0, err);
	if (r < 0)
		return r;
	if (fchown(a->parent.fd, e->uid, e->gid) < 0) {
		r = apply_chown_failed(a, err);
		if (r < 0)
			return r;
	}
	if (fchmod(a->parent.fd, e->mode) < 0)
		return fail_errno(err, "layer entry '.': set mode %04o", e->mode);
	a->parent.plain_ids = e->gid == a->egid;
	a->parent.setgid = e->mode & S_ISGID;
	entry_times(e, a->parent.times);
	return apply_xattrs(a, a->parent.fd, err);
}

static int begin_typed(struct apply *a, struct imbrex_error *err)
{
	enum entry_type type = a->pending.e.type;

	/* With force_mask devices and fifos are empty files that say in an xattr what they are. */
	if (a->opts.has_force_mask &&
		(type == ENTRY_CHAR || type == ENTRY_BLOCK || type == ENTRY_FIFO))
		return begin_file(a, err);
	switch (type) {
	case ENTRY_FILE:
		return begin_file(a, err);
	case ENTRY_DIR:
		return begin_dir(a, err);
	case ENTRY_SYMLINK:
		return begin_symlink(a, err);
	case ENTRY_HARDLINK:
		return begin_hardlink(a, err);
	case ENTRY_CHAR:
		return make_node(a, S_IFCHR, err);
	case ENTRY_BLOCK:
		return make_node(a, S_IFBLK, err);
	case ENTRY_FIFO:
		return make_node(a, S_IFIFO, err);
	case ENTRY_WHITEOUT:
	case ENTRY_OPAQUE:
		break;
	}
	return apply_begin_whiteout(a, err);
}

static int apply_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct apply *a = CONTAINER_OF(s, struct apply, base);
	struct pending *p = &a->pending;
	size_t len = strlen(e->path), dir_len;
	const char *slash;
	int r;

	assert(a->file < 0);
	if (len > LIMIT_PATH_BYTES)
		return fail(err, IMBREX_ELIMIT, "layer entry: path of %zu bytes, limit is %d", len,
			LIMIT_PATH_BYTES);
	memcpy(p->path, e->path, len + 1);
	p->e = *e;
	p->e.path = p->path;
	a->left = 0;
	a->adopted = false;
	r = map_ids(a, err);
	if (r < 0)
		return r;
	if (str_eq(p->path, "."))
		return begin_root(a, err);
	slash = strrchr(p->path, '/');
	p->name = slash ? slash + 1 : p->path;
	dir_len = slash ? (size_t)(slash - p->path) : 0;
	r = apply_get_parent(a, e->type == ENTRY_OPAQUE ? len : dir_len, err);
	if (r < 0)
		return r;
	if (r > 0 && (e->type == ENTRY_WHITEOUT || e->type == ENTRY_OPAQUE))
		return 0; /* below something that is no directory there is nothing to hide */
	if (r > 0)
		return fail(err, IMBREX_EFORMAT, "layer entry '%s': parent '%s' is not a directory",
			p->path, a->parent.path);
	r = begin_typed(a, err);
	if (r < 0 || e->type == ENTRY_WHITEOUT || e->type == ENTRY_OPAQUE)
		return r;
	return apply_note_unpacked(a, p->path, len, err);
}

static int apply_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct apply *a = CONTAINER_OF(s, struct apply, base);
	int r;

	assert((a->file >= 0 || a->adopted) && len <= a->left);
	r = a->adopted ? 0 : write_all(a->file, buf, len);
	if (r < 0)
		return fail_code(err, r, "layer entry '%s': write", a->pending.path);
	a->left -= len;
	return 0;
}

static int apply_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct apply *a = CONTAINER_OF(s, struct apply, base);

	assert(a->left == 0);
	return a->file >= 0 ? apply_close_file(a, err) : 0;
}

static int apply_finish(struct entry_sink *s, struct imbrex_error *err)
{
	struct apply *a = CONTAINER_OF(s, struct apply, base);
	int r;

	assert(a->file < 0);
	if (a->opts.has_force_mask && !a->root_overridden) {
		a->pending.e = (struct entry){ .type = ENTRY_DIR,
			.mode = IMPLICIT_DIR_MODE,
			.uid = a->layer_root.uid,
			.gid = a->layer_root.gid };
		(void)memcpy(a->pending.path, ".", sizeof("."));
		r = set_override(a, a->root, err);
		if (r < 0)
			return r;
	}
	return apply_put_parent(a, err);
}

static void apply_free(struct entry_sink *s)
{
	struct apply *a = CONTAINER_OF(s, struct apply, base);

	(void)close_fd(a->file);
	(void)close_fd(a->parent.fd);
	(void)close_fd(a->root);
	free(a->pending.xattrs);
	pathset_free(a->unpacked);
	pathset_free(a->cleared);
	free(a);
}

/* The umask, without setting it: other threads would see that. All bits if unknown. */
static mode_t read_umask(void)
{
	AUTO_STR text = STR_INIT(16384);
	const char *line;
	struct imbrex_error ignored;

	if (read_file_at(AT_FDCWD, "/proc/self/status", text.max_len, &text, &ignored) < 0)
		return 0777;
	line = strstr(str_text(&text), "\nUmask:");
	return line ? (mode_t)strtoul(line + strlen("\nUmask:"), NULL, 8) : 0777;
}

static const struct entry_sink_ops apply_ops = {
	.begin = apply_begin,
	.data = apply_data,
	.end = apply_end,
	.finish = apply_finish,
	.free = apply_free,
};

int apply_new(int rootfd, const struct apply_opts *opts, struct entry_sink **ret,
	struct imbrex_error *err)
{
	struct apply *a = calloc(1, sizeof(*a));

	if (!a)
		return fail_nomem(err);
	a->base.ops = &apply_ops;
	a->opts = *opts;
	a->root = a->file = a->parent.fd = -EBADF;
	a->umask = read_umask();
	a->euid = geteuid();
	a->egid = getegid();
	a->layer_root = (struct id_pair){ a->euid, a->egid };
	if (!id_maps_empty(opts->maps) && id_maps_root(opts->maps, &a->layer_root) < 0) {
		apply_free(&a->base);
		return fail(err, IMBREX_EINVAL, "the identity map of a new layer has no root");
	}
	a->always_chmod = fgetxattr(rootfd, "system.posix_acl_default", NULL, 0) >= 0;
	if (opts->whiteouts == APPLY_REMOVE) {
		a->unpacked = pathset_new();
		a->cleared = pathset_new();
		if (!a->unpacked || !a->cleared) {
			apply_free(&a->base);
			return fail_nomem(err);
		}
	}
	a->root = rootfd;
	*ret = &a->base;
	return 0;
}
