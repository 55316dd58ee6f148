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

#include "modes.h"
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
}
