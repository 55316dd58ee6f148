/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One inode of a layer, as it travels from a source (tar, directory, TOC) to a sink (driver).
 *
 * An entry has been validated by its source: `path` is relative, clean (no empty, "." or ".."
 * component, no leading or trailing slash), within LIMIT_PATH_BYTES; the root itself is ".".
 * A whiteout is decoded: its path is the path it removes, without the ".wh." prefix.
 * All pointers are borrowed until the call that received them returns.
 */
#ifndef TREE_ENTRY_H
#define TREE_ENTRY_H

#include <stddef.h>
#include <stdint.h>

enum entry_type {
	ENTRY_FILE = 1,
	ENTRY_DIR,
	ENTRY_SYMLINK,
	ENTRY_HARDLINK, /* `link` is the clean path of an earlier entry (or of a lower layer) */
	ENTRY_CHAR,
	ENTRY_BLOCK,
	ENTRY_FIFO,
	ENTRY_WHITEOUT, /* remove `path` of the layers below */
	ENTRY_OPAQUE    /* hide everything that layers below have in directory `path` */
};

struct entry_xattr {
	const char *name;  /* full name with namespace, e.g. "security.capability" */
	const void *value; /* value_len bytes; not NUL terminated */
	size_t value_len;
};

struct entry {
	const char *path;
	enum entry_type type;
	uint32_t mode; /* 07777 bits only */
	uint32_t uid;  /* as in the archive, before any id map */
	uint32_t gid;
	uint32_t dev_major; /* ENTRY_CHAR, ENTRY_BLOCK */
	uint32_t dev_minor;
	uint64_t size_bytes; /* ENTRY_FILE: bytes that data() will carry in sum */
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	int64_t atime_sec; /* equals mtime when the source has none */
	uint32_t atime_nsec;
	const char *link; /* symlink target verbatim, or hard link path; else NULL */
	const struct entry_xattr *xattrs; /* n_xattrs of them */
	size_t n_xattrs;
};

#endif
