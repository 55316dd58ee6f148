/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root file systems and squashfs files: each call that changes the disk fails once, and the process
 * dies before and after it. What was to be made is whole or not there; nothing else is left, or the
 * next call at the same place takes it away.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "modes.h"
#include "seam.h"

#define ROUND_SEC 240

/* What is made at `made`, below the place of the round. */
struct making {
	const char *name;
	const char *made;
	bool is_file;
	int (*run)(const struct world *w, const char *made, struct imbrex_error *err);
};

static const int64_t fixed_time = 86400;
/* In one thread and of one time, so that equal trees are equal files. */
static const struct imbrex_squashfs_opts squash = {
	.time_sec = &fixed_time,
	.processors = 1,
	.all_root = true,
};

static int run_import(const struct world *w, const char *made, struct imbrex_error *err)
{
	const struct imbrex_rootfs_opts opts = { .provenance = "test" };

	return imbrex_rootfs_import(world_source(w, "one"), made, &opts, NULL, err);
}

static int run_import_squashfs(const struct world *w, const char *made, struct imbrex_error *err)
{
	const struct imbrex_rootfs_opts opts = { .provenance = "test" };

	return imbrex_squashfs_import(
		world_source(w, "one"), made, world_path(w, "place"), &opts, &squash, NULL, err);
}

static int run_create(const struct world *w, const char *made, struct imbrex_error *err)
{
	return imbrex_squashfs_create(world_path(w, "tree"), made, &squash, err);
}

static int run_extract(const struct world *w, const char *made, struct imbrex_error *err)
{
	return imbrex_squashfs_extract(world_path(w, "tree.sqsh"), made, 1, err);
}

static const struct making makings[] = {
	{ "import", "made", false, run_import },
	{ "import-squashfs", "made.sqsh", true, run_import_squashfs },
	{ "squashfs-create", "made.sqsh", true, run_create },
	{ "squashfs-extract", "made", false, run_extract },
};

static const char *made_path(const struct world *w, const struct making *m)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "place/%s", m->made);
	return world_path(w, name);
}

static void clear_place(const struct world *w)
{
	world_remove(w, "place");
	if (mkdir(world_path(w, "place"), 0700) < 0)
		problem("mkdir: %s", strerror(errno));
}

/* A name in the place that is not `made`; "" if there is none. */
static void find_stray(const struct world *w, const char *made, char ret[256])
{
	DIR *d = opendir(world_path(w, "place"));
	const struct dirent *de;

	ret[0] = 0;
	while (d && (de = readdir(d)) != NULL) {
		if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, "..") &&
			!str_eq(de->d_name, made))
			(void)snprintf(ret, 256, "%s", de->d_name);
	}
	if (d)
		(void)closedir(d);
}

static void read_whole(const char *path, struct str *ret)
{
	char buf[65536];
	FILE *f = fopen(path, "re");
	size_t n;

	str_clear(ret);
	while (f && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		(void)!str_append(ret, buf, n);
	if (f)
		(void)fclose(f);
}

/* The bytes of what was made: of a directory, those of a file made of it. */
static void read_made(const struct world *w, const struct making *m, struct str *ret)
{
	struct imbrex_error err = { 0 };
	const char *file = made_path(w, m);

	if (!m->is_file) {
		(void)unlink(world_path(w, "compare.sqsh"));
		if (imbrex_squashfs_create(file, world_path(w, "compare.sqsh"), &squash, &err) < 0)
			problem("what was made cannot be read: %s", err.message);
		file = world_path(w, "compare.sqsh");
	}
	read_whole(file, ret);
}

static bool is_made(const struct world *w, const struct making *m)
{
	return access(made_path(w, m), F_OK) == 0;
}

static void expect_whole(const struct world *w, const struct making *m, const struct str *want)
{
	struct str have = STR_INIT(64 << 20);

	read_made(w, m, &have);
	if (have.len != want->len || memcmp(have.data, want->data, want->len) != 0)
		problem("what is there is not whole");
	str_done(&have);
}

/* Nothing disturbs any more: it works, and is all there is. */
static void expect_next_works(const struct world *w, const struct making *m, const struct str *want)
{
	struct imbrex_error err = { 0 };
	char stray[256];

	if (is_made(w, m)) {
		expect_whole(w, m, want);
		/* The next one makes something else; it cleans up all the same. */
		if (m->is_file ? unlink(made_path(w, m)) < 0
			       : imbrex_rootfs_remove(made_path(w, m), &err) < 0)
			problem("it cannot be removed: %s", err.message);
	}
	if (m->run(w, made_path(w, m), &err) < 0) {
		problem("the next try fails: %s", err.message);
		return;
	}
	expect_whole(w, m, want);
	if (imbrex_rootfs_recover(world_path(w, "place"), &err) < 0)
		problem("recovery fails: %s", err.message);
	find_stray(w, m->made, stray);
	if (stray[0])
		problem("'%s' is left behind", stray);
}

/* False when there are fewer than n calls. */
static bool fail_nth(const struct world *w, const struct making *m, const struct str *want,
	unsigned int n, int errnum)
{
	const struct seam_plan plan = { .action = SEAM_FAIL, .n = n, .errnum = errnum };
	unsigned int n_fds = count_fds();
	struct imbrex_error err = { 0 };
	const char *call;
	int r;

	clear_place(w);
	(void)alarm(ROUND_SEC);
	seam_arm(&plan);
	r = m->run(w, made_path(w, m), &err);
	(void)seam_disarm();
	call = seam_failed();
	context("%s: %s of call %u, %s()", m->name, strerrorname_np(errnum), n,
		call ? call : "none");
	if (r < 0)
		expect_message(r, &err);
	if (r < 0 && getenv("IMBREX_FAULT_VERBOSE"))
		printf("%s(): %s: %s\n", call, m->name, err.message);
	if (!call) {
		if (r < 0)
			problem("nothing failed but the call: %s", err.message);
		return false;
	}
	if (r == 0 && !is_made(w, m))
		problem("it said that it worked, and nothing is there");
	expect_next_works(w, m, want);
	if (count_fds() != n_fds)
		problem("%u open files, not %u", count_fds(), n_fds);
	return true;
}

static void die_at(const struct world *w, const struct making *m, const struct str *want,
	enum seam_action action, unsigned int n)
{
	const struct seam_plan plan = { .action = action, .n = n };
	struct imbrex_error err = { 0 };
	int status = 0;
	pid_t pid;

	context("%s: death %s call %u", m->name, action == SEAM_BEFORE ? "before" : "after", n);
	clear_place(w);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)alarm(ROUND_SEC);
		seam_arm(&plan);
		_exit(m->run(w, made_path(w, m), &err) < 0 ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		problem("no process: %s", strerror(errno));
		return;
	}
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != SEAM_EXIT && WEXITSTATUS(status) != 0))
		problem("it ended with status %x", (unsigned int)status);
	(void)alarm(ROUND_SEC);
	expect_next_works(w, m, want);
	(void)alarm(0);
}

static void disturb(const struct world *w, const struct making *m)
{
	static const int errnums[] = { EIO, ENOSPC };
	const struct seam_plan count = { .action = SEAM_COUNT };
	struct str want = STR_INIT(64 << 20);
	struct imbrex_error err = { 0 };
	unsigned int n, n_calls;

	context("%s", m->name);
	clear_place(w);
	seam_arm(&count);
	if (m->run(w, made_path(w, m), &err) < 0)
		problem("undisturbed it fails: %s", err.message);
	n_calls = seam_disarm();
	read_made(w, m, &want);
	for (n = 1; fail_nth(w, m, &want, n, errnums[n % 2]); n += w->stride) {
		if (w->full)
			(void)fail_nth(w, m, &want, n, errnums[(n + 1) % 2]);
	}
	for (n = 1; n <= n_calls; n += w->stride) {
		die_at(w, m, &want, SEAM_BEFORE, n);
		if (w->full || n % 2)
			die_at(w, m, &want, SEAM_AFTER, n);
	}
	printf("%s: %u calls\n", m->name, n_calls);
	str_done(&want);
}

void test_rootfs(const struct world *w)
{
	struct imbrex_error err = { 0 };
	const char *only = getenv("IMBREX_FAULT_ONLY");
	size_t i;

	seam_skip_syncs(true);
	if (imbrex_rootfs_import(world_source(w, "two"), world_path(w, "tree"), NULL, NULL, &err) <
			0 ||
		imbrex_squashfs_create(
			world_path(w, "tree"), world_path(w, "tree.sqsh"), &squash, &err) < 0) {
		if (err.status == IMBREX_ENOTSUP)
			skip(err.message);
		problem("nothing to start from: %s", err.message);
		return;
	}
	for (i = 0; i < sizeof(makings) / sizeof(makings[0]); i++) {
		if (!only || strstr(makings[i].name, only))
			disturb(w, &makings[i]);
	}
}
