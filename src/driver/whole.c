/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a whole tree, and how two differ. See the header. */
#include "driver/whole.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/content.h"
#include "driver/diff.h"
#include "driver/where.h"
#include "os/fd.h"

void whole_init(struct whole *w, const struct driver_ops *ops, const struct driver_config *config,
	int (*open_layer)(struct whole *w, const char *id, struct imbrex_error *err))
{
	w->base.ops = ops;
	w->config = *config;
	w->open_layer = open_layer;
	w->ignore_chown_errors = config->single_id;
	w->reading_fd = -EBADF;
}

void whole_done(struct whole *w)
{
	whole_stop_reading(w);
}

int whole_check_id(const char *id, struct imbrex_error *err)
{
	size_t n = strlen(id);

	if (n == 0 || n > LIMIT_ID_BYTES || id[0] == '.' || strchr(id, '/'))
		return fail(err, IMBREX_EINVAL, "'%.128s' is not a layer id", id);
	return 0;
}

int whole_open_at(int dirfd, const char *dir_path, const char *id, struct imbrex_error *err)
{
	int fd = openat(dirfd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return fail(err, IMBREX_ENOENT, "layer %s: no directory in '%s'", id, dir_path);
	if (errno == ENOTDIR || errno == ELOOP)
		return fail(err, IMBREX_EFORMAT, "layer %s: '%s/%s' is not a directory", id,
			dir_path, id);
	return fail_errno(err, "layer %s: open '%s/%s'", id, dir_path, id);
}

int whole_list_at(int dirfd, const char *dir_path, struct strv *ret, struct imbrex_error *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		(void)close_fd(fd);
		return fail_errno(err, "read '%s'", dir_path);
	}
	while (r == 0 && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' && is_dir_at(dirfd, e->d_name))
			r = strv_add(ret, e->d_name);
	(void)closedir(dir);
	return r < 0 ? fail_nomem(err) : 0;
}

/* ---- one tree ------------------------------------------------------------------------------ */

void whole_stop_reading(struct whole *w)
{
	free(take_ptr(w->reading));
	w->reading_fd = close_fd(w->reading_fd);
}

static int read_layer(struct whole *w, const char *id, struct imbrex_error *err)
{
	int fd;

	if (w->reading && str_eq(w->reading, id))
		return 0;
	whole_stop_reading(w);
	fd = w->open_layer(w, id, err);
	if (fd < 0)
		return fd;
	w->reading_fd = fd;
	w->reading = strdup(id);
	return w->reading ? 0 : fail_nomem(err);
}

int whole_open_file(struct driver *d, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err)
{
	struct whole *w = whole_of(d);
	int r = read_layer(w, id, err);
	int fd;

	if (r < 0)
		return r;
	fd = content_open(w->reading_fd, name, name_len);
	if (fd == -EMEDIUMTYPE)
		return fail(err, IMBREX_EFORMAT, "layer %s: '%.*s' is not a regular file", id,
			(int)MIN(name_len, 200), name);
	if (fd < 0)
		return fail_code(
			err, fd, "layer %s: open '%.*s'", id, (int)MIN(name_len, 200), name);
	*ret_fd = fd;
	return 0;
}

int whole_open_tree(struct driver *d, const char *id, int *ret_fd, struct imbrex_error *err)
{
	struct whole *w = whole_of(d);
	int fd = w->open_layer(w, id, err);

	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int whole_tree_open(
	struct driver *d, const char *id, struct driver_tree *ret, struct imbrex_error *err)
{
	struct whole *w = whole_of(d);
	int fd = w->open_layer(w, id, err);

	if (fd < 0)
		return fd;
	*ret = (struct driver_tree){
		.fd = fd,
		.whole = true,
		.whiteouts = APPLY_REMOVE,
		.any_owner = w->ignore_chown_errors,
		.no_devices = w->in_userns,
	};
	return 0;
}

void whole_tree_close(struct driver *d, struct driver_tree *t)
{
	t->fd = close_fd(t->fd);
}

bool whole_exists(struct driver *d, const char *id)
{
	AUTO_CLOSE int fd = -EBADF;
	struct imbrex_error ignored;
	struct whole *w = whole_of(d);

	fd = w->open_layer(w, id, &ignored);
	return fd >= 0;
}

bool whole_shifts(struct driver *d, const struct id_maps *maps)
{
	return false;
}

/* ---- two trees ----------------------------------------------------------------------------- */

/* Both; `old` stays closed if there is no other. */
static int open_pair(struct driver *d, const char *id, const char *other, struct tree_pair *ret,
	struct imbrex_error *err)
{
	int r = whole_open_tree(d, id, &ret->new, err);

	return r < 0 || !other ? r : whole_open_tree(d, other, &ret->old, err);
}

static void close_pair(struct tree_pair *p)
{
	(void)close_fd(p->new);
	(void)close_fd(p->old);
}
#define AUTO_PAIR __attribute__((cleanup(close_pair))) struct tree_pair

int whole_diff(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF, .maps = maps, .old_maps = other_maps };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = diff_trees(&p, to, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int whole_changes(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, driver_change_fn fn, void *ctx, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF, .maps = maps, .old_maps = other_maps };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = changes_trees(&p, fn, ctx, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

int whole_diff_size(
	struct driver *d, const char *id, const char *other, int64_t *ret, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = size_of_difference(&p, ret, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Copies are equal in all but the inode, and what was done to it last; clones in that, too. */
static bool is_changed(const struct whole *w, const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid)
		return true;
	if (w->same_inodes)
		return a->st_ino != b->st_ino || !same_time(&a->st_ctim, &b->st_ctim);
	return !same_time(&a->st_mtim, &b->st_mtim) ||
	       (!S_ISDIR(a->st_mode) && a->st_size != b->st_size);
}

int whole_holds(struct driver *d, const char *id, const char *below, const char *inside,
	struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF };
	struct stat a, b;
	int r;

	r = whole_open_tree(d, id, &p.new, err);
	if (r == 0)
		r = tree_holds(p.new, inside, err);
	if (r <= 0 || !below)
		return r;
	r = whole_open_tree(d, below, &p.old, err);
	if (r < 0)
		return r;
	r = tree_holds(p.old, inside, err);
	if (r <= 0)
		return r < 0 ? r : 1;
	inside += strspn(inside, "/");
	if (!*inside)
		inside = ".";
	if (fstatat(p.new, inside, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
		fstatat(p.old, inside, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer %s: look at '%s'", id, inside);
	return is_changed(whole_of(d), &a, &b);
}
