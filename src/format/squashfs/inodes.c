/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inode and directory tables.
 *
 * A directory's listing says where the inodes of its entries are, so these are written first:
 * directories in the reverse of an order in which each stands before those in it. Numbers are given
 * in the same order beforehand, because a directory's inode also names its parent's. The root is
 * last and has the highest number. No recursion: a path may have thousands of components.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "format/squashfs/node.h"

struct inode_writer {
	struct node_tree *tree;
	struct file_bridge *to;
	sqfs_meta_writer_t *inodes;   /* owned */
	sqfs_meta_writer_t *listings; /* owned; kept in memory */
	sqfs_dir_writer_t *dirs;      /* owned until handed out */
	struct node **order;          /* all directories, each before those in it; owned */
	size_t n_order;
};

static int failed(struct inode_writer *w, int r, const struct node *n, struct imbrex_error *err)
{
	r = file_bridge_fail(err, w->to, r, false, "write inodes");
	return *n->name ? wrap(err, r, "'%s'", n->name) : r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct node *const *)a)->name, (*(struct node *const *)b)->name);
}

static int order_directories(struct inode_writer *w, struct imbrex_error *err)
{
	size_t n = 1, i, k;
	const struct node *node;

	for (node = w->tree->nodes; node; node = node->next)
		n += node->type == ENTRY_DIR;
	w->order = calloc(n, sizeof(struct node *));
	if (!w->order)
		return fail_nomem(err);
	w->order[w->n_order++] = w->tree->root;
	for (i = 0; i < w->n_order; i++) {
		struct node *dir = w->order[i];

		if (dir->n_entries)
			qsort(dir->entries, dir->n_entries, sizeof(struct node *), by_name);
		for (k = 0; k < dir->n_entries; k++) {
			if (dir->entries[k]->type == ENTRY_DIR)
				w->order[w->n_order++] = dir->entries[k];
		}
	}
	return 0;
}

static struct node *inode_of(struct node *n)
{
	return n->type == ENTRY_HARDLINK ? n->target : n;
}

static void number_inodes(struct inode_writer *w)
{
	uint32_t number = 0;
	size_t i, k;

	for (i = w->n_order; i-- > 0;) {
		for (k = 0; k < w->order[i]->n_entries; k++) {
			struct node *n = inode_of(w->order[i]->entries[k]);

			if (!n->number)
				n->number = ++number;
		}
	}
	w->tree->root->number = ++number;
	w->tree->n_inodes = number;
}

/* ---- inodes ---------------------------------------------------------------------------- */

static void fill_device(const struct node *n, sqfs_inode_generic_t *i)
{
	i->base.type = n->type == ENTRY_CHAR ? SQFS_INODE_CDEV : SQFS_INODE_BDEV;
	i->data.dev.nlink = n->n_links;
	i->data.dev.devno = n->device;
}

static void fill_symlink(const struct node *n, sqfs_inode_generic_t *i)
{
	size_t len = strlen(n->link);

	i->base.type = SQFS_INODE_SLINK;
	i->data.slink.nlink = n->n_links;
	i->data.slink.target_size = (sqfs_u32)len;
	i->payload_bytes_available = i->payload_bytes_used = (sqfs_u32)len;
	memcpy(i->extra, n->link, len);
}

static sqfs_inode_generic_t *new_inode(const struct node *n)
{
	size_t extra = n->link ? strlen(n->link) : 0;
	sqfs_inode_generic_t *i = calloc(1, sizeof(*i) + extra + 1);

	if (!i)
		return NULL;
	if (n->type == ENTRY_SYMLINK) {
		fill_symlink(n, i);
	} else if (n->type == ENTRY_FIFO) {
		i->base.type = SQFS_INODE_FIFO;
		i->data.ipc.nlink = n->n_links;
	} else {
		fill_device(n, i);
	}
	return i;
}

static int put_inode(
	struct inode_writer *w, struct node *n, sqfs_inode_generic_t *i, struct imbrex_error *err)
{
	sqfs_u64 block;
	sqfs_u32 offset;
	int r;

	i->base.mode = n->mode;
	i->base.uid_idx = n->uid_index;
	i->base.gid_idx = n->gid_index;
	i->base.mod_time = n->mtime_sec;
	i->base.inode_number = n->number;
	w->tree->api->meta_writer_get_position(w->inodes, &block, &offset);
	n->ref = block << 16 | offset;
	r = w->tree->api->meta_writer_write_inode(w->inodes, i);
	return r ? failed(w, r, n, err) : 0;
}

static int write_file(struct inode_writer *w, struct node *n, struct imbrex_error *err)
{
	const struct squashfs_api *api = w->tree->api;
	int r = 0;

	if (n->n_links > 1 || n->xattrs != NO_XATTRS)
		r = api->inode_make_extended(n->inode);
	if (r == 0 && n->xattrs != NO_XATTRS)
		r = api->inode_set_xattr_index(n->inode, n->xattrs);
	if (r)
		return failed(w, r, n, err);
	if (n->inode->base.type == SQFS_INODE_EXT_FILE)
		n->inode->data.file_ext.nlink = n->n_links;
	return put_inode(w, n, n->inode, err);
}

static int write_other(struct inode_writer *w, struct node *n, struct imbrex_error *err)
{
	AUTO_FREE sqfs_inode_generic_t *i = new_inode(n);
	int r = 0;

	if (!i)
		return fail_nomem(err);
	if (n->xattrs != NO_XATTRS)
		r = w->tree->api->inode_make_extended(i);
	if (r == 0 && n->xattrs != NO_XATTRS)
		r = w->tree->api->inode_set_xattr_index(i, n->xattrs);
	return r ? failed(w, r, n, err) : put_inode(w, n, i, err);
}

/* ---- directories ----------------------------------------------------------------------- */

static mode_t type_bits(const struct node *n)
{
	switch (n->type) {
	case ENTRY_DIR:
		return S_IFDIR;
	case ENTRY_SYMLINK:
		return S_IFLNK;
	case ENTRY_CHAR:
		return S_IFCHR;
	case ENTRY_BLOCK:
		return S_IFBLK;
	case ENTRY_FIFO:
		return S_IFIFO;
	default:
		return S_IFREG;
	}
}

static int write_entries(struct inode_writer *w, struct node *dir, struct imbrex_error *err)
{
	size_t k;
	int r = 0;

	for (k = 0; r == 0 && k < dir->n_entries; k++) {
		struct node *n = inode_of(dir->entries[k]);

		if (n->ref != UINT64_MAX)
			continue;
		r = n->type == ENTRY_FILE ? write_file(w, n, err) : write_other(w, n, err);
	}
	return r;
}

static int write_directory(struct inode_writer *w, struct node *dir, struct imbrex_error *err)
{
	const struct squashfs_api *api = w->tree->api;
	sqfs_inode_generic_t *inode;
	size_t n_dirs = 0, k;
	int r;

	r = write_entries(w, dir, err);
	if (r < 0)
		return r;
	r = api->dir_writer_begin(w->dirs, 0);
	for (k = 0; r == 0 && k < dir->n_entries; k++) {
		const struct node *n = inode_of(dir->entries[k]);

		n_dirs += n->type == ENTRY_DIR;
		r = api->dir_writer_add_entry(w->dirs, dir->entries[k]->name, n->number, n->ref,
			(sqfs_u16)(type_bits(n) | n->mode));
	}
	if (r == 0)
		r = api->dir_writer_end(w->dirs);
	if (r)
		return failed(w, r, dir, err);
	/* The parent of the root is one beyond the highest number, as mksquashfs has it. */
	inode = api->dir_writer_create_inode(w->dirs, n_dirs + 2, dir->xattrs,
		dir->parent ? dir->parent->number : dir->number + 1);
	if (!inode)
		return fail_nomem(err);
	r = put_inode(w, dir, inode, err);
	api->free(inode);
	return r;
}

static int write_all_inodes(struct inode_writer *w, struct imbrex_error *err)
{
	struct node *n;
	size_t i;
	int r = 0;

	for (n = w->tree->nodes; n; n = n->next)
		n->ref = UINT64_MAX;
	for (i = w->n_order; r == 0 && i-- > 0;)
		r = write_directory(w, w->order[i], err);
	return r;
}

static int write_tables(struct inode_writer *w, sqfs_super_t *super, struct imbrex_error *err)
{
	const struct squashfs_api *api = w->tree->api;
	sqfs_file_t *file = &w->to->base;
	int r;

	super->inode_table_start = file->get_size(file);
	r = write_all_inodes(w, err);
	if (r < 0)
		return r;
	r = api->meta_writer_flush(w->inodes);
	if (r == 0)
		r = api->meta_writer_flush(w->listings);
	super->directory_table_start = file->get_size(file);
	if (r == 0)
		r = api->meta_write_write_to_file(w->listings);
	super->root_inode_ref = w->tree->root->ref;
	super->inode_count = (sqfs_u32)w->tree->n_inodes;
	return r ? failed(w, r, w->tree->root, err) : 0;
}

int inodes_write(struct node_tree *t, struct file_bridge *to, sqfs_compressor_t *cmp, bool exports,
	sqfs_super_t *super, sqfs_dir_writer_t **ret_dirs, struct imbrex_error *err)
{
	struct inode_writer w = { .tree = t, .to = to };
	int r;

	w.inodes = t->api->meta_writer_create(&to->base, cmp, 0);
	w.listings = t->api->meta_writer_create(&to->base, cmp, SQFS_META_WRITER_KEEP_IN_MEMORY);
	if (w.listings)
		w.dirs = t->api->dir_writer_create(
			w.listings, exports ? SQFS_DIR_WRITER_CREATE_EXPORT_TABLE : 0);
	if (w.inodes && w.listings && w.dirs)
		r = order_directories(&w, err);
	else
		r = fail_nomem(err);
	if (r == 0) {
		number_inodes(&w);
		r = write_tables(&w, super, err);
	}
	free(w.order);
	if (r == 0)
		*ret_dirs = take_ptr(w.dirs);
	sqfs_destroy(w.dirs);
	sqfs_destroy(w.listings);
	sqfs_destroy(w.inodes);
	return r;
}
