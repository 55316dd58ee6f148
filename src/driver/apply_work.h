/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the applier share: apply.c makes inodes, apply_parent.c finds and makes the
 * directories they go to, apply_whiteout.c hides and removes what lies below, apply_content.c takes
 * content from elsewhere.
 * Errors: err; every message names the entry.
 */
#ifndef DRIVER_APPLY_WORK_H
#define DRIVER_APPLY_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/limits.h"
#include "driver/apply.h"
#include "driver/pathset.h"

/* Parents that the layer does not name get this mode and root as owner. */
#define IMPLICIT_DIR_MODE 0755

struct parent {
	int fd;                   /* owned; -EBADF: none */
	size_t len;               /* of path */
	bool plain_ids;           /* what is created here belongs to euid:egid */
	bool setgid;              /* directories created here inherit the bit */
	struct timespec times[2]; /* to put back; see (2) */
	char path[LIMIT_PATH_BYTES + 1];
};

/* What end() needs of an entry that begin() has seen. */
struct pending {
	struct entry e;
	const char *name; /* last component of path */
	char path[LIMIT_PATH_BYTES + 1];
	struct entry_xattr *xattrs; /* owned, one allocation with names and values */
};

struct apply {
	struct entry_sink base;
	struct apply_opts opts;
	int root; /* owned */
	mode_t umask;
	bool always_chmod; /* a default ACL decides about modes, not the umask */
	uid_t euid;
	gid_t egid;
	struct id_pair layer_root; /* owns what no entry names */
	bool root_overridden;      /* force_mask: the root has its override xattr */
	struct parent parent;
	int file; /* owned; -EBADF: no file is open */
	uint64_t left;
	bool adopted;  /* the content of the file is there: what passes is not written */
	bool no_clone; /* of opts.content: it does not work here */
	bool no_link;
	struct pending pending;
	struct pathset *unpacked; /* APPLY_REMOVE: paths this layer made, and their parents */
	struct pathset *cleared;  /* APPLY_REMOVE: inodes of directories that are opaque already */
};

/*
 * Make the directory that is the first `len` bytes of the entry's path the `parent`.
 * Returns 1, err untouched, if it is something else than a directory.
 */
int apply_get_parent(struct apply *a, size_t len, struct imbrex_error *err) MUST_CHECK;
/* Let go of it, with the times it had. */
int apply_put_parent(struct apply *a, struct imbrex_error *err) MUST_CHECK;
/* As open_beneath() of a directory; symbolic links are followed inside the root if they must. */
int apply_open_inside(int root, const char *path, int flags) MUST_CHECK;
/* APPLY_REMOVE: this layer made the path, so no opaque mark of it takes it away. */
int apply_note_unpacked(
	struct apply *a, const char *path, size_t len, struct imbrex_error *err) MUST_CHECK;

/* A whiteout or opaque entry, whose parent is open, in the way of the driver. */
int apply_begin_whiteout(struct apply *a, struct imbrex_error *err) MUST_CHECK;

/* Take what is there out of the way of an entry that is not (or must not become) the same. */
int apply_clear_name(struct apply *a, struct imbrex_error *err) MUST_CHECK;
/* Create the regular file `name` of the parent and leave it open in a->file. */
int apply_create_file(struct apply *a, const char *name, struct imbrex_error *err) MUST_CHECK;
/* The same of the pending entry, which has content, and that content too if opts.content has it:
 * a->adopted says so, and then a->file is -EBADF if nothing is left to do. */
int apply_adopt_file(struct apply *a, struct imbrex_error *err) MUST_CHECK;
/*
 * Namespaces in which an xattr of a layer would steer the overlay file system or this library,
 * and the label that the host decides about. Doubly prefixed overlay xattrs are plain data.
 */
bool apply_xattr_is_ours(const char *name);
/* Owner, mode, times and xattrs of the open file, and close it. */
int apply_close_file(struct apply *a, struct imbrex_error *err) MUST_CHECK;
bool apply_needs_chown(const struct apply *a);
/* What becomes of the errno of a chown: 0 if the options say that it does not matter. */
int apply_chown_failed(struct apply *a, struct imbrex_error *err) MUST_CHECK;
/* fd of the inode, or -EBADF: then it is the entry `name` of the parent. */
int apply_set_xattr(struct apply *a, int fd, const char *name, const void *value, size_t len,
	struct imbrex_error *err) MUST_CHECK;

#endif
