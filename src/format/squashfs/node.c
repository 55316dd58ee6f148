/* SPDX-License-Identifier: Apache-2.0 */
/* The tree itself: nodes by path. See the header. */
#include "format/squashfs/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

#define IMPLICIT_DIR_MODE 0755

static int new_node(struct node_tree *t, struct node *parent, const char *name, size_t len,
	struct node **ret, struct imbrex_error *err)
{
	struct node *n = calloc(1, sizeof(*n) + len + 1);

	if (!n)
		return fail_nomem(err);
	memcpy(n->name, name, len);
	n->type = ENTRY_DIR;
	n->mode = IMPLICIT_DIR_MODE;
	n->n_links = 1;
	n->xattrs = NO_XATTRS;
	n->parent = parent;
	n->next = t->nodes;
	t->nodes = n;
	*ret = n;
	return 0;
}

static int add_entry(struct node *dir, struct node *n, struct imbrex_error *err)
{
	struct node **more;
	size_t max;

	if (dir->n_entries == dir->max_entries) {
		max = dir->max_entries ? 2 * dir->max_entries : 4;
		more = reallocarray(dir->entries, max, sizeof(struct node *));
		if (!more)
			return fail_nomem(err);
		dir->entries = more;
		dir->max_entries = max;
	}
	dir->entries[dir->n_entries++] = n;
	return 0;
}

/* The path is prefix[0 .. len), and its parent is known. */
static int add_below(struct node_tree *t, struct node *parent, const char *path, size_t len,
	struct node **ret, struct imbrex_error *err)
{
	const char *slash = memrchr(path, '/', len);
	const char *name = slash ? slash + 1 : path;
	struct node *n;
	int r;

	if (parent->type != ENTRY_DIR)
		return fail(err, IMBREX_EFORMAT,
			"squashfs: entry '%.*s' lies below something that is no directory",
			(int)len, path);
	r = new_node(t, parent, name, len - (size_t)(name - path), &n, err);
	if (r == 0)
		r = add_entry(parent, n, err);
	if (r < 0)
		return r;
	r = map_add(t->paths, path, len, n);
	if (r < 0)
		return fail_nomem(err);
	*ret = n;
	return 0;
}

int node_tree_init(struct node_tree *t, const struct squashfs_api *api, struct imbrex_error *err)
{
	*t = (struct node_tree){ .api = api, .paths = map_new() };
	if (!t->paths)
		return fail_nomem(err);
	return new_node(t, NULL, "", 0, &t->root, err);
}

void node_tree_done(struct node_tree *t)
{
	while (t->nodes) {
		struct node *n = t->nodes;

		t->nodes = n->next;
		if (n->inode)
			t->api->free(n->inode);
		free(n->entries);
		free(n->link);
		free(n);
	}
	map_free(t->paths);
	t->paths = NULL;
}

struct node *node_tree_find(const struct node_tree *t, const char *path)
{
	void *found;

	if (str_eq(path, "."))
		return t->root;
	return map_get(t->paths, path, strlen(path), &found) ? found : NULL;
}

int node_tree_add(struct node_tree *t, const char *path, struct node **ret, bool *ret_new,
	struct imbrex_error *err)
{
	struct node *n = node_tree_find(t, path);
	struct node *parent = t->root;
	const char *end = path;
	void *found;
	int r;

	*ret_new = !n;
	*ret = n;
	while (!*ret) {
		end = strchrnul(end, '/');
		if (map_get(t->paths, path, (size_t)(end - path), &found)) {
			parent = found;
		} else {
			r = add_below(t, parent, path, (size_t)(end - path), &n, err);
			if (r < 0)
				return r;
			parent = n;
		}
		if (!*end)
			*ret = parent;
		else
			end++;
	}
	return 0;
}
