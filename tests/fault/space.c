/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk is full, for real: a small tmpfs, of bytes or of inodes, at every size at which a pull
 * stops somewhere else. It says that there is no space and what it was writing; the store is as
 * before; and when there is room, the pull works.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "modes.h"
#include "operations.h"
#include "seam.h"

static int pull(
	const struct world *w, struct imbrex_store *s, const char *tag, struct imbrex_error *err)
{
	const struct imbrex_pull_opts opts = { .jobs = 1 };
	char *id = NULL;
	int r;

	r = imbrex_pull(s, world_source(w, tag), &opts, &id, err);
	free(id);
	return r;
}

/* Layers may have arrived, each of them whole; images may not. */
static void expect_unchanged(const struct strv *before, const struct strv *after)
{
	size_t i;

	for (i = 0; i < before->n; i++)
		if (strv_find(after, before->items[i]) < 0)
			problem("it is gone: %s", before->items[i]);
	for (i = 0; i < after->n; i++)
		if (strv_find(before, after->items[i]) < 0 &&
			strncmp(after->items[i], "layer ", strlen("layer ")) != 0)
			problem("it has come: %s", after->items[i]);
}

static bool mount_small(const struct world *w, const char *options)
{
	world_remove(w, "small");
	if (mkdir(world_path(w, "small"), 0700) < 0 ||
		mount("tmpfs", world_path(w, "small"), "tmpfs", 0, options) < 0)
		return false;
	return mkdir(world_path(w, "small/root"), 0700) == 0 &&
	       mkdir(world_path(w, "small/run"), 0700) == 0;
}

/* 1 there was no room, 0 there was, 77 the driver does not work here. */
static int pull_into(const struct world *w, const char *options, const char *more)
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;
	AUTO_STRV before = { 0 };
	AUTO_STRV after = { 0 };
	int r;

	context("%s, tmpfs of %s", w->driver, options);
	if (!mount_small(w, options))
		return 77;
	r = store_open_in(w, "small", &s, &err);
	if (r == IMBREX_ENOTSUP)
		return 77;
	if (r < 0) {
		expect_message(r, &err);
		return 1;
	}
	before = state_of(s);
	r = pull(w, s, "big", &err);
	imbrex_store_close(s);
	if (r == 0)
		return 0;
	if (getenv("IMBREX_FAULT_VERBOSE"))
		printf("%s: %s\n", options, err.message);
	expect_message(r, &err);
	if (r != IMBREX_ENOSPC || !strstr(err.message, strerror(ENOSPC)))
		problem("the message does not say that there is no space: %s", err.message);
	if (!strchr(err.message, '\'') && !strstr(err.message, "layer"))
		problem("the message does not say what for: %s", err.message);
	s = store_reopen(w, "small");
	if (!s)
		return 1;
	after = state_of(s);
	expect_unchanged(&before, &after);
	expect_clean(s, true);
	if (mount(NULL, world_path(w, "small"), NULL, MS_REMOUNT, more) < 0)
		problem("tmpfs does not grow: %s", strerror(errno));
	r = pull(w, s, "big", &err);
	if (r < 0)
		problem("the pull fails although there is room: %s", err.message);
	expect_clean(s, true);
	expect_collectable(w, s, "small");
	imbrex_store_close(s);
	return 1;
}

/* ---- the other operations -------------------------------------------------------------- */

/* What a store takes that is at rest, and so much more. */
static bool leave_room(const struct world *w, const char *what, unsigned int more)
{
	struct statvfs st;
	char options[96];

	if (statvfs(world_path(w, "small"), &st) < 0)
		return false;
	if (strcmp(what, "size") == 0)
		(void)snprintf(options, sizeof(options), "size=%lluk",
			(unsigned long long)(st.f_blocks - st.f_bfree) * st.f_frsize / 1024 + more);
	else
		(void)snprintf(options, sizeof(options), "nr_inodes=%llu",
			(unsigned long long)(st.f_files - st.f_ffree) + more);
	return mount(NULL, world_path(w, "small"), NULL, MS_REMOUNT, options) == 0;
}

/* 1 there was no room, 0 there was. */
static int run_in(const struct world *w, const struct operation *o, const struct outcome *outcome,
	const char *what, unsigned int more)
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s;
	int r;

	context("%s %s, %u more %s", w->driver, o->name, more, what);
	if (!mount_small(w, "size=64m,nr_inodes=99999"))
		return 0;
	s = operation_begin(w, o, "small/store");
	if (!s)
		return 0;
	if (!leave_room(w, what, more))
		problem("tmpfs does not shrink: %s", strerror(errno));
	r = operation_run(w, o, "small/store", &s, &err);
	imbrex_store_close(s);
	if (mount(NULL, world_path(w, "small"), NULL, MS_REMOUNT, "size=64m,nr_inodes=99999") < 0)
		problem("tmpfs does not grow: %s", strerror(errno));
	if (r < 0 && getenv("IMBREX_FAULT_VERBOSE"))
		printf("%s, %u %s: %s\n", o->name, more, what, err.message);
	if (r < 0) {
		expect_message(r, &err);
		if (!strstr(err.message, strerror(ENOSPC)))
			problem("the message does not say that there is no space: %s", err.message);
	}
	operation_recover(w, o, "small/store", outcome, r == 0);
	return r < 0;
}

/* From no room at all on, in steps, until it is enough. */
static unsigned int run_in_each(const struct world *w, const struct operation *o)
{
	struct outcome outcome = operation_outcome(w, o);
	const unsigned int step_kb = w->full ? 4 : 48;
	const unsigned int step_inodes = w->full ? 1 : 5;
	unsigned int rounds = 0;
	unsigned int n;

	for (n = 0; run_in(w, o, &outcome, "size", n); n += step_kb)
		rounds++;
	for (n = 0; run_in(w, o, &outcome, "inodes", n); n += step_inodes)
		rounds++;
	outcome_done(&outcome);
	return rounds;
}

/* Mounts need no room of the store, and opening and pulling are done above. */
static bool is_spacious(const struct operation *o)
{
	return o->from && !o->is_gc && operation_is_wanted(o) && !strstr(o->name, "mount") &&
	       strcmp(o->name, "pull") != 0 && strcmp(o->name, "shut down") != 0;
}

static void test_operations(const struct world *w)
{
	unsigned int rounds = 0;
	size_t i;

	operations_prepare(w);
	for (i = 0; i < n_operations; i++) {
		if (is_spacious(&operations[i]))
			rounds += run_in_each(w, &operations[i]);
	}
	printf("%s: %u times without room for an operation\n", w->driver, rounds);
}

void test_space(const struct world *w)
{
	const unsigned int step_kb = w->full ? 60 : 900;
	const unsigned int step_inodes = w->full ? 1 : 9;
	unsigned int rounds = 0;
	char options[64];
	unsigned int n;
	int r = 1;

	for (n = 64; r == 1; n += step_kb, rounds++) {
		(void)snprintf(options, sizeof(options), "size=%uk", n);
		r = pull_into(w, options, "size=64m");
	}
	if (r == 77 && rounds <= 1)
		skip("no tmpfs can be mounted, or the driver does not work on it");
	for (n = 12, r = 1; r == 1; n += step_inodes, rounds++) {
		(void)snprintf(options, sizeof(options), "nr_inodes=%u", n);
		r = pull_into(w, options, "nr_inodes=9999");
	}
	printf("%s: %u sizes\n", w->driver, rounds);
	test_operations(w);
}
