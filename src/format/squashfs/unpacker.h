/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompresses the data blocks of one file after the other on several threads, and hands them over
 * in order. Internal to the folder.
 *
 * unpacker_new -> (unpacker_put* unpacker_get*)* -> unpacker_free. One thread calls it.
 * Errors: err.
 */
#ifndef FORMAT_SQUASHFS_UNPACKER_H
#define FORMAT_SQUASHFS_UNPACKER_H

#include "format/squashfs/bridge.h"

struct unpacker;

/* One block of the image. */
struct packed_block {
	uint64_t offset;   /* in the file */
	uint32_t size;     /* as on disk: with the bit that says it is not compressed; 0: a hole */
	uint32_t out_size; /* bytes it must unpack to; > 0, at most the block size */
};

/*
 * n_threads  0 or 1: none but the caller
 * config     of the image's compressor, to unpack
 */
int unpacker_new(const struct squashfs_api *api, struct file_bridge *file,
	const sqfs_compressor_config_t *config, unsigned int n_threads, struct unpacker **ret,
	struct imbrex_error *err) MUST_CHECK;
void unpacker_free(struct unpacker *u);
DEFINE_CLEANUP(unpacker, struct unpacker, unpacker_free)
#define AUTO_UNPACKER AUTO(unpacker) struct unpacker

/* No block more can be put before one is taken. */
bool unpacker_is_full(const struct unpacker *u);
/* Read the block and have it unpacked. Not if it is full. */
int unpacker_put(
	struct unpacker *u, const struct packed_block *b, struct imbrex_error *err) MUST_CHECK;
/* The oldest block: 1 and its bytes, valid until the next call of any kind; 0: there is none. */
int unpacker_get(struct unpacker *u, const uint8_t **ret, size_t *ret_len,
	struct imbrex_error *err) MUST_CHECK;

#endif
