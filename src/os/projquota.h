/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Project quotas: what a directory, with all below it, may take of its file system.
 *
 * A project is a number that inodes carry and new ones inherit; the file system counts blocks and
 * inodes by it and holds to limits, on XFS and ext4 mounted with prjquota. Numbers have no owner:
 * project_claim() takes one that nothing on the file system carries, under a lock of the directory
 * that the callers share, so that no two of them get the same.
 *
 * No block device is needed: quotactl_fd() asks the file system of a descriptor.
 * Threading: no state. Errors: leaf tier.
 * Source: quotactl(2), quotactl_fd (Linux 5.14), linux/dqblk_xfs.h; ioctl_xfs_fsgetxattr(2).
 */
#ifndef OS_PROJQUOTA_H
#define OS_PROJQUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

/* 0: no limit, and what is not there. */
struct project_limits {
	uint64_t size_bytes; /* the kernel keeps multiples of 512 */
	uint64_t inodes;
};
struct project_usage {
	uint64_t size_bytes;
	uint64_t inodes;
};

/*
 * Does the file system of directory `fd` hold projects to their limits, for us?
 *
 * Errors -EOPNOTSUPP  no: its kind, its kernel or its mount options do not
 *        -ENOLCK      projects are counted, limits are not held
 *        -EPERM       yes, but not for us: it takes CAP_SYS_ADMIN outside of user namespaces
 */
int projquota_check(int fd) MUST_CHECK;

/* The project that the inode carries; 0: none. -ENOTTY: its file system knows none. */
int project_of(int fd, uint32_t *ret) MUST_CHECK;

/*
 * Give directory `fd` a project that nothing else carries, from a range above `base`; what is made
 * in it does not carry it. `shared` is a directory of the same file system that all who claim from
 * this range name.
 *
 * Errors -EAGAIN  no free number was found
 */
int project_claim(int shared, uint32_t base, int fd, uint32_t *ret) MUST_CHECK;
/* Directory `fd`, in which nothing is yet, carries it too, and all that is made in it. */
int project_pass_on(int fd, uint32_t project) MUST_CHECK;
/* What is made in directory `fd` carries its project no more. Names move only between directories
 * of one project, or into those that do not pass theirs on. */
int project_stop_inheritance(int fd) MUST_CHECK;

/* `fd` is anything on the file system. Limits of 0 take limits away. */
int project_limit(int fd, uint32_t project, const struct project_limits *limits) MUST_CHECK;
/* Both out parameters may be NULL. */
int project_ask(int fd, uint32_t project, struct project_limits *ret_limits,
	struct project_usage *ret_usage) MUST_CHECK;

#endif
