/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounds of looking and mending, see the header. One damage hides another: a table that cannot be
 * read hides its records, a missing record hides a missing parent, a lost name hides those above.
 * So after a round that mended something everything is looked at again, content only of layers
 * that were touched; what is not found any more is what was repaired.
 */
#include "store/repair.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "os/mountinfo.h"
#include "store/container.h"
#include "store/garbage.h"
#include "store/layer.h"
#include "store/mapped.h"

/* Each round mends one depth of damage that hides other damage. */
#define ROUNDS_MAX 8

int repair_hold(struct repair *r, struct store_hold *ret, struct imbrex_error *err)
{
	return store_hold(r->s, HOLD_GRAPH | HOLD_WRITE_ALL | HOLD_DAMAGED, ret, err);
}

bool repair_get(struct repair *r, const struct record_type *type, const char *id, struct found *ret)
{
	return store_get(r->s, type, id, strlen(id), ret) && !ret->read_only;
}

static bool is_of_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* An id may be short, and part of other words: "la" of "overlay". */
static bool has_name(const char *text, const char *id)
{
	const size_t len = strlen(id);
	const char *at;

	for (at = strstr(text, id); len && at; at = strstr(at + 1, id)) {
		if ((at == text || !is_of_name(at[-1])) && !is_of_name(at[len]))
			return true;
	}
	return false;
}

/* A name of the layer in the options of any overlay that is mounted here. */
static bool is_mounted_here(const struct mountinfo *m, const char *id)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		if (has_name(m->entries[i].target, id) || has_name(m->entries[i].super_options, id))
			return true;
	}
	return false;
}

static bool is_in_use(struct imbrex_store *s, const struct mountinfo *m, const char *id)
{
	const struct mount_record *book = store_mount_find(s, id);

	if (book && (s->rootless || store_mount_is_real(s, book)))
		return true;
	return is_mounted_here(m, id);
}

bool repair_in_use(struct imbrex_store *s, const char *id)
{
	struct table *t = &s->layers.t;
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	ptrdiff_t i;

	/* What is not known is in use. */
	if (mountinfo_read(&m, NULL) < 0 || store_mounts_load(s, NULL) < 0)
		return true;
	for (i = table_next(t, -1); i >= 0; i = table_next(t, i)) {
		AUTO_FREE char *top = record_text(table_at(t, (size_t)i), LAYER_ID);
		struct layer_walk w;

		if (!top)
			return true;
		if (!is_in_use(s, &m, top))
			continue;
		layer_walk(s, (struct json_span){ .at = top, .len = strlen(top) }, &w);
		for (; w.more; layer_walk_next(s, &w)) {
			if (record_is(found_record(&w.at), LAYER_ID, id))
				return true;
		}
	}
	return false;
}

/* ---- one problem ----------------------------------------------------------------------- */

static int refuse(struct imbrex_problem *p, struct imbrex_error *err, const char *why)
{
	int r = problem_set_action(p, err, "%s", why);

	return r < 0 ? r : 0;
}

/* By the driver, which is told what the layer stands on if that is known for sure: a copy's
 * template by the image that lists it, and the parent of a container's layer, which is never a
 * copy. */
static int make_names(struct repair *r, const struct found *f, struct imbrex_error *err)
{
	struct driver *d = r->s->driver;
	AUTO_FREE char *id = record_text(found_record(f), LAYER_ID);
	AUTO_FREE char *below = mapped_below(r->s, f);
	struct found other;
	bool is_sure;

	if (!id || !below)
		return fail_nomem(err);
	is_sure = mapped_template(r->s, f, &other) || container_by_layer(r->s, id, &other);
	return is_sure && *below && d->ops->repair_mapped
		       ? d->ops->repair_mapped(d, id, below, err)
		       : d->ops->repair(d, id, *below ? below : NULL, err);
}

/* Names and directories of one layer. */
static int repair_names(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct imbrex_error why = { 0 };
	struct found f;
	int e;

	e = problem_set_action(p, err, "make its links and directories again");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(r, &layer_records, p->id, &f))
		return 1;
	e = make_names(r, &f, &why);
	if (e == IMBREX_ENOMEM)
		return fail_nomem(err);
	if (e < 0)
		return refuse(p, err, why.message);
	return 1;
}

/* A directory of the store itself, or of a layer. */
static int repair_directory(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	struct stat st;
	int e;

	if (*p->id)
		return repair_names(r, p, err);
	e = problem_set_action(p, err, "take the right to change it from others");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	if (fstatat(r->s->graphfd, p->about, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISDIR(st.st_mode) ||
		fchmodat(r->s->graphfd, p->about, st.st_mode & 07755, 0) < 0) {
		(void)fail_errno(&why, "set its mode");
		return refuse(p, err, why.message);
	}
	return 1;
}

/* Holding the layers exclusively is what removes it. */
static int repair_incomplete(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	int e = problem_set_action(p, err, "remove it");

	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	return e < 0 ? e : 1;
}

static int repair_container(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	if (p->kind == IMBREX_PROBLEM_CONTAINER_LAYER_MISSING)
		return repair_adopt(r, p, p->about, err);
	if (p->kind == IMBREX_PROBLEM_CONTAINER_IMAGE_MISSING)
		return repair_lost_image(r, p, err);
	return refuse(p, err, "only who stored it has it; the container can be removed by force");
}

static int repair_one(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	if (p->read_only)
		return refuse(p, err, "it lies in a store that is only read: repair it there");
	switch (p->kind) {
	case IMBREX_PROBLEM_TABLE_UNREADABLE:
		return repair_table(r, p, err);
	case IMBREX_PROBLEM_RECORD_UNREADABLE:
		return *p->id ? repair_record(r, p, err) : repair_aside(r, p, err);
	case IMBREX_PROBLEM_RECORD_TWICE:
		return repair_twice(r, p, err);
	case IMBREX_PROBLEM_MOUNTS:
		return repair_mounts(r, p, err);
	case IMBREX_PROBLEM_LAYER_INCOMPLETE:
		return repair_incomplete(r, p, err);
	case IMBREX_PROBLEM_PARENT_MISSING:
	case IMBREX_PROBLEM_IMAGE_LAYER_MISSING:
		return repair_adopt(r, p, p->about, err);
	case IMBREX_PROBLEM_PARENT_LOOP:
		return repair_parent(r, p, err);
	case IMBREX_PROBLEM_LINK:
		return repair_names(r, p, err);
	case IMBREX_PROBLEM_DIRECTORY:
		return repair_directory(r, p, err);
	case IMBREX_PROBLEM_LAYER_DATA_MISSING:
		return repair_layer_data(r, p, err);
	case IMBREX_PROBLEM_LAYER_MISSING:
	case IMBREX_PROBLEM_CONTENT_DIGEST:
	case IMBREX_PROBLEM_CONTENT_SIZE:
	case IMBREX_PROBLEM_CONTENT_MODIFIED:
	case IMBREX_PROBLEM_CONTENT_MISSING:
	case IMBREX_PROBLEM_TARSPLIT_MISSING:
	case IMBREX_PROBLEM_TARSPLIT_UNREADABLE:
		return repair_layer(r, p, err);
	case IMBREX_PROBLEM_IMAGE_DATA_MISSING:
	case IMBREX_PROBLEM_IMAGE_DATA_SIZE:
	case IMBREX_PROBLEM_IMAGE_DATA_DIGEST:
		return repair_document(r, p, err);
	case IMBREX_PROBLEM_CONTAINER_IMAGE_MISSING:
	case IMBREX_PROBLEM_CONTAINER_LAYER_MISSING:
	case IMBREX_PROBLEM_CONTAINER_DATA_MISSING:
	case IMBREX_PROBLEM_CONTAINER_DATA_SIZE:
	case IMBREX_PROBLEM_CONTAINER_DATA_DIGEST:
		return repair_container(r, p, err);
	case IMBREX_PROBLEM_LAYER_UNACCOUNTED:
	case IMBREX_PROBLEM_LAYER_UNREFERENCED:
	case IMBREX_PROBLEM_LEFTOVER:
	case IMBREX_PROBLEM_OTHER:
	case IMBREX_PROBLEM_N:
		break;
	}
	return 0; /* garbage is collected at the end of the round */
}

/* ---- one round ------------------------------------------------------------------------- */

/* What others depend on comes first. */
static int rank_of(const struct imbrex_problem *p)
{
	switch (p->kind) {
	case IMBREX_PROBLEM_TABLE_UNREADABLE:
		return 0;
	case IMBREX_PROBLEM_RECORD_UNREADABLE:
	case IMBREX_PROBLEM_RECORD_TWICE:
	case IMBREX_PROBLEM_MOUNTS:
	case IMBREX_PROBLEM_PARENT_LOOP:
		return 1;
	case IMBREX_PROBLEM_PARENT_MISSING:
	case IMBREX_PROBLEM_IMAGE_LAYER_MISSING:
	case IMBREX_PROBLEM_CONTAINER_LAYER_MISSING:
		return 2;
	case IMBREX_PROBLEM_LINK:
	case IMBREX_PROBLEM_DIRECTORY:
		return 3;
	default:
		return 4;
	}
}

struct turn {
	struct imbrex_problem *p;
	int rank;
	size_t depth; /* layers below it */
	size_t n;     /* as it came */
};

static int compare_turns(const void *a, const void *b)
{
	const struct turn *x = a;
	const struct turn *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static size_t depth_of(struct imbrex_store *s, const struct imbrex_problem *p)
{
	struct layer_walk w;

	if (p->object_kind != IMBREX_KIND_LAYER)
		return 0;
	layer_walk(s, (struct json_span){ .at = p->id, .len = strlen(p->id) }, &w);
	while (w.more)
		layer_walk_next(s, &w);
	return w.n;
}

/* Lowest layers first: what stands on them is made from them. */
static int take_turns(struct repair *r, struct turn **ret, struct imbrex_error *err)
{
	struct findings *f = &r->c->found;
	struct turn *turns = calloc(f->n + 1, sizeof(*turns));
	AUTO_HOLD hold = HOLD_NONE;
	size_t i;
	int e;

	if (!turns)
		return fail_nomem(err);
	e = store_hold(r->s, HOLD_LAYERS, &hold, err);
	if (e < 0) {
		free(turns);
		return e;
	}
	for (i = 0; i < f->n; i++)
		turns[i] = (struct turn){ .p = &f->items[i],
			.rank = rank_of(&f->items[i]),
			.depth = depth_of(r->s, &f->items[i]),
			.n = i };
	qsort(turns, f->n, sizeof(*turns), compare_turns);
	*ret = turns;
	return 0;
}

static int mend(struct repair *r, struct imbrex_error *err)
{
	AUTO_FREE struct turn *turns = NULL;
	size_t i;
	int e;

	e = take_turns(r, &turns, err);
	for (i = 0; e >= 0 && i < r->c->found.n; i++)
		e = repair_one(r, turns[i].p, err);
	return e < 0 ? e : 0;
}

static bool is_garbage(const struct imbrex_problem *p)
{
	return p->kind == IMBREX_PROBLEM_LAYER_UNACCOUNTED ||
	       p->kind == IMBREX_PROBLEM_LAYER_UNREFERENCED || p->kind == IMBREX_PROBLEM_LEFTOVER;
}

static int collect(struct repair *r, struct imbrex_error *err)
{
	const struct garbage_opts opts = { .collect = true, .max_age_sec = r->opts->max_age_sec };
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FINDINGS found = { 0 };
	bool any = false;
	size_t i;
	int e;

	for (i = 0; i < r->c->found.n; i++)
		any = any || is_garbage(&r->c->found.items[i]);
	if (!any)
		return 0;
	e = repair_hold(r, &hold, err);
	if (e == 0)
		e = garbage_find(r->s, &opts, &found, err);
	for (i = 0; e == 0 && i < found.n; i++) {
		ptrdiff_t at = findings_find(&r->c->found, &found.items[i]);

		if (at >= 0)
			e = problem_set_action(
				&r->c->found.items[at], err, "%s", found.items[i].action);
	}
	return e;
}

/* ---- all rounds ------------------------------------------------------------------------ */

static bool is_content(const struct imbrex_problem *p)
{
	return p->kind == IMBREX_PROBLEM_CONTENT_DIGEST || p->kind == IMBREX_PROBLEM_CONTENT_SIZE ||
	       p->kind == IMBREX_PROBLEM_CONTENT_MODIFIED ||
	       p->kind == IMBREX_PROBLEM_CONTENT_MISSING ||
	       p->kind == IMBREX_PROBLEM_TARSPLIT_UNREADABLE;
}

/* What a round found joins what was known; what it did not find any more is repaired. */
static int account(const struct repair *r, struct findings *all, struct findings *again,
	struct imbrex_error *err)
{
	AUTO_FINDINGS fresh = { 0 };
	size_t i;
	ptrdiff_t at;

	for (i = 0; i < all->n; i++) {
		struct imbrex_problem *p = &all->items[i];

		if (is_content(p) && !strv_has(&r->touched, p->id))
			continue;
		at = findings_find(again, p);
		p->repaired = at < 0;
	}
	for (i = 0; i < again->n; i++) {
		struct imbrex_problem *p = &again->items[i];

		if (findings_find(all, p) >= 0)
			continue;
		if (findings_copy(&fresh, p, err) < 0)
			return IMBREX_ENOMEM;
	}
	return findings_move(all, &fresh, err);
}

/* Words of the round that mended or refused last. */
static int copy_actions(
	struct findings *all, const struct findings *round, struct imbrex_error *err)
{
	size_t i;
	int e = 0;

	for (i = 0; e == 0 && i < round->n; i++) {
		ptrdiff_t at = findings_find(all, &round->items[i]);

		if (at >= 0 && *round->items[i].action)
			e = problem_set_action(&all->items[at], err, "%s", round->items[i].action);
	}
	return e;
}

/* The next round begins with what is found now. */
static int look_again(struct repair *r, struct findings *all, struct imbrex_error *err)
{
	struct check next = { .s = r->s, .opts = r->opts };
	int e;

	e = copy_actions(all, &r->c->found, err);
	if (e == 0)
		e = check_all(&next, &r->touched, err);
	if (e == 0)
		e = account(r, all, &next.found, err);
	check_done(r->c);
	*r->c = next;
	return e;
}

static size_t count_left(const struct findings *f)
{
	size_t i, n = 0;

	for (i = 0; i < f->n; i++)
		n += !f->items[i].repaired;
	return n;
}

static int mend_in_rounds(struct repair *r, struct findings *all, struct imbrex_error *err)
{
	bool removed = !r->opts->remove && !r->opts->force;
	int round;
	int e = 0;

	for (round = 0; e == 0 && round < ROUNDS_MAX && count_left(all); round++) {
		size_t left = count_left(all), known = all->n;

		e = mend(r, err);
		if (e == 0)
			e = collect(r, err);
		if (e == 0)
			e = look_again(r, all, err);
		if (e < 0 || count_left(all) < left || all->n > known)
			continue;
		if (removed)
			break;
		removed = true;
		left = count_left(all);
		e = repair_remove(r, err);
		if (e >= 0)
			e = look_again(r, all, err);
		/* Why not is the last word. */
		if (count_left(all) >= left)
			break;
	}
	return e;
}

int store_check(struct imbrex_store *s, const struct imbrex_check_opts *opts,
	const struct repair_source *source, struct findings *ret, struct imbrex_error *err)
{
	AUTO_CHECK c = { .s = s, .opts = opts };
	struct repair r = { .s = s, .opts = opts, .source = source, .c = &c };
	AUTO_FINDINGS all = { 0 };
	size_t i;
	int e;

	r.dry = !opts->repair || opts->dry_run;
	e = check_all(&c, NULL, err);
	if (e == 0 && r.dry)
		e = mend(&r, err);
	for (i = 0; e == 0 && i < c.found.n; i++)
		e = findings_copy(&all, &c.found.items[i], err);
	if (e == 0 && !r.dry)
		e = mend_in_rounds(&r, &all, err);
	strv_done(&r.touched);
	if (e < 0)
		return e;
	*ret = all;
	all = (struct findings){ 0 };
	return 0;
}
