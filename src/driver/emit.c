/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One inode of a tree -> one entry; see the header.
 *
 * Trees of running containers change while they are read. What has vanished is passed over, as if
 * the walk had come later; a file that grew is cut off where its header says it ends; one that
 * shrank is an error, because its header has been sent.
 */
#include "driver/emit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strv.h"
#include "driver/override.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/xattr.h"

/* Remembers first names of inodes that have several. */
struct emitter {
	struct entry_sink *to; /* borrowed */
	struct emit_opts opts;
	struct map *links;      /* owned; dev and ino -> first path (in link_paths) */
	struct strv link_paths; /* owns what `links` points to */
	char *buf;              /* owned; STREAM_BLOCK_BYTES */
	struct item_xattrs xattrs;
};

void emitter_free(struct emitter *m)
{
	if (!m)
		return;
	map_free(m->links);
	strv_done(&m->link_paths);
	item_xattrs_done(&m->xattrs);
	free(m->buf);
	free(m);
}

int emitter_new(struct entry_sink *to, const struct emit_opts *opts, struct emitter **ret,
	struct imbrex_error *err)
{
	AUTO_EMITTER *m = calloc(1, sizeof(*m));

	if (!m)
		return fail_nomem(err);
	item_xattrs_init(&m->xattrs);
	m->to = to;
	m->opts = *opts;
	m->links = map_new();
	m->buf = malloc(STREAM_BLOCK_BYTES);
	if (!m->links || !m->buf)
		return fail_nomem(err);
	*ret = take_ptr(m);
	return 0;
}

bool xattr_travels(const char *name)
{
	if (str_eq(name, "security.capability") || str_eq(name, "security.ima"))
		return true;
	return str_after(name, "user.") && !str_after(name, "user.overlay.") &&
	       !str_after(name, "user.fuseoverlayfs.") && !str_eq(name, OVERRIDE_XATTR);
}

void item_xattrs_init(struct item_xattrs *x)
{
	x->names = (struct str)STR_INIT(LIMIT_XATTR_VALUE_BYTES);
	x->values = (struct str)STR_INIT((size_t)LIMIT_XATTR_VALUE_BYTES * 64);
	x->n = 0;
}

void item_xattrs_done(struct item_xattrs *x)
{
	str_done(&x->names);
	str_done(&x->values);
}

/* -errno; values are lengths only until all are read, because the string moves as it grows. */
static int read_values(
	struct item_xattrs *x, const struct tree_item *item, struct imbrex_error *err)
{
	size_t i, at;
	int r;

	for (i = 0; i < x->names.len; i += strlen(x->names.data + i) + 1) {
		const char *name = x->names.data + i;

		if (!xattr_travels(name))
			continue;
		if (x->n == LIMIT_XATTRS_PER_ENTRY)
			return fail(err, IMBREX_ELIMIT, "'%s' has more than %d xattrs", item->path,
				LIMIT_XATTRS_PER_ENTRY);
		at = x->values.len;
		r = getxattr_at(item->dirfd, item->name, name, &x->values);
		if (r == -ENODATA)
			continue;
		if (r < 0)
			return fail_code(err, r, "read xattrs of '%s'", item->path);
		x->items[x->n++] =
			(struct entry_xattr){ .name = name, .value_len = x->values.len - at };
	}
	return 0;
}

int item_xattrs_read(struct item_xattrs *x, const struct tree_item *item, struct imbrex_error *err)
{
	size_t i, at = 0;
	int r;

	x->n = 0;
	str_clear(&x->names);
	str_clear(&x->values);
	r = listxattr_at(item->dirfd, item->name, &x->names);
	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return fail_code(err, r, "read xattrs of '%s'", item->path);
	r = read_values(x, item, err);
	for (i = 0; r == 0 && i < x->n; i++) {
		x->items[i].value = str_text(&x->values) + at;
		at += x->items[i].value_len;
	}
	return r;
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

	r = getxattr_at(item->dirfd, item->name, OVERRIDE_XATTR, &text);
	if (r == -ENODATA || r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return fail_code(err, r, "read xattr '%s' of '%s'", OVERRIDE_XATTR, item->path);
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
	return fail(err, IMBREX_EFORMAT, "'%s': xattr '%s' is '%s'", item->path, OVERRIDE_XATTR,
		str_text(&text));
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
static const char *first_name(const struct emitter *m, const struct tree_item *item)
{
	const uint64_t key[2] = { item->st.st_dev, item->st.st_ino };
	void *first = NULL;

	if (S_ISDIR(item->st.st_mode) || item->st.st_nlink < 2)
		return NULL;
	return map_get(m->links, (const char *)key, sizeof(key), &first) ? first : NULL;
}

/* Only now: what vanished before it was pushed is nothing to link to. */
static int note_first_name(
	struct emitter *m, const struct tree_item *item, struct imbrex_error *err)
{
	const uint64_t key[2] = { item->st.st_dev, item->st.st_ino };

	if (S_ISDIR(item->st.st_mode) || item->st.st_nlink < 2)
		return 0;
	if (strv_add(&m->link_paths, item->path) < 0 ||
		map_set(m->links, (const char *)key, sizeof(key),
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

/* An owner that the map does not know cannot be told; nobody would notice a file left out. */
static int map_owner(const struct emitter *m, struct entry *e, struct imbrex_error *err)
{
	struct id_pair ids = { e->uid, e->gid };

	if (id_maps_to_inside(m->opts.maps, &ids) < 0)
		return fail(err, IMBREX_EFORMAT,
			"'%s': its owner %u:%u of the host is not in the layer's identity map",
			e->path, e->uid, e->gid);
	e->uid = ids.uid;
	e->gid = ids.gid;
	return 0;
}

static int push_entry(struct emitter *m, const struct entry *e, const struct tree_item *item,
	int fd, struct imbrex_error *err)
{
	int r = m->to->ops->begin(m->to, e, err);

	if (r == 0 && e->type == ENTRY_FILE && e->size_bytes)
		r = push_content(m, item, fd, e->size_bytes, err);
	return r < 0 ? r : m->to->ops->end(m->to, err);
}

/*
 * What the inode holds besides what stat says. ENOENT: it has vanished.
 *
 * first  its content has been pushed under this name; NULL: not yet
 */
static int read_item(struct emitter *m, const struct tree_item *item, const char *first,
	struct entry *e, struct str *target, int *ret_fd, struct imbrex_error *err)
{
	struct stat st;
	int r = 0;

	if (m->opts.override_stat && e->type != ENTRY_SYMLINK)
		r = read_override(item, e, err);
	if (r < 0)
		return r;
	if (first) {
		e->type = ENTRY_HARDLINK;
		e->link = first;
	} else if (e->type == ENTRY_SYMLINK) {
		r = read_link_at(item->dirfd, item->name, target, err);
		e->link = str_text(target);
	} else if (e->type == ENTRY_FILE) {
		r = open_content(item, &st, err);
		if (r >= 0) {
			*ret_fd = r;
			e->size_bytes = (uint64_t)st.st_size;
			r = 0;
		}
	}
	if (r == 0)
		r = item_xattrs_read(&m->xattrs, item, err);
	e->xattrs = m->xattrs.items;
	e->n_xattrs = m->xattrs.n;
	return r;
}

int emit(struct emitter *m, const struct tree_item *item, struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_PATH_BYTES);
	const char *first = first_name(m, item);
	AUTO_CLOSE int fd = -EBADF;
	struct imbrex_error why;
	struct entry e;
	int r;

	fill_entry(item, &e);
	if (!e.type)
		return 0;
	r = read_item(m, item, first, &e, &target, &fd, &why);
	if (r == IMBREX_ENOENT)
		return 0;
	if (r < 0) {
		if (err)
			*err = why;
		return r;
	}
	r = map_owner(m, &e, err);
	if (r == 0)
		r = push_entry(m, &e, item, fd, err);
	return r < 0 || first ? r : note_first_name(m, item, err);
}

int emit_mark(struct emitter *m, const struct tree_item *item, enum entry_type type,
	struct imbrex_error *err)
{
	struct id_pair ids = { item->st.st_uid, item->st.st_gid };
	struct entry e;

	fill_entry(item, &e);
	/* The kernel's own marks are root's, whom not every map knows. */
	if (id_maps_to_inside(m->opts.maps, &ids) < 0)
		ids = (struct id_pair){ 0, 0 };
	e.uid = ids.uid;
	e.gid = ids.gid;
	e.type = type;
	e.dev_major = e.dev_minor = 0;
	e.mode = type == ENTRY_OPAQUE ? e.mode & 0777 : 0;
	if (type == ENTRY_OPAQUE) {
		e.mtime_sec = e.atime_sec = 0;
		e.mtime_nsec = e.atime_nsec = 0;
	}
	return push_entry(m, &e, item, -EBADF, err);
}

int emit_removal(struct emitter *m, const char *path, struct imbrex_error *err)
{
	const struct entry e = { .path = path, .type = ENTRY_WHITEOUT };
	int r = m->to->ops->begin(m->to, &e, err);

	return r < 0 ? r : m->to->ops->end(m->to, err);
}
