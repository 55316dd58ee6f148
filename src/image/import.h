/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image on its way into directories outside of a store: what imbrex_rootfs_import() is made of,
 * for those who want its layers apart.
 *
 * import_open -> import_documents -> import_cache -> import_layer* -> import_done. One thread
 * drives it. Layers go base first; each is checked against its DiffID. Errors: err.
 */
#ifndef IMAGE_IMPORT_H
#define IMAGE_IMPORT_H

#include "image/open.h"
#include "imbrex/rootfs.h"
#include "oci/config.h"

struct import {
	const struct imbrex_rootfs_opts *opts;
	const struct archive_events *events; /* borrowed; for layers that pass by; NULL: none */
	size_t first;                        /* layers before it are not needed */
	struct source *source;
	bool is_docker; /* a registry */
	struct source_manifest docs;
	struct oci_manifest manifest;
	struct str config_text;
	struct oci_config config;
	int cache; /* owned; -EBADF: none */
	size_t *missing;
	size_t n_missing;
};
#define IMPORT_INIT(options)                       \
	{                                          \
		.opts = (options), .cache = -EBADF \
	}

void import_done(struct import *im);
#define AUTO_IMPORT __attribute__((cleanup(import_done))) struct import

int import_open(struct import *im, const char *source, struct imbrex_error *err) MUST_CHECK;
/* Manifest and configuration. Archives of engines pass by here, layers and all. */
int import_documents(struct import *im, struct imbrex_error *err) MUST_CHECK;
/* Of a registry: fetch what the cache lacks, several at a time. Else nothing. */
int import_cache(struct import *im, struct imbrex_error *err) MUST_CHECK;
/* Apply layer `i` to a directory that holds those below it. */
int import_layer(struct import *im, int dirfd, size_t i, struct imbrex_error *err) MUST_CHECK;
/* The same for bytes that come as they do, compressed or not: a chain into the directory, whose
 * finish has compared the DiffID. `diff_id` is copied. */
int import_layer_sink(const struct import *im, int dirfd, const struct hash_value *diff_id,
	struct sink **ret, struct imbrex_error *err) MUST_CHECK;
void import_tell(const struct import *im, enum imbrex_rootfs_step step, size_t n, const char *text);
/* The files of enroot, as opts->provenance has it; nothing without one. */
int import_configure(const struct import *im, int dirfd, struct imbrex_error *err) MUST_CHECK;

#endif
