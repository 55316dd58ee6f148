/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree chown along one walk. On overlay each change is a copy, and most of its time goes to waiting
 * for the disk: so inodes of one name are gathered, and done by several threads, batch by batch.
 * Directories and inodes of several names are done by the walk itself.
 *
 * chown(2) drops set-id bits and file capabilities even for root, so both are put back.
 *
 * A tree on overlay breaks hard links as it copies up: the first name gets a new inode, the others
 * stay with the old. So an inode of several names is noted by its number as the walk finds it, and
 * each later name that is not the first one's inode by then becomes a link to it. The directory
 * that this happens in gets its times back; and so do those of a batch, because the kernel, which
 * preserves them when it copies up, does not when two threads do in one directory.
 */
#include "driver/chown.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strv.h"
#include "driver/treewalk.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/pool.h"
#include "os/xattr.h"

#define CAPABILITY_XATTR "security.capability"
/* Enough for all threads to have work at the end of a batch; directories are open descriptors. */
#define BATCH_ITEMS 4096
#define BATCH_DIRS  128
/* What a thread takes at a time. */
#define BATCH_SLICE 32

struct batch_dir {
	int fd; /* owned */
	struct timespec times[2];
};

struct batch_item {
	size_t dir;     /* index */
	size_t path;    /* where it begins in `paths` */
	size_t name;    /* where its last component does */
	struct stat st; /* before */
	struct id_pair to;
};

struct batch {
	struct batch_dir dirs[BATCH_DIRS];
	size_t n_dirs;
	struct batch_item items[BATCH_ITEMS];
	size_t n_items;
	struct str paths;                    /* with their NULs */
	char dir_path[LIMIT_PATH_BYTES + 1]; /* of the last of `dirs`, with a slash at its end */
};

struct chown_walk {
	const struct id_maps *from; /* borrowed */
	const struct id_maps *to;   /* borrowed */
	struct id_pair overflow;
	int root;          /* borrowed */
	struct map *links; /* owned; dev and ino -> first path (in link_paths) */
	struct strv link_paths;
	struct batch *batch; /* owned */
};

static void batch_clear(struct batch *b)
{
	while (b->n_dirs)
		(void)close_fd(b->dirs[--b->n_dirs].fd);
	b->n_items = 0;
	str_clear(&b->paths);
}

static void chown_walk_done(struct chown_walk *c)
{
	map_free(c->links);
	strv_done(&c->link_paths);
	if (c->batch) {
		batch_clear(c->batch);
		str_done(&c->batch->paths);
	}
	free(c->batch);
}

static int fail_owner(const char *path, const struct stat *st, struct imbrex_error *err)
{
	int r = fail(err, IMBREX_EINVAL,
		"'%s' belongs to %u:%u, which the identity map of the layer below does not hold",
		path, st->st_uid, st->st_gid);

	if (err)
		err->errnum = EOVERFLOW;
	return r;
}

/* Who is to own an inode that is owned as `st` says. */
static int new_owner(struct chown_walk *c, const char *path, const struct stat *st,
	struct id_pair *ret, struct imbrex_error *err)
{
	struct id_pair ids = { st->st_uid, st->st_gid };

	if (id_maps_to_inside(c->from, &ids) < 0 && (st->st_uid != 0 || st->st_gid != 0))
		return fail_owner(path, st, err);
	id_maps_to_host_or(c->to, &ids, &c->overflow);
	*ret = ids;
	return 0;
}

/* `name` in `dirfd`, or dirfd itself if it is "". */
static int change_owner(int dirfd, const char *name, const char *path, const struct stat *st,
	const struct id_pair *to, struct imbrex_error *err)
{
	AUTO_STR cap = STR_INIT(LIMIT_XATTR_VALUE_BYTES);
	int flags = AT_SYMLINK_NOFOLLOW | (name[0] ? 0 : AT_EMPTY_PATH);
	bool has_cap = false;
	int r;

	if (S_ISREG(st->st_mode)) {
		r = getxattr_at(dirfd, name, CAPABILITY_XATTR, &cap);
		/* EOVERFLOW: of a root whom our user namespace does not know. It cannot be kept. */
		if (r < 0 && r != -ENODATA && r != -EOPNOTSUPP && r != -EOVERFLOW)
			return fail_code(err, r, "read xattr '%s' of '%s'", CAPABILITY_XATTR, path);
		has_cap = r == 0;
	}
	if (fchownat(dirfd, name, to->uid, to->gid, flags) < 0)
		return fail_errno(err, "set owner %u:%u of '%s'", to->uid, to->gid, path);
	if (st->st_mode & (S_ISUID | S_ISGID) && !S_ISLNK(st->st_mode)) {
		r = name[0] ? fchmodat(dirfd, name, st->st_mode & 07777, AT_SYMLINK_NOFOLLOW)
			    : fchmod(dirfd, st->st_mode & 07777);
		if (r < 0)
			return fail_errno(err, "set mode of '%s'", path);
	}
	if (has_cap) {
		r = setxattr_at(dirfd, name, CAPABILITY_XATTR, str_text(&cap), cap.len);
		if (r < 0)
			return fail_code(err, r, "set xattr '%s' of '%s'", CAPABILITY_XATTR, path);
	}
	return 0;
}

/* Make the item a link to `first`, unless it is one still. */
static int link_again(struct chown_walk *c, const char *first, const struct tree_item *item,
	struct imbrex_error *err)
{
	struct stat dir, there, here;
	AUTO_CLOSE int fd = -EBADF;

	fd = open_beneath(c->root, first, O_PATH | O_NOFOLLOW, 0, BENEATH_NO_SYMLINKS);
	if (fd < 0)
		return fail_code(err, fd, "open '%s'", first);
	if (fstat(fd, &there) < 0 || fstat(item->dirfd, &dir) < 0 ||
		fstatat(item->dirfd, item->name, &here, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "stat '%s'", item->path);
	if (there.st_dev == here.st_dev && there.st_ino == here.st_ino)
		return 0;
	if (unlinkat(item->dirfd, item->name, 0) < 0)
		return fail_errno(err, "remove '%s', another name of '%s'", item->path, first);
	if (linkat(c->root, first, item->dirfd, item->name, 0) < 0)
		return fail_errno(err, "link '%s' to '%s'", item->path, first);
	if (futimens(item->dirfd, (const struct timespec[]){ dir.st_atim, dir.st_mtim }) < 0)
		return fail_errno(err, "set times of the directory of '%s'", item->path);
	return 0;
}

/* pool_job: slice `index` of the batch. */
static int chown_slice(void *ctx, size_t index, struct imbrex_error *err)
{
	const struct batch *b = ctx;
	size_t i = index * BATCH_SLICE;
	size_t end = MIN(i + BATCH_SLICE, b->n_items);
	int r = 0;

	for (; r == 0 && i < end; i++) {
		const struct batch_item *item = &b->items[i];

		r = change_owner(b->dirs[item->dir].fd, b->paths.data + item->name,
			b->paths.data + item->path, &item->st, &item->to, err);
	}
	return r;
}

static int batch_run(struct batch *b, struct imbrex_error *err)
{
	size_t n = (b->n_items + BATCH_SLICE - 1) / BATCH_SLICE;
	size_t i;
	int r;

	/* Twice the processors: half of them wait for the disk. */
	r = n ? pool_run(n, n > 1 ? 2 * pool_n_cpus() : 1, chown_slice, b, err) : 0;
	for (i = 0; r == 0 && i < b->n_dirs; i++)
		if (futimens(b->dirs[i].fd, b->dirs[i].times) < 0)
			r = fail_errno(err, "set times of a directory");
	batch_clear(b);
	return r;
}

/* Make the directory of the item the last of the batch. */
static int batch_enter(struct batch *b, const struct tree_item *item, struct imbrex_error *err)
{
	size_t len = (size_t)(item->name - item->path);
	struct batch_dir *d;
	struct stat st;
	int fd;

	if (b->n_dirs && strlen(b->dir_path) == len && memcmp(b->dir_path, item->path, len) == 0)
		return 0;
	if (fstat(item->dirfd, &st) < 0)
		return fail_errno(err, "stat the directory of '%s'", item->path);
	/* A description of its own: times cannot be set through one that is a path only. */
	fd = openat(item->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "open the directory of '%s'", item->path);
	d = &b->dirs[b->n_dirs++];
	d->fd = fd;
	d->times[0] = st.st_atim;
	d->times[1] = st.st_mtim;
	memcpy(b->dir_path, item->path, len);
	b->dir_path[len] = 0;
	return 0;
}

static int batch_add(struct batch *b, const struct tree_item *item, const struct id_pair *to,
	struct imbrex_error *err)
{
	struct batch_item *i;
	int r = 0;

	if (b->n_items == BATCH_ITEMS || b->n_dirs == BATCH_DIRS)
		r = batch_run(b, err);
	if (r == 0)
		r = batch_enter(b, item, err);
	if (r < 0)
		return r;
	i = &b->items[b->n_items];
	i->dir = b->n_dirs - 1;
	i->path = b->paths.len;
	i->name = i->path + (size_t)(item->name - item->path);
	i->st = item->st;
	i->to = *to;
	if (str_append(&b->paths, item->path, strlen(item->path) + 1) < 0)
		return fail_nomem(err);
	b->n_items++;
	return 0;
}

static int chown_item(struct chown_walk *c, const struct tree_item *item, struct imbrex_error *err)
{
	const uint64_t key[2] = { item->st.st_dev, item->st.st_ino };
	bool has_names = !S_ISDIR(item->st.st_mode) && item->st.st_nlink > 1;
	struct id_pair ids;
	void *first = NULL;
	int r;

	/* First of all: its owner may be the new one already. */
	if (has_names && map_get(c->links, (const char *)key, sizeof(key), &first))
		return link_again(c, first, item, err);
	r = new_owner(c, item->path, &item->st, &ids, err);
	if (r < 0 || (ids.uid == item->st.st_uid && ids.gid == item->st.st_gid))
		return r;
	if (!has_names && !S_ISDIR(item->st.st_mode))
		return batch_add(c->batch, item, &ids, err);
	if (has_names && (strv_add(&c->link_paths, item->path) < 0 ||
				 map_add(c->links, (const char *)key, sizeof(key),
					 c->link_paths.items[c->link_paths.n - 1]) < 0))
		return fail_nomem(err);
	return change_owner(item->dirfd, item->name, item->path, &item->st, &ids, err);
}

static int chown_root(struct chown_walk *c, struct imbrex_error *err)
{
	struct id_pair ids;
	struct stat st;
	int r;

	if (fstat(c->root, &st) < 0)
		return fail_errno(err, "stat the tree to change owners in");
	r = new_owner(c, ".", &st, &ids, err);
	if (r < 0 || (ids.uid == st.st_uid && ids.gid == st.st_gid))
		return r;
	return change_owner(c->root, "", ".", &st, &ids, err);
}

int chown_tree(
	int rootfd, const struct id_maps *from, const struct id_maps *to, struct imbrex_error *err)
{
	__attribute__((cleanup(chown_walk_done))) struct chown_walk c = {
		.from = from, .to = to, .overflow = id_overflow(), .root = rootfd
	};
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	c.links = map_new();
	c.batch = calloc(1, sizeof(*c.batch));
	if (!c.links || !c.batch)
		return fail_nomem(err);
	c.batch->paths = (struct str)STR_INIT((size_t)BATCH_ITEMS * (LIMIT_PATH_BYTES + 1));
	r = chown_root(&c, err);
	if (r == 0)
		r = tree_walk_new(rootfd, &w, err);
	while (r == 0 && (r = tree_walk_next(w, &item, err)) > 0)
		r = chown_item(&c, &item, err);
	return r < 0 ? r : batch_run(c.batch, err);
}
