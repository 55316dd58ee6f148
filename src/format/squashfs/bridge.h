/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our file and our compressors, as libsquashfs wants to see them. Internal to the folder.
 */
#ifndef FORMAT_SQUASHFS_BRIDGE_H
#define FORMAT_SQUASHFS_BRIDGE_H

#include <stdbool.h>

#include "format/squashfs/file.h"
#include "format/squashfs/library.h"

/* Lives as long as everything that got &bridge.base. */
struct file_bridge {
	sqfs_file_t base;
	struct squashfs_file *file; /* borrowed */
	int error;                  /* -errno of the first failure; 0: none */
};

void file_bridge_init(struct file_bridge *b, struct squashfs_file *file);
/* As squashfs_fail(), with the reason of the file if there is one. */
int file_bridge_fail(struct imbrex_error *err, const struct file_bridge *b, int sqfs_error,
	bool reading, const char *what);

/* As sqfs_compressor_create(), with lzo. */
int compressor_new(const struct squashfs_api *api, const sqfs_compressor_config_t *config,
	sqfs_compressor_t **ret);
/* Compresses nothing: every block is stored as it is. Writes the options of `of`, which is
 * borrowed. */
int compressor_new_null(sqfs_compressor_t *of, sqfs_compressor_t **ret);

#endif
