/* SPDX-License-Identifier: Apache-2.0 */
/* Subvolumes of btrfs; see the header. */
#include "os/subvolume.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "os/beneath.h"
#include "os/fd.h"
#include "os/qgroup.h"

/* Of subvolumes in subvolumes; deeper ones are left to whoever walks the tree. */
#define NESTED_MAX 8
/* Rounds over the nested ones of one subvolume, BTRFS_MAX_ROOTREF_BUFFER_NUM at a time. */
#define ROUNDS_MAX 4096

bool subvolume_is(int fd)
{
	struct statfs fs;
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_ino == BTRFS_FIRST_FREE_OBJECTID && fstatfs(fd, &fs) == 0 &&
	       fs.f_type == BTRFS_SUPER_MAGIC;
}

/* The name, terminated and filled up with zeros, in one of the kernel's structs. */
static int put_name(char *to, size_t size, const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= size)
		return -ENAMETOOLONG;
	memset(to, 0, size);
	memcpy(to, name, n);
	return 0;
}

int subvolume_create(int dirfd, const char *name)
{
	struct btrfs_ioctl_vol_args args = { .fd = 0 };
	int r = put_name(args.name, sizeof(args.name), name);

	if (r < 0)
		return r;
	return ioctl(dirfd, BTRFS_IOC_SUBVOL_CREATE, &args) < 0 ? -errno : 0;
}

int subvolume_snapshot(int dirfd, const char *name, int source)
{
	struct btrfs_ioctl_vol_args_v2 args = { .fd = source };
	int r = put_name(args.name, sizeof(args.name), name);

	if (r < 0)
		return r;
	return ioctl(dirfd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0 ? -errno : 0;
}

int subvolume_make_writable(int fd)
{
	uint64_t flags = 0;

	if (ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) < 0)
		return -errno;
	if (!(flags & BTRFS_SUBVOL_RDONLY))
		return 0;
	flags &= ~(uint64_t)BTRFS_SUBVOL_RDONLY;
	return ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) < 0 ? -errno : 0;
}

int subvolume_read(int fd, struct subvolume_facts *ret)
{
	struct btrfs_ioctl_get_subvol_info_args info = { .treeid = 0 };

	static_assert(sizeof(info.uuid) == sizeof(ret->uuid), "UUIDs have 16 bytes");
	if (ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, &info) < 0)
		return -errno;
	*ret = (struct subvolume_facts){ .id = info.treeid,
		.parent_id = info.parent_id,
		.created_transid = info.otransid,
		.changed_transid = info.ctransid };
	memcpy(ret->uuid, info.uuid, sizeof(ret->uuid));
	memcpy(ret->origin_uuid, info.parent_uuid, sizeof(ret->origin_uuid));
	return 0;
}

/* ---- removal ------------------------------------------------------------------------------- */

/* One that holds no others. */
static int destroy_one(int dirfd, const char *name)
{
	struct btrfs_ioctl_vol_args args = { .fd = 0 };
	struct subvolume_facts facts = { 0 };
	AUTO_CLOSE int fd = -EBADF;
	bool known;
	int r;

	r = put_name(args.name, sizeof(args.name), name);
	if (r < 0)
		return r;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	known = fd >= 0 && subvolume_read(fd, &facts) == 0;
	if (ioctl(dirfd, BTRFS_IOC_SNAP_DESTROY, &args) < 0) {
		/* To a user, one marked read-only is. */
		if (errno != EROFS || fd < 0 || subvolume_make_writable(fd) < 0)
			return -errno;
		if (ioctl(dirfd, BTRFS_IOC_SNAP_DESTROY, &args) < 0)
			return -errno;
	}
	/* Linux before 6.10 leaves it; since then it goes with the subvolume's last block. */
	if (known)
		(void)!qgroup_destroy(dirfd, facts.id);
	return 0;
}

/* The directory that holds a nested subvolume, and its name there. */
struct nested {
	int dirfd; /* owned */
	char name[BTRFS_VOL_NAME_MAX + 1];
};

static int find_nested(int fd, uint64_t dir_id, uint64_t tree_id, struct nested *ret)
{
	struct btrfs_ioctl_ino_lookup_user_args *args = calloc(1, sizeof(*args));
	int r = 0;

	if (!args)
		return -ENOMEM;
	args->dirid = dir_id;
	args->treeid = tree_id;
	if (ioctl(fd, BTRFS_IOC_INO_LOOKUP_USER, args) < 0)
		r = -errno;
	if (r == 0) {
		args->path[sizeof(args->path) - 1] = '\0';
		memcpy(ret->name, args->name, sizeof(ret->name));
		ret->name[sizeof(ret->name) - 1] = '\0';
		r = open_beneath(fd, args->path[0] ? args->path : ".", O_RDONLY | O_DIRECTORY, 0,
			BENEATH_NO_SYMLINKS);
	}
	free(args);
	if (r < 0)
		return r;
	ret->dirfd = r;
	return 0;
}

/* With all that are nested in it. */
static int destroy_deep(int dirfd, const char *name, unsigned int depth)
{
	AUTO_FREE struct btrfs_ioctl_get_subvol_rootref_args *refs = NULL;
	AUTO_CLOSE int fd = -EBADF;
	unsigned int round;
	unsigned int i;
	int r = destroy_one(dirfd, name);

	if (r != -ENOTEMPTY || depth >= NESTED_MAX)
		return r;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	refs = fd < 0 ? NULL : calloc(1, sizeof(*refs));
	if (!refs)
		return fd < 0 ? -errno : -ENOMEM;
	for (round = 0; r == -ENOTEMPTY && round < ROUNDS_MAX; round++) {
		refs->min_treeid = 0;
		if (ioctl(fd, BTRFS_IOC_GET_SUBVOL_ROOTREF, refs) < 0 && errno != EOVERFLOW)
			return -errno;
		for (i = 0; i < refs->num_items; i++) {
			struct nested n = { .dirfd = -EBADF };

			r = find_nested(fd, refs->rootref[i].dirid, refs->rootref[i].treeid, &n);
			if (r == 0)
				r = destroy_deep(n.dirfd, n.name, depth + 1);
			n.dirfd = close_fd(n.dirfd);
			if (r < 0)
				return r;
		}
		r = destroy_one(dirfd, name);
	}
	return r;
}

int subvolume_destroy(int dirfd, const char *name)
{
	/* These calls do not take a descriptor of O_PATH. */
	AUTO_CLOSE int dir = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -errno : destroy_deep(dir, name, 0);
}
