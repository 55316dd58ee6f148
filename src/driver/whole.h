/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drivers whose layers are whole trees: a layer holds what is below it, too, as a copy (vfs), a
 * snapshot (btrfs) or a clone (zfs). Here is what they have in common once such a tree is open:
 * reading it, comparing two, and filling a new one.
 *
 * A driver embeds struct whole in place of struct driver, and struct whole_stage in place of struct
 * driver_stage. It says how a layer is opened, and puts members from here into its own table where
 * they are all that it needs.
 *
 * Errors: err; messages name the layer.
 */
#ifndef DRIVER_WHOLE_H
#define DRIVER_WHOLE_H

#include "base/limits.h"
#include "driver/copy.h"
#include "driver/driver.h"

struct whole {
	struct driver base;
	struct driver_config config;
	/* The tree of a published layer, to read from; ENOENT if it is none. */
	int (*open_layer)(struct whole *w, const char *id, struct imbrex_error *err);
	bool in_userns;
	bool ignore_chown_errors;
	bool same_inodes; /* a layer begins with the inodes of what it was made from */
	char *reading;    /* owned; layer of `reading_fd`; NULL: none */
	int reading_fd;   /* owned */
};

static inline struct whole *whole_of(struct driver *d)
{
	return CONTAINER_OF(d, struct whole, base);
}

/* The rest is zero, or the driver's to fill. */
void whole_init(struct whole *w, const struct driver_ops *ops, const struct driver_config *config,
	int (*open_layer)(struct whole *w, const char *id, struct imbrex_error *err));
void whole_done(struct whole *w);

/* Any name that is safe as a component, not only digests: peers make such layers. */
int whole_check_id(const char *id, struct imbrex_error *err) MUST_CHECK;
/* Let go of the layer that files were read from. */
void whole_stop_reading(struct whole *w);
/* The layer below directory `dirfd`, whose path is for messages. */
int whole_open_at(
	int dirfd, const char *dir_path, const char *id, struct imbrex_error *err) MUST_CHECK;
/* Names of directories in `dirfd` that could be layers, appended. */
int whole_list_at(
	int dirfd, const char *dir_path, struct strv *ret, struct imbrex_error *err) MUST_CHECK;

/* ---- members of driver_ops ----------------------------------------------------------------- */

int whole_open_file(struct driver *d, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err);
int whole_open_tree(struct driver *d, const char *id, int *ret_fd, struct imbrex_error *err);
int whole_diff(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, struct entry_sink *to, struct imbrex_error *err);
int whole_changes(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, driver_change_fn fn, void *ctx, struct imbrex_error *err);
int whole_diff_size(struct driver *d, const char *id, const char *other, int64_t *ret,
	struct imbrex_error *err);
int whole_tree_open(
	struct driver *d, const char *id, struct driver_tree *ret, struct imbrex_error *err);
void whole_tree_close(struct driver *d, struct driver_tree *t);
int whole_holds(struct driver *d, const char *id, const char *below, const char *inside,
	struct imbrex_error *err);
bool whole_exists(struct driver *d, const char *id);
/* A tree shows its owners as they are on disk: podman, which shares the store, shifts none. */
bool whole_shifts(struct driver *d, const struct id_maps *maps);

/* ---- layers in the making (whole_stage.c) -------------------------------------------------- */

struct whole_stage {
	struct driver_stage base;
	struct whole *w;
	/* Called before the tree is used, where it is not always open; NULL: it is. */
	int (*open_dir)(struct whole_stage *s, struct imbrex_error *err);
	int dir;    /* owned; the tree */
	int parent; /* owned; the published tree that it began as; -EBADF: none, or not kept */
	int source; /* owned; the layer whose own content was copied; -EBADF: none, or not kept */
	struct id_maps_copy maps;            /* of the entries */
	const struct apply_content *content; /* borrowed; NULL: none */
	bool has_entries;
	bool sealed;
	bool published;
};

static inline struct whole_stage *whole_stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct whole_stage, base);
}

/* Of a stage that is zero. Then done(), in any case. */
void whole_stage_init(struct whole_stage *s, struct whole *w);
void whole_stage_done(struct whole_stage *s);

/* What was asked for that its entries need. */
int whole_stage_take(struct whole_stage *s, const struct driver_layer_opts *opts,
	struct imbrex_error *err) MUST_CHECK;
/*
 * What was asked for that the root directory can do: a label and, if it is `fresh`, an owner (else
 * what is below has the right one already).
 */
int whole_prepare_root(int fd, const struct driver_layer_opts *opts, bool fresh,
	struct imbrex_error *err) MUST_CHECK;
/* Its tree becomes, file by file, what lies at `from`. */
int whole_stage_copy_from(struct whole_stage *s, int from, struct imbrex_error *err) MUST_CHECK;
/* EBUSY unless layer `id` is the directory that is open at `copied`. */
int whole_check_copied(
	struct whole *w, const char *id, int copied, struct imbrex_error *err) MUST_CHECK;

int whole_stage_entries(
	struct driver_stage *base, struct entry_sink **ret, struct imbrex_error *err);
int whole_stage_seal(struct driver_stage *base, const struct driver_parent *parent, bool sync,
	struct imbrex_error *err);
int whole_stage_map(struct driver_stage *base, const struct id_maps *from, const struct id_maps *to,
	struct imbrex_error *err);
/* For those that keep `parent` open: what is taken away leaves its place first, and its files
 * after, so a parent that is still where it was has been copied whole. */
int whole_stage_rebase(
	struct driver_stage *base, const struct driver_parent *parent, struct imbrex_error *err);

#endif
