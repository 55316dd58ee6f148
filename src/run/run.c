/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's half of a run: look around, plan, make the child, map its ids, wait.
 *
 *   caller                        child (process 1 of a new pid namespace)
 *   plan, block signals
 *   clone ───────────────────────▶ waits for "go" (user namespace only)
 *   write id maps, "go" ─────────▶ run_exec(): operations up to FORK_INIT ─▶ program
 *   read report ◀──── pipe closed by exec (all is well) or a struct run_report
 *   pass signals on, wait ◀─────── exit status
 *
 * The report pipe is the only way back: the child never returns into the caller's code and never
 * runs its exit handlers.
 */
#include "imbrex/run.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/limits.h"
#include "os/fd.h"
#include "os/probe.h"
#include "os/proc.h"
#include "os/subid.h"
#include "os/userns.h"
#include "run/exec.h"
#include "run/init.h"
#include "run/plan.h"

/* One more than the ranges of the user: its own id. */
struct own_maps {
	struct imbrex_id_map items[LIMIT_ID_MAP_EXTENTS];
	size_t n;
};

struct run_report {
	int exit_status; /* 126 or 127: the program; 0: everything before it */
	int status;      /* enum imbrex_status */
	struct imbrex_error err;
};

/* All fds owned. */
struct pipes {
	int report[2];
	int go[2];
};

struct run_state {
	const struct run_plan *plan;
	struct run_facts facts;
	struct own_maps uids, gids;
	struct pipes pipes;
	int self;    /* owned pidfd of the caller */
	int root;    /* owned */
	pid_t child; /* 0 if there is none, or it was reaped */
	sigset_t saved_mask;
	struct sigaction saved_chld;
	bool signals_saved;
	char tty[64];
};

static void close_pair(int fds[2])
{
	fds[0] = close_fd(fds[0]);
	fds[1] = close_fd(fds[1]);
}

static void state_done(struct run_state *s)
{
	if (s->child) {
		(void)kill(s->child, SIGKILL);
		(void)waitpid(s->child, NULL, 0);
	}
	close_pair(s->pipes.report);
	close_pair(s->pipes.go);
	s->self = close_fd(s->self);
	s->root = close_fd(s->root);
	if (s->signals_saved) {
		(void)sigaction(SIGCHLD, &s->saved_chld, NULL);
		(void)sigprocmask(SIG_SETMASK, &s->saved_mask, NULL);
	}
}
#define AUTO_STATE __attribute__((cleanup(state_done))) struct run_state

static int check_single_thread(struct imbrex_error *err)
{
	struct stat st;

	/* One subdirectory a thread, beside "." and "..". */
	if (stat("/proc/self/task", &st) < 0)
		return fail_errno(err, "stat '/proc/self/task'");
	if (st.st_nlink != 3)
		return fail(err, IMBREX_EBUSY,
			"a process with more than one thread cannot run a container");
	return 0;
}

/* Our own id and, with ranges, the ids 0.. (or around our own) from them. */
static void build_maps(
	uint32_t own, bool keep, const struct subid_ranges *ranges, struct own_maps *ret)
{
	uint32_t inside = keep ? 0 : 1;
	uint32_t left, part, start;
	size_t i;

	ret->n = 0;
	ret->items[ret->n++] = (struct imbrex_id_map){ keep ? own : 0, own, 1 };
	for (i = 0; ranges && i < ranges->n && ret->n + 2 <= ARRAY_LEN(ret->items); i++) {
		start = ranges->items[i].start;
		left = MIN(ranges->items[i].count, UINT32_MAX - 1 - inside);
		if (keep && inside <= own && left > own - inside) {
			part = own - inside;
			if (part)
				ret->items[ret->n++] =
					(struct imbrex_id_map){ inside, start, part };
			inside = own + 1;
			start += part;
			left -= part;
		}
		if (!left)
			continue;
		ret->items[ret->n++] = (struct imbrex_id_map){ inside, start, left };
		inside += left;
		if (keep && inside == own)
			inside++;
	}
}

/* Who we are to /etc/subuid; an account that has no name counts by number. */
static int read_ranges(const struct run_facts *f, struct subid_ranges *uids,
	struct subid_ranges *gids, struct imbrex_error *err)
{
	const struct passwd *pw = getpwuid(f->euid);
	const char *name = pw ? pw->pw_name : NULL;
	int r;

	r = subid_find(SUBUID_PATH, name, f->euid, uids, err);
	if (r < 0)
		return r;
	return subid_find(SUBGID_PATH, name, f->euid, gids, err);
}

static int look_around(
	const struct imbrex_run_opts *o, struct run_state *s, struct imbrex_error *err)
{
	bool wants_ranges = o->userns == IMBREX_RUN_USERNS_SUBIDS;
	struct run_facts *f = &s->facts;
	struct subid_ranges uids = { .n = 0 }, gids = { .n = 0 };
	int r;

	f->euid = geteuid();
	f->egid = getegid();
	f->privileged = have_capability(CAP_SYS_ADMIN);
	if (ttyname_r(STDIN_FILENO, s->tty, sizeof(s->tty)) == 0)
		f->tty = s->tty;
	wants_ranges |= o->userns == IMBREX_RUN_USERNS_AUTO && !f->privileged;
	if (wants_ranges) {
		r = read_ranges(f, &uids, &gids, err);
		if (r < 0)
			return r;
	}
	f->has_subids = uids.n && gids.n && (have_capability(CAP_SETUID) || userns_has_helpers());
	if (o->userns == IMBREX_RUN_USERNS_SUBIDS && !f->has_subids)
		return hint(err,
			fail(err, IMBREX_ENOENT,
				"user id %u has no subordinate ids, or newuidmap is not installed",
				f->euid),
			"add ranges to /etc/subuid and /etc/subgid and install newuidmap (uidmap)");
	build_maps(f->euid, o->keep_id, f->has_subids ? &uids : NULL, &s->uids);
	build_maps(f->egid, o->keep_id, f->has_subids ? &gids : NULL, &s->gids);
	return 0;
}

static int open_rootfs(const struct imbrex_run_opts *o, int *ret_fd, struct imbrex_error *err)
{
	int fd;

	if (o->rootfs_fd)
		fd = fcntl(*o->rootfs_fd, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(o->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && o->rootfs_fd)
		return fail_errno(err, "root file system descriptor %d", *o->rootfs_fd);
	if (fd < 0)
		return fail_errno(err, "root file system '%s'", o->rootfs);
	*ret_fd = fd;
	return 0;
}

static int tell_plan(const struct run_plan *p, struct imbrex_error *err)
{
	const struct imbrex_run_opts *o = p->opts;
	size_t i;

	for (i = 0; o->debug && i < p->n_ops; i++) {
		AUTO_STR line = STR_INIT(2 * RUN_STRING_BYTES);

		if (run_op_describe(p, &p->ops[i], &line) < 0)
			return fail_nomem(err);
		o->debug(o->debug_userdata, str_text(&line));
	}
	return 0;
}

static int block_signals(struct run_state *s, struct imbrex_error *err)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t set;

	run_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, &s->saved_mask) < 0)
		return fail_errno(err, "block signals");
	if (sigaction(SIGCHLD, &dfl, &s->saved_chld) < 0)
		return fail_errno(err, "reset SIGCHLD");
	s->signals_saved = true;
	return 0;
}

/* The child dies with its caller; a caller that died before we asked for that is seen here. */
static int tie_to_caller(int caller, struct imbrex_error *err)
{
	struct pollfd p = { .fd = caller, .events = POLLIN };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return fail_errno(err, "tie the child to its caller");
	if (poll(&p, 1, 0) != 0)
		return fail(err, IMBREX_ECANCELED, "the caller has gone");
	return 0;
}

static int wait_for_go(struct run_state *s, struct imbrex_error *err)
{
	size_t got;
	char byte;

	s->pipes.go[1] = close_fd(s->pipes.go[1]);
	if (s->plan->userns == IMBREX_RUN_USERNS_NONE)
		return 0;
	if (read_all(s->pipes.go[0], &byte, 1, &got) < 0 || got != 1)
		return fail(err, IMBREX_ECANCELED, "the caller gave up");
	/* Under maps of one's own making nobody says that our outer ids are mapped at all. */
	if (s->plan->userns != IMBREX_RUN_USERNS_MAPS)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return hint(err, fail_errno(err, "become root of the user namespace"),
			"the maps must contain id 0");
	return 0;
}

static _Noreturn void child_main(struct run_state *s)
{
	struct run_exec x = { .plan = s->plan,
		.facts = &s->facts,
		.signals = &s->saved_mask,
		.root = take_fd(s->root),
		.empty = -EBADF };
	struct run_report report = { 0 };
	int r;

	s->pipes.report[0] = close_fd(s->pipes.report[0]);
	r = tie_to_caller(s->self, &report.err);
	if (r == 0)
		r = wait_for_go(s, &report.err);
	if (r == 0)
		r = run_exec(&x, &report.err);
	report.status = r;
	report.exit_status = x.exit_status;
	if (write_all(s->pipes.report[1], &report, sizeof(report)) < 0)
		_exit(125); /* the caller has gone */
	_exit(report.exit_status ? report.exit_status : 125);
}

static int make_child(struct run_state *s, struct imbrex_error *err)
{
	struct clone_args args = { .flags = s->plan->clone_flags, .exit_signal = SIGCHLD };
	long pid;

	if (pipe2(s->pipes.report, O_CLOEXEC) < 0 || pipe2(s->pipes.go, O_CLOEXEC) < 0)
		return fail_errno(err, "make a pipe");
	s->self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (s->self < 0)
		return fail_errno(err, "open our own process");
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return hint(err, fail_errno(err, "make a process in new namespaces"), "%s",
			s->plan->clone_flags & CLONE_NEWUSER
				? "user namespaces may be switched off (sysctl "
				  "user.max_user_namespaces)"
				: "this needs root");
	if (pid == 0)
		child_main(s);
	s->child = (pid_t)pid;
	s->pipes.report[1] = close_fd(s->pipes.report[1]);
	s->pipes.go[0] = close_fd(s->pipes.go[0]);
	return 0;
}

static int map_ids(struct run_state *s, struct imbrex_error *err)
{
	const struct imbrex_run_opts *o = s->plan->opts;
	struct id_maps maps = { s->uids.items, s->uids.n, s->gids.items, s->gids.n };
	struct own_maps uids, gids;
	size_t i;
	int r;

	if (s->plan->userns == IMBREX_RUN_USERNS_NONE)
		return 0;
	if (s->plan->userns == IMBREX_RUN_USERNS_SINGLE)
		maps.n_uids = maps.n_gids = 1;
	if (s->plan->userns == IMBREX_RUN_USERNS_MAPS) {
		for (i = 0; i < o->n_uid_maps; i++)
			uids.items[i] = (struct imbrex_id_map){ o->uid_maps[i].inside,
				o->uid_maps[i].outside, o->uid_maps[i].count };
		for (i = 0; i < o->n_gid_maps; i++)
			gids.items[i] = (struct imbrex_id_map){ o->gid_maps[i].inside,
				o->gid_maps[i].outside, o->gid_maps[i].count };
		maps = (struct id_maps){ uids.items, o->n_uid_maps, gids.items, o->n_gid_maps };
	}
	r = userns_write_maps(s->child, &maps, err);
	if (r < 0)
		return r;
	r = write_all(s->pipes.go[1], "", 1);
	return r < 0 ? fail_code(err, r, "start the child") : 0;
}

/* 0: the program runs. 1: it could not be executed, and err says why. */
static int read_report(struct run_state *s, struct imbrex_error *err)
{
	struct run_report report;
	size_t got;
	int r;

	r = read_all(s->pipes.report[0], &report, sizeof(report), &got);
	if (r < 0)
		return fail_code(err, r, "read the report of the child");
	if (!got)
		return 0;
	if (got != sizeof(report))
		return fail(err, IMBREX_EFAIL, "the child sent half a report");
	if (err)
		*err = report.err;
	return report.exit_status ? 1 : report.status;
}

static int wait_for_program(struct run_state *s, int *ret_status, struct imbrex_error *err)
{
	int status;

	status = run_wait(s->child);
	if (status < 0)
		return fail_code(err, status, "wait for the program");
	s->child = 0;
	*ret_status = status;
	return 0;
}

/* A shell inside leaves the terminal to a process group that no longer exists. */
static void restore_foreground(pid_t group)
{
	sigset_t ttou, saved;

	if (group < 0 || group != getpgrp() || tcgetpgrp(STDIN_FILENO) == group)
		return;
	(void)sigemptyset(&ttou);
	(void)sigaddset(&ttou, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &ttou, &saved);
	(void)tcsetpgrp(STDIN_FILENO, group); /* the terminal may be gone; nothing to do then */
	(void)sigprocmask(SIG_SETMASK, &saved, NULL);
}

PUBLIC int imbrex_run(const struct imbrex_run_opts *opts, int *ret_status, struct imbrex_error *err)
{
	AUTO_RUN_PLAN *plan = NULL;
	AUTO_STATE s = {
		.pipes = { { -EBADF, -EBADF }, { -EBADF, -EBADF } }, .self = -EBADF, .root = -EBADF
	};
	pid_t foreground;
	int r;

	r = check_single_thread(err);
	if (r < 0)
		return r;
	r = look_around(opts, &s, err);
	if (r < 0)
		return r;
	r = run_plan_new(opts, &s.facts, &plan, err);
	if (r < 0)
		return r;
	s.plan = plan;
	r = tell_plan(plan, err);
	if (r < 0)
		return r;
	r = open_rootfs(opts, &s.root, err);
	if (r < 0)
		return r;
	r = block_signals(&s, err);
	if (r < 0)
		return r;
	foreground = tcgetpgrp(STDIN_FILENO);
	r = make_child(&s, err);
	if (r < 0)
		return r;
	r = map_ids(&s, err);
	if (r < 0)
		return r;
	r = read_report(&s, err);
	if (r < 0)
		return r;
	r = wait_for_program(&s, ret_status, err);
	restore_foreground(foreground);
	return r;
}
