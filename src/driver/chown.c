/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree chown along one walk.
 *
 * chown(2) drops set-id bits and file capabilities even for root, so both are put back.
 *
 * A tree on overlay breaks hard links as it copies up: the first name gets a new inode, the others
 * stay with the old. So an inode of several names is noted by its number as the walk finds it, and
 * each later name that is not the first one's inode by then becomes a link to it. The directory
 * that this happens in gets its times back.
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
#include "os/xattr.h"

#define CAPABILITY_XATTR "security.capability"

struct chown_walk {
	const struct id_maps *from; /* borrowed */
	const struct id_maps *to;   /* borrowed */
	struct id_pair overflow;
	int root;          /* borrowed */
	struct map *links; /* owned; dev and ino -> first path (in link_paths) */
	struct strv link_paths;
};

static void chown_walk_done(struct chown_walk *c)
{
	map_free(c->links);
	strv_done(&c->link_paths);
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
	if (!c.links)
		return fail_nomem(err);
	r = chown_root(&c, err);
	if (r == 0)
		r = tree_walk_new(rootfd, &w, err);
	while (r == 0 && (r = tree_walk_next(w, &item, err)) > 0)
		r = chown_item(&c, &item, err);
	return r;
}
