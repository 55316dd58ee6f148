/* SPDX-License-Identifier: Apache-2.0 */
/* Quota groups of btrfs; see the header. */
#include "os/qgroup.h"

#include <endian.h>
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <string.h>
#include <sys/ioctl.h>

#include "os/subvolume.h"

/* Linux 6.7; Debian 12's headers are those of 6.1. */
#define QUOTA_CTL_ENABLE_SIMPLE 4
#define STATUS_SIMPLE_MODE      (1ull << 3)

/*
 * The item of that key in the quota tree: its bytes, up to `len`. -ENOENT: there is none, or no
 * quota tree at all.
 */
static int read_item(int fd, uint32_t type, uint64_t offset, void *ret, size_t len)
{
	struct btrfs_ioctl_search_args args = { .key = {
							.tree_id = BTRFS_QUOTA_TREE_OBJECTID,
							.min_type = type,
							.max_type = type,
							.min_offset = offset,
							.max_offset = offset,
							.max_transid = UINT64_MAX,
							.nr_items = 1,
						} };
	struct btrfs_ioctl_search_header header;

	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) < 0)
		return -errno;
	if (args.key.nr_items == 0)
		return -ENOENT;
	memcpy(&header, args.buf, sizeof(header));
	if (header.len < len)
		return -EUCLEAN;
	memcpy(ret, args.buf + sizeof(header), len);
	return 0;
}

int quota_read(int fd, enum quota_kind *ret)
{
	struct btrfs_qgroup_status_item status;
	uint64_t flags;
	int r;

	r = read_item(fd, BTRFS_QGROUP_STATUS_KEY, 0, &status, sizeof(status));
	if (r < 0 && r != -ENOENT)
		return r;
	flags = r < 0 ? 0 : le64toh(status.flags);
	*ret = !(flags & BTRFS_QGROUP_STATUS_FLAG_ON) ? QUOTA_OFF
	       : flags & STATUS_SIMPLE_MODE           ? QUOTA_SIMPLE
						      : QUOTA_FULL;
	return 0;
}

int quota_enable(int fd, enum quota_kind *ret)
{
	struct btrfs_ioctl_quota_ctl_args args = { .cmd = QUOTA_CTL_ENABLE_SIMPLE };
	int r = quota_read(fd, ret);

	if (r < 0 || *ret != QUOTA_OFF)
		return r;
	if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args) < 0) {
		if (errno != EINVAL)
			return -errno;
		args.cmd = BTRFS_QUOTA_CTL_ENABLE;
		if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args) < 0)
			return -errno;
	}
	/* Another may have been faster. */
	return quota_read(fd, ret);
}

int qgroup_limit(int fd, uint64_t bytes)
{
	struct btrfs_ioctl_qgroup_limit_args args = { .qgroupid = 0 };

	args.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
	/* All ones: the kernel's word for taking a limit away. */
	args.lim.max_rfer = bytes ? bytes : UINT64_MAX;
	return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0 ? -errno : 0;
}

int qgroup_read(int fd, uint64_t *ret_limit, uint64_t *ret_used)
{
	struct btrfs_qgroup_limit_item limit;
	struct btrfs_qgroup_info_item info;
	struct subvolume_facts facts;
	int r;

	r = subvolume_read(fd, &facts);
	if (r == 0)
		r = read_item(fd, BTRFS_QGROUP_INFO_KEY, facts.id, &info, sizeof(info));
	if (r < 0)
		return r;
	r = read_item(fd, BTRFS_QGROUP_LIMIT_KEY, facts.id, &limit, sizeof(limit));
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_limit = r == 0 && le64toh(limit.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER
			     ? le64toh(limit.max_rfer)
			     : 0;
	*ret_used = le64toh(info.rfer);
	return 0;
}

int qgroup_destroy(int fd, uint64_t id)
{
	struct btrfs_ioctl_qgroup_create_args args = { .create = 0, .qgroupid = id };

	return ioctl(fd, BTRFS_IOC_QGROUP_CREATE, &args) < 0 ? -errno : 0;
}
