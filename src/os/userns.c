/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User namespaces.
 *
 *   parent: clone ------------------> write maps -> "go" (or close: child exits)
 *   child:          waits for "go" ----------------^-> becomes root inside -> fn -> _exit
 *
 * Invariants:
 * (1) The child does nothing before "go"; if the parent fails or dies, its end of the pipe closes
 *     and the child exits.
 * (2) /proc/<pid> is ours while the child is not reaped, so its files cannot be another process's.
 */
#include "os/userns.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/probe.h"
#include "os/proc.h"

/* Inode of the initial user namespace. Source: Linux include/linux/proc_ns.h. */
#define USER_INIT_INO 0xEFFFFFFDu
/* One line: three numbers of ten digits. */
#define MAP_TEXT_BYTES (LIMIT_ID_MAP_EXTENTS * 40)

static const char *const newuidmap_paths[] = { "/usr/bin/newuidmap", "/bin/newuidmap",
	"/usr/local/bin/newuidmap", "/run/wrappers/bin/newuidmap", NULL };
static const char *const newgidmap_paths[] = { "/usr/bin/newgidmap", "/bin/newgidmap",
	"/usr/local/bin/newgidmap", "/run/wrappers/bin/newgidmap", NULL };

/* What differs between the two kinds of ids. */
struct id_kind {
	const char *noun;
	const char *file;
	const char *const *helpers;
	unsigned int capability;
};

static const struct id_kind uid_kind = { "uid", "uid_map", newuidmap_paths, CAP_SETUID };
static const struct id_kind gid_kind = { "gid", "gid_map", newgidmap_paths, CAP_SETGID };

bool userns_has_helpers(void)
{
	return proc_find(newuidmap_paths) && proc_find(newgidmap_paths);
}

bool in_initial_userns(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino == USER_INIT_INO;
}

static bool overlaps(uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count)
{
	return (uint64_t)a < (uint64_t)b + b_count && (uint64_t)b < (uint64_t)a + a_count;
}

static int check_map(const struct id_kind *kind, const struct imbrex_id_map *map, size_t n,
	struct imbrex_error *err)
{
	size_t i;
	size_t j;

	if (n == 0)
		return fail(err, IMBREX_EINVAL, "%s map is empty", kind->noun);
	if (n > LIMIT_ID_MAP_EXTENTS)
		return fail(err, IMBREX_ELIMIT, "%s map has %zu ranges, the kernel takes %d",
			kind->noun, n, LIMIT_ID_MAP_EXTENTS);
	for (i = 0; i < n; i++) {
		const struct imbrex_id_map *a = &map[i];

		if (a->count == 0 || (uint64_t)a->inside + a->count > UINT32_MAX ||
			(uint64_t)a->outside + a->count > UINT32_MAX)
			return fail(err, IMBREX_EINVAL, "%s map range %u:%u:%u is not one",
				kind->noun, a->inside, a->outside, a->count);
		for (j = 0; j < i; j++) {
			const struct imbrex_id_map *b = &map[j];

			if (overlaps(a->inside, a->count, b->inside, b->count) ||
				overlaps(a->outside, a->count, b->outside, b->count))
				return fail(err, IMBREX_EINVAL,
					"%s map ranges %u:%u:%u and %u:%u:%u overlap", kind->noun,
					b->inside, b->outside, b->count, a->inside, a->outside,
					a->count);
		}
	}
	return 0;
}

int id_maps_check(const struct id_maps *maps, struct imbrex_error *err)
{
	int r = check_map(&uid_kind, maps->uids, maps->n_uids, err);

	if (r < 0)
		return r;
	return check_map(&gid_kind, maps->gids, maps->n_gids, err);
}

/* One write(2): the kernel takes a map whole. */
static int write_proc(int proc_fd, const char *file, const char *text, size_t len)
{
	AUTO_CLOSE int fd = openat(proc_fd, file, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int write_directly(int proc_fd, const struct id_kind *kind, const struct imbrex_id_map *map,
	size_t n, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(MAP_TEXT_BYTES);
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		r = str_printf(&text, "%u %u %u\n", map[i].inside, map[i].outside, map[i].count);
		if (r < 0)
			return fail_code(err, r, "write %s map", kind->noun);
	}
	r = write_proc(proc_fd, kind->file, text.data, text.len);
	if (r < 0)
		return fail_code(err, r, "write %s map", kind->noun);
	return 0;
}

static int write_by_helper(pid_t pid, const struct id_kind *kind, const struct imbrex_id_map *map,
	size_t n, struct imbrex_error *err)
{
	const char *program = proc_find(kind->helpers);
	AUTO_FREE const char **argv = NULL;
	char(*numbers)[12] = NULL;
	AUTO_FREE void *owned = NULL;
	struct proc_spec spec = { 0 };
	size_t i;

	if (!program) {
		int r = fail(err, IMBREX_ENOTSUP, "mapping more than one %s needs new%smap",
			kind->noun, kind->noun);

		return hint(err, r, "install the package that has new%smap (uidmap, shadow-utils)",
			kind->noun);
	}
	argv = calloc(3 * n + 3, sizeof(*argv));
	owned = calloc(3 * n + 1, sizeof(*numbers));
	if (!argv || !owned)
		return fail_nomem(err);
	numbers = owned;
	(void)snprintf(numbers[0], sizeof(numbers[0]), "%d", pid);
	argv[0] = program;
	argv[1] = numbers[0];
	for (i = 0; i < 3 * n; i++) {
		const struct imbrex_id_map *m = &map[i / 3];
		uint32_t value = i % 3 == 0 ? m->inside : i % 3 == 1 ? m->outside : m->count;

		(void)snprintf(numbers[i + 1], sizeof(numbers[0]), "%u", value);
		argv[i + 2] = numbers[i + 1];
	}
	spec.argv = argv;
	return proc_check(&spec, NULL, err);
}

/* May we write any map, or this one because it only names ourselves? */
static bool may_write(
	const struct id_kind *kind, const struct imbrex_id_map *map, size_t n, uint32_t own)
{
	if (have_capability(kind->capability) && have_capability(CAP_SYS_ADMIN))
		return true;
	return n == 1 && map[0].count == 1 && map[0].outside == own;
}

static int write_map(pid_t pid, int proc_fd, const struct id_kind *kind,
	const struct imbrex_id_map *map, size_t n, uint32_t own, struct imbrex_error *err)
{
	int r;

	if (!may_write(kind, map, n, own))
		return write_by_helper(pid, kind, map, n, err);
	if (kind == &gid_kind && !have_capability(CAP_SETGID)) {
		/* An unprivileged gid map is taken only from who gave up setgroups(2). */
		r = write_proc(proc_fd, "setgroups", "deny", 4);
		if (r < 0)
			return fail_code(err, r, "give up setgroups");
	}
	return write_directly(proc_fd, kind, map, n, err);
}

int userns_write_maps(pid_t pid, const struct id_maps *maps, struct imbrex_error *err)
{
	AUTO_CLOSE int proc_fd = -EBADF;
	char path[32];
	int r;

	r = id_maps_check(maps, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	proc_fd = open_dir_at(AT_FDCWD, path, err);
	if (proc_fd < 0)
		return proc_fd;
	r = write_map(pid, proc_fd, &uid_kind, maps->uids, maps->n_uids, geteuid(), err);
	if (r < 0)
		return r;
	return write_map(pid, proc_fd, &gid_kind, maps->gids, maps->n_gids, getegid(), err);
}

/* A child in new namespaces that waits for "go". */
struct waiting_child {
	pid_t pid;   /* 0 once reaped */
	int go_fd;   /* writing end */
	int wait_fd; /* reading end, kept so that writing to a dead child raises no SIGPIPE */
};

static void cleanup_waiting_child(struct waiting_child *c)
{
	c->go_fd = close_fd(c->go_fd); /* without "go" it exits */
	c->wait_fd = close_fd(c->wait_fd);
	if (c->pid > 0) {
		(void)kill(c->pid, SIGKILL);
		if (proc_wait(c->pid) < 0)
			c->pid = 0; /* the application reaped it */
	}
}

struct child_task {
	int (*fn)(void *ctx); /* NULL: exit when told to go */
	void *ctx;
};

/* In the child: only system calls until fn. */
static void child_main(int go_fd, int parents_end, const struct child_task *task)
{
	size_t n = 0;
	char go;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)close_fd(parents_end); /* else its closing would never be seen */
	if (read_all(go_fd, &go, 1, &n) < 0 || n != 1 || !task->fn)
		_exit(126);
	(void)close_fd(go_fd);
	/* Ids that are not mapped stay as they are; fn finds out by what it may do. */
	if (syscall(SYS_setresgid, 0, 0, 0) < 0 && errno != EINVAL)
		_exit(126);
	if (syscall(SYS_setresuid, 0, 0, 0) < 0 && errno != EINVAL)
		_exit(126);
	_exit(task->fn(task->ctx) & 0xff);
}

static int start_child(int flags, const struct child_task *task, struct waiting_child *ret)
{
	AUTO_CLOSE int go_read = -EBADF;
	AUTO_CLOSE int go_write = -EBADF;
	int ends[2];
	long pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	go_read = ends[0];
	go_write = ends[1];
	pid = syscall(SYS_clone, (unsigned long)(unsigned int)(flags | CLONE_NEWUSER | SIGCHLD),
		NULL, NULL, NULL, NULL);
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_main(go_read, go_write, task);
	ret->pid = (pid_t)pid;
	ret->go_fd = take_fd(go_write);
	ret->wait_fd = take_fd(go_read);
	return 0;
}

static int fail_start(int r, struct imbrex_error *err)
{
	r = fail_code(err, r, "create a user namespace");
	return hint(err, r,
		"see the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and "
		"kernel.apparmor_restrict_unprivileged_userns");
}

int userns_new(const struct id_maps *maps, struct imbrex_error *err)
{
	struct waiting_child c __attribute__((cleanup(cleanup_waiting_child))) = {
		.go_fd = -EBADF,
		.wait_fd = -EBADF,
	};
	const struct child_task task = { 0 };
	char path[48];
	int fd;
	int r;

	r = start_child(0, &task, &c);
	if (r < 0)
		return fail_start(r, err);
	r = userns_write_maps(c.pid, maps, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", c.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "open '%s'", path);
	return fd;
}

int userns_run(const struct id_maps *maps, int flags, int (*fn)(void *ctx), void *ctx,
	int *ret_status, struct imbrex_error *err)
{
	struct waiting_child c __attribute__((cleanup(cleanup_waiting_child))) = {
		.go_fd = -EBADF,
		.wait_fd = -EBADF,
	};
	const struct child_task task = { .fn = fn, .ctx = ctx };
	int r;

	r = start_child(flags, &task, &c);
	if (r < 0)
		return fail_start(r, err);
	r = userns_write_maps(c.pid, maps, err);
	if (r < 0)
		return r;
	r = write_all(c.go_fd, "g", 1);
	if (r < 0)
		return fail_code(err, r, "start the child of the user namespace");
	r = proc_wait(c.pid);
	c.pid = 0;
	if (r < 0)
		return fail_code(err, r, "wait for the child of the user namespace");
	*ret_status = r;
	return 0;
}
