/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the ZFS client: the two roads. Errors: err. */
#ifndef ZFS_CLIENT_H
#define ZFS_CLIENT_H

#include "base/str.h"
#include "base/strv.h"
#include "zfs/zfs.h"

struct zfs_library;

struct zfs {
	char *program;               /* owned; absolute; NULL: not installed */
	char *pool_program;          /* owned; zpool(8), likewise */
	struct zfs_library *library; /* owned; NULL: not used */
	const struct zfs_trace *trace;
};

void zfs_trace_words(const struct zfs *z, const char *const *words, size_t n);

/* ---- zfs(8) ---------------------------------------------------------------------------- */

struct zfs_command {
	const struct strv *words;    /* without the program */
	const struct zfs_name *noun; /* for the message, if ZFS does not say it */
	struct str *out;             /* NULL: not read */
	int stdin_fd, stdout_fd;     /* > 0: passed on */
	bool pool;                   /* zpool(8) */
};
int zfs_command_run(
	struct zfs *z, const struct zfs_command *c, struct imbrex_error *err) MUST_CHECK;
/* "-o", "name=value" for each. -ENOMEM */
int zfs_command_properties(struct strv *words, const struct zfs_properties *props) MUST_CHECK;

/* ---- libzfs_core ----------------------------------------------------------------------- */

/* ENOTSUP if it is not installed, or ZFS is not there. */
int zfs_library_load(struct zfs_library **ret, struct imbrex_error *err) MUST_CHECK;
void zfs_library_free(struct zfs_library *l);
/* Can it set all of these? */
bool zfs_library_takes(const struct zfs_properties *props);

bool zfs_library_exists(const struct zfs_library *l, const struct zfs_name *name);
/* The others are leaf tier: 0 or -errno. */
int zfs_library_create(const struct zfs_library *l, const struct zfs_name *name,
	const struct zfs_properties *props) MUST_CHECK;
int zfs_library_snapshot(const struct zfs_library *l, const struct zfs_name *snapshot) MUST_CHECK;
int zfs_library_clone(const struct zfs_library *l, const struct zfs_name *snapshot,
	const struct zfs_name *name, const struct zfs_properties *props) MUST_CHECK;
int zfs_library_promote(const struct zfs_library *l, const struct zfs_name *name) MUST_CHECK;
int zfs_library_destroy(const struct zfs_library *l, const struct zfs_name *name) MUST_CHECK;
int zfs_library_destroy_snapshot(
	const struct zfs_library *l, const struct zfs_name *snapshot, bool later) MUST_CHECK;
int zfs_library_rename(const struct zfs_library *l, const struct zfs_name *from,
	const struct zfs_name *to) MUST_CHECK;
int zfs_library_hold(const struct zfs_library *l, const struct zfs_name *snapshot, const char *tag,
	bool release) MUST_CHECK;

#endif
