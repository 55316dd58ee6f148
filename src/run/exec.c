/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function per operation, and the loop that calls them.
 *
 * Invariants:
 * (1) Mounts are made as descriptors, attached nowhere, get their flags, and only then move to
 *     a target that is a descriptor too. No mount is visible without its flags.
 * (2) A target is always resolved by the kernel below x->root; the outside is only ever named by
 *     paths of the caller's options or constants, before PIVOT.
 * (3) Targets of the kernel's own file systems are reached without symbolic links, and after
 *     attaching the same name must lead to the new mount (someone else may be changing the tree).
 * (4) Nothing is ever written to a file of /proc here; ids were mapped before (src/run/run.c).
 * (5) Before FORK_INIT this process may be process 1; from PIVOT on it is not dumpable, so that
 *     nobody inside can open /proc/1/exe or /proc/1/fd.
 */
#include "run/exec.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <grp.h>

#include "base/error.h"
#include "base/limits.h"
#include "os/mountfd.h"
#include "os/probe.h"
#include "run/caps.h"
#include "run/env.h"
#include "run/init.h"
#include "run/inroot.h"
#include "run/program.h"
#include "run/seccomp.h"

/* Options of one tmpfs. */
#define OPTIONS_MAX 16

static int set_attrs(int fd, uint64_t attrs, bool recursive)
{
	struct mount_attr attr = { .attr_set = attrs, .propagation = MS_PRIVATE };
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	return mount_setattr(fd, "", flags, &attr, sizeof(attr));
}

static int attach(int mount, int target)
{
	return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int open_target(
	struct run_exec *x, const struct run_op *op, int flags, struct imbrex_error *err)
{
	enum beneath_mode how = op->flags & RUN_STRICT ? BENEATH_NO_SYMLINKS : BENEATH_IN_ROOT;
	int fd = inroot_open(x->root, op->target, O_PATH | flags, how);

	if (fd == -ELOOP && op->flags & RUN_STRICT)
		return fail(err, IMBREX_EFORMAT, "'%s' of the root file system is a symbolic link",
			op->target);
	if (fd == -ENOTDIR)
		return fail(err, IMBREX_EFORMAT, "'%s' of the root file system is not a directory",
			op->target);
	if (fd < 0)
		return fail_code(err, fd, "'%s' of the root file system", op->target);
	return fd;
}

/* A mount point: found, or made. */
static int make_target(struct run_exec *x, const struct run_op *op, enum inroot_kind kind,
	int *ret_fd, struct imbrex_error *err)
{
	int r;

	if (!(op->flags & RUN_STRICT))
		return inroot_make(x->root, op->target, kind, ret_fd, err);
	r = open_target(x, op, O_DIRECTORY, err);
	if (r == IMBREX_ENOENT) {
		r = mkdirs_beneath(x->root, op->target + 1, 0755, NULL, err);
		if (r < 0)
			return r;
		r = open_target(x, op, O_DIRECTORY, err);
	}
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

static int mount_id(int fd, uint64_t *ret_id, bool *ret_is_root)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return -errno;
	*ret_id = sx.stx_mnt_id;
	*ret_is_root = sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return 0;
}

/* Mounts of the caller: not over the root itself, and not in /proc, which others rely on. */
static int check_guarded(
	struct run_exec *x, const struct run_op *op, int target, struct imbrex_error *err)
{
	uint64_t root_id = 0, id = 0;
	struct statfs fs;
	bool is_root = false;

	if (!(op->flags & RUN_GUARDED))
		return 0;
	if (fstatfs(target, &fs) < 0)
		return fail_errno(err, "statfs '%s' of the root file system", op->target);
	if (fs.f_type == PROC_SUPER_MAGIC)
		return fail(err, IMBREX_EINVAL, "mount target '%s' lies in /proc", op->target);
	if (mount_id(x->root, &root_id, &is_root) < 0 || mount_id(target, &id, &is_root) < 0)
		return fail_errno(err, "statx '%s' of the root file system", op->target);
	if (id == root_id && is_root)
		return fail(err, IMBREX_EINVAL, "mount target '%s' leads to the root itself",
			op->target);
	return 0;
}

/* Invariant (3). */
static int check_attached(
	struct run_exec *x, const struct run_op *op, int mount, struct imbrex_error *err)
{
	AUTO_CLOSE int again = -EBADF;
	uint64_t id = 0, want = 0;
	bool is_root = false;

	if (!(op->flags & RUN_STRICT))
		return 0;
	again = open_target(x, op, 0, err);
	if (again < 0)
		return again;
	if (mount_id(mount, &want, &is_root) < 0 || mount_id(again, &id, &is_root) < 0)
		return fail_errno(err, "statx '%s' of the root file system", op->target);
	if (id != want || !is_root)
		return fail(err, IMBREX_EBUSY,
			"'%s' of the root file system was changed while in use", op->target);
	return 0;
}

static int attach_at(struct run_exec *x, const struct run_op *op, int mount, int target,
	struct imbrex_error *err)
{
	int r;

	r = check_guarded(x, op, target, err);
	if (r < 0)
		return r;
	if (attach(mount, target) < 0)
		return fail_errno(err, "mount on '%s' of the root file system", op->target);
	return check_attached(x, op, mount, err);
}

static int apply_slave(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	struct mount_attr attr = { .propagation = MS_SLAVE };
	bool is_plain_chroot;
	int r;

	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		return 0;
	is_plain_chroot = errno == EINVAL;
	r = fail_errno(err, "make the mounts of the new namespace private");
	if (!is_plain_chroot)
		return r;
	return hint(err, r,
		"'/' is not a mount, as in a plain chroot: bind the chroot's directory onto itself "
		"before entering it");
}

/*
 * The working directory is the root file system: it was entered before the mount namespace was
 * unshared, so that it is a place in our copy of the mounts.
 */
static int apply_root(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int tree = -EBADF;

	if (x->plan->opts->rootfs_is_detached)
		tree = take_fd(x->root);
	else
		tree = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return fail_errno(err, "clone the mount of the root file system");
	if (set_attrs(tree, 0, /* recursive= */ true) < 0 || set_attrs(tree, op->attrs, false) < 0)
		return fail_errno(err, "set attributes of the root mount");
	if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail_errno(err, "attach the root mount");
	(void)close_fd(x->root);
	x->root = take_fd(tree);
	return 0;
}

/* A new file system as a detached mount; `extra` is one more option or NULL. fd or status. */
static int new_fs(const struct run_op *op, const char *extra, struct imbrex_error *err)
{
	struct mount_options options = { .n = 0 };
	const char *items[OPTIONS_MAX + 1];
	AUTO_FREE char *data = NULL;
	char *rest, *item;
	int r;

	data = strdup(op->data ? op->data : "");
	if (!data)
		return fail_nomem(err);
	rest = data;
	while ((item = strsep(&rest, ","))) {
		if (options.n == OPTIONS_MAX)
			return fail(err, IMBREX_ELIMIT, "%s on '%s': more than %d options",
				op->type, op->target, OPTIONS_MAX);
		if (*item)
			items[options.n++] = item;
	}
	if (extra)
		items[options.n++] = extra;
	options.items = items;
	r = mount_new(op->type, NULL, options, op->attrs, err);
	return r < 0 ? wrap(err, r, "%s on '%s'", op->type, op->target) : r;
}

static int apply_bind(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
	bool recursive = op->flags & RUN_RECURSIVE;
	AUTO_CLOSE int target = -EBADF;
	AUTO_CLOSE int tree = -EBADF;
	struct stat st;
	int r;

	tree = open_tree(AT_FDCWD, op->source, flags | (recursive ? AT_RECURSIVE : 0));
	/* Mounts that came from a more privileged namespace can be copied only as a whole. */
	if (tree < 0 && errno == EINVAL && !recursive) {
		recursive = true;
		tree = open_tree(AT_FDCWD, op->source, flags | AT_RECURSIVE);
	}
	if (tree < 0 && errno == ENOENT && op->flags & RUN_OPTIONAL)
		return 0;
	if (tree < 0)
		return fail_errno(err, "bind mount source '%s'", op->source);
	if (fstat(tree, &st) < 0)
		return fail_errno(err, "stat '%s'", op->source);
	r = make_target(x, op, S_ISDIR(st.st_mode) ? INROOT_DIR : INROOT_FILE, &target, err);
	if (r < 0)
		return r;
	if (set_attrs(tree, op->attrs, recursive) < 0)
		return fail_errno(err, "set attributes of the bind mount on '%s'", op->target);
	return attach_at(x, op, tree, target, err);
}

static int apply_fs(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	bool is_pts = strcmp(op->type, "devpts") == 0;
	AUTO_CLOSE int target = -EBADF;
	AUTO_CLOSE int mount = -EBADF;
	struct run_op fallback = *op;
	int r;

	/* Group tty owns terminals where that id exists (grantpt(3)). */
	mount = new_fs(op, is_pts ? "gid=5" : NULL, err);
	if (mount < 0 && is_pts)
		mount = new_fs(op, NULL, err);
	if (mount == IMBREX_ENOTSUP && op->flags & RUN_OPTIONAL)
		return 0;
	/* The kernel wants to see all of the caller's /proc or /sys before it gives a new one. */
	if (mount < 0 && op->flags & RUN_OR_BIND) {
		fallback.flags |= RUN_RECURSIVE;
		return apply_bind(x, &fallback, err);
	}
	if (mount < 0)
		return mount;
	r = make_target(x, op, INROOT_DIR, &target, err);
	if (r < 0)
		return r;
	return attach_at(x, op, mount, target, err);
}

/* The directory of op->target, which lies in /dev; its last component by *ret_name. */
static int open_dev_dir(struct run_exec *x, const struct run_op *op, const char **ret_name,
	struct imbrex_error *err)
{
	struct run_op dir = { .target = "/dev", .flags = RUN_STRICT };

	*ret_name = strrchr(op->target, '/') + 1;
	return open_target(x, &dir, O_DIRECTORY, err);
}

static int bind_device(struct run_exec *x, const struct run_op *op, int dir, const char *name,
	dev_t rdev, struct imbrex_error *err)
{
	AUTO_CLOSE int tree = -EBADF;
	AUTO_CLOSE int node = -EBADF;
	struct stat st;

	tree = open_tree(AT_FDCWD, op->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0 || fstat(tree, &st) < 0)
		return fail_errno(err, "device '%s'", op->source);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != rdev)
		return fail(err, IMBREX_EFORMAT, "'%s' is not the device %u:%u", op->source,
			major(rdev), minor(rdev));
	node = openat(dir, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (node < 0)
		return fail_errno(err, "make '%s'", op->target);
	if (set_attrs(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false) < 0 ||
		attach(tree, node) < 0)
		return fail_errno(err, "bind device '%s'", op->target);
	return 0;
}

static int apply_device(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int dir = -EBADF;
	const char *name;
	int r;

	dir = open_dev_dir(x, op, &name, err);
	if (dir < 0)
		return dir;
	r = mknodat(dir, name, S_IFCHR | 0666, op->rdev);
	if (r == 0)
		return 0;
	if (errno != EPERM)
		return fail_errno(err, "make device '%s'", op->target);
	return bind_device(x, op, dir, name, op->rdev, err);
}

static int apply_dev_entry(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int dir = -EBADF;
	const char *name;
	int r;

	dir = open_dev_dir(x, op, &name, err);
	if (dir < 0)
		return dir;
	if (op->kind == RUN_OP_DIR)
		r = mkdirat(dir, name, op->mode);
	else
		r = symlinkat(op->source, dir, name);
	return r < 0 ? fail_errno(err, "make '%s'", op->target) : 0;
}

/* The first empty directory is a mount of its own, the others are clones of it. */
static int hide_dir(
	struct run_exec *x, const struct run_op *op, int target, struct imbrex_error *err)
{
	const struct run_op empty = { .type = "tmpfs",
		.target = op->target,
		.data = "mode=555,size=4k,nr_inodes=2",
		.attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			 MOUNT_ATTR_NOEXEC };
	AUTO_CLOSE int tree = -EBADF;

	if (x->empty < 0) {
		tree = new_fs(&empty, NULL, err);
		if (tree < 0)
			return tree;
	} else {
		tree = open_tree(x->empty, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
		if (tree < 0)
			return fail_errno(err, "hide '%s'", op->target);
	}
	if (attach(tree, target) < 0)
		return fail_errno(err, "hide '%s'", op->target);
	if (x->empty < 0)
		x->empty = take_fd(tree);
	return 0;
}

static int hide_file(
	struct run_exec *x, const struct run_op *op, int target, struct imbrex_error *err)
{
	AUTO_CLOSE int null =
		inroot_open(x->root, "/dev/null", O_PATH | O_NOFOLLOW, BENEATH_NO_SYMLINKS);
	AUTO_CLOSE int tree = -EBADF;
	struct stat st;

	if (null < 0 || fstat(null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return fail(err, IMBREX_EFORMAT, "hide '%s': /dev/null is not the null device",
			op->target);
	tree = open_tree(null, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0 || attach(tree, target) < 0)
		return fail_errno(err, "hide '%s'", op->target);
	return 0;
}

static int apply_hide(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int target = open_target(x, op, O_NOFOLLOW, err);
	struct stat st;

	if (target == IMBREX_ENOENT)
		return 0;
	if (target < 0)
		return target;
	if (fstat(target, &st) < 0)
		return fail_errno(err, "stat '%s'", op->target);
	return S_ISDIR(st.st_mode) ? hide_dir(x, op, target, err) : hide_file(x, op, target, err);
}

static int apply_freeze(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int target = open_target(x, op, O_NOFOLLOW, err);
	AUTO_CLOSE int tree = -EBADF;

	if (target == IMBREX_ENOENT)
		return 0;
	if (target < 0)
		return target;
	tree = open_tree(
		target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	if (tree < 0 || set_attrs(tree, MOUNT_ATTR_RDONLY, true) < 0 || attach(tree, target) < 0)
		return fail_errno(err, "make '%s' read-only", op->target);
	return 0;
}

static int apply_root_readonly(
	struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	if (set_attrs(x->root, MOUNT_ATTR_RDONLY, false) < 0)
		return fail_errno(err, "make the root file system read-only");
	return 0;
}

static int apply_loopback(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return fail_errno(err, "bring up interface lo");
	return 0;
}

static int apply_hostname(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	if (sethostname(op->source, strlen(op->source)) < 0)
		return fail_errno(err, "set host name '%s'", op->source);
	return 0;
}

static int apply_pivot(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0 || fchdir(x->root) < 0)
		return fail_errno(err, "enter the root file system");
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return hint(err, fail_errno(err, "pivot into the root file system"),
			"the machine's own root must be a mount (not an initramfs)");
	/* The old root lies on top of the new one: take it off by its descriptor. */
	if (fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0)
		return fail_errno(err, "detach the outside");
	if (chdir("/") < 0)
		return fail_errno(err, "enter the root file system");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail_errno(err, "hide this process");
	(void)umask(022);
	return 0;
}

static int apply_fork_init(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	pid_t child = fork();

	if (child < 0)
		return fail_errno(err, "fork");
	if (child > 0) {
		(void)prctl(PR_SET_NAME, "imbrex-init", 0, 0, 0); /* for people only */
		/* The caller waits for the end of our error pipe; keep no other file alive either.
		 */
		if (close_range(3, UINT32_MAX, 0) < 0)
			_exit(255);
		_exit(run_init(child));
	}
	x->is_init_child = true;
	return 0;
}

static int apply_identity(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	const struct imbrex_run_opts *o = x->plan->opts;
	char self[RUN_USER_BYTES], host[65] = "";
	struct run_env_defaults defaults = { .hostname = host };
	int r;

	(void)snprintf(self, sizeof(self), "%u:%u", o->keep_id ? (unsigned)x->facts->euid : 0,
		o->keep_id ? (unsigned)x->facts->egid : 0);
	r = run_user_lookup(x->root, op->source ? op->source : self, &x->user, err);
	if (r < 0)
		return r;
	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	defaults.home = x->user.home;
	if (!defaults.home && x->user.uid == 0)
		defaults.home = "/root";
	defaults.term = isatty(STDIN_FILENO) ? "xterm" : NULL;
	return run_env_build(o->env, &defaults, &x->env, err);
}

static int apply_workdir(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	char cwd[LIMIT_PATH_BYTES + 1];
	int r;

	r = inroot_make(x->root, op->target, INROOT_DIR, &fd, err);
	if (r < 0)
		return wrap(err, r, "working directory");
	if (fchdir(fd) < 0)
		return fail_errno(err, "enter working directory '%s'", op->target);
	/* Outside of the root the kernel answers "(unreachable)/...". */
	if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/')
		return fail(err, IMBREX_EPERM, "working directory '%s' leads out of the root",
			op->target);
	return 0;
}

static int apply_seccomp(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	return run_seccomp_install(err);
}

static int become(struct run_exec *x, struct imbrex_error *err)
{
	const char *next = "give the user namespace a range of ids (/etc/subuid, /etc/subgid)";
	const struct run_user *u = &x->user;

	/* Where the kernel denies setgroups (a map of one id), the caller's groups stay. */
	if (setgroups(u->n_groups, u->groups) < 0 &&
		!(errno == EPERM && have_capability(CAP_SETGID))) {
		if (errno == EINVAL)
			return hint(err,
				fail(err, IMBREX_EINVAL,
					"a group of user id %u is not mapped in the user namespace",
					u->uid),
				"%s", next);
		return fail_errno(err, "set groups");
	}
	if (setresgid(u->gid, u->gid, u->gid) < 0) {
		if (errno == EINVAL)
			return hint(err,
				fail(err, IMBREX_EINVAL,
					"group id %u is not mapped in the user namespace", u->gid),
				"%s", next);
		return fail_errno(err, "become group %u", u->gid);
	}
	if (setresuid(u->uid, u->uid, u->uid) < 0) {
		if (errno == EINVAL)
			return hint(err,
				fail(err, IMBREX_EINVAL,
					"user id %u is not mapped in the user namespace", u->uid),
				"%s", next);
		return fail_errno(err, "become user %u", u->uid);
	}
	return 0;
}

static int apply_privileges(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	uint64_t keep = run_caps_set(x->plan->opts->caps);
	int r;

	r = run_caps_bound(keep, err);
	if (r < 0)
		return r;
	r = become(x, err);
	if (r < 0)
		return r;
	r = run_caps_apply(x->user.uid == 0 ? keep : 0, err);
	if (r < 0)
		return r;
	if (x->plan->opts->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(err, "set no_new_privs");
	/* A change of ids cleared it; behind process 1 the namespace takes care of it. */
	if (!x->is_init_child && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return fail_errno(err, "tie the program to its caller");
	return 0;
}

static int apply_exec(struct run_exec *x, const struct run_op *op, struct imbrex_error *err)
{
	const struct imbrex_run_opts *o = x->plan->opts;
	unsigned keep = MIN(o->preserve_fds, (unsigned)INT32_MAX - 3);

	if (close_range(3 + keep, UINT32_MAX, CLOSE_RANGE_CLOEXEC) < 0)
		return fail_errno(err, "close descriptors");
	(void)signal(SIGPIPE, SIG_DFL); /* our caller's business, and inherited if ignored */
	if (sigprocmask(SIG_SETMASK, x->signals, NULL) < 0)
		return fail_errno(err, "restore the signal mask");
	return run_program(x->root, o->argv, &x->env, &x->exit_status, err);
}

static int (*const appliers[])(
	struct run_exec *x, const struct run_op *op, struct imbrex_error *err) = {
	[RUN_OP_SLAVE] = apply_slave,
	[RUN_OP_ROOT] = apply_root,
	[RUN_OP_FS] = apply_fs,
	[RUN_OP_BIND] = apply_bind,
	[RUN_OP_DEVICE] = apply_device,
	[RUN_OP_DIR] = apply_dev_entry,
	[RUN_OP_SYMLINK] = apply_dev_entry,
	[RUN_OP_HIDE] = apply_hide,
	[RUN_OP_FREEZE] = apply_freeze,
	[RUN_OP_ROOT_READONLY] = apply_root_readonly,
	[RUN_OP_LOOPBACK] = apply_loopback,
	[RUN_OP_HOSTNAME] = apply_hostname,
	[RUN_OP_PIVOT] = apply_pivot,
	[RUN_OP_FORK_INIT] = apply_fork_init,
	[RUN_OP_IDENTITY] = apply_identity,
	[RUN_OP_WORKDIR] = apply_workdir,
	[RUN_OP_SECCOMP] = apply_seccomp,
	[RUN_OP_PRIVILEGES] = apply_privileges,
	[RUN_OP_EXEC] = apply_exec,
};

int run_exec(struct run_exec *x, struct imbrex_error *err)
{
	const struct run_plan *p = x->plan;
	size_t i;
	int r = 0;

	(void)umask(0); /* modes of /dev are exact; the program gets 022 */
	if (!p->opts->rootfs_is_detached && fchdir(x->root) < 0)
		return fail_errno(err, "enter the root file system");
	if (unshare(p->unshare_flags) < 0)
		return fail_errno(err, "make new namespaces");
	for (i = 0; r == 0 && i < p->n_ops; i++)
		r = appliers[p->ops[i].kind](x, &p->ops[i], err);
	return r;
}
