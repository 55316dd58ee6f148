/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an image is written, and the same in the words of mksquashfs, which is how people have it in
 * their configuration.
 *
 * squashfs_options_init -> squashfs_options_parse* -> squashfs_writer_new. Plain data.
 * Errors: err; messages name the option.
 */
#ifndef FORMAT_SQUASHFS_OPTIONS_H
#define FORMAT_SQUASHFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

enum squashfs_compressor {
	SQUASHFS_GZIP = 1, /* as on disk */
	SQUASHFS_LZMA,
	SQUASHFS_LZO,
	SQUASHFS_XZ,
	SQUASHFS_LZ4,
	SQUASHFS_ZSTD
};

struct squashfs_options {
	enum squashfs_compressor compressor;
	uint32_t block_bytes;      /* 4 KiB to 1 MiB, a power of two */
	uint32_t level;            /* 0: the compressor's default */
	uint32_t window_bits;      /* gzip; 0: default */
	uint32_t dictionary_bytes; /* xz; 0: the block size */
	uint16_t flags;            /* SQFS_COMP_FLAG_* of the compressor */
	bool no_inodes, no_data, no_fragments, no_xattr_blocks, no_ids; /* stored uncompressed */
	bool without_fragments; /* the end of a file gets a block of its own */
	bool without_duplicates;
	bool without_exports;
	bool without_xattrs;
	bool all_root;         /* every owner is 0:0 */
	bool has_uid, has_gid; /* every owner is this one */
	uint32_t uid, gid;
	bool has_image_time, has_all_time;
	uint32_t image_time_sec; /* of the image itself; else the greatest time in it */
	uint32_t all_time_sec;   /* of every inode; else its own */
	unsigned int processors; /* 0: one per core */
	bool no_padding;         /* else the image is filled up to 4 KiB */
};

/* gzip, blocks of 128 KiB: the defaults of mksquashfs. */
void squashfs_options_init(struct squashfs_options *o);

/*
 * Options of mksquashfs 4.5 beginning at words[0], NULL terminated. Those about messages and
 * resources are accepted and mean nothing.
 *
 * Errors EINVAL for an option that would change the image and is not understood, or a bad value
 */
int squashfs_options_parse(
	struct squashfs_options *o, const char *const *words, struct imbrex_error *err) MUST_CHECK;

/* "gzip", ... Static storage; NULL for none of the enum. */
const char *squashfs_compressor_name(unsigned int compressor);

#endif
