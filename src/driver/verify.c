/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk of the tree against what is expected of it, then what was not met on the way.
 */
#include "driver/verify.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/limits.h"
#include "base/str.h"
#include "driver/emit.h"
#include "driver/treewalk.h"
#include "os/fd.h"
#include "os/xattr.h"

#define CAPABILITY "security.capability"
/* struct vfs_cap_data: the revision, which a user namespace changes, then the capabilities. */
#define CAPABILITY_BEGIN 4
#define CAPABILITY_END   20
/* What the smallest of the file systems in question can keep. */
#define MTIME_MAX 0x7fffffff

struct verify {
	const struct verify_opts *opts;
	struct expected *x;
	driver_problem_fn fn;
	void *ctx;
	struct item_xattrs xattrs;
	struct str text; /* what differs, so far */
	int r;           /* of building it */
};

static const char *type_name(enum entry_type type)
{
	switch (type) {
	case ENTRY_FILE:
		return "a file";
	case ENTRY_DIR:
		return "a directory";
	case ENTRY_SYMLINK:
		return "a symbolic link";
	case ENTRY_CHAR:
		return "a character device";
	case ENTRY_BLOCK:
		return "a block device";
	case ENTRY_FIFO:
		return "a fifo";
	case ENTRY_WHITEOUT:
		return "a whiteout";
	case ENTRY_HARDLINK:
	case ENTRY_OPAQUE:
		break;
	}
	return "something else";
}

static enum entry_type type_of(const struct stat *st, bool whiteouts)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return ENTRY_FILE;
	case S_IFDIR:
		return ENTRY_DIR;
	case S_IFLNK:
		return ENTRY_SYMLINK;
	case S_IFCHR:
		return whiteouts && st->st_rdev == 0 ? ENTRY_WHITEOUT : ENTRY_CHAR;
	case S_IFBLK:
		return ENTRY_BLOCK;
	case S_IFIFO:
		return ENTRY_FIFO;
	}
	return ENTRY_OPAQUE; /* a socket: nothing that a layer has */
}

static void PRINTF_LIKE(2, 3) differs(struct verify *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (v->r == 0 && v->text.len)
		v->r = str_puts(&v->text, ", ");
	if (v->r == 0)
		v->r = str_vprintf(&v->text, fmt, ap);
	va_end(ap);
	if (v->r == -EFBIG)
		v->r = 0;
}

static int tell(struct verify *v, enum driver_problem_kind kind, char change, const char *path,
	const char *text, struct imbrex_error *err)
{
	AUTO_FREE char *about = format_text("%c/%s", change, path);

	if (!about || v->r < 0)
		return fail_nomem(err);
	return v->fn(
		v->ctx, &(struct driver_problem){ .kind = kind, .path = about, .text = text }, err);
}

/* ---- one inode ------------------------------------------------------------------------- */

static bool same_owner(
	const struct verify *v, const struct stat *st, const struct expected_meta *meta)
{
	struct id_pair ids = { st->st_uid, st->st_gid };

	if (v->opts->any_owner || v->opts->any_meta)
		return true;
	return id_maps_to_inside(v->opts->maps, &ids) == 0 && ids.uid == meta->uid &&
	       ids.gid == meta->gid;
}

static bool same_time(const struct stat *st, const struct expected_meta *meta)
{
	return meta->mtime_sec < 0 || meta->mtime_sec > MTIME_MAX ||
	       st->st_mtim.tv_sec == meta->mtime_sec;
}

/* Of several names of an inode, the first entry's metadata counts, or the last one's: who unpacked
 * it may have taken either. */
static void compare_meta(struct verify *v, const struct tree_item *item,
	const struct expected_node *n, enum entry_type type)
{
	const struct expected_meta *a = &n->meta, *b = &n->last;
	const struct stat *st = &item->st;
	uint32_t mode = st->st_mode & 07777;

	if (type == ENTRY_WHITEOUT)
		return;
	if (type != ENTRY_SYMLINK && !v->opts->any_meta && mode != a->mode && mode != b->mode)
		differs(v, "mode is %04o, not %04o", mode, b->mode);
	if (!same_owner(v, st, a) && !same_owner(v, st, b))
		differs(v, "owner is %u:%u, not %u:%u", st->st_uid, st->st_gid, b->uid, b->gid);
	if (type != ENTRY_FILE)
		return;
	if ((uint64_t)st->st_size != n->size_bytes)
		differs(v, "size is %lld, not %" PRIu64, (long long)st->st_size, n->size_bytes);
	else if (st->st_size && !same_time(st, a) && !same_time(st, b))
		differs(v, "time is %lld, not %" PRId64, (long long)st->st_mtim.tv_sec,
			b->mtime_sec);
}

static int compare_link(struct verify *v, const struct tree_item *item,
	const struct expected_node *n, struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_PATH_BYTES);
	int r = read_link_at(item->dirfd, item->name, &target, err);

	if (r == 0 && !str_eq(str_text(&target), n->link ? n->link : ""))
		differs(v, "leads to '%s', not to '%s'", str_text(&target), n->link);
	return r;
}

static bool same_value(const struct entry_xattr *a, const struct entry_xattr *b)
{
	if (str_eq(a->name, CAPABILITY) && a->value_len >= CAPABILITY_END &&
		b->value_len >= CAPABILITY_END)
		return memcmp((const char *)a->value + CAPABILITY_BEGIN,
			       (const char *)b->value + CAPABILITY_BEGIN,
			       CAPABILITY_END - CAPABILITY_BEGIN) == 0;
	return a->value_len == b->value_len && memcmp(a->value, b->value, a->value_len) == 0;
}

static const struct entry_xattr *find_xattr(
	const struct entry_xattr *items, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (str_eq(items[i].name, name))
			return &items[i];
	return NULL;
}

/* The measurements of this machine are not the layer's. */
static bool is_of_host(const char *name)
{
	return str_eq(name, "security.ima");
}

/* A file system that has no such xattrs has dropped it, and nobody complained. */
static bool is_refused(const struct tree_item *item, const char *name)
{
	AUTO_STR value = STR_INIT(LIMIT_XATTR_VALUE_BYTES);

	return getxattr_at(item->dirfd, item->name, name, &value) == -EOPNOTSUPP;
}

static int compare_xattrs(struct verify *v, const struct tree_item *item,
	const struct expected_node *n, struct imbrex_error *err)
{
	struct item_xattrs *have = &v->xattrs;
	const struct entry_xattr *other;
	size_t i;
	int r;

	r = item_xattrs_read(have, item, err);
	if (r < 0)
		return r;
	for (i = 0; i < n->n_xattrs; i++) {
		if (is_of_host(n->xattrs[i].name) || is_refused(item, n->xattrs[i].name))
			continue;
		other = find_xattr(have->items, have->n, n->xattrs[i].name);
		/* Other programs do not set empty ones. */
		if (!other && n->xattrs[i].value_len)
			differs(v, "xattr '%s' is missing", n->xattrs[i].name);
		else if (!other)
			continue;
		else if (!same_value(&n->xattrs[i], other))
			differs(v, "xattr '%s' has another value", n->xattrs[i].name);
	}
	for (i = 0; i < have->n; i++) {
		if (!is_of_host(have->items[i].name) &&
			!find_xattr(n->xattrs, n->n_xattrs, have->items[i].name))
			differs(v, "xattr '%s' is new", have->items[i].name);
	}
	return 0;
}

static void compare_opaque(
	struct verify *v, const struct tree_item *item, const struct expected_node *n)
{
	AUTO_STR value = STR_INIT(LIMIT_XATTR_VALUE_BYTES);
	bool opaque;

	if (!v->opts->opaque_xattr)
		return;
	opaque = getxattr_at(item->dirfd, item->name, v->opts->opaque_xattr, &value) == 0 &&
		 str_eq(str_text(&value), "y");
	if (opaque != n->opaque)
		differs(v, opaque ? "hides what is below it" : "does not hide what is below it");
}

static int compare_inode(struct verify *v, const struct tree_item *item,
	const struct expected_node *n, struct imbrex_error *err)
{
	enum entry_type type = type_of(&item->st, v->opts->opaque_xattr != NULL);
	bool special = n->type != ENTRY_FILE && n->type != ENTRY_DIR && n->type != ENTRY_SYMLINK;
	int r = 0;

	if (n->type == ENTRY_HARDLINK || (v->opts->any_meta && special))
		return 0;
	/* For a mount program a whiteout is a file of that name: the name is all that counts. */
	if (n->type == ENTRY_WHITEOUT && type == ENTRY_FILE && str_after(item->name, ".wh."))
		return 0;
	if (type != n->type) {
		differs(v, "is %s, not %s", type_name(type), type_name(n->type));
		return 0;
	}
	if (!n->implied)
		compare_meta(v, item, n, type);
	if ((type == ENTRY_CHAR || type == ENTRY_BLOCK) &&
		(major(item->st.st_rdev) != n->dev_major ||
			minor(item->st.st_rdev) != n->dev_minor))
		differs(v, "is device %u:%u, not %u:%u", major(item->st.st_rdev),
			minor(item->st.st_rdev), n->dev_major, n->dev_minor);
	if (type == ENTRY_SYMLINK)
		r = compare_link(v, item, n, err);
	if (r == 0 && !n->implied && (type == ENTRY_FILE || type == ENTRY_DIR))
		r = compare_xattrs(v, item, n, err);
	if (type == ENTRY_DIR)
		compare_opaque(v, item, n);
	return r;
}

/* What no entry names. */
static int compare_stranger(
	struct verify *v, const struct tree_item *item, struct imbrex_error *err)
{
	enum entry_type type = type_of(&item->st, v->opts->opaque_xattr != NULL);

	if (type == ENTRY_DIR || (type == ENTRY_FILE && item->st.st_size == 0))
		return 0;
	differs(v, "%s that the layer never had", type_name(type));
	return tell(v, DRIVER_PROBLEM_MODIFIED, '+', item->path, str_text(&v->text), err);
}

static int compare_item(struct verify *v, const struct tree_item *item, struct imbrex_error *err)
{
	struct expected_node *n = expected_find(v->x, item->path);
	struct imbrex_error why = { 0 };
	int r;

	str_clear(&v->text);
	if (!n)
		return compare_stranger(v, item, err);
	n->seen = true;
	r = compare_inode(v, item, n->same ? n->same : n, &why);
	if (r == IMBREX_ENOENT)
		return 0; /* it goes while we look: the layer is being removed */
	if (r < 0) {
		if (err)
			*err = why;
		return r;
	}
	if (!v->text.len)
		return 0;
	return tell(v, DRIVER_PROBLEM_MODIFIED, '*', item->path, str_text(&v->text), err);
}

static int tell_missing(struct verify *v, struct imbrex_error *err)
{
	struct expected_node *n;
	int r = 0;

	for (n = expected_next(v->x, NULL); r == 0 && n; n = expected_next(v->x, n)) {
		AUTO_STR path = STR_INIT(LIMIT_PATH_BYTES);

		if (n->seen || n->type == ENTRY_HARDLINK ||
			(v->opts->no_devices && (n->type == ENTRY_CHAR || n->type == ENTRY_BLOCK)))
			continue;
		if (expected_path(n, &path) < 0)
			return fail_nomem(err);
		str_clear(&v->text);
		differs(v, "%s is missing", type_name(n->type));
		r = tell(v, DRIVER_PROBLEM_MISSING, '-', str_text(&path), str_text(&v->text), err);
	}
	return r;
}

int verify_tree(int rootfd, struct expected *x, const struct verify_opts *opts,
	driver_problem_fn fn, void *ctx, struct imbrex_error *err)
{
	struct verify v = { .opts = opts, .x = x, .fn = fn, .ctx = ctx, .text = STR_INIT(1024) };
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	item_xattrs_init(&v.xattrs);
	r = tree_walk_new(rootfd, &w, err);
	while (r == 0 && (r = tree_walk_next(w, &item, err)) > 0)
		r = compare_item(&v, &item, err);
	if (r == 0)
		r = tell_missing(&v, err);
	item_xattrs_done(&v.xattrs);
	str_done(&v.text);
	return r;
}
