/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk with an explicit stack. Each level has the sorted names of its directory; only the last
 * OPEN_LEVELS keep their fd, the others are opened again from the root when the walk is back.
 */
#include "driver/treewalk.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/strv.h"
#include "os/beneath.h"
#include "os/xattr.h"

#define OPEN_LEVELS 64

struct level {
	struct strv names;
	size_t next;     /* index of the name that comes next */
	size_t path_len; /* of the path of this directory; 0 for the root */
	int fd;          /* owned; -EBADF: closed for now */
};

struct tree_walk {
	int root;             /* borrowed */
	struct level *levels; /* owned; n_levels used of cap */
	size_t n_levels;
	size_t cap;
	bool enter; /* the last item is a directory to enter */
	char path[LIMIT_PATH_BYTES + 1];
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in the directory `fd` (not taken), sorted. */
static int read_names(int fd, struct strv *ret)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;
	int r = 0;

	if (!dir) {
		r = -errno;
		(void)close_fd(copy);
		return r;
	}
	for (;;) {
		errno = 0;
		d = readdir(dir);
		if (!d) {
			r = -errno;
			break;
		}
		if (str_eq(d->d_name, ".") || str_eq(d->d_name, ".."))
			continue;
		r = strv_add(ret, d->d_name);
		if (r < 0)
			break;
	}
	(void)closedir(dir);
	if (r == 0 && ret->n > 1)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare_names);
	return r;
}

static int push_level(struct tree_walk *w, int dirfd, const char *name, size_t path_len)
{
	struct level *l;
	int fd, r;

	if (w->n_levels == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 16;
		struct level *levels = realloc(w->levels, cap * sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		w->levels = levels;
		w->cap = cap;
	}
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	l = &w->levels[w->n_levels++];
	*l = (struct level){ .path_len = path_len, .fd = fd };
	r = read_names(fd, &l->names);
	if (r == 0 && w->n_levels > OPEN_LEVELS) {
		struct level *old = &w->levels[w->n_levels - 1 - OPEN_LEVELS];

		old->fd = close_fd(old->fd);
	}
	return r;
}

static void pop_level(struct tree_walk *w)
{
	struct level *l = &w->levels[--w->n_levels];

	(void)close_fd(l->fd);
	strv_done(&l->names);
}

static int reopen(struct tree_walk *w, struct level *l)
{
	int fd;

	if (l->fd >= 0)
		return 0;
	w->path[l->path_len] = 0;
	fd = open_beneath(w->root, l->path_len ? w->path : ".", O_RDONLY | O_DIRECTORY, 0,
		BENEATH_NO_SYMLINKS);
	if (fd < 0)
		return fd;
	l->fd = fd;
	return 0;
}

int tree_walk_new(int rootfd, struct tree_walk **ret, struct imbrex_error *err)
{
	struct tree_walk *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return fail_nomem(err);
	w->root = rootfd;
	r = push_level(w, rootfd, ".", 0);
	if (r < 0) {
		tree_walk_free(w);
		return fail_code(err, r, "read directory");
	}
	*ret = w;
	return 0;
}

static bool has_vanished(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/* Go down into the directory that was returned last, unless it is gone. */
static int enter_last(struct tree_walk *w, struct imbrex_error *err)
{
	const char *name = strrchr(w->path, '/');
	int r;

	w->enter = false;
	name = name ? name + 1 : w->path;
	r = push_level(w, w->levels[w->n_levels - 1].fd, name, strlen(w->path));
	if (r < 0 && !has_vanished(r))
		return fail_code(err, r, "read directory '%s'", w->path);
	return 0;
}

/* The level that has the next name, and its fd; NULL at the end. */
static int next_level(struct tree_walk *w, struct level **ret, struct imbrex_error *err)
{
	for (;;) {
		struct level *l = &w->levels[w->n_levels - 1];
		int r = 0;

		if (l->next < l->names.n) {
			*ret = l;
			r = reopen(w, l);
			if (r == 0)
				return 0;
			if (!has_vanished(r))
				return fail_code(err, r, "open directory '%s' again", w->path);
		}
		*ret = NULL;
		if (w->n_levels == 1)
			return 0;
		pop_level(w);
	}
}

int tree_walk_next(struct tree_walk *w, struct tree_item *ret, struct imbrex_error *err)
{
	struct level *l;
	const char *name;
	size_t len, n;
	int r;

	r = w->enter ? enter_last(w, err) : 0;
	if (r < 0)
		return r;
	do {
		r = next_level(w, &l, err);
		if (r < 0 || !l)
			return r;
		name = l->names.items[l->next++];
		len = l->path_len;
		n = strlen(name);
		if (len + 1 + n > LIMIT_PATH_BYTES)
			return fail(err, IMBREX_ELIMIT,
				"path below '%.200s' is longer than %d bytes", w->path,
				LIMIT_PATH_BYTES);
		w->path[len] = '/';
		len += len != 0;
		memcpy(w->path + len, name, n + 1);
		r = fstatat(l->fd, name, &ret->st, AT_SYMLINK_NOFOLLOW);
		if (r < 0 && errno != ENOENT)
			return fail_errno(err, "stat '%s'", w->path);
	} while (r < 0);
	ret->path = w->path;
	ret->name = w->path + len;
	ret->dirfd = l->fd;
	w->enter = S_ISDIR(ret->st.st_mode);
	return 1;
}

void tree_walk_skip(struct tree_walk *w)
{
	w->enter = false;
}

void tree_walk_free(struct tree_walk *w)
{
	if (!w)
		return;
	while (w->n_levels)
		pop_level(w);
	free(w->levels);
	free(w);
}

static bool has_fuse_xattr(const struct tree_item *item)
{
	AUTO_STR names = STR_INIT(LIMIT_XATTR_VALUE_BYTES);
	size_t i;

	if (!S_ISDIR(item->st.st_mode) || listxattr_at(item->dirfd, item->name, &names) < 0)
		return false;
	for (i = 0; i < names.len; i += strlen(names.data + i) + 1)
		if (str_after(names.data + i, "user.fuseoverlayfs.") ||
			str_after(names.data + i, "user.containers."))
			return true;
	return false;
}

bool tree_has_fuse_traces(int dirfd, const char *name)
{
	AUTO_CLOSE int root = -EBADF;
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	struct imbrex_error ignored;
	bool found = false;

	root = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0 || tree_walk_new(root, &w, &ignored) < 0)
		return false;
	while (!found && tree_walk_next(w, &item, &ignored) > 0)
		found = str_after(item.name, ".wh.") || has_fuse_xattr(&item);
	return found;
}
