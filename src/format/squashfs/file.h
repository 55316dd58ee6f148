/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of an image are: a file that is read and written at offsets. Squashfs is no
 * stream: its first block says where its tables are, and they come last.
 *
 * The caller implements it over a descriptor or over memory. Leaf tier: 0 or -errno. Reading may
 * happen from several threads at once, writing from one.
 */
#ifndef FORMAT_SQUASHFS_FILE_H
#define FORMAT_SQUASHFS_FILE_H

#include <stddef.h>
#include <stdint.h>

struct squashfs_file {
	void *ctx;
	uint64_t size_bytes; /* kept up to date by whoever writes */
	/* All of `len` bytes, which are below size_bytes. */
	int (*read_at)(void *ctx, void *buf, size_t len, uint64_t offset);
	/* NULL for a file that is only read. */
	int (*write_at)(void *ctx, const void *buf, size_t len, uint64_t offset);
	int (*truncate)(void *ctx, uint64_t size_bytes);
};

#endif
