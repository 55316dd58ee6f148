/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables: a damaged file is kept under another name, and what could be read of it takes its place.
 * The book of mounts, which the kernel knows better.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/str.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mountinfo.h"
#include "store/garbage.h"
#include "store/layer.h"
#include "store/repair.h"

/* The table and the place that a problem of a file is about. */
static struct store_table *find_file(
	struct imbrex_store *s, const struct imbrex_problem *p, int *ret_place)
{
	struct store_table *const tables[] = { &s->layers, &s->images, &s->containers };
	size_t i;
	int place;

	for (i = 0; i < ARRAY_LEN(tables); i++) {
		for (place = 0; place < N_PLACES; place++) {
			AUTO_FREE char *file = NULL;

			if (!tables[i]->places[place].file)
				continue;
			file = table_file(tables[i], place);
			if (!file || !str_eq(file, p->object))
				continue;
			*ret_place = place;
			return tables[i];
		}
	}
	return NULL;
}

/* A second name for the file as it is; the new one gets the old name. */
static int keep_copy(struct repair *r, struct store_table *t, int place, struct imbrex_problem *p,
	struct imbrex_error *err)
{
	const struct table_place *at = &t->places[place];
	struct timespec now;
	AUTO_FREE char *copy = NULL;

	now_realtime(&now);
	copy = format_text("%s.damaged-%lld", at->file, (long long)now.tv_sec);
	if (!copy)
		return fail_nomem(err);
	if (linkat(at->dirfd, at->file, at->dirfd, copy, 0) < 0 && errno != EEXIST)
		return fail_errno(err, "keep a copy of '%s/%s'", t->dir, at->file);
	/* Before its old name is gone. */
	if (!r->s->ordered && sync_dir(at->dirfd) < 0)
		return fail_errno(err, "sync '%s'", t->dir);
	return problem_set_action(
		p, err, "what can be read was saved, the damaged file is %s/%s", t->dir, copy);
}

static void forget_damage(struct store_table *t)
{
	int place;

	for (place = 0; place < N_PLACES; place++) {
		free(take_ptr(t->damage[place].why));
		if (t->places[place].file)
			t->dirty[place] = t->dirty[place] || table_is_emptied(t, place);
	}
}

static int save_whole(struct repair *r, struct store_table *t, int place, struct imbrex_error *err)
{
	forget_damage(t);
	t->dirty[place] = true;
	return store_save(r->s, t, err);
}

int repair_table(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct store_table *t;
	int place;
	int e;

	e = problem_set_action(p, err,
		"keep a copy of it, save what can be read, and make again what can be made again");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	t = find_file(r->s, p, &place);
	if (!t || !(t->damage[place].why || table_is_emptied(t, place)))
		return 1;
	if (table_damage(&r->s->layers, NULL) && t != &r->s->layers)
		return 1; /* what stands on layers comes after them, in the next round */
	e = keep_copy(r, t, place, p, err);
	if (e == 0 && t == &r->s->images)
		e = repair_lost_images(r, err);
	if (e == 0 && t == &r->s->containers)
		e = repair_lost_containers(r, err);
	if (e == 0)
		e = save_whole(r, t, place, err);
	return e < 0 ? e : 1;
}

/* An element that is no record stays where it is, unless it is not wanted. */
int repair_aside(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct store_table *t;
	int place;
	int e;

	if (!r->opts->force)
		return problem_set_action(
			p, err, "kept as it is: nobody knows what it was; --force takes it out");
	e = problem_set_action(p, err, "take it out, and keep a copy of the file");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	t = find_file(r->s, p, &place);
	if (!t || !t->t.aside[place].n)
		return 1;
	e = keep_copy(r, t, place, p, err);
	if (e < 0)
		return e;
	strv_done(&t->t.aside[place]);
	t->dirty[place] = true;
	e = store_save(r->s, t, err);
	return e < 0 ? e : 1;
}

/* ---- twice ----------------------------------------------------------------------------- */

/* Of records with one id the first counts for everybody; nothing of theirs is thrown away. */
static void drop_later(struct store_table *t, const char *id)
{
	ptrdiff_t first = table_find_id(&t->t, id, strlen(id));
	ptrdiff_t i;

	for (i = table_next(&t->t, first); first >= 0 && i >= 0; i = table_next(&t->t, i)) {
		if (!record_is(table_at(&t->t, (size_t)i), RECORD_ID, id))
			continue;
		t->dirty[table_at(&t->t, (size_t)i)->place] = true;
		table_remove(&t->t, (size_t)i);
	}
}

/* The last record that has a name keeps it, as peers have it. */
static int take_name(struct store_table *t, const char *name, struct imbrex_error *err)
{
	bool kept = false;
	ptrdiff_t i;
	int e = 0;

	for (i = table_prev(&t->t, (ptrdiff_t)table_slots(&t->t)); e == 0 && i >= 0;
		i = table_prev(&t->t, i)) {
		struct record *rec = table_at(&t->t, (size_t)i);
		AUTO_STRV names = { 0 };

		if (!record_list_has(rec, RECORD_NAMES, name))
			continue;
		if (!kept) {
			kept = true;
			continue;
		}
		if (record_list(rec, RECORD_NAMES, &names) < 0)
			return fail_nomem(err);
		strv_remove(&names, (size_t)strv_find(&names, name));
		t->dirty[rec->place] = true;
		e = record_set_list(&t->t, (size_t)i, RECORD_NAMES, &names, err);
	}
	return e;
}

static int drop_twice(
	struct store_table *t, const struct imbrex_problem *p, struct imbrex_error *err)
{
	int place;

	if (*p->about)
		return take_name(t, p->about, err);
	if (*p->id) {
		drop_later(t, p->id);
		return 0;
	}
	/* What was passed over when the files were read is not written again. */
	for (place = 0; place < N_PLACES; place++)
		t->dirty[place] = t->places[place].file && t->places[place].mtime.tv_sec;
	return 0;
}

int repair_twice(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct store_table *t;
	int place;
	int e;

	e = problem_set_action(p, err,
		*p->about ? "leave the name to the last that has it" : "keep the first record");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	t = p->object_kind == IMBREX_KIND_LAYER       ? &r->s->layers
	    : p->object_kind == IMBREX_KIND_IMAGE     ? &r->s->images
	    : p->object_kind == IMBREX_KIND_CONTAINER ? &r->s->containers
						      : find_file(r->s, p, &place);
	if (!t)
		return 1;
	e = drop_twice(t, p, err);
	if (e == 0)
		e = store_save(r->s, t, err);
	return e < 0 ? e : 1;
}

/* ---- mounts ---------------------------------------------------------------------------- */

/* What is mounted in the directory of a layer counts once. */
static int count_mounts(struct imbrex_store *s, struct imbrex_error *err)
{
	struct table *t = &s->layers.t;
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	ptrdiff_t i;
	size_t k;
	int e;

	e = mountinfo_read(&m, err);
	for (i = table_next(t, -1); e == 0 && i >= 0; i = table_next(t, i)) {
		AUTO_FREE char *id = record_text(table_at(t, (size_t)i), LAYER_ID);
		AUTO_FREE char *tail = id ? format_text("/%s/merged", id) : NULL;

		if (!tail)
			return fail_nomem(err);
		for (k = 0; e == 0 && k < m.n; k++) {
			if (str_ends(m.entries[k].target, tail))
				e = store_mount_set(s, id, m.entries[k].target, 1, err);
		}
	}
	return e;
}

int repair_mounts(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_FREE char *file = format_text("%s/mountpoints.json", r->s->run_layers_dir);
	AUTO_HOLD hold = HOLD_NONE;
	const struct mount_record *m;
	size_t i;
	int e;

	e = problem_set_action(p, err, "count what is mounted");
	if (!file || e < 0 || r->dry)
		return !file ? fail_nomem(err) : e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (store_mounts_load(r->s, NULL) < 0) {
		if (unlinkat(r->s->runfd, file, 0) < 0 && errno != ENOENT)
			return fail_errno(err, "remove '%s'", file);
		e = count_mounts(r->s, err);
		return e < 0 ? e : 1;
	}
	for (i = 0; e == 0 && i < r->s->n_mounts; i++) {
		m = &r->s->mounts[i];
		if (!str_eq(m->path, p->about) || (*p->id && store_mount_is_real(r->s, m)))
			continue;
		e = store_mount_set(r->s, m->id, m->path, 0, err);
		break;
	}
	return e < 0 ? e : 1;
}
