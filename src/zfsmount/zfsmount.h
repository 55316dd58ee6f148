/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroot-zfs-mount: mounts one dataset of enroot for a user who may not mount. It has the file
 * capability CAP_SYS_ADMIN; all that it believes comes from the kernel, from zfs(8) at a fixed path
 * and from a configuration file that only root can change.
 *
 * Here is what decides without touching anything. Threading: no state. Errors: err.
 */
#ifndef ZFSMOUNT_ZFSMOUNT_H
#define ZFSMOUNT_ZFSMOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "imbrex/error.h"
#include "os/mountinfo.h"
#include "zfs/name.h"

/* ---- configuration --------------------------------------------------------------------- */

struct mount_config {
	char *data_path; /* owned; absolute, without "." and ".." */
	bool suid, dev;  /* mounts may have set-user-ID programs, devices */
};

/*
 * enroot.conf: ENROOT_DATA_PATH and ENROOT_ZFS_MOUNT_OPTIONS, the first of each. Nothing is
 * evaluated but quotes, and $UID, ${UID}, $(id -u), $USER, ${USER}, $(id -un), $(whoami), which are
 * the caller's.
 *
 * file    for messages
 * user    NULL: nobody knows it
 * Errors  EINVAL; ENOENT if it does not say where the data are
 */
int mount_config_parse(const char *text, size_t len, const char *file, uid_t uid, const char *user,
	struct mount_config *ret, struct imbrex_error *err) MUST_CHECK;
/* The file must be root's, and nobody else's to change. */
int mount_config_read(
	const char *file, uid_t uid, struct mount_config *ret, struct imbrex_error *err) MUST_CHECK;
void mount_config_done(struct mount_config *c);
#define AUTO_MOUNT_CONFIG __attribute__((cleanup(mount_config_done))) struct mount_config

/* ---- rules ----------------------------------------------------------------------------- */

/* The dataset that the mount with this id is of: the one that the data lie on. */
int rule_parent(const struct mountinfo *m, uint64_t mount_id, const char *data_path,
	struct zfs_name *ret, struct imbrex_error *err) MUST_CHECK;
int rule_below(const struct zfs_name *dataset, const struct zfs_name *parent,
	struct imbrex_error *err) MUST_CHECK;
/*
 * The part of a mount point below the data path, which is given as configured and as the kernel
 * calls it. Never empty, never with "." or "..".
 *
 * ret  borrowed from mount_point
 */
int rule_place(const char *mount_point, const char *data_path, const char *real_path,
	const struct zfs_name *dataset, const char **ret, struct imbrex_error *err) MUST_CHECK;
/* A mount of the dataset, the uppermost; NULL if none. */
const struct mount_entry *rule_mounted(const struct mountinfo *m, const struct zfs_name *dataset);

/* ---- privilege ------------------------------------------------------------------------- */

/* Keep CAP_SYS_ADMIN, not in effect, and nothing else; gain nothing by exec any more. */
int privilege_init(struct imbrex_error *err) MUST_CHECK;
/* Put it in effect, or out of it. */
int privilege_set(bool on, struct imbrex_error *err) MUST_CHECK;

#endif
