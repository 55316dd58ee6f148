/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of an image that is read: inodes, listings, owners, fragments, attributes. Every count
 * and offset in them is from outside; nothing here allocates by one of them.
 * Internal to the folder.
 *
 * image_open -> image_* -> image_done. One thread. Errors: err.
 */
#ifndef FORMAT_SQUASHFS_IMAGE_H
#define FORMAT_SQUASHFS_IMAGE_H

#include "base/limits.h"
#include "base/str.h"
#include "format/squashfs/bridge.h"
#include "tree/entry.h"

struct image {
	const struct squashfs_api *api;
	struct file_bridge file;
	sqfs_super_t super;
	sqfs_compressor_config_t config;                        /* to unpack */
	sqfs_compressor_t *cmp;                                 /* owned; of metadata */
	sqfs_meta_reader_t *inodes, *listings, *tables, *pairs; /* owned */
	uint64_t xattr_pairs_start;
	uint32_t n_xattr_ids;
	struct str xattr_text; /* owned; names and values of the last inode */
	struct entry_xattr xattrs[LIMIT_XATTRS_PER_ENTRY];
};

/* An inode, decoded. Where it has a list of blocks, image_block_size() reads on. */
struct image_inode {
	enum entry_type type; /* 0: a socket */
	uint16_t mode;
	uint32_t uid, gid, mtime_sec, n_links, xattrs, device;
	uint64_t size_bytes;                /* of a file; of a listing */
	uint64_t blocks_start;              /* of a file */
	uint32_t n_blocks;                  /* of a file, without the fragment */
	uint32_t fragment, fragment_offset; /* fragment: UINT32_MAX if none */
	uint32_t listing_block, listing_offset;
	uint32_t link_bytes;
	char link[LIMIT_PATH_BYTES + 1]; /* of a symbolic link */
};

struct image_fragment {
	uint64_t start;
	uint32_t size; /* as on disk */
};

int image_open(struct image *m, struct squashfs_file *file, struct imbrex_error *err) MUST_CHECK;
void image_done(struct image *m);

/* The inode at a reference (block << 16 | offset). */
int image_inode(struct image *m, uint64_t ref, struct image_inode *ret,
	struct imbrex_error *err) MUST_CHECK;
/* The next block size of the file whose inode was read last. */
int image_block_size(struct image *m, uint32_t *ret, struct imbrex_error *err) MUST_CHECK;
int image_fragment(struct image *m, uint32_t index, struct image_fragment *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Fills e->xattrs, valid until the next call. */
int image_xattrs(
	struct image *m, uint32_t index, struct entry *e, struct imbrex_error *err) MUST_CHECK;

/* A listing, entry by entry. */
struct image_listing {
	uint64_t block; /* where the next byte is */
	size_t offset;
	uint64_t left;      /* bytes of the listing */
	uint32_t in_header; /* entries that the current header still has */
	uint64_t inode_block;
	char name[LIMIT_NAME_BYTES + 1]; /* of the last entry */
	uint64_t ref;                    /* its inode */
	uint16_t kind;                   /* SQFS_INODE_TYPE as the listing has it */
};
void image_listing_begin(
	const struct image *m, const struct image_inode *dir, struct image_listing *ret);
/* 1: an entry; 0: the end. Names are in order, so none comes twice. */
int image_listing_next(
	struct image *m, struct image_listing *l, struct imbrex_error *err) MUST_CHECK;

#endif
