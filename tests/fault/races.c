/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processes on one store at once, a bounded number of times. Whatever the order, check is
 * clean afterwards and every layer that an image needs is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "content.h"
#include "modes.h"
#include "operations.h"
#include "seam.h"

#define N_WORKERS_MAX 4
#define WORKER_SEC    600

/* A worker's job: 0, or a status that is no accident of the race. */
typedef int (*worker)(const struct world *w, struct imbrex_store *s, unsigned int index,
	struct imbrex_error *err);

static int pull(
	const struct world *w, struct imbrex_store *s, const char *tag, struct imbrex_error *err)
{
	const struct imbrex_pull_opts opts = { .jobs = 2, .name = tag };
	char *id = NULL;
	int r;

	r = imbrex_pull(s, world_source(w, tag), &opts, &id, err);
	free(id);
	return r;
}

static int work_pull(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	return pull(w, s, "one", err);
}

static int work_siblings(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	return pull(w, s, index % 2 ? "one" : "two", err);
}

/* Odd workers take away what even ones bring. */
static int work_remove(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	const char *tag = index < 2 ? "one" : "two";
	struct imbrex_removed removed = { 0 };
	int r;

	if (index % 2 == 0)
		return pull(w, s, tag, err);
	r = imbrex_image_remove(s, tag, false, &removed, err);
	imbrex_removed_done(&removed);
	return r == IMBREX_ENOENT ? 0 : r;
}

static int work_create(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	struct imbrex_removed removed = { 0 };
	char *id = NULL;
	int r;

	if (index == 0)
		return pull(w, s, "one", err);
	if (index % 2) {
		r = imbrex_container_create(s, "one", NULL, &id, err);
		if (r == 0)
			r = imbrex_container_remove(s, id, false, err);
		free(id);
	} else {
		r = imbrex_image_remove(s, "one", false, &removed, err);
		imbrex_removed_done(&removed);
	}
	/* Lost the race: the image is not there, has lost its layers, or is in use. */
	return r == IMBREX_ENOENT || r == IMBREX_EBUSY ? 0 : r;
}

/* Lost to another worker, which is no accident. */
static int lost(int r)
{
	return r == IMBREX_ENOENT || r == IMBREX_EBUSY || r == IMBREX_EEXIST ? 0 : r;
}

/* Layers that come and go, a name that all want, and what is kept with a layer of all. */
static int work_objects(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	const char *const shared[] = { "shared", NULL };
	char *id = NULL;
	int r;

	r = imbrex_layer_create(s, NULL, NULL, &id, err);
	if (r == 0)
		r = lost(imbrex_names_change(
			s, id, IMBREX_KIND_LAYER, IMBREX_NAMES_ADD, shared, err));
	if (r == 0)
		r = lost(imbrex_metadata_set(s, "fresh", IMBREX_KIND_LAYER, id, err));
	if (r == 0)
		r = lost(imbrex_data_set(s, IMBREX_KIND_LAYER, "fresh", id, id, strlen(id), err));
	if (r == 0 && index % 2)
		r = lost(content_apply_dir(w, s, err));
	if (r == 0 && index % 2 == 0)
		r = lost(content_copy_in(w, s, err));
	if (r == 0)
		r = lost(imbrex_object_delete(s, id, IMBREX_KIND_LAYER, NULL, NULL, err));
	free(id);
	return r;
}

/* Whoever comes first makes the copy that all stand on. */
static int work_mapped(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	static const struct imbrex_id_map ids[] = { { 0, 100000, 65536 } };
	const struct imbrex_container_opts opts = {
		.maps = { .uids = ids, .n_uids = 1, .gids = ids, .n_gids = 1 }
	};
	char *id = NULL;
	int r;

	r = imbrex_container_create(s, "one", &opts, &id, err);
	if (r == 0)
		r = imbrex_container_remove(s, id, false, err);
	free(id);
	return lost(r);
}

static int work_apply_to_copy(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	return lost(content_apply_to_copy(w, s, err));
}

/* All mend the same damage. What one has mended another may find gone, or in use. */
static int work_repair(
	const struct world *w, struct imbrex_store *s, unsigned int index, struct imbrex_error *err)
{
	const struct imbrex_check_opts opts = { .repair = true };
	struct imbrex_problem *found = NULL;
	size_t n = 0;
	int r;

	r = imbrex_check(s, &opts, &found, &n, err);
	imbrex_problems_free(found, n);
	return r;
}

static void start(const struct world *w, const char *name, worker job, unsigned int rounds,
	unsigned int index, int ready)
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;
	unsigned int i;
	char byte;
	int r;

	(void)alarm(WORKER_SEC);
	r = store_open_in(w, name, &s, &err);
	/* The end of the pipe is the start of the race. */
	(void)!read(ready, &byte, 1);
	for (i = 0; r == 0 && i < rounds; i++) {
		err = (struct imbrex_error){ 0 };
		r = job(w, s, index, &err);
	}
	if (r < 0) {
		printf("worker %u: %s\n", index, err.message);
		(void)fflush(stdout);
	}
	imbrex_store_close(s);
	_exit(r < 0 ? 1 : 0);
}

static void race(const struct world *w, const char *name, worker job, unsigned int n_workers,
	unsigned int rounds)
{
	pid_t pids[N_WORKERS_MAX];
	unsigned int i;
	int status;
	int ready[2];

	(void)fflush(stdout);
	if (pipe(ready) < 0)
		abort();
	for (i = 0; i < n_workers; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			(void)close(ready[1]);
			start(w, name, job, rounds, i, ready[0]);
		}
	}
	(void)close(ready[0]);
	(void)close(ready[1]);
	for (i = 0; i < n_workers; i++)
		if (pids[i] < 0 || waitpid(pids[i], &status, 0) != pids[i] || status)
			problem("worker %u ended with status %x", i, (unsigned int)status);
}

static void race_from(const struct world *w, const char *title, const char *from, worker job,
	unsigned int n_workers, unsigned int rounds, const char *like)
{
	struct imbrex_store *s;
	AUTO_STRV want = { 0 };
	AUTO_STRV is = { 0 };

	context("%s %s", w->driver, title);
	world_copy(w, from, "race");
	race(w, "race", job, n_workers, rounds);
	s = store_reopen(w, "race");
	if (!s)
		return;
	expect_clean(s, true);
	is = state_of(s);
	expect_collectable(w, s, "race");
	imbrex_store_close(s);
	if (!like)
		return;
	s = store_reopen(w, like);
	if (!s)
		return;
	want = state_of(s);
	imbrex_store_close(s);
	if (!state_equal(&want, &is)) {
		problem("the store is not what everybody wanted");
		state_print("wanted", &want);
		state_print("is", &is);
	}
}

static void damage_and_race(const struct world *w, const char *title, const char *from,
	int (*damage)(const struct world *w, struct imbrex_store *s, struct imbrex_error *err))
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s;

	context("%s %s", w->driver, title);
	world_copy(w, from, "damaged");
	s = store_reopen(w, "damaged");
	if (!s)
		return;
	if (damage(w, s, &err) < 0)
		problem("nothing was damaged: %s", err.message);
	imbrex_store_close(s);
	race_from(w, title, "damaged", work_repair, 3, 1, from);
}

/* ---- one process in the middle of another ---------------------------------------------- */

struct meddler {
	const struct world *w;
	int (*work)(const struct world *w, struct imbrex_store *s, struct imbrex_error *err);
	bool done;
};

static int bring_two(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return pull(w, s, "two", err);
}

static int take_two(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	struct imbrex_removed removed = { 0 };
	int r;

	r = imbrex_image_remove(s, "two", false, &removed, err);
	imbrex_removed_done(&removed);
	return r;
}

static int replace_two(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	int r = take_two(w, s, err);

	return r < 0 ? r : pull(w, s, "two", err);
}

/* Layers are staged and on disk, and not yet published: now. */
static void meddle(void *ctx, const struct seam_event *e)
{
	struct meddler *m = ctx;
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;
	int status = 0;
	pid_t pid;

	if (e->kind != SEAM_SYNC_FS || m->done)
		return;
	m->done = true;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)alarm(WORKER_SEC);
		if (store_open_in(m->w, "race", &s, &err) < 0 || m->work(m->w, s, &err) < 0) {
			printf("meddler: %s\n", err.message);
			(void)fflush(stdout);
			_exit(1);
		}
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		problem("the other process ended with status %x", (unsigned int)status);
}

/* Pull "one" while another process works on "two", which has the same base. */
static void pull_while(const struct world *w, const char *title, const char *from,
	int (*work)(const struct world *w, struct imbrex_store *s, struct imbrex_error *err))
{
	struct meddler m = { .w = w, .work = work };
	const struct seam_plan plan = { .action = SEAM_WATCH, .watch = meddle, .ctx = &m };
	struct imbrex_error err = { 0 };
	struct imbrex_store *s;

	context("%s pull while another process %s", w->driver, title);
	world_copy(w, from, "race");
	s = store_reopen(w, "race");
	if (!s)
		return;
	seam_arm(&plan);
	if (pull(w, s, "one", &err) < 0)
		problem("it fails: %s", err.message);
	(void)seam_disarm();
	if (!m.done)
		problem("there was no moment for it");
	expect_clean(s, false);
	imbrex_store_close(s);
}

void test_races(const struct world *w)
{
	const unsigned int times = w->full ? 40 : 4;
	unsigned int i;

	seam_skip_syncs(true);
	operations_prepare(w);
	pull_while(w, "brings the same base", "empty", bring_two);
	pull_while(w, "removes the base", "only two", take_two);
	pull_while(w, "replaces the base", "only two", replace_two);
	for (i = 0; i < times; i++) {
		race_from(w, "four pull the same", "empty", work_pull, 4, 1, "one");
		race_from(w, "four pull siblings", "empty", work_siblings, 4, 1, "two");
	}
	race_from(w, "pull and remove", "empty", work_remove, 4, times * 5, NULL);
	race_from(w, "create and remove", "one", work_create, 4, times * 5, NULL);
	race_from(w, "layers and what they keep", "layered", work_objects, 4, times * 2, NULL);
	race_from(w, "mapped containers", "one", work_mapped, 4, times * 2, "mapped");
	race_from(w, "apply to a copy", "mapped", work_apply_to_copy, 4, times * 2, NULL);
	damage_and_race(w, "repair content", "one", damage_file);
	damage_and_race(w, "repair a copy", "mapped", damage_copy);
	damage_and_race(w, "repair a document", "one", damage_document);
	damage_and_race(w, "repair a table", "box", damage_table);
	printf("%s: %u times\n", w->driver, times);
}
