/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroot-zfs-mount [--unmount] DATASET
 *
 * The order matters: rights go first, then everything is looked at with the caller's own rights,
 * and CAP_SYS_ADMIN is in effect for the system calls that mount only. A dataset is mounted
 * detached, its root directory says whose it is, and it is attached to a directory that was opened
 * beneath the data path without following links. docs/decisions/015-mount-helper.md says why so.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/str.h"
#include "config.h"
#include "os/beneath.h"
#include "os/mountfd.h"
#include "zfs/zfs.h"
#include "zfsmount/zfsmount.h"

#define CONFIG_FILE "/etc/enroot/enroot.conf"

struct job {
	struct zfs_name dataset;
	struct mount_config config;
	char *real_path;         /* of the data; owned */
	struct mountinfo mounts; /* as they are at the beginning */
	uid_t uid;
	int data; /* the directory itself, O_PATH */
};

static void job_done(struct job *j)
{
	(void)close_fd(j->data);
	mountinfo_done(&j->mounts);
	mount_config_done(&j->config);
	free(j->real_path);
}
#define AUTO_JOB __attribute__((cleanup(job_done))) struct job

static int mount_id_of(int fd, uint64_t *ret, struct imbrex_error *err)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &stx) < 0)
		return fail_errno(err, "find a mount");
	if (!(stx.stx_mask & STATX_MNT_ID))
		return fail(err, IMBREX_ENOTSUP, "find a mount: Linux 5.8 is needed");
	*ret = stx.stx_mnt_id;
	return 0;
}

/* ---- where ----------------------------------------------------------------------------- */

static char *path_of(int fd)
{
	char link[64], buf[4096];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, sizeof(buf));
	return n > 0 && (size_t)n < sizeof(buf) ? strndup(buf, (size_t)n) : NULL;
}

static int job_init(struct job *j, const char *dataset, struct imbrex_error *err)
{
	struct zfs_name parent;
	uint64_t id;
	int r;

	j->uid = getuid();
	r = zfs_name_dataset(&j->dataset, dataset, err);
	if (r == 0)
		r = mount_config_read(CONFIG_FILE, j->uid, &j->config, err);
	if (r < 0)
		return r;
	j->data = open(j->config.data_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (j->data < 0)
		return fail_errno(err, "open '%s'", j->config.data_path);
	j->real_path = path_of(j->data);
	if (!j->real_path)
		return fail(err, IMBREX_EFAIL, "find out where '%s' is", j->config.data_path);
	r = mount_id_of(j->data, &id, err);
	if (r == 0)
		r = mountinfo_read(&j->mounts, err);
	if (r == 0)
		r = rule_parent(&j->mounts, id, j->config.data_path, &parent, err);
	return r < 0 ? r : rule_below(&j->dataset, &parent, err);
}

/* ---- whose ----------------------------------------------------------------------------- */

/* Root's own call is for anybody's. */
static int check_owner(const struct job *j, int fd, const char *what, struct imbrex_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno(err, "%s", what);
	if (j->uid == 0 || st.st_uid == j->uid)
		return 0;
	return fail(err, IMBREX_EPERM, "%s belongs to user %u, not to user %u", what,
		(unsigned int)st.st_uid, (unsigned int)j->uid);
}

/* ---- mount ----------------------------------------------------------------------------- */

/* A mount that nobody sees yet, of a dataset that is the caller's. */
static int detached(const struct job *j, struct imbrex_error *err)
{
	static const char *const options[] = { "zfsutil" };
	const uint64_t attrs =
		(j->config.suid ? 0 : MOUNT_ATTR_NOSUID) | (j->config.dev ? 0 : MOUNT_ATTR_NODEV);
	AUTO_FREE char *what = format_text("dataset %s", j->dataset.text);
	AUTO_CLOSE int mount = -EBADF;
	AUTO_CLOSE int root = -EBADF;
	int r, u;

	if (!what)
		return fail_nomem(err);
	r = privilege_set(true, err);
	if (r < 0)
		return r;
	mount = mount_new("zfs", j->dataset.text, (struct mount_options){ options, 1 }, attrs, err);
	u = privilege_set(false, mount < 0 ? NULL : err);
	if (mount < 0 || u < 0)
		return mount < 0 ? wrap(err, mount, "%s", what) : u;
	root = openat(mount, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return fail_errno(err, "%s: open its root directory", what);
	r = check_owner(j, root, what, err);
	return r < 0 ? r : take_fd(mount);
}

/* The directory, made if need be; it must be the caller's, and no mount. */
static int open_target(const struct job *j, const char *place, struct imbrex_error *err)
{
	AUTO_FREE char *what = format_text("directory %s/%s", j->config.data_path, place);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (!what)
		return fail_nomem(err);
	r = mkdirs_beneath(j->data, place, 0755, &fd, err);
	if (r == 0)
		r = check_owner(j, fd, what, err);
	if (r < 0)
		return r;
	r = is_mount_point(fd, "");
	if (r < 0)
		return fail_code(err, r, "%s", what);
	if (r > 0)
		return fail(err, IMBREX_EBUSY, "%s: something else is mounted there", what);
	return take_fd(fd);
}

static int ask_place(struct job *j, char **ret, struct imbrex_error *err)
{
	static const char *const names[] = { "mountpoint", "canmount" };
	const struct zfs_options command = { .road = ZFS_ROAD_COMMAND };
	AUTO_ZFS struct zfs *z = NULL;
	AUTO_STRV values = { 0 };
	const char *place;
	int r;

	r = zfs_open(&command, &z, err);
	if (r == 0)
		r = zfs_get_native(z, &j->dataset, names, ARRAY_LEN(names), &values, err);
	if (r == 0)
		r = rule_place(values.items[0], j->config.data_path, j->real_path, &j->dataset,
			&place, err);
	if (r < 0)
		return r;
	if (str_eq(values.items[1], "off"))
		return fail(err, IMBREX_EPERM, "dataset %s has canmount=off", j->dataset.text);
	*ret = strdup(place);
	return *ret ? 0 : fail_nomem(err);
}

static int attach(int mount, int target, struct imbrex_error *err)
{
	int r, u;

	r = privilege_set(true, err);
	if (r < 0)
		return r;
	r = mount_attach(mount, target, "", err);
	u = privilege_set(false, r < 0 ? NULL : err);
	return r < 0 ? r : u;
}

static int do_mount(struct job *j, struct imbrex_error *err)
{
	const struct mount_entry *at = rule_mounted(&j->mounts, &j->dataset);
	AUTO_FREE char *place = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int mount = -EBADF;
	AUTO_CLOSE int target = -EBADF;
	int r = ask_place(j, &place, err);

	if (r < 0)
		return r;
	path = format_text("%s/%s", j->real_path, place);
	if (!path)
		return fail_nomem(err);
	if (at && str_eq(at->target, path))
		return 0;
	if (at)
		return fail(err, IMBREX_EBUSY, "dataset %s is mounted at %.300s, not at %.300s",
			j->dataset.text, at->target, path);
	mount = detached(j, err);
	if (mount < 0)
		return mount;
	target = open_target(j, place, err);
	if (target < 0)
		return target;
	return attach(mount, target, err);
}

/* ---- unmount --------------------------------------------------------------------------- */

static int release(int parent, const char *name, struct imbrex_error *err)
{
	int r, u;

	r = privilege_set(true, err);
	if (r < 0)
		return r;
	r = unmount_at(parent, name, /* detach= */ false, err);
	u = privilege_set(false, r < 0 ? NULL : err);
	return r < 0 ? r : u;
}

/* Is it really that mount, and the caller's? */
static int check_mount(const struct job *j, const struct mount_entry *at, int parent,
	const char *name, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_beneath(
		parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, BENEATH_NO_SYMLINKS);
	AUTO_FREE char *what = format_text("dataset %s", j->dataset.text);
	uint64_t id;
	int r;

	if (!what)
		return fail_nomem(err);
	if (fd < 0)
		return fail_code(err, fd, "open '%.300s'", at->target);
	r = mount_id_of(fd, &id, err);
	if (r < 0)
		return r;
	if (id != at->id)
		return fail(
			err, IMBREX_EBUSY, "%.300s: something else is mounted there", at->target);
	return check_owner(j, fd, what, err);
}

static int do_unmount(struct job *j, struct imbrex_error *err)
{
	const struct mount_entry *at = rule_mounted(&j->mounts, &j->dataset);
	AUTO_FREE char *dir = NULL;
	AUTO_CLOSE int parent = -EBADF;
	const char *place, *name;
	int r;

	if (!at)
		return 0;
	r = rule_place(at->target, j->config.data_path, j->real_path, &j->dataset, &place, err);
	if (r < 0)
		return r;
	name = strrchr(place, '/');
	name = name ? name + 1 : place;
	dir = format_text("./%.*s", (int)(name - place), place);
	if (!dir)
		return fail_nomem(err);
	parent = open_beneath(
		j->data, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, BENEATH_NO_SYMLINKS);
	if (parent < 0)
		return fail_code(err, parent, "open '%s/%s'", j->real_path, dir);
	r = check_mount(j, at, parent, name, err);
	return r < 0 ? r : release(parent, name, err);
}

/* ---- main ------------------------------------------------------------------------------ */

/* 0, 1 and 2 are open, whatever we were started with. */
static bool have_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_NOCTTY);
	while (fd >= 0 && fd <= 2);
	return fd >= 0 && close(fd) == 0;
}

static int usage(FILE *to, int status)
{
	(void)fputs("Usage: enroot-zfs-mount [--unmount] DATASET\n\n"
		    "Mount a ZFS dataset of enroot at its mountpoint below ENROOT_DATA_PATH, "
		    "as " CONFIG_FILE " has it.\n\n"
		    " Options:\n"
		    "   --unmount   Unmount it\n"
		    "   -h, --help  Show this\n",
		to);
	return status;
}

static int run(const char *dataset, bool unmount)
{
	AUTO_JOB j = { .mounts = MOUNTINFO_INIT, .data = -EBADF };
	struct imbrex_error err = { 0 };
	int r = privilege_init(&err);

	if (r == 0)
		r = job_init(&j, dataset, &err);
	if (r == 0)
		r = unmount ? do_unmount(&j, &err) : do_mount(&j, &err);
	if (r == 0)
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "enroot-zfs-mount: %s\n", err.message);
	if (err.hint[0])
		(void)fprintf(stderr, "hint: %s\n", err.hint);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	bool unmount = argc > 1 && str_eq(argv[1], "--unmount");
	int at = unmount ? 2 : 1;

	if (!have_stdio() || clearenv() != 0)
		return EXIT_FAILURE;
	(void)umask(022);
	if (argc == 2 && (str_eq(argv[1], "--help") || str_eq(argv[1], "-h")))
		return usage(stdout, EXIT_SUCCESS);
	if (argc != at + 1 || argv[at][0] == '-')
		return usage(stderr, 2);
	return run(argv[at], unmount);
}
