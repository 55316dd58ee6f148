/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of a layer under other owners is made again as it was made first: from its template, by
 * the driver, under no lock. What takes its place is a whole layer directory, whose name in l/ is a
 * new one (overlay); the round that follows tells so to the layers above, whose links are repaired.
 *
 * A copy that got content of its own since is no copy any more: its facts are not its template's,
 * and nothing but itself has it.
 */
#include <string.h>

#include "store/layer.h"
#include "store/mapped.h"
#include "store/newlayer.h"
#include "store/repair.h"
#include "store/temps.h"

static int refuse(struct imbrex_problem *p, struct imbrex_error *err, const char *why)
{
	return problem_set_action(p, err, "%s", why);
}

/* Was content of the layer found damaged in this round? */
static bool is_damaged(const struct repair *r, const char *id)
{
	size_t i;

	for (i = 0; i < r->c->found.n; i++) {
		const struct imbrex_problem *p = &r->c->found.items[i];

		if (p->object_kind == IMBREX_KIND_LAYER && str_eq(p->id, id) &&
			(p->kind == IMBREX_PROBLEM_LAYER_MISSING ||
				(p->kind >= IMBREX_PROBLEM_CONTENT_DIGEST &&
					p->kind <= IMBREX_PROBLEM_TARSPLIT_UNREADABLE)))
			return true;
	}
	return false;
}

/* The copy as it is to be. */
static int plan(const struct found *copy, const struct found *template, struct new_layer *l,
	struct imbrex_error *err)
{
	const struct record *rec = found_record(copy);
	AUTO_FREE char *id = record_text(rec, LAYER_ID);
	int r;

	if (!id)
		return fail_nomem(err);
	r = new_layer_set_id(l, id, err);
	if (r == 0)
		r = new_layer_set_template(l, template, err);
	if (r == 0 && maps_of_layer(rec, &l->maps) < 0)
		r = fail_nomem(err);
	l->place = rec->place;
	l->image = rec->place == PLACE_IMAGESTORE;
	return r;
}

/* 0: refused. */
static int may_be_made(struct repair *r, struct imbrex_problem *p, const struct found *copy,
	const struct found *template, const struct new_layer *l, struct imbrex_error *err)
{
	if (repair_in_use(r->s, p->id))
		return refuse(
			p, err, "in use: left alone; unmount what stands on it and try again");
	if (!record_same(found_record(copy), LAYER_DIFF_DIGEST, found_record(template),
		    LAYER_DIFF_DIGEST))
		return refuse(p, err,
			"a copy under other owners with content of its own, which nothing else "
			"has: remove it with what stands on it, the next container gets a new "
			"copy");
	if (template->read_only)
		return refuse(p, err,
			"what it is a copy of lies in a store that is only read: remove it with "
			"what stands on it, the next container gets owners of its own");
	if (is_damaged(r, l->below))
		return problem_set_action(p, err,
			"a copy under other owners of layer %s, which comes first: repair that "
			"one, --from SOURCE if its bytes are lost",
			l->below);
	return 1;
}

/* What is recorded of a copy is what is recorded of its template. */
static int record_size(struct repair *r, const struct found *copy, const struct found *template,
	struct imbrex_error *err)
{
	struct json_span raw = record_raw(found_record(template), LAYER_DIFF_SIZE);
	AUTO_FREE char *value = strndup(raw.len ? raw.at : "", raw.len);
	int e;

	if (!value)
		return fail_nomem(err);
	e = record_set(&copy->t->t, copy->index, LAYER_DIFF_SIZE, raw.len ? value : NULL, err);
	if (e < 0)
		return e;
	copy->t->dirty[found_record(copy)->place] = true;
	return store_save(r->s, copy->t, err);
}

/* The copy and what it was made of, as they are now; false if they are not what they were. */
static bool find_again(
	struct repair *r, const struct new_layer *l, struct found *copy, struct found *template)
{
	return repair_get(r, &layer_records, l->id, copy) &&
	       mapped_template(r->s, copy, template) &&
	       record_is(found_record(template), LAYER_ID, l->below) &&
	       record_same(found_record(copy), LAYER_DIFF_DIGEST, found_record(template),
		       LAYER_DIFF_DIGEST);
}

static int put_in_place(struct repair *r, struct imbrex_problem *p, struct store_temps *temps,
	struct new_layer *l, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct imbrex_error why = { 0 };
	struct found copy, template;
	int e;

	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (!find_again(r, l, &copy, &template))
		return refuse(p, err, "it was changed meanwhile");
	if (repair_in_use(r->s, p->id))
		return refuse(
			p, err, "in use: left alone; unmount what stands on it and try again");
	e = new_layer_publish(temps, l, &why);
	if (e == 0 && p->kind == IMBREX_PROBLEM_CONTENT_SIZE)
		e = record_size(r, &copy, &template, &why);
	if (e == IMBREX_ENOMEM)
		return fail_nomem(err);
	return e < 0 ? refuse(p, err, why.message) : 1;
}

static int make_again(
	struct repair *r, struct imbrex_problem *p, struct new_layer *l, struct imbrex_error *err)
{
	struct store_temps temps;
	struct imbrex_error why = { 0 };
	int e;

	e = store_temps_open(r->s, &temps, err);
	if (e < 0)
		return e;
	e = new_layer_stage(&temps, l, NULL, &why);
	if (e == IMBREX_ENOMEM)
		e = fail_nomem(err);
	else if (e < 0)
		e = refuse(p, err, why.message);
	else
		e = put_in_place(r, p, &temps, l, err);
	/* Before the directory that it lies in. */
	driver_stage_free(take_ptr(l->stage));
	store_temps_close(&temps);
	return e;
}

int repair_copy(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_NEW_LAYER l = NEW_LAYER_INIT;
	struct found copy, template;
	int e;

	{
		AUTO_HOLD hold = HOLD_NONE;

		e = store_hold(r->s, HOLD_READ_ALL, &hold, err);
		if (e < 0)
			return e;
		if (!repair_get(r, &layer_records, p->id, &copy) ||
			!mapped_template(r->s, &copy, &template))
			return REPAIR_NO_COPY;
		e = plan(&copy, &template, &l, err);
		if (e == 0)
			e = may_be_made(r, p, &copy, &template, &l, err);
	}
	if (e <= 0)
		return e;
	e = problem_set_action(
		p, err, "make it again from layer %s, of which it is a copy", l.below);
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	return make_again(r, p, &l, err);
}
