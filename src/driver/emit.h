/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes of a tree become entries, one at a time, in the order in which they are given.
 *
 * emitter_new -> (emit | emit_mark)* -> free; whoever made the sink finishes it.
 * Sockets are left out. Xattrs: see xattr_travels(). Threading: one thread per object. Errors: err.
 */
#ifndef DRIVER_EMIT_H
#define DRIVER_EMIT_H

#include <stdbool.h>

#include "base/limits.h"
#include "base/str.h"
#include "driver/treewalk.h"
#include "os/idmap.h"
#include "tree/entry_sink.h"

struct emit_opts {
	const struct id_maps *maps; /* owners are told as inside of these; NULL: as on the host */
	bool override_stat;         /* believe the override xattr (stores with force_mask) */
};

struct emitter;

int emitter_new(struct entry_sink *to, const struct emit_opts *opts, struct emitter **ret,
	struct imbrex_error *err) MUST_CHECK;
void emitter_free(struct emitter *m);
DEFINE_CLEANUP(emitter, struct emitter, emitter_free)
#define AUTO_EMITTER AUTO(emitter) struct emitter

/* Push the item; the second name of an inode as a hard link to the first that was pushed. */
int emit(struct emitter *m, const struct tree_item *item, struct imbrex_error *err) MUST_CHECK;

/*
 * Push ENTRY_WHITEOUT or ENTRY_OPAQUE for the item's path.
 *
 * item  the whiteout in an upper directory, whose owner and time are told; the opaque directory,
 *       whose owner and permissions are. Source: containers/storage, pkg/archive.
 */
int emit_mark(struct emitter *m, const struct tree_item *item, enum entry_type type,
	struct imbrex_error *err) MUST_CHECK;
/* Push a whiteout for `path`, which an older tree has: owned by root, at the epoch. */
int emit_removal(struct emitter *m, const char *path, struct imbrex_error *err) MUST_CHECK;

/* Does an xattr belong to the content: security.capability, security.ima and user.* but what the
 * overlay file system and this library keep there? */
bool xattr_travels(const char *name);

/* Those xattrs of one item. Zero values but for the maxima; valid until read again. */
struct item_xattrs {
	struct str names, values;
	struct entry_xattr items[LIMIT_XATTRS_PER_ENTRY];
	size_t n;
};
void item_xattrs_init(struct item_xattrs *x);
void item_xattrs_done(struct item_xattrs *x);
/* ENOENT if the item has vanished. */
int item_xattrs_read(
	struct item_xattrs *x, const struct tree_item *item, struct imbrex_error *err) MUST_CHECK;

#endif
