/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The btrfs driver: <graphroot>/btrfs/subvolumes/<id> is a subvolume with the whole root file
 * system of layer <id>, a snapshot of its parent's; <graphroot>/btrfs/quotas/<id> says how much it
 * may hold, if it may not hold everything.
 *
 * Only src/driver/btrfs*.c include this. Source: docs/formats/btrfs-layer.md.
 */
#ifndef DRIVER_BTRFS_H
#define DRIVER_BTRFS_H

#include "driver/whole.h"

struct btrfs {
	struct whole whole;
	uint64_t size_bytes;      /* of writable layers that ask for nothing else; 0: no limit */
	uint64_t min_space_bytes; /* a smaller limit is refused; 0: any will do */
	char *path;               /* owned; absolute; where subvolumes are */
	int home;                 /* owned; <graphroot>/btrfs; -EBADF: a read-only store without */
	int subvolumes;           /* owned; likewise */
};

extern const struct driver_ops btrfs_ops;

static inline struct btrfs *btrfs_of(struct driver *d)
{
	return CONTAINER_OF(d, struct btrfs, whole.base);
}

/* The tree of a published layer: fd, and its absolute path if wanted. */
int btrfs_open_layer(
	struct btrfs *b, const char *id, char **ret_path, struct imbrex_error *err) MUST_CHECK;

/* ---- limits (btrfs_limit.c) ---------------------------------------------------------------- */

/* What a layer made with these options may hold; 0: everything. */
int btrfs_limit_wanted(struct btrfs *b, const struct driver_layer_opts *opts, uint64_t *ret,
	struct imbrex_error *err) MUST_CHECK;
/* The kernel shall hold the subvolume at fd to it. Quotas are switched on if they are not. */
int btrfs_limit_set(struct btrfs *b, int fd, uint64_t bytes, struct imbrex_error *err) MUST_CHECK;
/* Write down the limit of a layer; 0: forget it. */
int btrfs_limit_record(struct btrfs *b, const char *id, uint64_t bytes, bool sync,
	struct imbrex_error *err) MUST_CHECK;
/* Set what is written down again. Junk there is no limit, as for podman. */
int btrfs_limit_restore(
	struct btrfs *b, const char *id, int fd, struct imbrex_error *err) MUST_CHECK;
/* 1: there is junk, or a limit that is too small; 0: not. */
int btrfs_limit_is_junk(struct btrfs *b, const char *id, struct imbrex_error *err) MUST_CHECK;
/* Text of a quota file: decimal bytes, nothing else. -EINVAL. */
int btrfs_limit_parse(const char *text, size_t len, uint64_t *ret) MUST_CHECK;
/* Limits of layers that are not there. See driver_ops.garbage. */
int btrfs_limit_garbage(struct btrfs *b, bool collect, driver_problem_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;

/* ---- members of driver_ops ----------------------------------------------------------------- */

int btrfs_create(struct driver *d, const char *id, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err);
int btrfs_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret, struct imbrex_error *err);
int btrfs_stage_copy(struct driver_stage *base, const char *id, struct imbrex_error *err);
int btrfs_stage_publish(struct driver_stage *base, const char *id, struct imbrex_error *err);
int btrfs_stage_replace(
	struct driver_stage *base, const char *id, struct tempdir *trash, struct imbrex_error *err);
void btrfs_stage_free(struct driver_stage *base);
int btrfs_remove(struct driver *d, const char *id, struct tempdir *trash, struct imbrex_error *err);

int btrfs_mount(struct driver *d, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err);
int btrfs_unmount(struct driver *d, const char *id, struct imbrex_error *err);

#endif
