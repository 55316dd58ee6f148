/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two walks at once, in the same order, so no memory is needed for either tree: whichever walk is
 * behind shows what only that tree has. A directory that did not change is told after all when
 * something below it did, right before that.
 *
 * Equal is what upstream takes for equal: type, mode, owner, device, size (not of directories),
 * mtime, link target and the xattrs that travel. Files with the same of all that are not read. But
 * where only one of two equal seconds has a fraction, a tar may have cut it off, or somebody may
 * have written in that very second: then bytes decide. (Upstream waits for the second to end.)
 */
#include "driver/compare.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "driver/emit.h"
#include "os/beneath.h"
#include "os/fd.h"

/* `told` is the directory up to which parents have been told. */
struct compare {
	int newfd;
	const struct id_maps *maps, *old_maps;
	tree_difference_fn fn;
	void *ctx;
	struct item_xattrs new_xattrs, old_xattrs;
	char *blocks[2]; /* owned; of STREAM_BLOCK_BYTES */
	char told[LIMIT_PATH_BYTES + 1];
};

static void compare_free(struct compare *c)
{
	if (!c)
		return;
	item_xattrs_done(&c->new_xattrs);
	item_xattrs_done(&c->old_xattrs);
	free(c->blocks[0]);
	free(c->blocks[1]);
	free(c);
}
DEFINE_CLEANUP(compare, struct compare, compare_free)

/* Order of a walk: "a", "a/b", "a-b" - a slash comes before every other byte. */
static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (*a == '/' && *b)
		return *b == '/' ? 0 : -1;
	if (*b == '/' && *a)
		return 1;
	return (unsigned char)*a - (unsigned char)*b;
}

/* As far as a second can tell. */
static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

/* An owner that a map does not know is the host's on both sides. */
static bool same_owner(const struct compare *c, const struct stat *a, const struct stat *b)
{
	struct id_pair new = { a->st_uid, a->st_gid };
	struct id_pair old = { b->st_uid, b->st_gid };

	if (id_maps_to_inside(c->maps, &new) < 0 || id_maps_to_inside(c->old_maps, &old) < 0)
		return a->st_uid == b->st_uid && a->st_gid == b->st_gid;
	return new.uid == old.uid &&new.gid == old.gid;
}

static bool same_stat(const struct compare *c, const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || !same_owner(c, a, b) || !same_time(a->st_mtim, b->st_mtim))
		return false;
	if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev)
		return false;
	return S_ISDIR(a->st_mode) || a->st_size == b->st_size;
}

static bool same_link(const struct tree_item *a, const struct tree_item *b)
{
	AUTO_STR ta = STR_INIT(LIMIT_PATH_BYTES);
	AUTO_STR tb = STR_INIT(LIMIT_PATH_BYTES);
	struct imbrex_error ignored;

	return read_link_at(a->dirfd, a->name, &ta, &ignored) == 0 &&
	       read_link_at(b->dirfd, b->name, &tb, &ignored) == 0 &&
	       str_eq(str_text(&ta), str_text(&tb));
}

static bool has_xattr(const struct item_xattrs *x, const struct entry_xattr *want)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (str_eq(x->items[i].name, want->name))
			return x->items[i].value_len == want->value_len &&
			       memcmp(x->items[i].value, want->value, want->value_len) == 0;
	return false;
}

static int open_file(const struct tree_item *item)
{
	return openat(item->dirfd, item->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* 1 the same bytes, 0 not, or one of them has vanished. */
static int same_content(struct compare *c, const struct tree_item *a, const struct tree_item *b,
	struct imbrex_error *err)
{
	AUTO_CLOSE int new = open_file(a);
	AUTO_CLOSE int old = open_file(b);
	size_t new_len, old_len;
	int r;

	if (new < 0 || old < 0)
		return errno == ENOENT ? 0 : fail_errno(err, "open '%s'", a->path);
	do {
		r = read_all(new, c->blocks[0], STREAM_BLOCK_BYTES, &new_len);
		if (r == 0)
			r = read_all(old, c->blocks[1], STREAM_BLOCK_BYTES, &old_len);
		if (r < 0)
			return fail_code(err, r, "read '%s'", a->path);
		if (new_len != old_len || memcmp(c->blocks[0], c->blocks[1], new_len) != 0)
			return 0;
	} while (new_len == STREAM_BLOCK_BYTES);
	return 1;
}

/* 1 the same, 0 not. */
static int same_item(struct compare *c, const struct tree_item *a, const struct tree_item *b,
	struct imbrex_error *err)
{
	size_t i;
	int r;

	if (!same_stat(c, &a->st, &b->st) || (S_ISLNK(a->st.st_mode) && !same_link(a, b)))
		return 0;
	r = item_xattrs_read(&c->new_xattrs, a, err);
	if (r == 0)
		r = item_xattrs_read(&c->old_xattrs, b, err);
	if (r < 0)
		return r == IMBREX_ENOENT ? 0 : r;
	if (c->new_xattrs.n != c->old_xattrs.n)
		return 0;
	for (i = 0; i < c->new_xattrs.n; i++)
		if (!has_xattr(&c->old_xattrs, &c->new_xattrs.items[i]))
			return 0;
	if (S_ISREG(a->st.st_mode) && a->st.st_size &&
		a->st.st_mtim.tv_nsec != b->st.st_mtim.tv_nsec)
		return same_content(c, a, b, err);
	return 1;
}

/* Tell the directory that is the first `len` bytes of `path`. */
static int tell_parent(struct compare *c, const char *path, size_t len, struct imbrex_error *err)
{
	char dir[LIMIT_PATH_BYTES + 1];
	struct tree_item item = { .path = dir };
	AUTO_CLOSE int parent = -EBADF;
	char *slash;
	int r;

	memcpy(dir, path, len);
	dir[len] = 0;
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	parent = open_beneath(
		c->newfd, slash ? dir : ".", O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);
	if (slash)
		*slash = '/';
	item.name = slash ? slash + 1 : dir;
	item.dirfd = parent;
	if (parent < 0)
		return parent == -ENOENT ? 0 : fail_code(err, parent, "open parent of '%s'", dir);
	if (fstatat(parent, item.name, &item.st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_errno(err, "stat '%s'", dir);
	r = c->fn(c->ctx, &(struct tree_difference){ CHANGE_MODIFY, &item }, err);
	memcpy(c->told, dir, len + 1);
	return r;
}

static int tell_parents(struct compare *c, const char *path, struct imbrex_error *err)
{
	const char *p = path;
	int r = 0;

	while (r == 0 && (p = strchr(p, '/')) != NULL) {
		size_t len = (size_t)(p++ - path);

		/* Already told: "told" is this directory or lies below it. */
		if (strncmp(c->told, path, len) != 0 || (c->told[len] && c->told[len] != '/'))
			r = tell_parent(c, path, len, err);
	}
	return r;
}

static int tell(struct compare *c, int kind, const struct tree_item *item, struct imbrex_error *err)
{
	int r = tell_parents(c, item->path, err);

	if (r < 0)
		return r;
	if (kind != CHANGE_DELETE && S_ISDIR(item->st.st_mode))
		memcpy(c->told, item->path, strlen(item->path) + 1);
	return c->fn(c->ctx, &(struct tree_difference){ kind, item }, err);
}

/* Both trees have something of that name. */
static int tell_if_changed(struct compare *c, const struct tree_item *a, struct tree_walk *old,
	const struct tree_item *b, struct imbrex_error *err)
{
	int r = same_item(c, a, b, err);

	if (S_ISDIR(b->st.st_mode) && !S_ISDIR(a->st.st_mode))
		tree_walk_skip(old);
	return r ? MIN(r, 0) : tell(c, CHANGE_MODIFY, a, err);
}

static int walk_both(
	struct compare *c, struct tree_walk *new, struct tree_walk *old, struct imbrex_error *err)
{
	struct tree_item a, b;
	int ra, rb = 0, r = 0;

	ra = tree_walk_next(new, &a, err);
	if (old)
		rb = tree_walk_next(old, &b, err);
	while (ra > 0 || rb > 0) {
		int order = ra <= 0 ? 1 : rb <= 0 ? -1 : compare_paths(a.path, b.path);

		if (ra < 0 || rb < 0)
			break;
		if (order < 0) {
			r = tell(c, CHANGE_ADD, &a, err);
		} else if (order > 0) {
			tree_walk_skip(old);
			r = tell(c, CHANGE_DELETE, &b, err);
		} else {
			r = tell_if_changed(c, &a, old, &b, err);
		}
		if (r < 0)
			return r;
		if (order <= 0)
			ra = tree_walk_next(new, &a, err);
		if (order >= 0)
			rb = tree_walk_next(old, &b, err);
	}
	return ra < 0 ? ra : rb;
}

int compare_trees(int newfd, const struct id_maps *maps, int oldfd, const struct id_maps *old_maps,
	tree_difference_fn fn, void *ctx, struct imbrex_error *err)
{
	AUTO(compare) struct compare *c = calloc(1, sizeof(*c));
	AUTO_TREE_WALK *new = NULL;
	AUTO_TREE_WALK *old = NULL;
	int r;

	if (!c)
		return fail_nomem(err);
	c->newfd = newfd;
	c->maps = maps;
	c->old_maps = old_maps;
	c->fn = fn;
	c->ctx = ctx;
	item_xattrs_init(&c->new_xattrs);
	item_xattrs_init(&c->old_xattrs);
	c->blocks[0] = malloc(STREAM_BLOCK_BYTES);
	c->blocks[1] = malloc(STREAM_BLOCK_BYTES);
	if (!c->blocks[0] || !c->blocks[1])
		return fail_nomem(err);
	r = tree_walk_new(newfd, &new, err);
	if (r == 0 && oldfd >= 0)
		r = tree_walk_new(oldfd, &old, err);
	return r < 0 ? r : walk_both(c, new, old, err);
}
