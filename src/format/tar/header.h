/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 512-byte block of tar, shared by reader and writer: layout, numbers, checksum.
 * Pure functions on memory. Leaf tier: 0 or -errno.
 */
#ifndef FORMAT_TAR_HEADER_H
#define FORMAT_TAR_HEADER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define TAR_BLOCK_BYTES 512u

/* POSIX.1-2017 pax, "ustar Interchange Format". GNU and star put other fields over `prefix`. */
struct tar_header {
	char name[100]; /* NUL terminated unless it fills the field; so are link and prefix */
	char mode[8];   /* numbers: octal text, or base-256 with the top bit of byte 0 set */
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8]; /* octal; sum of all bytes, these eight taken as spaces */
	char type;
	char link[100];
	char magic[6];   /* "ustar\0"; GNU: "ustar " */
	char version[2]; /* "00"; GNU: " \0" */
	char uname[32];
	char gname[32];
	char dev_major[8];
	char dev_minor[8];
	char prefix[155]; /* joined before name with a slash, if not empty */
	char pad[12];
};
static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a tar header is one block");
static_assert(offsetof(struct tar_header, checksum) == 148, "checksum");
static_assert(offsetof(struct tar_header, type) == 156, "type");
static_assert(offsetof(struct tar_header, magic) == 257, "magic");
static_assert(offsetof(struct tar_header, prefix) == 345, "prefix");

/* Places inside `prefix` and `pad` that other dialects use. */
#define TAR_STAR_PREFIX_BYTES   131 /* star: a shorter prefix */
#define TAR_STAR_ATIME_OFFSET   476 /* star: 12 bytes each */
#define TAR_STAR_TRAILER_OFFSET 508 /* star: "tar\0" */
#define TAR_GNU_ATIME_OFFSET    345 /* GNU: 12 bytes each */
#define TAR_GNU_CTIME_OFFSET    357

enum tar_type {
	TAR_TYPE_FILE_V7 = '\0', /* a directory if the name ends with a slash */
	TAR_TYPE_FILE = '0',
	TAR_TYPE_LINK = '1',
	TAR_TYPE_SYMLINK = '2',
	TAR_TYPE_CHAR = '3',
	TAR_TYPE_BLOCK = '4',
	TAR_TYPE_DIR = '5',
	TAR_TYPE_FIFO = '6',
	TAR_TYPE_CONTIGUOUS = '7',
	TAR_TYPE_PAX = 'x',
	TAR_TYPE_PAX_GLOBAL = 'g',
	TAR_TYPE_GNU_NAME = 'L',
	TAR_TYPE_GNU_LINK = 'K',
	TAR_TYPE_GNU_SPARSE = 'S'
};

enum tar_dialect {
	TAR_DIALECT_V7 = 1,
	TAR_DIALECT_USTAR, /* and pax */
	TAR_DIALECT_STAR,
	TAR_DIALECT_GNU
};

/* Bytes from `size` to the next block boundary. */
static inline uint32_t tar_padding(uint64_t size)
{
	return (uint32_t)(-size & (TAR_BLOCK_BYTES - 1));
}

bool tar_block_is_zero(const void *block);
/* The sum, with the checksum field as spaces; writers store it. */
uint32_t tar_checksum(const struct tar_header *h);
/* The stored sum is right, counted with unsigned or with signed bytes. */
bool tar_checksum_ok(const struct tar_header *h);
enum tar_dialect tar_dialect(const struct tar_header *h);
/* A numeric field: octal between spaces and NULs, or base-256. -EINVAL malformed, -ERANGE. */
int tar_number_parse(const char *field, size_t len, int64_t *ret) MUST_CHECK;
/* Octal with leading zeros and a NUL; false (field untouched) if it does not fit. */
bool tar_number_format(char *field, size_t len, int64_t value);

#endif
