/* SPDX-License-Identifier: Apache-2.0 */
/* What this kernel and this file system can do; see the header. */
#include "os/probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hex.h"
#include "base/str.h"

#define CHECK_PREFIX "compat-dtype"
/* Not in the drivers' list, but networks all the same. Source: linux/magic.h. */
#define FS_MAGIC_CIFS 0xFF534D42u
#define FS_MAGIC_SMB2 0xFE534D42u
#define FS_MAGIC_CEPH 0x00C36400u
#define FS_MAGIC_GPFS 0x47504653u
#define FS_MAGIC_AFS  0x5346414Fu

int fs_magic(int fd, uint32_t *ret)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return -errno;
	*ret = (uint32_t)st.f_type;
	return 0;
}

const char *fs_name(uint32_t magic)
{
	static const struct {
		uint32_t magic;
		const char *name;
	} names[] = {
		{ FS_MAGIC_AUFS, "aufs" },
		{ FS_MAGIC_BTRFS, "btrfs" },
		{ FS_MAGIC_ECRYPTFS, "ecryptfs" },
		{ FS_MAGIC_EROFS, "erofs" },
		{ FS_MAGIC_EXT, "extfs" },
		{ FS_MAGIC_FUSE, "fuse" },
		{ FS_MAGIC_NFS, "nfs" },
		{ FS_MAGIC_OVERLAY, "overlayfs" },
		{ FS_MAGIC_SQUASHFS, "squashfs" },
		{ FS_MAGIC_TMPFS, "tmpfs" },
		{ FS_MAGIC_XFS, "xfs" },
		{ FS_MAGIC_ZFS, "zfs" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].magic == magic)
			return names[i].name;
	}
	return "unknown";
}

bool fs_is_network(uint32_t magic)
{
	return magic == FS_MAGIC_NFS || magic == FS_MAGIC_CIFS || magic == FS_MAGIC_SMB2 ||
	       magic == FS_MAGIC_CEPH || magic == FS_MAGIC_GPFS || magic == FS_MAGIC_AFS;
}

int kernel_version(unsigned int *ret_major, unsigned int *ret_minor)
{
	struct utsname name;
	unsigned int major;
	unsigned int minor;

	if (uname(&name) < 0)
		return -errno;
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return -EINVAL;
	*ret_major = major;
	*ret_minor = minor;
	return 0;
}

bool kernel_at_least(unsigned int major, unsigned int minor)
{
	unsigned int have_major;
	unsigned int have_minor;

	if (kernel_version(&have_major, &have_minor) < 0)
		return false;
	return have_major > major || (have_major == major && have_minor >= minor);
}

/* Type of the entry `name` as reading the directory says; DT_UNKNOWN if it does not; or -errno. */
static int read_entry_type(int dirfd, const char *name)
{
	struct dirent *de;
	int type = -ENOENT;
	DIR *dir;
	int fd;

	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		(void)close_fd(fd);
		return -ENOMEM;
	}
	for (de = readdir(dir); de; de = readdir(dir)) {
		if (str_eq(de->d_name, name)) {
			type = de->d_type;
			break;
		}
	}
	(void)closedir(dir);
	return type;
}

int fs_has_entry_types(int dirfd, struct imbrex_error *err)
{
	char name[sizeof(CHECK_PREFIX) + 10];
	char digits[11];
	int type;
	int r;

	r = random_digits(digits);
	if (r < 0)
		return fail_code(err, r, "make a name for the check of entry types");
	(void)snprintf(name, sizeof(name), CHECK_PREFIX "%s", digits);
	if (mkdirat(dirfd, name, 0700) < 0)
		return fail_errno(err, "create directory '%s'", name);
	type = read_entry_type(dirfd, name);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		return fail_errno(err, "remove directory '%s'", name);
	if (type < 0)
		return fail_code(err, type, "read the directory of '%s'", name);
	return type == DT_DIR;
}

bool selinux_is_on(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

bool have_capability(unsigned int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (cap / 32 >= ARRAY_LEN(data) || syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[cap / 32].effective >> (cap % 32) & 1;
}
