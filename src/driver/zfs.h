/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the driver zfs. Layer <id> is the dataset <fsname>/<id>, with mountpoint=legacy.
 *
 *   zfs.c          open, options, facts
 *   zfs_dataset.c  datasets made, cloned, disposed of; which of them are ours
 *   zfs_view.c     their trees: views for us, mounts for others
 *   zfs_stage.c    layers in the making
 *   zfs_check.c    what is wrong with them
 *
 * Errors: err; messages name the layer or the dataset.
 */
#ifndef DRIVER_ZFS_H
#define DRIVER_ZFS_H

#include "driver/whole.h"
#include "zfs/zfs.h"

extern const struct driver_ops zfs_ops;

/* Names of ours beside the layers: "imbrex-new-<digits>-<n>", … */
#define ZFS_OUR_PREFIX     "imbrex-"
#define ZFS_NEW_PREFIX     "imbrex-new-"     /* stages: digits of the temporary directory follow */
#define ZFS_REMOVED_PREFIX "imbrex-removed-" /* could not be destroyed */
#define ZFS_OLD_PREFIX     "imbrex-old-"     /* content of a layer, while it is replaced: its id */
/* User property of every dataset we make: this, and a hash of the graph root. */
#define ZFS_MARK_PREFIX "imbrex:store."
#define ZFS_MARK_BYTES  (sizeof(ZFS_MARK_PREFIX) + 16)

struct zfs_driver {
	struct whole whole;
	struct zfs *z;      /* owned */
	struct zfs_name fs; /* what all layers lie below */
	struct strv mount_options;
	uint64_t size_bytes; /* quota of writable layers; 0: none */
	char *home;          /* owned; <graphroot>/zfs */
	char *graphroot;     /* owned; resolved: the value of the mark */
	char mark[ZFS_MARK_BYTES];
};

static inline struct zfs_driver *zfs_of(struct driver *d)
{
	return CONTAINER_OF(d, struct zfs_driver, whole.base);
}

/* ---- zfs_dataset.c ---------------------------------------------------------------------- */

/* The dataset of a layer. EINVAL if `id` is none. */
int zfs_layer_name(struct zfs_driver *d, const char *id, struct zfs_name *ret,
	struct imbrex_error *err) MUST_CHECK;
/* <fsname>/<prefix><word>-<16 random digits>. */
int zfs_own_name(struct zfs_driver *d, const char *prefix, const char *word, struct zfs_name *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Quota in bytes that the options of a layer ask for; 0: none. */
int zfs_layer_size(struct zfs_driver *d, const struct driver_layer_opts *opts, uint64_t *ret,
	struct imbrex_error *err) MUST_CHECK;

/* An empty dataset with our mark, not mounted. */
int zfs_make(struct zfs_driver *d, const struct zfs_name *name, uint64_t size_bytes,
	struct imbrex_error *err) MUST_CHECK;
/*
 * The same as a copy of `from`, by way of a snapshot that goes with it. `digits`: of the temporary
 * directory that says this process lives; NULL: the caller holds layers.lock.
 */
int zfs_copy(struct zfs_driver *d, const struct zfs_name *from, const struct zfs_name *name,
	uint64_t size_bytes, const char *digits, struct imbrex_error *err) MUST_CHECK;
/*
 * A dataset goes, with its snapshots; clones of them take them over. One that stays busy is renamed
 * aside, for gc to take; `word` is for its name.
 */
int zfs_dispose(struct zfs_driver *d, const struct zfs_name *name, const char *word,
	struct imbrex_error *err) MUST_CHECK;
/* 1: it bears our mark; 0. */
int zfs_is_ours(
	struct zfs_driver *d, const struct zfs_name *name, struct imbrex_error *err) MUST_CHECK;
/* 1: it was cloned from a snapshot of `from`; 0. */
int zfs_stands_on(struct zfs_driver *d, const struct zfs_name *name, const struct zfs_name *from,
	struct imbrex_error *err) MUST_CHECK;
int zfs_list_layers(struct driver *d, struct strv *ret, struct imbrex_error *err) MUST_CHECK;
int zfs_garbage(struct driver *d, bool collect, driver_problem_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;

/* ---- zfs_view.c -------------------------------------------------------------------------- */

/*
 * The tree of a dataset, mounted where nobody sees it: it goes with the descriptor, also when this
 * process dies. ENOENT if there is no such dataset.
 */
int zfs_view_open(struct zfs_driver *d, const struct zfs_name *name, bool read_only,
	struct imbrex_error *err) MUST_CHECK;
/* Of a layer, read-only. */
int zfs_layer_view(struct whole *w, const char *id, struct imbrex_error *err) MUST_CHECK;
/* A fresh root directory as layers have it. */
int zfs_prepare_root(
	int fd, const struct driver_layer_opts *opts, struct imbrex_error *err) MUST_CHECK;

int zfs_mount_layer(struct driver *d, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err) MUST_CHECK;
int zfs_unmount_layer(struct driver *d, const char *id, struct imbrex_error *err) MUST_CHECK;
/* Empty directories that mounts have left. */
int zfs_garbage_mountpoints(struct zfs_driver *d, bool collect, driver_problem_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;

/* ---- zfs_stage.c ------------------------------------------------------------------------- */

int zfs_create_layer(struct driver *d, const char *id, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err) MUST_CHECK;
int zfs_remove_layer(struct driver *d, const char *id, struct tempdir *trash,
	struct imbrex_error *err) MUST_CHECK;
int zfs_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret,
	struct imbrex_error *err) MUST_CHECK;
int zfs_stage_copy(struct driver_stage *s, const char *id, struct imbrex_error *err) MUST_CHECK;
int zfs_stage_rebase(struct driver_stage *s, const struct driver_parent *parent,
	struct imbrex_error *err) MUST_CHECK;
int zfs_stage_publish(struct driver_stage *s, const char *id, struct imbrex_error *err) MUST_CHECK;
int zfs_stage_replace(struct driver_stage *s, const char *id, struct tempdir *trash,
	struct imbrex_error *err) MUST_CHECK;
void zfs_stage_free(struct driver_stage *s);

/* ---- zfs_check.c ------------------------------------------------------------------------- */

bool zfs_layer_exists(struct driver *d, const char *id);
int zfs_check(struct driver *d, const char *id, const char *parent_id, driver_problem_fn fn,
	void *ctx, struct imbrex_error *err) MUST_CHECK;
int zfs_repair(struct driver *d, const char *id, const char *parent_id,
	struct imbrex_error *err) MUST_CHECK;

#endif
