/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small client of ZFS: datasets, snapshots, clones, properties, send and receive.
 *
 * zfs_open -> calls -> zfs_close. Two roads, one interface: libzfs_core in this process, where it
 * is installed, for what it can do; zfs(8) for everything else. The program is found in fixed
 * directories, never by the caller's PATH, and gets an environment of its own. Nothing is ever
 * mounted, and nothing lists more than was named: no call costs more because the pool is large.
 *
 * Threading: calls on one client are safe from several threads, if its trace function is.
 * Errors: err; messages name the dataset and keep ZFS's own words. ENOENT, EEXIST, EBUSY (errnum
 * EBUSY: mounted, which may end; 0: cloned or held), ENOSPC (pool, quota), EPERM, EINVAL, ENOTSUP,
 * EIO as far as ZFS tells them apart.
 */
#ifndef ZFS_ZFS_H
#define ZFS_ZFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/strv.h"
#include "imbrex/error.h"
#include "zfs/name.h"

struct zfs;

/* Told of each operation as the words of a command, "snapshot", "pool/a@b": for tests and to debug.
 */
struct zfs_trace {
	void (*fn)(void *ctx, const char *const *words, size_t n);
	void *ctx;
};

enum zfs_road {
	ZFS_ROAD_ANY = 0, /* the library for what it can do, if it is there */
	ZFS_ROAD_COMMAND, /* zfs(8) for everything */
	ZFS_ROAD_LIBRARY  /* the library must be there */
};

struct zfs_options {
	enum zfs_road road;
	const char *program;           /* absolute; NULL: as installed. Tests only */
	const struct zfs_trace *trace; /* borrowed for the life of the client; NULL: none */
};

/* Native ("quota") or user ("module:word") property, and its text as zfs(8) takes it. */
struct zfs_property {
	const char *name;
	const char *value;
};
struct zfs_properties {
	const struct zfs_property *items; /* borrowed */
	size_t n;
};

/* ENOTSUP if there is neither program nor library. Neither is run here. */
int zfs_open(const struct zfs_options *opts, struct zfs **ret, struct imbrex_error *err) MUST_CHECK;
void zfs_close(struct zfs *z);
DEFINE_CLEANUP(zfs, struct zfs, zfs_close)
#define AUTO_ZFS AUTO(zfs)
/* Is the library used? */
bool zfs_has_library(const struct zfs *z);

/* 1 or 0. */
int zfs_exists(struct zfs *z, const struct zfs_name *name, struct imbrex_error *err) MUST_CHECK;
/* A file system; it is not mounted. */
int zfs_create(struct zfs *z, const struct zfs_name *name, const struct zfs_properties *props,
	struct imbrex_error *err) MUST_CHECK;
int zfs_snapshot(
	struct zfs *z, const struct zfs_name *snapshot, struct imbrex_error *err) MUST_CHECK;
/*
 * zfs(8) would mount a clone that has a mount point and canmount=on: give mountpoint=legacy or
 * canmount=noauto.
 */
int zfs_clone(struct zfs *z, const struct zfs_name *snapshot, const struct zfs_name *name,
	const struct zfs_properties *props, struct imbrex_error *err) MUST_CHECK;
/* What `name` was cloned from becomes a clone of it. */
int zfs_promote(struct zfs *z, const struct zfs_name *name, struct imbrex_error *err) MUST_CHECK;
/* A dataset or a snapshot without anything below it. */
int zfs_destroy(struct zfs *z, const struct zfs_name *name, struct imbrex_error *err) MUST_CHECK;
/* With its snapshots and what lies below it; clones of them are EBUSY. Nothing is unmounted that is
 * mounted by others. */
int zfs_destroy_tree(
	struct zfs *z, const struct zfs_name *name, struct imbrex_error *err) MUST_CHECK;
/* A snapshot, now or with its last clone and hold. */
int zfs_destroy_later(
	struct zfs *z, const struct zfs_name *snapshot, struct imbrex_error *err) MUST_CHECK;
/* A dataset, or a snapshot of one dataset. Mounted ones stay mounted. */
int zfs_rename(struct zfs *z, const struct zfs_name *from, const struct zfs_name *to,
	struct imbrex_error *err) MUST_CHECK;
int zfs_hold(struct zfs *z, const struct zfs_name *snapshot, const char *tag,
	struct imbrex_error *err) MUST_CHECK;
int zfs_release(struct zfs *z, const struct zfs_name *snapshot, const char *tag,
	struct imbrex_error *err) MUST_CHECK;

int zfs_set(struct zfs *z, const struct zfs_name *name, const struct zfs_property *property,
	struct imbrex_error *err) MUST_CHECK;
/* Back to what the dataset above says. */
int zfs_inherit(struct zfs *z, const struct zfs_name *name, const char *property,
	struct imbrex_error *err) MUST_CHECK;

/*
 * One property, exact numbers.
 *
 * ret        owned; "-" if the dataset has none
 * ret_local  set on the dataset itself, neither inherited nor a default; may be NULL
 * Limits     value <= LIMIT_ZFS_VALUE_BYTES
 */
int zfs_get(struct zfs *z, const struct zfs_name *name, const char *property, char **ret,
	bool *ret_local, struct imbrex_error *err) MUST_CHECK;
/* The same for several native properties at once; appended to `ret` in their order. */
int zfs_get_native(struct zfs *z, const struct zfs_name *name, const char *const *properties,
	size_t n, struct strv *ret, struct imbrex_error *err) MUST_CHECK;

/* A file system directly below another one. Both are names as ZFS gives them. */
struct zfs_child {
	const char *name;   /* whole */
	const char *origin; /* snapshot it was cloned from; "-" if none */
};
/* Negative ends the walk with that status. */
typedef int (*zfs_child_fn)(void *ctx, const struct zfs_child *child, struct imbrex_error *err);
/*
 * File systems directly below `parent`: costs as much as there are. With `local`, a property, only
 * those that have it set themselves, without their origin ("-"). Values are not listed on purpose:
 * one may hold line breaks, and so bring lines that look like other datasets.
 *
 * Limits output <= LIMIT_ZFS_LIST_BYTES
 */
int zfs_children(struct zfs *z, const struct zfs_name *parent, const char *local, zfs_child_fn fn,
	void *ctx, struct imbrex_error *err) MUST_CHECK;
/* Negative ends the walk with that status. */
typedef int (*zfs_snapshot_fn)(
	void *ctx, const char *name, bool deferred, struct imbrex_error *err);
/*
 * Snapshots of a dataset, and with `children` of those directly below it; oldest first. `deferred`
 * ones go with their last clone or hold.
 */
int zfs_snapshots(struct zfs *z, const struct zfs_name *dataset, bool children, zfs_snapshot_fn fn,
	void *ctx, struct imbrex_error *err) MUST_CHECK;
/* What one property is. Negative ends the walk with that status. */
typedef int (*zfs_value_fn)(
	void *ctx, const char *name, const char *value, struct imbrex_error *err);
/*
 * One property of all file systems directly below `parent`, or of all their snapshots: one call,
 * however many there are; "-" where it is not set. A value with line breaks may bring lines that
 * look like others' values: trust only what forging would not gain anything by.
 *
 * Limits output <= LIMIT_ZFS_LIST_BYTES
 */
int zfs_values(struct zfs *z, const struct zfs_name *parent, bool of_snapshots,
	const char *property, zfs_value_fn fn, void *ctx, struct imbrex_error *err) MUST_CHECK;
/* Health of a pool, in one word. */
int zfs_pool_health(
	struct zfs *z, const struct zfs_name *in, char **ret, struct imbrex_error *err) MUST_CHECK;

/* A stream of a snapshot into a pipe or file; what changed since `from` only, unless it is NULL. */
int zfs_send(struct zfs *z, const struct zfs_name *snapshot, const struct zfs_name *from, int fd,
	struct imbrex_error *err) MUST_CHECK;

struct zfs_receive_opts {
	bool resumable;              /* keep what came before a failure: -s */
	bool force;                  /* roll the target back first: -F */
	struct zfs_properties props; /* instead of those in the stream */
};
/*
 * A stream becomes a dataset or a snapshot, unmounted. Streams are input from outside: the caller
 * gives what must hold of mountpoint, canmount, setuid, devices, exec.
 */
int zfs_receive(struct zfs *z, const struct zfs_name *name, int fd,
	const struct zfs_receive_opts *opts, struct imbrex_error *err) MUST_CHECK;

/* ---- from machine to machine ------------------------------------------------------------ */

/*
 * What is left of a stream that was cut is known by a token, the property receive_resume_token of
 * what was received with `resumable`.
 */
bool zfs_token_is_valid(const char *token);
/* The snapshot that a token is of, on the machine that sent it. noun: for messages. */
int zfs_token_target(struct zfs *z, const char *token, const struct zfs_name *noun,
	struct zfs_name *ret, struct imbrex_error *err) MUST_CHECK;
int zfs_send_rest(struct zfs *z, const char *token, const struct zfs_name *snapshot, int fd,
	struct imbrex_error *err) MUST_CHECK;

/* Negative ends the walk with that status. */
typedef int (*zfs_guid_fn)(
	void *ctx, const char *snapshot, uint64_t guid, struct imbrex_error *err);
/* The GUIDs of a dataset's snapshots, and with `children` of those of the datasets directly below;
 * they are the same on every machine that a snapshot was sent to. */
int zfs_guids(struct zfs *z, const struct zfs_name *in, bool children, zfs_guid_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;

#endif
