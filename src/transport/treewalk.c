/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One directory is open at a time, by its path below the root, so depth costs neither descriptors
 * nor stack. Directories that wait are kept as paths.
 */
#include "transport/treewalk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strv.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/xattr.h"

/* What tells one inode from another. */
struct inode_key {
	uint64_t dev;
	uint64_t ino;
};

struct walk {
	int root_fd;           /* borrowed */
	struct entry_sink *to; /* borrowed */
	struct strv waiting;   /* owned; paths of directories, the next one last */
	struct map *links;     /* owned; struct inode_key -> path in `first` */
	struct strv first;     /* owned; first paths of inodes with several names */
	size_t n_entries;
	char *buf; /* owned; STREAM_BLOCK_BYTES */
};

/* The attributes of one entry. */
struct attrs {
	struct str names;  /* owned; each with its NUL */
	struct str values; /* owned; one behind the other */
	struct entry_xattr list[LIMIT_XATTRS_PER_ENTRY];
	size_t n;
};

static void close_dir(DIR *dir)
{
	if (dir)
		(void)closedir(dir);
}
DEFINE_CLEANUP(dir, DIR, close_dir)

static void walk_done(struct walk *w)
{
	strv_done(&w->waiting);
	strv_done(&w->first);
	map_free(w->links);
	free(w->buf);
}

static void attrs_done(struct attrs *a)
{
	str_done(&a->names);
	str_done(&a->values);
}

static bool belongs_in_layer(const char *name)
{
	if (str_eq(name, "security.capability"))
		return true;
	return str_after(name, "user.") && !str_after(name, "user.overlay.");
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct entry_xattr *)a)->name, ((const struct entry_xattr *)b)->name);
}

static int read_attr(struct attrs *a, int dirfd, const char *file, const char *name,
	const char *path, struct imbrex_error *err)
{
	size_t before = a->values.len;
	int r;

	if (a->n == LIMIT_XATTRS_PER_ENTRY)
		return fail(err, IMBREX_ELIMIT, "'%s': more than %d extended attributes", path,
			LIMIT_XATTRS_PER_ENTRY);
	r = getxattr_at(dirfd, file, name, &a->values);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return fail_code(err, r, "'%s': read attribute %s", path, name);
	a->list[a->n++] = (struct entry_xattr){
		.name = name,
		.value_len = a->values.len - before,
	};
	return 0;
}

static int read_attrs(
	struct attrs *a, int dirfd, const char *file, const char *path, struct imbrex_error *err)
{
	size_t at = 0;
	int r;

	str_clear(&a->names);
	str_clear(&a->values);
	a->n = 0;
	r = listxattr_at(dirfd, file, &a->names);
	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return fail_code(err, r, "'%s': list attributes", path);
	for (const char *name = str_text(&a->names); name < str_text(&a->names) + a->names.len;
		name += strlen(name) + 1) {
		if (!belongs_in_layer(name))
			continue;
		r = read_attr(a, dirfd, file, name, path, err);
		if (r < 0)
			return r;
	}
	/* Only now do the values stay where they are. */
	for (size_t i = 0; i < a->n; i++) {
		a->list[i].value = str_text(&a->values) + at;
		at += a->list[i].value_len;
	}
	qsort(a->list, a->n, sizeof(a->list[0]), compare_xattrs);
	return 0;
}

static int push_content(struct walk *w, int fd, const struct entry *e, struct imbrex_error *err)
{
	uint64_t left = e->size_bytes;
	size_t len;
	int r;

	while (left > 0) {
		r = read_all(fd, w->buf, (size_t)MIN(left, (uint64_t)STREAM_BLOCK_BYTES), &len);
		if (r < 0)
			return fail_code(err, r, "read '%s'", e->path);
		if (len == 0)
			return fail(
				err, IMBREX_EIO, "'%s' became shorter while it was read", e->path);
		r = w->to->ops->data(w->to, w->buf, len, err);
		if (r < 0)
			return r;
		left -= len;
	}
	return 0;
}

static int push_entry(struct walk *w, int fd, const struct entry *e, struct imbrex_error *err)
{
	int r;

	if (++w->n_entries > LIMIT_LAYER_ENTRIES)
		return fail(err, IMBREX_ELIMIT, "more than %u entries", LIMIT_LAYER_ENTRIES);
	r = w->to->ops->begin(w->to, e, err);
	if (r < 0)
		return r;
	r = push_content(w, fd, e, err);
	if (r < 0)
		return r;
	return w->to->ops->end(w->to, err);
}

static void fill_entry(const struct stat *st, const char *path, struct attrs *a, struct entry *ret)
{
	*ret = (struct entry){
		.path = path,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.atime_sec = st->st_mtim.tv_sec,
		.atime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.xattrs = a->list,
		.n_xattrs = a->n,
	};
}

/* 1 and the first path of this inode, 0 if `path` is the first one itself. */
static int find_first(struct walk *w, const struct stat *st, const char *path, const char **ret,
	struct imbrex_error *err)
{
	struct inode_key key = { .dev = st->st_dev, .ino = st->st_ino };
	void *first;
	int r;

	if (map_get(w->links, (const char *)&key, sizeof(key), &first)) {
		*ret = first;
		return 1;
	}
	r = strv_add(&w->first, path);
	if (r == 0)
		r = map_add(
			w->links, (const char *)&key, sizeof(key), w->first.items[w->first.n - 1]);
	return r < 0 ? fail_nomem(err) : 0;
}

static int push_hardlink(struct walk *w, const struct stat *st, const char *path, const char *first,
	struct attrs *a, struct imbrex_error *err)
{
	struct entry e;

	a->n = 0;
	fill_entry(st, path, a, &e);
	e.type = ENTRY_HARDLINK;
	e.link = first;
	return push_entry(w, -EBADF, &e, err);
}

static int push_file(struct walk *w, int dirfd, const char *name, const char *path,
	const struct stat *seen, struct attrs *a, struct imbrex_error *err)
{
	AUTO_CLOSE int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct entry e;
	struct stat st;

	if (fd < 0)
		return fail_errno(err, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '%s'", path);
	if (st.st_ino != seen->st_ino || st.st_dev != seen->st_dev || !S_ISREG(st.st_mode))
		return fail(err, IMBREX_EBUSY, "'%s' was replaced while it was read", path);
	fill_entry(&st, path, a, &e);
	e.type = ENTRY_FILE;
	e.size_bytes = (uint64_t)st.st_size;
	return push_entry(w, fd, &e, err);
}

static int push_symlink(struct walk *w, int dirfd, const char *name, const char *path,
	const struct stat *st, struct attrs *a, struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_PATH_BYTES);
	struct entry e;
	int r;

	r = read_link_at(dirfd, name, &target, err);
	if (r < 0)
		return r;
	fill_entry(st, path, a, &e);
	e.type = ENTRY_SYMLINK;
	e.link = str_text(&target);
	return push_entry(w, -EBADF, &e, err);
}

static int push_special(struct walk *w, const char *path, const struct stat *st, struct attrs *a,
	struct imbrex_error *err)
{
	struct entry e;

	fill_entry(st, path, a, &e);
	if (S_ISFIFO(st->st_mode)) {
		e.type = ENTRY_FIFO;
	} else {
		e.type = S_ISCHR(st->st_mode) ? ENTRY_CHAR : ENTRY_BLOCK;
		e.dev_major = major(st->st_rdev);
		e.dev_minor = minor(st->st_rdev);
	}
	return push_entry(w, -EBADF, &e, err);
}

static int push_dir(struct walk *w, const char *path, const struct stat *st, struct attrs *a,
	struct imbrex_error *err)
{
	struct entry e;

	fill_entry(st, path, a, &e);
	e.type = ENTRY_DIR;
	return push_entry(w, -EBADF, &e, err);
}

static int push_named(struct walk *w, int dirfd, const char *name, const char *path,
	struct strv *subdirs, struct attrs *a, struct imbrex_error *err)
{
	const char *first = NULL;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "stat '%s'", path);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (str_after(name, ".wh."))
		return fail(err, IMBREX_EFORMAT,
			"'%s': a layer cannot hold names that begin with '.wh.'", path);
	r = read_attrs(a, dirfd, name, path, err);
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode)) {
		r = push_dir(w, path, &st, a, err);
		if (r == 0 && strv_add(subdirs, path) < 0)
			r = fail_nomem(err);
		return r;
	}
	if (st.st_nlink > 1) {
		r = find_first(w, &st, path, &first, err);
		if (r != 0)
			return r < 0 ? r : push_hardlink(w, &st, path, first, a, err);
	}
	if (S_ISREG(st.st_mode))
		return push_file(w, dirfd, name, path, &st, a, err);
	if (S_ISLNK(st.st_mode))
		return push_symlink(w, dirfd, name, path, &st, a, err);
	return push_special(w, path, &st, a, err);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(int dirfd, const char *path, struct strv *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	AUTO(dir) DIR *dir = NULL;
	const struct dirent *e;

	if (copy >= 0)
		dir = fdopendir(copy);
	if (!dir)
		return fail_errno(err, "open directory '%s'", path);
	(void)take_fd(copy);
	for (;;) {
		errno = 0;
		e = readdir(dir);
		if (!e)
			break;
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (ret->n >= LIMIT_LAYER_ENTRIES)
			return fail(err, IMBREX_ELIMIT, "'%s': more than %u entries", path,
				LIMIT_LAYER_ENTRIES);
		if (strv_add(ret, e->d_name) < 0)
			return fail_nomem(err);
	}
	if (errno)
		return fail_errno(err, "read directory '%s'", path);
	if (ret->n > 0)
		qsort(ret->items, ret->n, sizeof(ret->items[0]), compare_names);
	return 0;
}

/* "." for the root, else a clean relative path. */
static char *join(const char *dir, const char *name)
{
	return str_eq(dir, ".") ? strdup(name) : format_text("%s/%s", dir, name);
}

static int walk_dir(struct walk *w, const char *path, struct attrs *a, struct imbrex_error *err)
{
	AUTO_CLOSE int fd =
		open_beneath(w->root_fd, path, O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);
	AUTO_STRV names = { 0 };
	AUTO_STRV subdirs = { 0 };
	int r;

	if (fd < 0)
		return fail_code(err, fd, "open directory '%s'", path);
	r = list_names(fd, path, &names, err);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		AUTO_FREE char *child = join(path, names.items[i]);

		if (!child)
			return fail_nomem(err);
		if (strlen(child) > LIMIT_PATH_BYTES)
			return fail(err, IMBREX_ELIMIT, "'%.64s...': path longer than %d bytes",
				child, LIMIT_PATH_BYTES);
		r = push_named(w, fd, names.items[i], child, &subdirs, a, err);
	}
	for (size_t i = subdirs.n; i > 0 && r == 0; i--) {
		if (strv_add(&w->waiting, subdirs.items[i - 1]) < 0)
			r = fail_nomem(err);
	}
	return r;
}

static int walk_all(struct walk *w, struct attrs *a, struct imbrex_error *err)
{
	struct stat st;
	int r;

	if (fstat(w->root_fd, &st) < 0)
		return fail_errno(err, "stat '.'");
	r = read_attrs(a, w->root_fd, "", ".", err);
	if (r == 0)
		r = push_dir(w, ".", &st, a, err);
	if (r == 0 && strv_add(&w->waiting, ".") < 0)
		r = fail_nomem(err);
	while (r == 0 && w->waiting.n > 0) {
		AUTO_FREE char *path = w->waiting.items[--w->waiting.n];

		w->waiting.items[w->waiting.n] = NULL;
		r = walk_dir(w, path, a, err);
	}
	return r < 0 ? r : w->to->ops->finish(w->to, err);
}

int treewalk_push(int rootfd, struct entry_sink *to, struct imbrex_error *err)
{
	struct walk w = { .root_fd = rootfd, .to = to };
	struct attrs *a = calloc(1, sizeof(*a));
	int r;

	w.links = map_new();
	w.buf = malloc(STREAM_BLOCK_BYTES);
	if (a) {
		/* Linux bounds both for one inode: XATTR_LIST_MAX and its values. */
		a->names.max_len = LIMIT_XATTR_VALUE_BYTES;
		a->values.max_len = 2u * LIMIT_PAX_BYTES;
	}
	if (!a || !w.links || !w.buf)
		r = fail_nomem(err);
	else
		r = walk_all(&w, a, err);
	walk_done(&w);
	if (a)
		attrs_done(a);
	free(a);
	return r;
}
