/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees -> entries; see the header.
 *
 * diff_trees() walks both trees at once, in the same order, so it needs no memory for either:
 * whichever walk is behind shows what only that tree has. A directory that did not change is
 * pushed after all when something below it did, right before that.
 *
 * Trees are read while nobody should write them; when somebody does, the result is an error or a
 * mix of old and new, but sizes always agree with content.
 */
#include "driver/diff.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strv.h"
#include "driver/apply.h"
#include "driver/treewalk.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/xattr.h"

/* Pushes items of a tree; remembers first names of inodes that have several. */
struct emitter {
	struct entry_sink *to; /* borrowed */
	bool override_stat;
	struct map *links;        /* owned; dev and ino -> first path (in link_paths) */
	struct strv link_paths;   /* owns what `links` points to */
	char *buf;                /* owned; STREAM_BLOCK_BYTES */
	struct str names, values; /* xattrs of the current item; names as listxattr gives them */
	struct entry_xattr xattrs[LIMIT_XATTRS_PER_ENTRY];
};

static void emitter_free(struct emitter *m)
{
	if (!m)
		return;
	map_free(m->links);
	strv_done(&m->link_paths);
	str_done(&m->names);
	str_done(&m->values);
	free(m->buf);
	free(m);
}
DEFINE_CLEANUP(emitter, struct emitter, emitter_free)
#define AUTO_EMITTER AUTO(emitter) struct emitter

static struct emitter *emitter_new(struct entry_sink *to, bool override_stat)
{
	struct emitter *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->to = to;
	m->override_stat = override_stat;
	m->links = map_new();
	m->buf = malloc(STREAM_BLOCK_BYTES);
	m->names.max_len = LIMIT_XATTR_VALUE_BYTES;
	m->values.max_len = (size_t)LIMIT_XATTR_VALUE_BYTES * 64;
	if (!m->links || !m->buf) {
		emitter_free(m);
		return NULL;
	}
	return m;
}

static bool xattr_travels(const char *name)
{
	if (str_eq(name, "security.capability") || str_eq(name, "security.ima"))
		return true;
	return str_after(name, "user.") && !str_after(name, "user.overlay.") &&
	       !str_after(name, "user.fuseoverlayfs.") && !str_eq(name, APPLY_OVERRIDE_XATTR);
}

/* Fill m->xattrs with those of the item that travel; *ret_n of them. */
static int read_xattrs(
	struct emitter *m, const struct tree_item *item, size_t *ret_n, struct imbrex_error *err)
{
	size_t i, n = 0, at;
	int r;

	*ret_n = 0;
	str_clear(&m->names);
	str_clear(&m->values);
	r = listxattr_at(item->dirfd, item->name, &m->names);
	if (r == -EOPNOTSUPP)
		return 0;
	for (i = 0; r == 0 && i < m->names.len; i += strlen(m->names.data + i) + 1) {
		const char *name = m->names.data + i;

		if (!xattr_travels(name))
			continue;
		if (n == LIMIT_XATTRS_PER_ENTRY)
			return fail(err, IMBREX_ELIMIT, "'%s' has more than %d xattrs", item->path,
				LIMIT_XATTRS_PER_ENTRY);
		at = m->values.len;
		r = getxattr_at(item->dirfd, item->name, name, &m->values);
		if (r == -ENODATA) {
			r = 0;
			continue;
		}
		m->xattrs[n++] =
			(struct entry_xattr){ .name = name, .value_len = m->values.len - at };
	}
	if (r < 0)
		return fail_code(err, r, "read xattrs of '%s'", item->path);
	/* The string may have moved while it grew. */
	for (i = 0, at = 0; i < n; i++) {
		m->xattrs[i].value = str_text(&m->values) + at;
		at += m->xattrs[i].value_len;
	}
	*ret_n = n;
	return 0;
}

static bool parse_type(const char *text, struct entry *e)
{
	static const struct {
		const char *text;
		enum entry_type type;
	} plain[] = { { "file", ENTRY_FILE }, { "dir", ENTRY_DIR }, { "symlink", ENTRY_SYMLINK },
		{ "pipe", ENTRY_FIFO } };
	const char *numbers = str_after(text, "char-");
	char *end;
	size_t i;

	for (i = 0; i < ARRAY_LEN(plain); i++)
		if (str_eq(plain[i].text, text))
			return (plain[i].type == ENTRY_DIR) == (e->type == ENTRY_DIR) &&
			       (e->type = plain[i].type) == plain[i].type;
	e->type = numbers ? ENTRY_CHAR : ENTRY_BLOCK;
	if (!numbers)
		numbers = str_after(text, "block-");
	if (!numbers || *numbers < '0' || *numbers > '9')
		return false;
	e->dev_major = (uint32_t)strtoul(numbers, &end, 10);
	if (*end != '-' || end[1] < '0' || end[1] > '9')
		return false;
	e->dev_minor = (uint32_t)strtoul(end + 1, &end, 10);
	return *end == 0;
}

/* "UID:GID:MODE[:TYPE]" of the override xattr replaces what the inode says. */
static int read_override(const struct tree_item *item, struct entry *e, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(256);
	struct entry o = *e;
	char *p;
	int r;

	r = getxattr_at(item->dirfd, item->name, APPLY_OVERRIDE_XATTR, &text);
	if (r == -ENODATA || r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return fail_code(
			err, r, "read xattr '%s' of '%s'", APPLY_OVERRIDE_XATTR, item->path);
	o.uid = (uint32_t)strtoul(str_text(&text), &p, 10);
	if (*p == ':') {
		o.gid = (uint32_t)strtoul(p + 1, &p, 10);
		if (*p == ':') {
			o.mode = (uint32_t)strtoul(p + 1, &p, 8);
			if (o.mode <= 07777 && (*p == 0 || (*p == ':' && parse_type(p + 1, &o)))) {
				*e = o;
				return 0;
			}
		}
	}
	return fail(err, IMBREX_EFORMAT, "'%s': xattr '%s' is '%s'", item->path,
		APPLY_OVERRIDE_XATTR, str_text(&text));
}

/* Type of the item; 0 for what does not travel (sockets). */
static enum entry_type type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return ENTRY_FILE;
	case S_IFDIR:
		return ENTRY_DIR;
	case S_IFLNK:
		return ENTRY_SYMLINK;
	case S_IFCHR:
		return ENTRY_CHAR;
	case S_IFBLK:
		return ENTRY_BLOCK;
	case S_IFIFO:
		return ENTRY_FIFO;
	}
	return (enum entry_type)0;
}

/* First path of an inode with several names; NULL if this is it. */
static int find_first_name(
	struct emitter *m, const struct tree_item *item, const char **ret, struct imbrex_error *err)
{
	const uint64_t key[2] = { item->st.st_dev, item->st.st_ino };
	void *first = NULL;

	*ret = NULL;
	if (S_ISDIR(item->st.st_mode) || item->st.st_nlink < 2)
		return 0;
	if (map_get(m->links, (const char *)key, sizeof(key), &first)) {
		*ret = first;
		return 0;
	}
	if (strv_add(&m->link_paths, item->path) < 0 ||
		map_add(m->links, (const char *)key, sizeof(key),
			m->link_paths.items[m->link_paths.n - 1]) < 0)
		return fail_nomem(err);
	return 0;
}

static int push_content(struct emitter *m, const struct tree_item *item, int fd, uint64_t size,
	struct imbrex_error *err)
{
	uint64_t left = size;

	while (left) {
		size_t len = 0, want = (size_t)MIN(left, (uint64_t)STREAM_BLOCK_BYTES);
		int r = read_all(fd, m->buf, want, &len);

		if (r < 0)
			return fail_code(err, r, "read '%s'", item->path);
		if (len < want)
			return fail(err, IMBREX_EFAIL, "'%s' became shorter while it was read",
				item->path);
		r = m->to->ops->data(m->to, m->buf, len, err);
		if (r < 0)
			return r;
		left -= len;
	}
	return 0;
}

static int open_content(const struct tree_item *item, struct stat *ret_st, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	fd = openat(item->dirfd, item->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, ret_st) < 0)
		return fail_errno(err, "open '%s'", item->path);
	if (!S_ISREG(ret_st->st_mode))
		return fail(err, IMBREX_EFAIL, "'%s' was replaced while it was read", item->path);
	return take_fd(fd);
}

static void fill_entry(const struct tree_item *item, struct entry *e)
{
	const struct stat *st = &item->st;

	*e = (struct entry){
		.path = item->path,
		.type = type_of(st->st_mode),
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.atime_sec = st->st_mtim.tv_sec,
		.atime_nsec = (uint32_t)st->st_mtim.tv_nsec,
	};
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e->dev_major = major(st->st_rdev);
		e->dev_minor = minor(st->st_rdev);
	}
}

static int push_entry(struct emitter *m, const struct entry *e, const struct tree_item *item,
	int fd, struct imbrex_error *err)
{
	int r = m->to->ops->begin(m->to, e, err);

	if (r == 0 && e->type == ENTRY_FILE && e->size_bytes)
		r = push_content(m, item, fd, e->size_bytes, err);
	return r < 0 ? r : m->to->ops->end(m->to, err);
}

static int emit(struct emitter *m, const struct tree_item *item, struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_PATH_BYTES);
	AUTO_CLOSE int fd = -EBADF;
	struct entry e;
	struct stat st;
	int r;

	fill_entry(item, &e);
	if (!e.type)
		return 0;
	r = find_first_name(m, item, &e.link, err);
	if (r == 0 && m->override_stat && e.type != ENTRY_SYMLINK)
		r = read_override(item, &e, err);
	if (r < 0)
		return r;
	if (e.link) {
		e.type = ENTRY_HARDLINK;
		return push_entry(m, &e, item, -EBADF, err);
	}
	if (e.type == ENTRY_SYMLINK) {
		r = read_link_at(item->dirfd, item->name, &target, err);
		e.link = str_text(&target);
	} else if (e.type == ENTRY_FILE) {
		fd = open_content(item, &st, err);
		r = fd < 0 ? fd : 0;
		e.size_bytes = r < 0 ? 0 : (uint64_t)st.st_size;
	}
	if (r == 0)
		r = read_xattrs(m, item, &e.n_xattrs, err);
	if (r < 0)
		return r;
	e.xattrs = m->xattrs;
	return push_entry(m, &e, item, fd, err);
}

static int emit_mark(struct emitter *m, const struct tree_item *item, enum entry_type type,
	struct imbrex_error *err)
{
	struct entry e;

	fill_entry(item, &e);
	e.type = type;
	e.mode = 0;
	e.dev_major = e.dev_minor = 0;
	return push_entry(m, &e, item, -EBADF, err);
}

static bool is_opaque(const struct tree_item *item, const char *xattr)
{
	AUTO_STR value = STR_INIT(16);

	return S_ISDIR(item->st.st_mode) &&
	       getxattr_at(item->dirfd, item->name, xattr, &value) == 0 &&
	       str_eq(str_text(&value), "y");
}

int diff_upper(
	int rootfd, const struct diff_opts *opts, struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_EMITTER *m = emitter_new(to, opts->override_stat);
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	if (!m)
		return fail_nomem(err);
	r = tree_walk_new(rootfd, &w, err);
	if (r < 0)
		return r;
	while ((r = tree_walk_next(w, &item, err)) > 0) {
		if (S_ISCHR(item.st.st_mode) && item.st.st_rdev == makedev(0, 0))
			r = emit_mark(m, &item, ENTRY_WHITEOUT, err);
		else
			r = emit(m, &item, err);
		if (r == 0 && is_opaque(&item, opts->opaque_xattr) &&
			opts->lower_has_dir(opts->ctx, item.path))
			r = emit_mark(m, &item, ENTRY_OPAQUE, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : to->ops->finish(to, err);
}

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

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid ||
		!same_time(a->st_mtim, b->st_mtim))
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

/* Every travelling xattr of `a` (n_a of them are in m->xattrs) is the same in `b`. */
static bool same_xattrs(struct emitter *m, size_t n_a, const struct tree_item *b)
{
	AUTO_STR names = STR_INIT(LIMIT_XATTR_VALUE_BYTES);
	size_t i, n_b = 0;
	int r;

	r = listxattr_at(b->dirfd, b->name, &names);
	if (r < 0)
		return n_a == 0;
	for (i = 0; i < names.len; i += strlen(names.data + i) + 1)
		n_b += xattr_travels(names.data + i);
	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++) {
		AUTO_STR value = STR_INIT(LIMIT_XATTR_VALUE_BYTES);

		if (getxattr_at(b->dirfd, b->name, m->xattrs[i].name, &value) < 0 ||
			value.len != m->xattrs[i].value_len ||
			memcmp(str_text(&value), m->xattrs[i].value, value.len) != 0)
			return false;
	}
	return true;
}

/* 1 the same, 0 not. */
static int same_item(struct emitter *m, const struct tree_item *a, const struct tree_item *b,
	struct imbrex_error *err)
{
	size_t n;
	int r;

	if (!same_stat(&a->st, &b->st) || (S_ISLNK(a->st.st_mode) && !same_link(a, b)))
		return 0;
	r = read_xattrs(m, a, &n, err);
	return r < 0 ? r : same_xattrs(m, n, b);
}

/* A comparison under way. `pushed` is the directory up to which parents have been pushed. */
struct compare {
	struct emitter *m;
	int newfd;
	char pushed[LIMIT_PATH_BYTES + 1];
};

static int push_parents(struct compare *c, const char *path, struct imbrex_error *err)
{
	char dir[LIMIT_PATH_BYTES + 1];
	const char *p = path;

	while ((p = strchr(p, '/')) != NULL) {
		size_t len = (size_t)(p++ - path);
		struct tree_item item = { .path = dir };
		AUTO_CLOSE int parent = -EBADF;
		char *slash;
		int r;

		/* Already pushed: "pushed" is this directory or lies below it. */
		if (strncmp(c->pushed, path, len) == 0 &&
			(c->pushed[len] == 0 || c->pushed[len] == '/'))
			continue;
		memcpy(dir, path, len);
		dir[len] = 0;
		slash = strrchr(dir, '/');
		if (slash)
			*slash = 0;
		parent = open_beneath(
			c->newfd, slash ? dir : ".", O_PATH | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);
		if (slash)
			*slash = '/';
		item.name = slash ? slash + 1 : dir;
		item.dirfd = parent;
		if (parent < 0)
			return fail_code(err, parent, "open '%s'", dir);
		if (fstatat(parent, item.name, &item.st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail_errno(err, "stat '%s'", dir);
		r = emit(c->m, &item, err);
		if (r < 0)
			return r;
		memcpy(c->pushed, dir, len + 1);
	}
	return 0;
}

static int push_change(
	struct compare *c, const struct tree_item *item, bool gone, struct imbrex_error *err)
{
	int r = push_parents(c, item->path, err);

	if (r < 0)
		return r;
	if (gone)
		return emit_mark(c->m, item, ENTRY_WHITEOUT, err);
	if (S_ISDIR(item->st.st_mode))
		memcpy(c->pushed, item->path, strlen(item->path) + 1);
	return emit(c->m, item, err);
}

/* Both trees have something of that name. */
static int push_if_changed(struct compare *c, const struct tree_item *a, struct tree_walk *old,
	const struct tree_item *b, struct imbrex_error *err)
{
	int r = same_item(c->m, a, b, err);

	if (S_ISDIR(b->st.st_mode) && !S_ISDIR(a->st.st_mode))
		tree_walk_skip(old);
	if (r != 0)
		return r < 0 ? r : 0;
	return push_change(c, a, false, err);
}

static int compare_trees(
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
			r = push_change(c, &a, false, err);
		} else if (order > 0) {
			tree_walk_skip(old);
			r = push_change(c, &b, true, err);
		} else {
			r = push_if_changed(c, &a, old, &b, err);
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

int diff_trees(
	int newfd, int oldfd, bool override_stat, struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_FREE struct compare *c = calloc(1, sizeof(*c));
	AUTO_EMITTER *m = emitter_new(to, override_stat);
	AUTO_TREE_WALK *new = NULL;
	AUTO_TREE_WALK *old = NULL;
	int r;

	if (!c || !m)
		return fail_nomem(err);
	c->m = m;
	c->newfd = newfd;
	r = tree_walk_new(newfd, &new, err);
	if (r == 0 && oldfd >= 0)
		r = tree_walk_new(oldfd, &old, err);
	if (r == 0)
		r = compare_trees(c, new, old, err);
	return r < 0 ? r : to->ops->finish(to, err);
}
