/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header block of any dialect as fields, and what pax records say in their place.
 * Pure functions on memory. Error tier: err; messages name the field, the caller the place.
 * Format: POSIX.1-2017 pax; docs/formats/tar.md
 */
#ifndef FORMAT_TAR_BLOCK_H
#define FORMAT_TAR_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "format/tar/header.h"
#include "format/tar/pax.h"

/* Prefix, slash, name, NUL. */
#define TAR_BLOCK_NAME_SIZE (155 + 1 + 100 + 1)

/* A header block, decoded, with the extensions applied. */
struct tar_fields {
	char type;
	char block_name[TAR_BLOCK_NAME_SIZE];
	char block_link[100 + 1];
	const char *name; /* borrowed from here, from pax or from a GNU extension */
	const char *link;
	int64_t mode;
	int64_t uid;
	int64_t gid;
	int64_t size;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	bool has_atime;
	int64_t atime_sec;
	uint32_t atime_nsec;
	int64_t dev_major;
	int64_t dev_minor;
};

/* The checksum must be right. `ret` borrows nothing from the block. */
int tar_block_parse(
	const struct tar_header *h, struct tar_fields *ret, struct imbrex_error *err) MUST_CHECK;
/* Names are borrowed from p. */
int tar_fields_apply(
	struct tar_fields *h, const struct pax *p, struct imbrex_error *err) MUST_CHECK;

#endif
