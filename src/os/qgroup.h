/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quota groups of btrfs, as far as one for each subvolume goes: what it holds, and how much it may.
 *
 * There are two kinds of accounting, one for a whole file system. Full: a group counts everything
 * that its subvolume refers to, shared with others or not; the kernel works out who shares what,
 * which makes removing snapshots slow. Simple (Linux 6.7): a group counts what was written through
 * its subvolume, and nothing has to be worked out.
 *
 * All need CAP_SYS_ADMIN in the first user namespace. Threading: no state. Errors: leaf tier.
 * Source: linux/btrfs.h; kernel, fs/btrfs/qgroup.c; btrfs-quota(8).
 */
#ifndef OS_QGROUP_H
#define OS_QGROUP_H

#include <stdint.h>

#include "base/macros.h"

enum quota_kind {
	QUOTA_OFF,
	QUOTA_FULL,
	QUOTA_SIMPLE
};

/* What the file system has that fd lies on. */
int quota_read(int fd, enum quota_kind *ret) MUST_CHECK;

/* Have some kind: what there is, else simple, else full. */
int quota_enable(int fd, enum quota_kind *ret) MUST_CHECK;

/* The subvolume that fd lies in takes at most that many bytes; 0: no limit. */
int qgroup_limit(int fd, uint64_t bytes) MUST_CHECK;

/* Limit of that subvolume (0: none) and bytes counted. -ENOENT without a group. */
int qgroup_read(int fd, uint64_t *ret_limit, uint64_t *ret_used) MUST_CHECK;

/* Forget the group of the subvolume `id`, which is gone. fd: anything on the file system. */
int qgroup_destroy(int fd, uint64_t id) MUST_CHECK;

#endif
