/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From options to operations.
 *
 * The order of the list is the security argument:
 * (1) The kernel's own file systems (/proc, /sys, /dev) are mounted before anything the caller
 *     asked for, on directories that are reached without a symbolic link.
 * (2) Mounts of the caller come after them and may not touch /proc.
 * (3) Hidden and frozen paths follow all mounts, so that no mount uncovers them.
 * (4) The root becomes read-only after the last mount point was made in it.
 * (5) After PIVOT nothing of the outside has a name any more; the working directory, which the
 *     image chose, is entered only then.
 * (6) The filter is installed while its installer still has CAP_SYS_ADMIN, privileges go last.
 */
#include "run/plan.h"

#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "base/limits.h"

#define SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* Numbers: Documentation/admin-guide/devices.txt. */
static const struct {
	const char *path;
	unsigned major, minor;
} devices[] = {
	{ "/dev/null", 1, 3 },
	{ "/dev/zero", 1, 5 },
	{ "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 },
	{ "/dev/urandom", 1, 9 },
	{ "/dev/tty", 5, 0 },
};

static const struct {
	const char *target, *link;
} dev_links[] = {
	{ "/dev/fd", "/proc/self/fd" },
	{ "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" },
	{ "/dev/stderr", "/proc/self/fd/2" },
	{ "/dev/ptmx", "pts/ptmx" },
};

/* Host-wide state that is readable, or harmful, from inside. */
static const char *const hidden[] = { "/proc/acpi", "/proc/kcore", "/proc/keys",
	"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
	"/proc/timer_stats", "/sys/dev/block", "/sys/devices/virtual/powercap", "/sys/firmware",
	"/sys/fs/selinux" };
static const char *const frozen[] = { "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq",
	"/proc/sys", "/proc/sysrq-trigger" };

static const char *const op_names[] = {
	[RUN_OP_SLAVE] = "slave",
	[RUN_OP_ROOT] = "root",
	[RUN_OP_FS] = "mount",
	[RUN_OP_BIND] = "bind",
	[RUN_OP_DEVICE] = "device",
	[RUN_OP_DIR] = "mkdir",
	[RUN_OP_SYMLINK] = "symlink",
	[RUN_OP_HIDE] = "hide",
	[RUN_OP_FREEZE] = "freeze",
	[RUN_OP_ROOT_READONLY] = "root-readonly",
	[RUN_OP_LOOPBACK] = "loopback",
	[RUN_OP_HOSTNAME] = "hostname",
	[RUN_OP_PIVOT] = "pivot",
	[RUN_OP_FORK_INIT] = "fork-init",
	[RUN_OP_IDENTITY] = "identity",
	[RUN_OP_WORKDIR] = "workdir",
	[RUN_OP_SECCOMP] = "seccomp",
	[RUN_OP_PRIVILEGES] = "privileges",
	[RUN_OP_EXEC] = "exec",
};

/* Fixed operations are fewer than this; mounts of the caller come on top. */
#define FIXED_OPS_MAX 80

static void add(struct run_plan *p, struct run_op op)
{
	p->ops[p->n_ops++] = op;
}

static int check_strings(const char *const *strings, const char *what, struct imbrex_error *err)
{
	size_t n;

	for (n = 0; strings && strings[n]; n++) {
		if (n == RUN_STRINGS_MAX)
			return fail(err, IMBREX_ELIMIT, "more than %u %s strings", RUN_STRINGS_MAX,
				what);
		if (strnlen(strings[n], RUN_STRING_BYTES) == RUN_STRING_BYTES)
			return fail(err, IMBREX_ELIMIT, "%s string %zu has %u bytes or more", what,
				n, RUN_STRING_BYTES);
	}
	return 0;
}

static int check_env(const char *const *env, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = check_strings(env, "environment", err);
	if (r < 0)
		return r;
	for (i = 0; env && env[i]; i++)
		if (env[i][0] == '=' || !strchr(env[i], '='))
			return fail(err, IMBREX_EINVAL,
				"environment string '%.100s' is not NAME=VALUE", env[i]);
	return 0;
}

/* An absolute path inside the root, as a person may write it; ".." has no use in one. */
static int check_inside(const char *path, const char *what, struct imbrex_error *err)
{
	const char *c = path;
	size_t len;

	if (path[0] != '/')
		return fail(err, IMBREX_EINVAL, "%s '%.200s' is not an absolute path", what, path);
	if (strlen(path) > LIMIT_PATH_BYTES)
		return fail(
			err, IMBREX_ELIMIT, "%s has more than %d bytes", what, LIMIT_PATH_BYTES);
	while (*c) {
		c += strspn(c, "/");
		len = strcspn(c, "/");
		if (len > LIMIT_NAME_BYTES)
			return fail(err, IMBREX_ELIMIT, "%s has a component of more than %d bytes",
				what, LIMIT_NAME_BYTES);
		if (len == 2 && c[0] == '.' && c[1] == '.')
			return fail(err, IMBREX_EINVAL, "%s '%.200s' contains '..'", what, path);
		c += len;
	}
	return 0;
}

static bool is_slash_only(const char *path)
{
	return path[strspn(path, "/.")] == '\0';
}

/* Option strings go to fsconfig() one by one; what could change the mount itself stays out. */
static int check_tmpfs_data(const char *data, const char *target, struct imbrex_error *err)
{
	static const char *const known[] = { "size=", "nr_blocks=", "nr_inodes=", "mode=", "uid=",
		"gid=", "huge=", "inode32", "inode64", "noswap" };
	size_t i, len;

	while (data && *data) {
		len = strcspn(data, ",");
		for (i = 0; i < ARRAY_LEN(known); i++)
			if (strncmp(data, known[i], strlen(known[i])) == 0)
				break;
		if (i == ARRAY_LEN(known) || len > LIMIT_NAME_BYTES)
			return fail(err, IMBREX_EINVAL, "tmpfs on '%s': unknown option '%.*s'",
				target, (int)MIN(len, 100), data);
		data += len + (data[len] == ',');
	}
	return 0;
}

static int check_mount(const struct imbrex_run_mount *m, size_t i, struct imbrex_error *err)
{
	int r;

	if (!m->target)
		return fail(err, IMBREX_EINVAL, "mount %zu has no target", i);
	r = check_inside(m->target, "mount target", err);
	if (r < 0)
		return r;
	if (is_slash_only(m->target))
		return fail(err, IMBREX_EINVAL, "a mount cannot replace '/'");
	switch (m->type) {
	case IMBREX_RUN_MOUNT_BIND:
		if (!m->source || m->source[0] != '/')
			return fail(err, IMBREX_EINVAL,
				"bind mount on '%s': the source is not an absolute path",
				m->target);
		if (m->data)
			return fail(err, IMBREX_EINVAL,
				"bind mount on '%s' takes no options '%.100s'", m->target, m->data);
		return 0;
	case IMBREX_RUN_MOUNT_TMPFS:
		if (m->source)
			return fail(err, IMBREX_EINVAL, "tmpfs on '%s' takes no source", m->target);
		return check_tmpfs_data(m->data, m->target, err);
	}
	return fail(err, IMBREX_EINVAL, "mount on '%s': unknown type %d", m->target, (int)m->type);
}

static int check_hostname(const struct imbrex_run_opts *o, struct imbrex_error *err)
{
	if (!o->hostname)
		return 0;
	if (o->share & IMBREX_RUN_SHARE_UTS)
		return fail(err, IMBREX_EINVAL, "a host name needs a uts namespace of its own");
	/* HOST_NAME_MAX of Linux; the bytes are those a resolver takes. */
	if (!o->hostname[0] || strlen(o->hostname) > 64 ||
		o->hostname[strspn(o->hostname,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")])
		return fail(err, IMBREX_EINVAL, "host name '%.80s' is not 1 to 64 of a-z 0-9 - . _",
			o->hostname);
	return 0;
}

static int check_opts(const struct imbrex_run_opts *o, struct imbrex_error *err)
{
	size_t i;
	int r;

	if (!o->rootfs == !o->rootfs_fd)
		return fail(err, IMBREX_EINVAL,
			"give the root file system as a path or as a descriptor");
	if (o->rootfs_is_detached && !o->rootfs_fd)
		return fail(err, IMBREX_EINVAL, "a detached root mount is given as a descriptor");
	if (!o->argv || !o->argv[0])
		return fail(err, IMBREX_EINVAL, "no command to run");
	if (!o->argv[0][0])
		return fail(err, IMBREX_EINVAL, "the command to run is an empty string");
	r = check_strings(o->argv, "argument", err);
	if (r < 0)
		return r;
	r = check_env(o->env, err);
	if (r < 0)
		return r;
	if (o->workdir) {
		r = check_inside(o->workdir, "working directory", err);
		if (r < 0)
			return r;
	}
	r = check_hostname(o, err);
	if (r < 0)
		return r;
	if (o->n_mounts > RUN_MOUNTS_MAX)
		return fail(err, IMBREX_ELIMIT, "%zu mounts, at most %u are possible", o->n_mounts,
			RUN_MOUNTS_MAX);
	for (i = 0; i < o->n_mounts; i++) {
		r = check_mount(&o->mounts[i], i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int decide_userns(struct run_plan *p, const struct run_facts *f, struct imbrex_error *err)
{
	const struct imbrex_run_opts *o = p->opts;

	p->userns = o->userns;
	if (p->userns == IMBREX_RUN_USERNS_AUTO)
		p->userns = f->privileged   ? IMBREX_RUN_USERNS_NONE
			    : f->has_subids ? IMBREX_RUN_USERNS_SUBIDS
					    : IMBREX_RUN_USERNS_SINGLE;
	switch (p->userns) {
	case IMBREX_RUN_USERNS_NONE:
		if (f->privileged)
			break;
		return hint(err,
			fail(err, IMBREX_EPERM,
				"running without a user namespace needs CAP_SYS_ADMIN"),
			"run as root, or leave the user namespace on");
	case IMBREX_RUN_USERNS_SINGLE:
	case IMBREX_RUN_USERNS_SUBIDS:
		break;
	case IMBREX_RUN_USERNS_MAPS:
		if (!o->n_uid_maps || !o->n_gid_maps || !o->uid_maps || !o->gid_maps)
			return fail(
				err, IMBREX_EINVAL, "a user namespace with maps needs both kinds");
		if (o->n_uid_maps > LIMIT_ID_MAP_EXTENTS || o->n_gid_maps > LIMIT_ID_MAP_EXTENTS)
			return fail(err, IMBREX_ELIMIT, "more than %d id map ranges",
				LIMIT_ID_MAP_EXTENTS);
		break;
	case IMBREX_RUN_USERNS_AUTO:
	default:
		return fail(err, IMBREX_EINVAL, "unknown user namespace mode %d", (int)o->userns);
	}
	if (o->keep_id && p->userns != IMBREX_RUN_USERNS_SINGLE &&
		p->userns != IMBREX_RUN_USERNS_SUBIDS)
		return fail(err, IMBREX_EINVAL,
			"keeping one's own id needs a user namespace with one id or with "
			"subordinate ids");
	if (o->caps > IMBREX_RUN_CAPS_ALL)
		return fail(err, IMBREX_EINVAL, "unknown capability set %d", (int)o->caps);
	return 0;
}

static void plan_namespaces(struct run_plan *p)
{
	unsigned share = p->opts->share;

	/* The pid namespace takes effect for children only, the user namespace must come first. */
	p->clone_flags = share & IMBREX_RUN_SHARE_PID ? 0 : CLONE_NEWPID;
	if (p->userns != IMBREX_RUN_USERNS_NONE)
		p->clone_flags |= CLONE_NEWUSER;
	p->unshare_flags = CLONE_NEWNS;
	if (!(share & IMBREX_RUN_SHARE_IPC))
		p->unshare_flags |= CLONE_NEWIPC;
	if (!(share & IMBREX_RUN_SHARE_UTS))
		p->unshare_flags |= CLONE_NEWUTS;
	if (!(share & IMBREX_RUN_SHARE_CGROUP))
		p->unshare_flags |= CLONE_NEWCGROUP;
	if (!(share & IMBREX_RUN_SHARE_NET))
		p->unshare_flags |= CLONE_NEWNET;
}

static void plan_kernel_mounts(struct run_plan *p)
{
	/* A procfs of a namespace that is not ours is refused by the kernel: bind it at once. */
	if (p->opts->share & IMBREX_RUN_SHARE_PID && p->userns != IMBREX_RUN_USERNS_NONE)
		add(p, (struct run_op){ RUN_OP_BIND, RUN_STRICT | RUN_RECURSIVE, SAFE,
			       .source = "/proc", .target = "/proc" });
	else
		add(p, (struct run_op){ RUN_OP_FS, RUN_STRICT | RUN_OR_BIND, SAFE, "proc", "/proc",
			       "/proc" });
	if (p->opts->share & IMBREX_RUN_SHARE_NET && p->userns != IMBREX_RUN_USERNS_NONE)
		add(p, (struct run_op){ RUN_OP_BIND, RUN_STRICT | RUN_RECURSIVE,
			       SAFE | MOUNT_ATTR_RDONLY, .source = "/sys", .target = "/sys" });
	else
		add(p, (struct run_op){ RUN_OP_FS, RUN_STRICT | RUN_OR_BIND,
			       SAFE | MOUNT_ATTR_RDONLY, "sysfs", "/sys", "/sys" });
}

static void plan_dev(struct run_plan *p, const struct run_facts *f)
{
	size_t i;

	add(p, (struct run_op){ RUN_OP_FS, RUN_STRICT, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
		       "tmpfs", NULL, "/dev", "mode=755,size=64k" });
	for (i = 0; i < ARRAY_LEN(devices); i++)
		add(p, (struct run_op){ RUN_OP_DEVICE, .source = devices[i].path,
			       .target = devices[i].path,
			       .rdev = makedev(devices[i].major, devices[i].minor) });
	for (i = 0; i < ARRAY_LEN(dev_links); i++)
		add(p, (struct run_op){ RUN_OP_SYMLINK, .source = dev_links[i].link,
			       .target = dev_links[i].target });
	add(p, (struct run_op){ RUN_OP_DIR, .target = "/dev/pts", .mode = 0755 });
	add(p, (struct run_op){ RUN_OP_FS, RUN_STRICT, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
		       "devpts", NULL, "/dev/pts", "newinstance,ptmxmode=0666,mode=0620" });
	add(p, (struct run_op){ RUN_OP_DIR, .target = "/dev/shm", .mode = 0755 });
	add(p, (struct run_op){ RUN_OP_FS, RUN_STRICT, SAFE, "tmpfs", NULL, "/dev/shm",
		       "mode=1777,size=65536k" });
	if (!(p->opts->share & IMBREX_RUN_SHARE_IPC)) {
		add(p, (struct run_op){ RUN_OP_DIR, .target = "/dev/mqueue", .mode = 0755 });
		add(p, (struct run_op){ RUN_OP_FS, RUN_STRICT | RUN_OPTIONAL, SAFE, "mqueue", NULL,
			       "/dev/mqueue" });
	}
	/* Without it ttyname(3) finds no name for the terminal on stdin. */
	if (f->tty)
		add(p, (struct run_op){ RUN_OP_BIND, RUN_OPTIONAL,
			       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, .source = f->tty,
			       .target = "/dev/console" });
}

static void plan_caller_mounts(struct run_plan *p)
{
	const struct imbrex_run_opts *o = p->opts;
	const struct {
		bool wanted;
		const char *path;
	} files[] = {
		{ o->bind_resolv_conf, "/etc/resolv.conf" },
		{ o->bind_hosts, "/etc/hosts" },
		{ o->bind_hostname, "/etc/hostname" },
	};
	const struct imbrex_run_mount *m;
	uint64_t attrs;
	size_t i;

	for (i = 0; i < ARRAY_LEN(files); i++)
		if (files[i].wanted)
			add(p, (struct run_op){ RUN_OP_BIND, RUN_OPTIONAL | RUN_GUARDED,
				       SAFE | MOUNT_ATTR_RDONLY, .source = files[i].path,
				       .target = files[i].path });
	for (i = 0; i < o->n_mounts; i++) {
		m = &o->mounts[i];
		attrs = (m->read_only ? MOUNT_ATTR_RDONLY : 0) |
			(m->nosuid ? MOUNT_ATTR_NOSUID : 0) | (m->nodev ? MOUNT_ATTR_NODEV : 0) |
			(m->noexec ? MOUNT_ATTR_NOEXEC : 0);
		if (m->type == IMBREX_RUN_MOUNT_TMPFS)
			add(p, (struct run_op){ RUN_OP_FS, RUN_GUARDED,
				       attrs | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, "tmpfs", NULL,
				       m->target, m->data });
		else
			add(p, (struct run_op){ RUN_OP_BIND,
				       RUN_GUARDED | (m->recursive ? RUN_RECURSIVE : 0), attrs,
				       .source = m->source, .target = m->target });
	}
}

static void plan_masks(struct run_plan *p)
{
	size_t i;

	if (p->opts->no_mask)
		return;
	for (i = 0; i < ARRAY_LEN(hidden); i++)
		add(p, (struct run_op){ RUN_OP_HIDE, RUN_STRICT, .target = hidden[i] });
	for (i = 0; i < ARRAY_LEN(frozen); i++)
		add(p, (struct run_op){ RUN_OP_FREEZE, RUN_STRICT, .target = frozen[i] });
}

static void plan_ops(struct run_plan *p, const struct run_facts *f)
{
	const struct imbrex_run_opts *o = p->opts;

	add(p, (struct run_op){ RUN_OP_SLAVE });
	/* nodev: the image's device nodes are not needed, /dev is ours. */
	add(p, (struct run_op){ RUN_OP_ROOT, .attrs = MOUNT_ATTR_NODEV, .source = o->rootfs });
	plan_kernel_mounts(p);
	plan_dev(p, f);
	plan_caller_mounts(p);
	plan_masks(p);
	if (o->read_only)
		add(p, (struct run_op){ RUN_OP_ROOT_READONLY });
	if (!(o->share & IMBREX_RUN_SHARE_NET))
		add(p, (struct run_op){ RUN_OP_LOOPBACK });
	if (o->hostname)
		add(p, (struct run_op){ RUN_OP_HOSTNAME, .source = o->hostname });
	add(p, (struct run_op){ RUN_OP_PIVOT });
	if (!o->no_init && !(o->share & IMBREX_RUN_SHARE_PID))
		add(p, (struct run_op){ RUN_OP_FORK_INIT });
	add(p, (struct run_op){ RUN_OP_IDENTITY, .source = o->user });
	add(p, (struct run_op){ RUN_OP_WORKDIR, .target = o->workdir ? o->workdir : "/" });
	if (!o->no_seccomp)
		add(p, (struct run_op){ RUN_OP_SECCOMP });
	add(p, (struct run_op){ RUN_OP_PRIVILEGES });
	add(p, (struct run_op){ RUN_OP_EXEC, .source = o->argv[0] });
}

static int describe_attrs(uint64_t attrs, struct str *ret)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} names[] = {
		{ MOUNT_ATTR_RDONLY, " ro" },
		{ MOUNT_ATTR_NOSUID, " nosuid" },
		{ MOUNT_ATTR_NODEV, " nodev" },
		{ MOUNT_ATTR_NOEXEC, " noexec" },
	};
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(names); i++)
		if (attrs & names[i].bit)
			r = str_puts(ret, names[i].name);
	return r;
}

const char *run_op_name(enum run_op_kind kind)
{
	return op_names[kind];
}

int run_op_describe(const struct run_plan *p, const struct run_op *op, struct str *ret)
{
	const char *parts[] = { op_names[op->kind], op->type, op->source, op->target, op->data };
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(parts); i++) {
		if (!parts[i])
			continue;
		r = str_printf(ret, "%s%s", i ? " " : "", parts[i]);
		if (r < 0)
			return r;
	}
	r = describe_attrs(op->attrs, ret);
	if (r < 0)
		return r;
	if (op->flags & RUN_RECURSIVE) {
		r = str_puts(ret, " recursive");
		if (r < 0)
			return r;
	}
	for (i = 0; i < ret->len; i++)
		if ((unsigned char)ret->data[i] < 0x20 || ret->data[i] == 0x7f)
			ret->data[i] = '?';
	return 0;
}

void run_plan_free(struct run_plan *p)
{
	if (!p)
		return;
	free(p->ops);
	free(p);
}

int run_plan_new(const struct imbrex_run_opts *opts, const struct run_facts *facts,
	struct run_plan **ret_plan, struct imbrex_error *err)
{
	AUTO_RUN_PLAN *p = NULL;
	int r;

	r = check_opts(opts, err);
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail_nomem(err);
	p->opts = opts;
	r = decide_userns(p, facts, err);
	if (r < 0)
		return r;
	p->ops = calloc(FIXED_OPS_MAX + opts->n_mounts, sizeof(*p->ops));
	if (!p->ops)
		return fail_nomem(err);
	plan_namespaces(p);
	plan_ops(p, facts);
	*ret_plan = take_ptr(p);
	return 0;
}
