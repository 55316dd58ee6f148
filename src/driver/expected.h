/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that entries describe, in memory, without the content of files: what a layer, or a chain
 * of layers, ought to look like.
 *
 * new -> (entries -> begin, end … finish -> free)*, one layer after the other, lowest first
 *     -> find, next -> free
 *
 * A path is resolved as when entries are unpacked: symbolic links on the way are followed inside.
 * Threading: one thread per object. Errors: err; messages name the entry.
 */
#ifndef DRIVER_EXPECTED_H
#define DRIVER_EXPECTED_H

#include <stdbool.h>

#include "driver/apply.h"
#include "tree/entry_sink.h"

struct expected;

struct expected_meta {
	uint32_t mode; /* 07777 bits */
	uint32_t uid;  /* as in the archive */
	uint32_t gid;
	int64_t mtime_sec;
};

struct expected_node {
	struct expected_node *parent; /* NULL: this is the root */
	struct expected_node *next;   /* in the order of making; gone ones included */
	struct expected_node *first;  /* child; gone ones included */
	struct expected_node *beside; /* the parent's next child */
	struct expected_node *same;   /* the name an inode was made under; NULL: this one */
	enum entry_type type;         /* ENTRY_WHITEOUT only in a layer by itself */
	struct expected_meta meta;    /* of its own entry */
	struct expected_meta last;    /* of the last hard link to it; as meta if there is none */
	uint32_t dev_major, dev_minor;
	uint64_t size_bytes;
	char *link;                 /* owned; of a symbolic link; else NULL */
	struct entry_xattr *xattrs; /* owned, one allocation; those that travel */
	size_t n_xattrs;
	unsigned int layer; /* that made it */
	bool implied;       /* a directory that no entry names: nothing is known of it */
	bool opaque;        /* a directory that hides what is below */
	bool linked;        /* its inode has other names */
	bool gone;          /* removed or replaced by a later entry */
	bool seen;          /* for whoever compares */
	char name[];
};

/* whiteouts: APPLY_OVERLAY they stay, APPLY_AUFS they stay as files, APPLY_REMOVE they remove. */
int expected_new(
	enum apply_whiteouts whiteouts, struct expected **ret, struct imbrex_error *err) MUST_CHECK;
void expected_free(struct expected *x);
DEFINE_CLEANUP(expected, struct expected, expected_free)
#define AUTO_EXPECTED AUTO(expected) struct expected

/* A sink for the entries of the next layer; it does not own the tree. */
int expected_entries(
	struct expected *x, struct entry_sink **ret, struct imbrex_error *err) MUST_CHECK;

/* The node at a clean path, links not followed; NULL if there is none. */
struct expected_node *expected_find(struct expected *x, const char *path);
/* All nodes but the root, in the order of making: expected_next(x, NULL) is the first. Those that
 * are gone, or below one that is, are left out. */
struct expected_node *expected_next(struct expected *x, struct expected_node *after);
/* Its clean path; cut at LIMIT_PATH_BYTES. */
struct str;
int expected_path(const struct expected_node *n, struct str *ret) MUST_CHECK;

#endif
