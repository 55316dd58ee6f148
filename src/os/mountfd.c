/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts as file descriptors.
 *
 *   fsopen -> fsconfig* -> create -> fsmount -> (mount_change) -> mount_attach
 *
 * Invariants:
 * (1) Nothing is visible in any mount namespace before mount_attach(); every fd closed before
 *     that leaves no trace.
 * (2) Paths that hold bytes with a meaning to overlay (\ , :) or pass the 255 bytes of an
 *     fsconfig value are opened and named "/proc/self/fd/N" instead; the fds live until the
 *     superblock exists.
 * (3) The child of the old road calls nothing but system calls: the application may have threads.
 */
#include "os/mountfd.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/proc.h"

/* strndup_user() bound of fsconfig(2) values, NUL included. Source: Linux fs/fsopen.c. */
#define FSCONFIG_VALUE_BYTES 256
/* mount(2) copies one page of options, NUL included. Source: Linux copy_mount_options(). */
#define MOUNT_DATA_BYTES 4096
/* What we quote of the kernel's messages. */
#define KERNEL_SAYS_BYTES 400

/* Fills err with the text, errnum and the error lines of the context's log. */
static int fail_kernel(int fs_fd, int errnum, struct imbrex_error *err, const char *what)
{
	AUTO_STR says = STR_INIT(KERNEL_SAYS_BYTES);
	char line[512];
	ssize_t n;

	/* One message a read: "e overlay: text" (errors), "w ..." and "i ..." (ignored). */
	for (n = read(fs_fd, line, sizeof(line)); n > 0; n = read(fs_fd, line, sizeof(line))) {
		if (n < 3 || line[0] != 'e')
			continue;
		while (line[n - 1] == '\n')
			n--;
		if (n > 2 &&
			str_printf(&says, "%s%.*s", says.len ? "; " : "", (int)n - 2, line + 2) < 0)
			break;
	}
	if (!says.len)
		return fail_code(err, errnum, "%s", what);
	return fail_code(err, errnum, "%s: kernel says '%s'", what, str_text(&says));
}

static int set_string(int fs_fd, const char *key, const char *value)
{
	if (strlen(value) >= FSCONFIG_VALUE_BYTES)
		return -ENAMETOOLONG;
	return fsconfig(fs_fd, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

static int set_flag(int fs_fd, const char *key)
{
	return fsconfig(fs_fd, FSCONFIG_SET_FLAG, key, NULL, 0) < 0 ? -errno : 0;
}

/* "key=value" or "key". */
static int set_option(int fs_fd, const char *option)
{
	const char *equals = strchr(option, '=');
	AUTO_FREE char *key = NULL;

	if (!equals)
		return set_flag(fs_fd, option);
	key = strndup(option, (size_t)(equals - option));
	if (!key)
		return -ENOMEM;
	return set_string(fs_fd, key, equals + 1);
}

static int set_options(int fs_fd, struct mount_options options, struct imbrex_error *err)
{
	char what[128];
	size_t i;
	int r;

	for (i = 0; i < options.n; i++) {
		r = set_option(fs_fd, options.items[i]);
		if (r < 0) {
			(void)snprintf(
				what, sizeof(what), "mount option '%.90s'", options.items[i]);
			return fail_kernel(fs_fd, r, err, what);
		}
	}
	return 0;
}

/* Superblock and detached mount of a configured context. */
static int create_mount(int fs_fd, const char *fs_type, uint64_t attrs, struct imbrex_error *err)
{
	char what[64];
	int fd;

	(void)snprintf(what, sizeof(what), "create %.40s mount", fs_type);
	if (fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_kernel(fs_fd, errno, err, what);
	fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, (unsigned int)attrs);
	if (fd < 0)
		return fail_kernel(fs_fd, errno, err, what);
	return fd;
}

int mount_new(const char *fs_type, const char *source, struct mount_options options, uint64_t attrs,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fs_fd = -EBADF;
	int r;

	fs_fd = fsopen(fs_type, FSOPEN_CLOEXEC);
	if (fs_fd < 0 && errno == ENODEV)
		return fail(err, IMBREX_ENOTSUP, "this kernel has no file system '%s'", fs_type);
	if (fs_fd < 0)
		return fail_errno(err, "open file system '%s'", fs_type);
	if (source) {
		r = set_string(fs_fd, "source", source);
		if (r < 0)
			return fail_kernel(fs_fd, r, err, "mount source");
	}
	r = set_options(fs_fd, options, err);
	if (r < 0)
		return r;
	return create_mount(fs_fd, fs_type, attrs, err);
}

/* Directories opened for one overlay. */
struct layer_fds {
	int *fds;     /* owned array of owned fds */
	char **paths; /* owned array of owned strings: what /proc calls the directory */
	size_t n;
};

static void cleanup_layer_fds(struct layer_fds *l)
{
	while (l->n) {
		l->n--;
		(void)close_fd(l->fds[l->n]);
		free(l->paths[l->n]);
	}
	free(l->fds);
	free(l->paths);
}

static int layer_fds_init(struct layer_fds *l, const struct overlay_spec *spec)
{
	size_t n_max = spec->n_lowers + spec->n_data_lowers + 2; /* upper and work */

	l->fds = calloc(n_max, sizeof(*l->fds));
	l->paths = calloc(n_max, sizeof(*l->paths));
	return l->fds && l->paths ? 0 : -ENOMEM;
}

/* Opens a layer directory for its number; the fd stays in `l`. */
static int open_layer(struct layer_fds *l, const char *path, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_STR real = STR_INIT(LIMIT_PATH_BYTES);
	char by_fd[FD_PATH_BYTES];
	char *text;
	int r;

	if (fd < 0)
		return fail_errno(err, "overlay directory '%s'", path);
	fd_path(fd, by_fd);
	r = read_link_at(AT_FDCWD, by_fd, &real, err);
	if (r < 0)
		return wrap(err, r, "overlay directory '%s'", path);
	text = str_take(&real);
	if (!text)
		return fail_nomem(err);
	l->paths[l->n] = text;
	l->fds[l->n] = take_fd(fd);
	return l->fds[l->n++];
}

static bool is_plain(const char *path)
{
	return strlen(path) < FSCONFIG_VALUE_BYTES && !path[strcspn(path, "\\,:\n")];
}

/* One directory option, by path if the kernel can take it, else by fd. */
static int set_layer(
	int fs_fd, struct layer_fds *l, const char *key, const char *path, struct imbrex_error *err)
{
	AUTO_FREE char *what = NULL;
	char by_fd[FD_PATH_BYTES];
	const char *value = path;
	int r;

	if (!is_plain(path)) {
		r = open_layer(l, path, err);
		if (r < 0)
			return r;
		fd_path(r, by_fd);
		value = by_fd;
	}
	r = set_string(fs_fd, key, value);
	if (r == 0)
		return 0;
	what = format_text("overlay %s '%s'", key, path);
	return fail_kernel(fs_fd, r, err, what ? what : key);
}

static int set_layers(
	int fs_fd, struct layer_fds *l, const struct overlay_spec *spec, struct imbrex_error *err)
{
	size_t i;
	int r = 0;

	for (i = 0; i < spec->n_lowers && r == 0; i++)
		r = set_layer(fs_fd, l, "lowerdir+", spec->lowers[i], err);
	for (i = 0; i < spec->n_data_lowers && r == 0; i++)
		r = set_layer(fs_fd, l, "datadir+", spec->data_lowers[i], err);
	if (spec->upper && r == 0)
		r = set_layer(fs_fd, l, "upperdir", spec->upper, err);
	if (spec->upper && r == 0)
		r = set_layer(fs_fd, l, "workdir", spec->work, err);
	return r;
}

static int overlay_new_road(int fs_fd, const struct overlay_spec *spec, struct imbrex_error *err)
{
	struct layer_fds l __attribute__((cleanup(cleanup_layer_fds))) = { .n = 0 };
	int r;

	if (layer_fds_init(&l, spec) < 0)
		return fail_nomem(err);
	r = set_string(fs_fd, "source", "overlay");
	if (r < 0)
		return fail_kernel(fs_fd, r, err, "mount source");
	r = set_layers(fs_fd, &l, spec, err);
	if (r < 0)
		return r;
	if (spec->userxattr && set_flag(fs_fd, "userxattr") < 0)
		return fail_kernel(fs_fd, errno, err, "mount option 'userxattr'");
	if (spec->is_volatile && set_flag(fs_fd, "volatile") < 0)
		return fail_kernel(fs_fd, errno, err, "mount option 'volatile'");
	r = spec->label ? set_string(fs_fd, "context", spec->label) : 0;
	if (r < 0)
		return fail_kernel(fs_fd, r, err, "mount option 'context'");
	r = set_options(fs_fd, spec->options, err);
	if (r < 0)
		return r;
	return create_mount(fs_fd, "overlay", spec->attrs, err);
}

/* ":N" (or "::N", data only) for each lower, opened. */
static int add_lower_fds(struct str *data, struct layer_fds *l, const struct overlay_spec *spec,
	struct imbrex_error *err)
{
	size_t n = spec->n_lowers + spec->n_data_lowers;
	size_t i;
	int fd;
	int r;

	for (i = 0; i < n; i++) {
		bool is_data = i >= spec->n_lowers;

		fd = open_layer(
			l, is_data ? spec->data_lowers[i - spec->n_lowers] : spec->lowers[i], err);
		if (fd < 0)
			return fd;
		r = str_printf(data, "%s%d", is_data ? "::" : i ? ":" : "", fd);
		if (r < 0)
			return fail_code(err, r, "overlay options");
	}
	return 0;
}

static int add_upper_fds(struct str *data, struct layer_fds *l, const struct overlay_spec *spec,
	struct imbrex_error *err)
{
	int upper = open_layer(l, spec->upper, err);
	int work;
	int r;

	if (upper < 0)
		return upper;
	work = open_layer(l, spec->work, err);
	if (work < 0)
		return work;
	r = str_printf(data, ",upperdir=%d,workdir=%d", upper, work);
	return r < 0 ? fail_code(err, r, "overlay options") : 0;
}

/* The option page of the old road; directories are numbers relative to /proc/self/fd. */
static int make_page(struct str *data, struct layer_fds *l, const struct overlay_spec *spec,
	struct imbrex_error *err)
{
	size_t i;
	int r;

	r = str_puts(data, "lowerdir=");
	if (r < 0)
		return fail_code(err, r, "overlay options");
	r = add_lower_fds(data, l, spec, err);
	if (r == 0 && spec->upper)
		r = add_upper_fds(data, l, spec, err);
	if (r < 0)
		return r;
	if (spec->userxattr)
		r = str_puts(data, ",userxattr");
	if (r == 0 && spec->is_volatile)
		r = str_puts(data, ",volatile");
	/* Quoted: a label with categories has commas. */
	if (r == 0 && spec->label)
		r = str_printf(data, ",context=\"%s\"", spec->label);
	for (i = 0; i < spec->options.n && r == 0; i++)
		r = str_printf(data, ",%s", spec->options.items[i]);
	return r < 0 ? fail_code(err, r, "overlay options") : 0;
}

/*
 * Puts the same directory, as the child's mount namespace has it, under the same number: overlay
 * takes layers only from mounts of the namespace it is mounted in.
 */
static int reopen_layer(int number, const char *path)
{
	struct stat ours;
	struct stat theirs;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(number, &theirs) < 0 || fstat(fd, &ours) < 0)
		r = -errno;
	else if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
		r = -ESTALE;
	else if (dup3(fd, number, O_CLOEXEC) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

/*
 * Runs in a child that shares our fd table and nothing else: makes the mount in a mount namespace
 * of its own, over a directory that exists (its own first lower), and leaves a detached copy of it
 * as an fd for us. Returns that fd or -errno.
 */
static int mount_in_child(const char *data, const struct layer_fds *l)
{
	size_t i;
	int fd;
	int r;

	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	for (i = 0; i < l->n; i++) {
		r = reopen_layer(l->fds[i], l->paths[i]);
		if (r < 0)
			return r;
	}
	if (chdir("/proc/self/fd") < 0)
		return -errno;
	if (mount("overlay", l->paths[0], "overlay", 0, data) < 0)
		return -errno;
	fd = open_tree(AT_FDCWD, l->paths[0], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Forks mount_in_child(): a fd in our table, or -errno. */
static int mount_by_child(const char *data, const struct layer_fds *l)
{
	AUTO_CLOSE int to_us = -EBADF;
	AUTO_CLOSE int from_child = -EBADF;
	int result = -EIO;
	int ends[2];
	size_t n;
	long pid;
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	from_child = ends[0];
	to_us = ends[1];
	pid = syscall(SYS_clone, (unsigned long)(CLONE_FILES | SIGCHLD), NULL, NULL, NULL, NULL);
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		result = mount_in_child(data, l);
		_exit(write_all(to_us, &result, sizeof(result)) < 0);
	}
	r = proc_wait((pid_t)pid);
	if (r != 0)
		return r < 0 ? r : -EIO;
	r = read_all(from_child, &result, sizeof(result), &n);
	if (r < 0 || n != sizeof(result))
		return r < 0 ? r : -EIO;
	return result;
}

static int overlay_old_road(const struct overlay_spec *spec, struct imbrex_error *err)
{
	struct layer_fds l __attribute__((cleanup(cleanup_layer_fds))) = { .n = 0 };
	AUTO_STR data = STR_INIT(MOUNT_DATA_BYTES - 1);
	AUTO_CLOSE int fd = -EBADF;
	struct mount_change change = { .set = spec->attrs };
	int r;

	if (layer_fds_init(&l, spec) < 0)
		return fail_nomem(err);
	r = make_page(&data, &l, spec, err);
	if (r == IMBREX_ELIMIT)
		return fail(err, IMBREX_ELIMIT,
			"overlay of %zu directories: options pass one page, which this kernel "
			"needs them to fit",
			spec->n_lowers);
	if (r < 0)
		return r;
	fd = mount_by_child(str_text(&data), &l);
	if (fd < 0)
		return fail_code(err, fd, "create overlay mount");
	if (change.set) {
		r = mount_change(fd, "", &change, err);
		if (r < 0)
			return r;
	}
	return take_fd(fd);
}

/*
 * Does the context know "lowerdir+"? Linux before 6.5 keeps overlay's options unparsed, and so
 * believes in any key; 6.5 and 6.6 parse, and refuse this one.
 */
static bool knows_lowerdir_plus(void)
{
	AUTO_CLOSE int fs_fd = fsopen("overlay", FSOPEN_CLOEXEC);

	if (fs_fd < 0)
		return true; /* the real attempt will say why */
	if (set_string(fs_fd, "imbrex-probe", "1") == 0)
		return false;
	return set_string(fs_fd, "lowerdir+", "/") != -EINVAL;
}

int overlay_mount_new(const struct overlay_spec *spec, struct imbrex_error *err)
{
	AUTO_CLOSE int fs_fd = -EBADF;

	if (spec->n_lowers == 0)
		return fail(err, IMBREX_EINVAL, "overlay without a lower directory");
	if (!spec->upper != !spec->work)
		return fail(err, IMBREX_EINVAL, "overlay upper and work directory go together");
	if (spec->n_lowers > LIMIT_IMAGE_LAYERS)
		return fail(err, IMBREX_ELIMIT, "overlay of %zu directories: the kernel takes %d",
			spec->n_lowers, LIMIT_IMAGE_LAYERS);
	if (spec->old_kernel || !knows_lowerdir_plus())
		return overlay_old_road(spec, err);
	fs_fd = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs_fd < 0 && errno == ENODEV)
		return fail(err, IMBREX_ENOTSUP, "this kernel has no file system 'overlay'");
	if (fs_fd < 0)
		return fail_errno(err, "open file system 'overlay'");
	return overlay_new_road(fs_fd, spec, err);
}

int mount_clone(int dirfd, const char *path, bool recursive, struct imbrex_error *err)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
	int fd;

	if (!path[0])
		flags |= AT_EMPTY_PATH;
	if (recursive)
		flags |= AT_RECURSIVE;
	fd = open_tree(dirfd, path, flags);
	if (fd < 0)
		return fail_errno(err, "bind mount of '%s'", path);
	return fd;
}

int mount_change(
	int dirfd, const char *path, const struct mount_change *change, struct imbrex_error *err)
{
	struct mount_attr attr = {
		.attr_set = change->set,
		.attr_clr = change->clear,
		.propagation = change->propagation,
	};
	unsigned int flags = AT_SYMLINK_NOFOLLOW;

	if (!path[0])
		flags |= AT_EMPTY_PATH;
	if (change->recursive)
		flags |= AT_RECURSIVE;
	if (change->userns_fd > 0) {
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)(unsigned int)change->userns_fd;
	}
	if (mount_setattr(dirfd, path, flags, &attr, sizeof(attr)) < 0)
		return fail_errno(err, "change mount '%s'", path);
	return 0;
}

int mount_attach(int mount_fd, int dirfd, const char *path, struct imbrex_error *err)
{
	unsigned int flags = MOVE_MOUNT_F_EMPTY_PATH;

	if (!path[0])
		flags |= MOVE_MOUNT_T_EMPTY_PATH;
	if (move_mount(mount_fd, "", dirfd, path, flags) < 0)
		return fail_errno(err, "attach mount at '%s'", path);
	return 0;
}

/* The path umount2() is to take, which has no fd form. */
static char *unmount_path(int dirfd, const char *path, int *ret_parent, struct imbrex_error *err)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *parent = NULL;
	int fd = dirfd;

	if (path[0] == '/' || dirfd == AT_FDCWD)
		return strdup(path);
	if (slash) {
		parent = strndup(path, (size_t)(slash - path));
		fd = parent ? open_beneath(
				      dirfd, parent, O_PATH | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS)
			    : -ENOMEM;
		if (fd < 0) {
			errno = -fd;
			return NULL;
		}
		*ret_parent = fd;
	}
	return format_text("/proc/self/fd/%d/%s", fd, slash ? slash + 1 : path);
}

int unmount_at(int dirfd, const char *path, bool detach, struct imbrex_error *err)
{
	AUTO_CLOSE int parent = -EBADF;
	AUTO_FREE char *target = NULL;

	if (!path[0])
		return fail(err, IMBREX_EINVAL, "unmount: empty path");
	target = unmount_path(dirfd, path, &parent, err);
	if (!target)
		return fail_errno(err, "unmount '%s'", path);
	if (umount2(target, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) == 0)
		return 0;
	if (errno == EINVAL)
		return fail(err, IMBREX_ENOENT, "'%s' is not a mount point", path);
	return fail_errno(err, "unmount '%s'", path);
}

int is_mount_point(int dirfd, const char *path)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	struct statx stx;

	if (statx(dirfd, path, flags | (path[0] ? 0 : AT_EMPTY_PATH), STATX_TYPE, &stx) < 0)
		return -errno;
	if (!(stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return -EOPNOTSUPP;
	return !!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

bool mount_attr_from_word(const char *word, uint64_t *attrs)
{
	static const struct {
		const char *word;
		uint64_t clear;
		uint64_t set;
	} words[] = {
		{ "ro", 0, MOUNT_ATTR_RDONLY },
		{ "rw", MOUNT_ATTR_RDONLY, 0 },
		{ "nodev", 0, MOUNT_ATTR_NODEV },
		{ "dev", MOUNT_ATTR_NODEV, 0 },
		{ "nosuid", 0, MOUNT_ATTR_NOSUID },
		{ "suid", MOUNT_ATTR_NOSUID, 0 },
		{ "noexec", 0, MOUNT_ATTR_NOEXEC },
		{ "exec", MOUNT_ATTR_NOEXEC, 0 },
		{ "relatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_RELATIME },
		{ "noatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME },
		{ "atime", MOUNT_ATTR__ATIME, MOUNT_ATTR_RELATIME },
		{ "strictatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_STRICTATIME },
		{ "nodiratime", 0, MOUNT_ATTR_NODIRATIME },
		{ "diratime", MOUNT_ATTR_NODIRATIME, 0 },
		{ "nosymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq(words[i].word, word)) {
			*attrs = (*attrs & ~words[i].clear) | words[i].set;
			return true;
		}
	}
	return false;
}
