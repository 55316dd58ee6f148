/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Project quotas by quotactl_fd() and FS_IOC_FSSETXATTR.
 *
 * Which numbers are free is the kernel's to say: it counts the inodes of each, whoever made them
 * and wherever they are, in a directory that is still being built or already being removed as
 * well. A limit without an inode is what a crash left; whoever claims the number replaces it.
 */
#include "os/projquota.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hex.h"
#include "os/fd.h"
#include "os/probe.h"

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

/* The unit of sizes in struct fs_disk_quota ("basic blocks"). */
#define BLOCK_BYTES 512u

/*
 * Numbers are drawn from 64 Ki above the base. File systems keep a record of some 140 bytes for
 * each that ever was in use, so the range is small; where it is crowded, larger ones follow.
 * containers/storage counts up from the largest number it finds when it starts: the chance that
 * one that runs meanwhile draws the same is that of one number in a range.
 */
static const unsigned int range_bits[] = { 16, 20, 24 };
#define DRAWS 32

static int quota_call(int fd, unsigned int cmd, uint32_t id, void *arg)
{
	if (syscall(SYS_quotactl_fd, fd, QCMD(cmd, PRJQUOTA), id, arg) < 0)
		return -errno;
	return 0;
}

int projquota_check(int fd)
{
	struct fs_quota_statv state = { .qs_version = FS_QSTATV_VERSION1 };
	uint32_t magic = 0;
	int r;

	r = fs_magic(fd, &magic);
	if (r < 0)
		return r;
	if (magic != FS_MAGIC_XFS && magic != FS_MAGIC_EXT)
		return -EOPNOTSUPP;
	/* ENOSYS, ESRCH, EINVAL: the kernel's, the mount's, the file system's way to say no. */
	r = quota_call(fd, Q_XGETQSTATV, 0, &state);
	if (r < 0 || !(state.qs_flags & FS_QUOTA_PDQ_ACCT))
		return -EOPNOTSUPP;
	if (!(state.qs_flags & FS_QUOTA_PDQ_ENFD))
		return -ENOLCK;
	/* Asking about a project takes the same right as limiting one. */
	r = project_ask(fd, 1, NULL, NULL);
	return r == -EACCES ? -EPERM : r;
}

int project_of(int fd, uint32_t *ret)
{
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return -errno;
	*ret = attr.fsx_projid;
	return 0;
}

static int set_project(int fd, uint32_t project, bool passed_on)
{
	const uint32_t flag = FS_XFLAG_PROJINHERIT;
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return -errno;
	if (attr.fsx_projid == project && !(attr.fsx_xflags & flag) == !passed_on)
		return 0;
	attr.fsx_projid = project;
	attr.fsx_xflags = passed_on ? attr.fsx_xflags | flag : attr.fsx_xflags & ~flag;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attr) < 0 ? -errno : 0;
}

int project_pass_on(int fd, uint32_t project)
{
	return set_project(fd, project, true);
}

int project_stop_inheritance(int fd)
{
	uint32_t project = 0;
	int r;

	r = project_of(fd, &project);
	return r < 0 ? r : set_project(fd, project, false);
}

/* 1 if nothing carries the number, 0 if something does. */
static int is_free(int fd, uint32_t project)
{
	struct project_usage usage = { 0 };
	int r;

	r = project_ask(fd, project, NULL, &usage);
	return r < 0 ? r : !usage.inodes && !usage.size_bytes;
}

static int draw(int shared, uint32_t base, uint32_t *ret)
{
	uint32_t noise[DRAWS];
	size_t i, k;
	int r;

	for (i = 0; i < ARRAY_LEN(range_bits); i++) {
		const uint32_t range = UINT32_C(1) << range_bits[i];

		if (base > UINT32_MAX - range)
			base = UINT32_MAX - range;
		r = random_bytes(noise, sizeof(noise));
		if (r < 0)
			return r;
		for (k = 0; k < DRAWS; k++) {
			/* Never the base itself, nor the last number, which means "invalid". */
			*ret = base + 1 + noise[k] % (range - 2);
			r = is_free(shared, *ret);
			if (r != 0)
				return r < 0 ? r : 0;
		}
	}
	return -EAGAIN;
}

int project_claim(int shared, uint32_t base, int fd, uint32_t *ret)
{
	/* A description of its own: who holds it by another one waits, in this process too. */
	AUTO_CLOSE int lock = openat(shared, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t project = 0;
	int r;

	if (lock < 0)
		return -errno;
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	r = draw(shared, base, &project);
	if (r == 0)
		r = set_project(fd, project, false);
	if (r == 0)
		*ret = project;
	return r;
}

int project_limit(int fd, uint32_t project, const struct project_limits *limits)
{
	struct fs_disk_quota q = { 0 };

	q.d_version = FS_DQUOT_VERSION;
	q.d_flags = FS_PROJ_QUOTA;
	q.d_fieldmask = FS_DQ_BSOFT | FS_DQ_BHARD | FS_DQ_ISOFT | FS_DQ_IHARD;
	q.d_id = project;
	/* Rounded up: less than a block would be no limit. */
	q.d_blk_hardlimit = limits->size_bytes / BLOCK_BYTES + !!(limits->size_bytes % BLOCK_BYTES);
	q.d_blk_softlimit = q.d_blk_hardlimit;
	q.d_ino_hardlimit = q.d_ino_softlimit = limits->inodes;
	return quota_call(fd, Q_XSETQLIM, project, &q);
}

int project_ask(int fd, uint32_t project, struct project_limits *ret_limits,
	struct project_usage *ret_usage)
{
	struct fs_disk_quota q = { 0 };
	int r;

	r = quota_call(fd, Q_XGETQUOTA, project, &q);
	if (r == -ENOENT)
		memset(&q, 0, sizeof(q)); /* XFS: there never was anything to count */
	else if (r < 0)
		return r;
	if (ret_limits)
		*ret_limits = (struct project_limits){ q.d_blk_hardlimit * BLOCK_BYTES,
			q.d_ino_hardlimit };
	if (ret_usage)
		*ret_usage = (struct project_usage){ q.d_bcount * BLOCK_BYTES, q.d_icount };
	return 0;
}
