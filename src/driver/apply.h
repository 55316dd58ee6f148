/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries become a directory: what every driver does with the content of a layer.
 *
 * apply_new -> (begin -> data* -> end)* -> finish -> free. free without finish leaves the tree as
 * it is; the stage that owns it removes it. Threading: one thread per object. Errors: err; every
 * message names the entry.
 */
#ifndef DRIVER_APPLY_H
#define DRIVER_APPLY_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "os/idmap.h"
#include "tree/entry_sink.h"

enum apply_whiteouts {
	APPLY_OVERLAY, /* as the overlay file system keeps them: char device 0:0, opaque xattr */
	APPLY_AUFS,    /* as files named .wh.NAME and .wh..wh..opq: fuse-overlayfs reads these */
	APPLY_REMOVE   /* the tree holds the lower layers: take out what is whited out */
};

/*
 * Where the content of files may lie already: in a store on this machine whose layers do not
 * change. Used for whole files only, by clone or, where that does not work, by link; the bytes
 * that pass are what is hashed, and what is written if neither works.
 */
struct apply_content {
	/* Open the file of that path, read-only: fd, the caller's, or a negative number: none. */
	int (*open)(void *ctx, const char *path);
	void *ctx;
	struct timespec
		since; /* before the first byte was read: inodes changed later are not used */
	bool may_link; /* nobody can write to these files but through their store */
};

struct apply_opts {
	enum apply_whiteouts whiteouts;
	const char *opaque_xattr;   /* APPLY_OVERLAY: its name; static storage */
	const struct id_maps *maps; /* ids of entries are ids inside of these; borrowed for the life
				       of the sink; NULL: of the host */
	const struct apply_content *content; /* borrowed likewise; NULL: none */
	bool apply_root; /* the entry "." sets mode, owner and times of the root */
	bool in_userns;  /* device nodes are skipped, EPERM of xattrs is ignored */
	bool ignore_chown_errors;
	bool has_force_mask; /* force_mask counts: real metadata goes to the override xattr */
	mode_t force_mask;
};

/*
 * A sink that fills the directory `rootfd`. Symbolic links in the parent path of an entry are
 * followed inside the root, as after a chroot; the last component is never followed.
 *
 * rootfd  taken on success; opened for reading
 */
int apply_new(int rootfd, const struct apply_opts *opts, struct entry_sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
