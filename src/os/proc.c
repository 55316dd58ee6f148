/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run a helper program and wait for it.
 *
 *   spawn -> poll { stdout, stderr, pidfd } -> child gone -> drain what the pipes hold -> done
 *
 * Invariants:
 * (1) The end is the helper's exit, not the end of its pipes: one that leaves a daemon behind
 *     (fuse-overlayfs) keeps them open for ever.
 * (2) stdin is a memory file, written before the start: no pipe to deadlock on, no
 *     SIGPIPE to disturb the application.
 * (3) Whatever happens after the spawn, the child is reaped.
 */
#include "os/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/fd.h"

/* What we keep of a helper's complaints. */
#define STDERR_KEPT_BYTES 512
/* Targets of spec.fds; more would collide with the copies made above it. */
#define TARGET_MAX 255

struct run {
	const char *program; /* borrowed; for messages */
	pid_t pid;           /* 0 once reaped */
	int pidfd;
	int out_fd; /* reading end of stdout; -EBADF if not wanted or ended */
	int err_fd;
	struct str *out;
	struct str complaint;
};

struct spawn_fds {
	int in;
	int out; /* writing ends */
	int err;
	int passed[TARGET_MAX + 1];
	size_t n_passed;
};

static void cleanup_spawn_fds(struct spawn_fds *f)
{
	(void)close_fd(f->in);
	(void)close_fd(f->out);
	(void)close_fd(f->err);
	while (f->n_passed)
		(void)close_fd(f->passed[--f->n_passed]);
}

static void cleanup_run(struct run *run)
{
	if (run->pid > 0) {
		(void)kill(run->pid, SIGKILL);
		if (proc_wait(run->pid) < 0)
			run->pid = 0; /* someone else reaped it */
	}
	(void)close_fd(run->pidfd);
	(void)close_fd(run->out_fd);
	(void)close_fd(run->err_fd);
	str_done(&run->complaint);
}

/* All fds handed to the child lie above every target, so that dup2 overwrites none of them. */
static int raise_fd(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, TARGET_MAX + 1);

	return high < 0 ? -errno : high;
}

static int raise_owned(int fd)
{
	int high = fd < 0 ? -errno : raise_fd(fd);

	(void)close_fd(fd);
	return high;
}

static int make_input(const struct proc_spec *spec)
{
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (spec->stdin_fd > 0)
		return raise_fd(spec->stdin_fd);
	if (!spec->input_len)
		return raise_owned(open("/dev/null", O_RDWR | O_CLOEXEC));
	fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = pwrite_all(fd, spec->input, spec->input_len, 0);
	if (r < 0)
		return r;
	return raise_fd(fd);
}

static int make_output(int *ret_read, int *ret_write)
{
	int ends[2];
	int r;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	r = fcntl(ends[1], F_SETFL, 0) < 0 ? -errno : 0; /* the helper's end blocks as usual */
	if (r == 0)
		r = raise_fd(ends[1]);
	(void)close_fd(ends[1]);
	if (r < 0) {
		(void)close_fd(ends[0]);
		return r;
	}
	*ret_read = ends[0];
	*ret_write = r;
	return 0;
}

static int make_fds(const struct proc_spec *spec, struct run *run, struct spawn_fds *f)
{
	size_t i;
	int r;

	f->in = make_input(spec);
	if (f->in < 0)
		return f->in;
	r = make_output(&run->err_fd, &f->err);
	if (r < 0)
		return r;
	if (run->out)
		r = make_output(&run->out_fd, &f->out);
	else if (spec->stdout_fd > 0)
		f->out = raise_fd(spec->stdout_fd);
	else
		f->out = raise_owned(open("/dev/null", O_RDWR | O_CLOEXEC));
	if (r < 0 || f->out < 0)
		return r < 0 ? r : f->out;
	for (i = 0; i < spec->n_fds; i++) {
		r = raise_fd(spec->fds[i].fd);
		if (r < 0)
			return r;
		f->passed[f->n_passed++] = r;
	}
	return 0;
}

/* A positive errno, as posix_spawn does it. */
static int add_actions(posix_spawn_file_actions_t *actions, const struct proc_spec *spec,
	const struct spawn_fds *f)
{
	bool used[TARGET_MAX + 1] = { true, true, true };
	int top = 2;
	size_t i;
	int fd;
	int r;

	r = posix_spawn_file_actions_adddup2(actions, f->in, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, f->out, 1);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, f->err, 2);
	for (i = 0; i < spec->n_fds && r == 0; i++) {
		r = posix_spawn_file_actions_adddup2(actions, f->passed[i], spec->fds[i].target);
		used[spec->fds[i].target] = true;
		top = MAX(top, spec->fds[i].target);
	}
	for (fd = 3; fd < top && r == 0; fd++) {
		if (!used[fd])
			r = posix_spawn_file_actions_addclose(actions, fd);
	}
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, top + 1);
	return r;
}

static int spawn_with(const struct proc_spec *spec, const struct spawn_fds *f,
	posix_spawn_file_actions_t *actions, pid_t *ret)
{
	static const char *const no_env[] = { NULL };
	const char *const *env = spec->env ? spec->env : no_env;
	posix_spawnattr_t attr;
	sigset_t set;
	int r;

	r = add_actions(actions, spec, f);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r)
		return -r;
	(void)sigemptyset(&set);
	(void)posix_spawnattr_setsigmask(&attr, &set);
	(void)sigfillset(&set);
	(void)posix_spawnattr_setsigdefault(&attr, &set);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* posix_spawn does not write to the strings; its prototype is older than const. */
	r = posix_spawn(ret, spec->argv[0], actions, &attr, (char *const *)(uintptr_t)spec->argv,
		(char *const *)(uintptr_t)env);
	(void)posix_spawnattr_destroy(&attr);
	return -r;
}

static int start(const struct proc_spec *spec, struct run *run)
{
	struct spawn_fds f __attribute__((cleanup(cleanup_spawn_fds))) = {
		.in = -EBADF,
		.out = -EBADF,
		.err = -EBADF,
	};
	posix_spawn_file_actions_t actions;
	int r;

	r = make_fds(spec, run, &f);
	if (r < 0)
		return r;
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = spawn_with(spec, &f, &actions, &run->pid);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r < 0) {
		run->pid = 0;
		return r;
	}
	run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	return run->pidfd < 0 ? -errno : 0;
}

/* Reads all there is now. *fd becomes -EBADF at its end. `to` full: -EFBIG, or dropped if `cut`. */
static int drain(int *fd, struct str *to, bool cut)
{
	char buf[4096];

	while (*fd >= 0) {
		ssize_t n = read(*fd, buf, sizeof(buf));
		size_t keep;
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return -errno;
		if (n == 0)
			*fd = close_fd(*fd);
		keep = (size_t)n;
		if (cut)
			keep = MIN(keep, to->max_len - to->len);
		r = str_append(to, buf, keep);
		if (r < 0)
			return r;
	}
	return 0;
}

static int drain_both(struct run *run, struct imbrex_error *err)
{
	int r;

	r = drain(&run->err_fd, &run->complaint, /* cut= */ true);
	if (r == 0 && run->out)
		r = drain(&run->out_fd, run->out, /* cut= */ false);
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT, "'%s' writes more than %zu bytes", run->program,
			run->out->max_len);
	if (r < 0)
		return fail_code(err, r, "read what '%s' writes", run->program);
	return 0;
}

static int follow(struct run *run, unsigned int timeout_ms, struct imbrex_error *err)
{
	const uint64_t deadline = now_monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
	int r;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->pidfd, .events = POLLIN },
			{ .fd = run->out_fd, .events = POLLIN },
			{ .fd = run->err_fd, .events = POLLIN },
		};
		uint64_t now = now_monotonic_ns();
		int wait_ms = -1;

		if (timeout_ms && now >= deadline)
			return fail(err, IMBREX_EFAIL, "'%s' did not end within %u ms",
				run->program, timeout_ms);
		if (timeout_ms)
			wait_ms = (int)MIN((deadline - now) / 1000000u + 1, (uint64_t)INT32_MAX);
		if (poll(fds, ARRAY_LEN(fds), wait_ms) < 0 && errno != EINTR)
			return fail_errno(err, "wait for '%s'", run->program);
		/* Looked at before the pipes: what was written before the exit is read after it. */
		r = drain_both(run, err);
		if (r < 0 || fds[0].revents)
			return r;
	}
}

static int check_spec(const struct proc_spec *spec, struct imbrex_error *err)
{
	size_t i;

	if (spec->argv[0][0] != '/')
		return fail(err, IMBREX_EINVAL, "run '%s': not an absolute path", spec->argv[0]);
	if (spec->n_fds > TARGET_MAX)
		return fail(err, IMBREX_EINVAL, "run '%s': too many fds to pass", spec->argv[0]);
	for (i = 0; i < spec->n_fds; i++) {
		if (spec->fds[i].target < 3 || spec->fds[i].target > TARGET_MAX)
			return fail(err, IMBREX_EINVAL, "run '%s': no fd may become %d",
				spec->argv[0], spec->fds[i].target);
	}
	return 0;
}

int proc_wait(pid_t pid)
{
	int status;

	for (;;) {
		if (waitpid(pid, &status, 0) == pid)
			break;
		if (errno != EINTR)
			return -errno;
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_program(
	struct run *run, const struct proc_spec *spec, int *ret_status, struct imbrex_error *err)
{
	int r;

	r = check_spec(spec, err);
	if (r < 0)
		return r;
	r = start(spec, run);
	if (r < 0)
		return fail_code(err, r, "run '%s'", run->program);
	r = follow(run, spec->timeout_ms, err);
	if (r < 0)
		return r;
	r = proc_wait(run->pid);
	run->pid = 0;
	if (r < 0)
		return fail_code(err, r, "wait for '%s'", run->program);
	*ret_status = r;
	return 0;
}

#define RUN_INIT(spec, to)                                                                       \
	{                                                                                        \
		.program = (spec)->argv[0], .pidfd = -EBADF, .out_fd = -EBADF, .err_fd = -EBADF, \
		.out = (to), .complaint = STR_INIT(STDERR_KEPT_BYTES),                           \
	}

int proc_run(
	const struct proc_spec *spec, struct str *out, int *ret_status, struct imbrex_error *err)
{
	struct run run __attribute__((cleanup(cleanup_run))) = RUN_INIT(spec, out);

	return run_program(&run, spec, ret_status, err);
}

int proc_hear(const struct proc_spec *spec, struct str *out, struct str *said, int *ret_status,
	struct imbrex_error *err)
{
	struct run run __attribute__((cleanup(cleanup_run))) = RUN_INIT(spec, out);
	int r = run_program(&run, spec, ret_status, err);

	if (r < 0)
		return r;
	r = str_append(
		said, str_text(&run.complaint), MIN(run.complaint.len, said->max_len - said->len));
	return r < 0 ? fail_nomem(err) : 0;
}

static const char *last_line(struct str *s)
{
	const char *newline;

	while (s->len && s->data[s->len - 1] == '\n')
		s->data[--s->len] = '\0';
	newline = strrchr(str_text(s), '\n');
	return newline ? newline + 1 : str_text(s);
}

int proc_check(const struct proc_spec *spec, struct str *out, struct imbrex_error *err)
{
	struct run run __attribute__((cleanup(cleanup_run))) = RUN_INIT(spec, out);
	const char *said;
	int status;
	int r;

	r = run_program(&run, spec, &status, err);
	if (r < 0)
		return r;
	if (status == 0)
		return 0;
	said = spec->cause_is_last ? last_line(&run.complaint) : str_text(&run.complaint);
	return fail(err, IMBREX_EFAIL, "'%s' failed with status %d%s%.*s", run.program, status,
		said[0] ? ": " : "", (int)strcspn(said, "\n"), said);
}

const char *proc_find(const char *const *paths)
{
	for (; *paths; paths++) {
		if (access(*paths, X_OK) == 0)
			return *paths;
	}
	return NULL;
}
