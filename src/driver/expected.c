/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of nodes, found by parent and name.
 *
 * Invariants: (1) a node that is gone is not in the map, so nothing below it is found either; (2)
 * only directories have children; (3) `same` leads to a node whose own `same` is NULL.
 */
#include "driver/expected.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "driver/emit.h"

/* As many links on one way as the kernel follows. */
#define LINKS_MAX 40

struct expected {
	enum apply_whiteouts whiteouts;
	struct expected_node *root; /* owned, with all others: root->next … */
	struct expected_node *last;
	struct map *names; /* owned; parent and name -> node */
	struct str key;
	unsigned int layer; /* that is being added */
	size_t n_entries;
};

struct expected_sink {
	struct entry_sink sink;
	struct expected *x; /* borrowed */
};

static void node_free(struct expected_node *n)
{
	free(n->link);
	free(n->xattrs);
	free(n);
}

void expected_free(struct expected *x)
{
	struct expected_node *n;

	if (!x)
		return;
	while ((n = x->root)) {
		x->root = n->next;
		node_free(n);
	}
	map_free(x->names);
	str_done(&x->key);
	free(x);
}

static struct expected_node *node_new(const char *name, size_t len)
{
	struct expected_node *n = calloc(1, sizeof(*n) + len + 1);

	if (n)
		memcpy(n->name, name, len);
	return n;
}

int expected_new(enum apply_whiteouts whiteouts, struct expected **ret, struct imbrex_error *err)
{
	AUTO_EXPECTED *x = calloc(1, sizeof(*x));

	if (!x)
		return fail_nomem(err);
	x->whiteouts = whiteouts;
	x->key.max_len = sizeof(void *) + LIMIT_PATH_BYTES;
	x->names = map_new();
	x->root = x->last = node_new("", 0);
	if (!x->names || !x->root)
		return fail_nomem(err);
	x->root->type = ENTRY_DIR;
	x->root->implied = true;
	*ret = take_ptr(x);
	return 0;
}

static int set_key(
	struct expected *x, const struct expected_node *parent, const char *name, size_t len)
{
	int r;

	str_clear(&x->key);
	r = str_append(&x->key, &parent, sizeof(parent));
	return r < 0 ? r : str_append(&x->key, name, len);
}

static struct expected_node *child(
	struct expected *x, const struct expected_node *parent, const char *name, size_t len)
{
	void *found = NULL;

	if (set_key(x, parent, name, len) < 0 ||
		!map_get(x->names, x->key.data, x->key.len, &found))
		return NULL;
	return found;
}

static int add_child(struct expected *x, struct expected_node *parent, const char *name, size_t len,
	struct expected_node **ret)
{
	struct expected_node *n = node_new(name, len);

	if (!n || set_key(x, parent, name, len) < 0 ||
		map_set(x->names, x->key.data, x->key.len, n) < 0) {
		free(n);
		return -ENOMEM;
	}
	n->parent = parent;
	n->beside = parent->first;
	parent->first = n;
	n->layer = x->layer;
	x->last->next = n;
	x->last = n;
	*ret = n;
	return 0;
}

static void detach(struct expected *x, struct expected_node *n)
{
	n->gone = true;
	/* On no memory it stays findable, and is told as missing: never silently wrong. */
	if (set_key(x, n->parent, n->name, strlen(n->name)) == 0)
		map_remove(x->names, x->key.data, x->key.len);
}

/* What layers below brought goes; what this one brought stays. */
static void detach_older(struct expected *x, struct expected_node *dir)
{
	struct expected_node *n;

	for (n = dir->first; n; n = n->beside) {
		if (n->gone)
			continue;
		if (n->layer < x->layer)
			detach(x, n);
		else if (n->type == ENTRY_DIR)
			detach_older(x, n);
	}
}

/* ---- paths ----------------------------------------------------------------------------- */

struct way {
	char *rest; /* owned; what is still to go */
	unsigned int n_links;
};

/* A symbolic link on the way: its target comes before the rest. */
static int follow(struct way *w, const char *target, const char *rest)
{
	char *joined;

	if (++w->n_links > LINKS_MAX)
		return -ELOOP;
	joined = format_text("%s/%s", target, rest);
	if (!joined)
		return -ENOMEM;
	free(w->rest);
	w->rest = joined;
	return 0;
}

static int step(struct expected *x, struct expected_node **at, const char *name, size_t len,
	struct expected_node **ret_link)
{
	struct expected_node *n;
	int r;

	*ret_link = NULL;
	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		*at = (*at)->parent ? (*at)->parent : *at;
		return 0;
	}
	n = child(x, *at, name, len);
	if (n && n->type == ENTRY_SYMLINK) {
		*ret_link = n;
		return 0;
	}
	if (n && n->type != ENTRY_DIR) {
		if (n->type != ENTRY_WHITEOUT)
			return -ENOTDIR;
		detach(x, n);
		n = NULL;
	}
	if (!n) {
		r = add_child(x, *at, name, len, &n);
		if (r < 0)
			return r;
		n->type = ENTRY_DIR;
		n->implied = true;
	}
	*at = n;
	return 0;
}

/* The directory that holds the last component of `path`, made if nobody has named it. */
static int find_parent(struct expected *x, const char *path, struct expected_node **ret)
{
	const char *slash = strrchr(path, '/');
	struct expected_node *at = x->root, *link;
	struct way w = { 0 };
	const char *p;
	int r = 0;

	*ret = x->root;
	if (!slash)
		return 0;
	w.rest = strndup(path, (size_t)(slash - path));
	if (!w.rest)
		return -ENOMEM;
	for (p = w.rest; r == 0 && *p;) {
		size_t len = strcspn(p, "/");

		r = step(x, &at, p, len, &link);
		p += len;
		p += *p == '/';
		if (r == 0 && link) {
			if (link->link[0] == '/')
				at = x->root;
			r = follow(&w, link->link, p);
			p = r < 0 ? p : w.rest;
		}
	}
	free(w.rest);
	*ret = at;
	return r;
}

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

struct expected_node *expected_find(struct expected *x, const char *path)
{
	struct expected_node *at = x->root;

	while (at && *path && !str_eq(path, ".")) {
		size_t len = strcspn(path, "/");

		at = child(x, at, path, len);
		path += len;
		path += *path == '/';
	}
	return at;
}

static bool is_there(const struct expected_node *n)
{
	for (; n; n = n->parent)
		if (n->gone)
			return false;
	return true;
}

struct expected_node *expected_next(struct expected *x, struct expected_node *after)
{
	struct expected_node *n = after ? after->next : x->root->next;

	while (n && !is_there(n))
		n = n->next;
	return n;
}

int expected_path(const struct expected_node *n, struct str *ret)
{
	const struct expected_node *way[LIMIT_PATH_DEPTH + 1];
	size_t depth = 0;
	int r = 0;

	for (; n->parent && depth < ARRAY_LEN(way); n = n->parent)
		way[depth++] = n;
	while (r == 0 && depth--) {
		r = str_puts(ret, way[depth]->name);
		if (r == 0 && depth)
			r = str_putc(ret, '/');
	}
	return r == -EFBIG ? 0 : r;
}

/* ---- entries --------------------------------------------------------------------------- */

static int keep_xattrs(struct expected_node *n, const struct entry *e)
{
	size_t i, used = 0, bytes = 0, count = 0;
	char *at;

	free(take_ptr(n->xattrs));
	n->n_xattrs = 0;
	for (i = 0; i < e->n_xattrs; i++) {
		if (!xattr_travels(e->xattrs[i].name))
			continue;
		count++;
		bytes += strlen(e->xattrs[i].name) + 1 + e->xattrs[i].value_len;
	}
	if (!count)
		return 0;
	n->xattrs = malloc(count * sizeof(*n->xattrs) + bytes);
	if (!n->xattrs)
		return -ENOMEM;
	at = (char *)(n->xattrs + count);
	for (i = 0; i < e->n_xattrs; i++) {
		const struct entry_xattr *from = &e->xattrs[i];
		struct entry_xattr *to = &n->xattrs[n->n_xattrs];
		size_t len = strlen(from->name) + 1;

		if (!xattr_travels(from->name))
			continue;
		to->name = memcpy(at + used, from->name, len);
		used += len;
		to->value = at + used;
		to->value_len = from->value_len;
		if (from->value_len)
			memcpy(at + used, from->value, from->value_len);
		used += from->value_len;
		n->n_xattrs++;
	}
	return 0;
}

static struct expected_meta meta_of(const struct entry *e)
{
	return (struct expected_meta){
		.mode = e->mode, .uid = e->uid, .gid = e->gid, .mtime_sec = e->mtime_sec
	};
}

/* The name that an entry has in the tree; an AUFS whiteout is a file. */
static int node_name(const struct expected *x, const struct entry *e, struct str *ret)
{
	if (x->whiteouts != APPLY_AUFS || e->type != ENTRY_WHITEOUT)
		return str_puts(ret, e->path);
	return str_printf(
		ret, "%.*s.wh.%s", (int)(last_of(e->path) - e->path), e->path, last_of(e->path));
}

/* The node for the last component: the one that is there if it stays, else a new one. */
static int place(struct expected *x, struct expected_node *parent, const char *name,
	enum entry_type type, struct expected_node **ret)
{
	struct expected_node *n = child(x, parent, name, strlen(name));

	if (n && n->type == ENTRY_DIR && type == ENTRY_DIR) {
		n->layer = x->layer;
		*ret = n;
		return 0;
	}
	if (n)
		detach(x, n);
	return add_child(x, parent, name, strlen(name), ret);
}

static int add_hardlink(struct expected *x, struct expected_node *n, const struct entry *e)
{
	struct expected_node *parent, *target;
	int r = find_parent(x, e->link, &parent);

	if (r < 0)
		return r;
	target = child(x, parent, last_of(e->link), strlen(last_of(e->link)));
	if (target && target->same)
		target = target->same;
	if (!target || target == n || target->type == ENTRY_DIR) {
		n->type = ENTRY_HARDLINK; /* to nothing: nothing can be said of it */
		return 0;
	}
	n->type = target->type;
	n->same = target;
	n->linked = target->linked = true;
	target->last = meta_of(e);
	return e->n_xattrs ? keep_xattrs(target, e) : 0;
}

static int add_node(
	struct expected *x, struct expected_node *parent, const struct entry *e, const char *name)
{
	struct expected_node *n;
	int r = place(x, parent, name, e->type, &n);

	if (r < 0)
		return r;
	n->type = e->type;
	n->implied = false;
	n->meta = n->last = meta_of(e);
	n->dev_major = e->dev_major;
	n->dev_minor = e->dev_minor;
	n->size_bytes = e->type == ENTRY_FILE ? e->size_bytes : 0;
	if (e->type == ENTRY_HARDLINK)
		return add_hardlink(x, n, e);
	if (e->type == ENTRY_SYMLINK) {
		n->link = strdup(e->link ? e->link : "");
		if (!n->link)
			return -ENOMEM;
	}
	return keep_xattrs(n, e);
}

static int add_whiteout(
	struct expected *x, struct expected_node *parent, const struct entry *e, const char *name)
{
	struct expected_node *n = child(x, parent, name, strlen(name));

	if (x->whiteouts == APPLY_AUFS)
		return add_node(x, parent, e, name);
	/* What the layer itself brings stays; its directory hides what is below. */
	if (n && n->layer == x->layer && n->type != ENTRY_WHITEOUT) {
		if (n->type == ENTRY_DIR && x->whiteouts == APPLY_OVERLAY)
			n->opaque = true;
		else if (n->type == ENTRY_DIR)
			detach_older(x, n);
		return 0;
	}
	if (x->whiteouts == APPLY_OVERLAY)
		return add_node(x, parent, e, name);
	if (n)
		detach(x, n);
	return 0;
}

static int add_opaque(struct expected *x, struct expected_node *parent, const char *name)
{
	struct expected_node *dir = x->root;
	int r = 0;

	if (!str_eq(name, ".")) {
		dir = child(x, parent, name, strlen(name));
		if (!dir || dir->type != ENTRY_DIR) {
			r = place(x, parent, name, ENTRY_DIR, &dir);
			if (r < 0)
				return r;
			dir->type = ENTRY_DIR;
			dir->implied = true;
		}
	}
	if (x->whiteouts == APPLY_REMOVE)
		detach_older(x, dir);
	else
		dir->opaque = x->whiteouts == APPLY_OVERLAY;
	return 0;
}

static int add_entry(struct expected *x, const struct entry *e)
{
	AUTO_STR name = STR_INIT(LIMIT_PATH_BYTES + 8);
	struct expected_node *parent;
	int r;

	if (node_name(x, e, &name) < 0)
		return -ENOMEM;
	r = find_parent(x, str_text(&name), &parent);
	if (r < 0)
		return r;
	if (e->type == ENTRY_OPAQUE)
		return add_opaque(x, parent, last_of(str_text(&name)));
	if (str_eq(e->path, "."))
		return 0; /* what a root looks like is the driver's */
	if (e->type == ENTRY_WHITEOUT)
		return add_whiteout(x, parent, e, last_of(str_text(&name)));
	return add_node(x, parent, e, last_of(str_text(&name)));
}

static int sink_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct expected *x = ((struct expected_sink *)s)->x;
	int r;

	if (++x->n_entries > LIMIT_LAYER_ENTRIES)
		return fail(err, IMBREX_ELIMIT, "more than %u entries", LIMIT_LAYER_ENTRIES);
	r = add_entry(x, e);
	return r < 0 ? fail_code(err, r, "layer entry '%s'", e->path) : 0;
}

static int sink_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return 0;
}

static int sink_end(struct entry_sink *s, struct imbrex_error *err)
{
	return 0;
}

static void sink_done(struct entry_sink *s)
{
	free(s);
}

static const struct entry_sink_ops sink_ops = {
	.begin = sink_begin,
	.data = sink_data,
	.end = sink_end,
	.finish = sink_end,
	.free = sink_done,
};

int expected_entries(struct expected *x, struct entry_sink **ret, struct imbrex_error *err)
{
	struct expected_sink *s = calloc(1, sizeof(*s));

	if (!s)
		return fail_nomem(err);
	s->sink.ops = &sink_ops;
	s->x = x;
	x->layer++;
	*ret = &s->sink;
	return 0;
}
