/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of an image in the making, in memory: metadata only. Internal to the folder.
 *
 * node_tree_init -> node_tree_add* -> inodes_write -> node_tree_done.
 * Errors: err; messages name the path.
 */
#ifndef FORMAT_SQUASHFS_NODE_H
#define FORMAT_SQUASHFS_NODE_H

#include "base/map.h"
#include "format/squashfs/bridge.h"
#include "format/squashfs/options.h"
#include "tree/entry.h"

#define NO_XATTRS 0xffffffffu

struct node {
	struct node *next;     /* among all nodes, newest first: for freeing */
	struct node *parent;   /* NULL: the root */
	struct node **entries; /* of a directory; owned array; sorted when inodes are written */
	size_t n_entries, max_entries;
	struct node *target; /* of a hard link; never a hard link itself */
	char *link;          /* of a symbolic link; owned; NULL otherwise */
	/* Of a file with a name of its own: the library's, freed by it, and it changes it until all
	 * blocks are written. */
	sqfs_inode_generic_t *inode;
	uint64_t ref;    /* where the inode is; valid once it is written */
	uint32_t number; /* of the inode, from 1 on; 0: not yet numbered */
	uint32_t n_links;
	uint32_t xattrs; /* index; NO_XATTRS: none */
	enum entry_type type;
	uint16_t mode; /* permission bits */
	uint16_t uid_index, gid_index;
	uint32_t mtime_sec;
	uint32_t device;
	char name[]; /* last component */
};

struct node_tree {
	struct node *root;
	struct node *nodes; /* all of them */
	struct map *paths;  /* path -> node */
	size_t n_inodes;
	uint32_t newest_sec; /* greatest mtime of all nodes */
	const struct squashfs_api *api;
};

int node_tree_init(
	struct node_tree *t, const struct squashfs_api *api, struct imbrex_error *err) MUST_CHECK;
void node_tree_done(struct node_tree *t);
/* The node of a path, made with all above it that is missing. *ret_new: it was not there. */
int node_tree_add(struct node_tree *t, const char *path, struct node **ret, bool *ret_new,
	struct imbrex_error *err) MUST_CHECK;
/* NULL if there is none. */
struct node *node_tree_find(const struct node_tree *t, const char *path);

/*
 * Write the inode table and the directory table, and the export table if `exports`.
 *
 * cmp  of metadata
 */
int inodes_write(struct node_tree *t, struct file_bridge *to, sqfs_compressor_t *cmp, bool exports,
	sqfs_super_t *super, sqfs_dir_writer_t **ret_dirs, struct imbrex_error *err) MUST_CHECK;

#endif
