/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could not be saved, removed on demand: images whose layers or documents are lost, then
 * layers; containers only by force. What is mounted stays.
 */
#include <string.h>

#include "store/container.h"
#include "store/image.h"
#include "store/layer.h"
#include "store/removal.h"
#include "store/repair.h"

static bool stands_on(struct imbrex_store *s, const char *top, const char *layer)
{
	struct layer_walk w;

	if (str_eq(top, layer))
		return true;
	layer_walk(s, (struct json_span){ .at = top, .len = strlen(top) }, &w);
	for (; w.more; layer_walk_next(s, &w)) {
		if (record_is(found_record(&w.at), LAYER_ID, layer))
			return true;
	}
	return false;
}

/* ---- what depends on something that is lost -------------------------------------------- */

struct loss {
	struct strv layers;     /* damaged; in the order of the report */
	struct strv images;     /* damaged, or standing on a damaged layer */
	struct strv containers; /* likewise, or of a damaged image */
	struct strv told;       /* layers that are kept by what could not be removed */
};

static void loss_done(struct loss *l)
{
	strv_done(&l->layers);
	strv_done(&l->images);
	strv_done(&l->containers);
	strv_done(&l->told);
}
#define AUTO_LOSS __attribute__((cleanup(loss_done))) struct loss

static int note(struct strv *list, const char *id)
{
	return strv_has(list, id) ? 0 : strv_add(list, id);
}

static bool counts(const struct imbrex_problem *p)
{
	return !p->read_only && *p->id && p->kind != IMBREX_PROBLEM_LAYER_UNACCOUNTED &&
	       p->kind != IMBREX_PROBLEM_LAYER_UNREFERENCED && p->kind != IMBREX_PROBLEM_MOUNTS;
}

static int note_problems(const struct findings *f, struct loss *l)
{
	size_t i;
	int e = 0;

	for (i = 0; e == 0 && i < f->n; i++) {
		const struct imbrex_problem *p = &f->items[i];

		if (!counts(p))
			continue;
		e = note(p->object_kind == IMBREX_KIND_LAYER   ? &l->layers
			 : p->object_kind == IMBREX_KIND_IMAGE ? &l->images
							       : &l->containers,
			p->id);
	}
	return e;
}

/* Records of a kind whose layer stands on what is lost. */
static int note_above(
	struct imbrex_store *s, struct store_table *t, int field, struct loss *l, struct strv *ret)
{
	ptrdiff_t i;
	size_t k;
	int e = 0;

	for (i = table_next(&t->t, -1); e == 0 && i >= 0; i = table_next(&t->t, i)) {
		AUTO_FREE char *id = record_text(table_at(&t->t, (size_t)i), RECORD_ID);
		AUTO_FREE char *top = record_text(table_at(&t->t, (size_t)i), field);

		if (!id || !top)
			return -ENOMEM;
		for (k = 0; e == 0 && k < l->layers.n; k++) {
			if (stands_on(s, top, l->layers.items[k]))
				e = note(ret, id);
		}
	}
	return e;
}

static int find_loss(struct repair *r, struct loss *l)
{
	int e;

	e = note_problems(&r->c->found, l);
	if (e == 0)
		e = note_above(r->s, &r->s->images, IMAGE_LAYER, l, &l->images);
	if (e == 0)
		e = note_above(r->s, &r->s->containers, CONTAINER_LAYER, l, &l->containers);
	return e;
}

/* ---- removing -------------------------------------------------------------------------- */

static int say(struct repair *r, const char *id, struct imbrex_error *err, const char *what)
{
	size_t i;
	int e = 0;

	for (i = 0; e == 0 && i < r->c->found.n; i++) {
		if (str_eq(r->c->found.items[i].id, id))
			e = problem_set_action(&r->c->found.items[i], err, "%s", what);
	}
	return e;
}

static int remove_container(struct repair *r, const char *id, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	AUTO_FREE char *layer = NULL;
	struct found f;
	int e;

	if (!repair_get(r, &container_records, id, &f))
		return 0;
	layer = record_text(found_record(&f), CONTAINER_LAYER);
	if (!layer)
		return fail_nomem(err);
	if (*layer && repair_in_use(r->s, layer))
		return say(r, id, err, "in use: left alone");
	e = container_drop(r->s, f.index, true, &why);
	if (e == 0)
		e = removal_save(r->s, &why);
	return say(r, id, err, e < 0 ? why.message : "removed");
}

static bool is_of_container(struct repair *r, const char *image)
{
	struct table *t = &r->s->containers.t;
	ptrdiff_t i;

	for (i = table_next(t, -1); i >= 0; i = table_next(t, i)) {
		if (record_is(table_at(t, (size_t)i), CONTAINER_IMAGE, image))
			return true;
	}
	return false;
}

/* An image stays, and with it the layers whose damage is why it was to go. */
static int say_kept(struct repair *r, struct loss *l, const char *image, const struct strv *layers,
	const char *why, struct imbrex_error *err)
{
	size_t i;
	int e;

	e = say(r, image, err, why);
	for (i = 0; e == 0 && i < l->layers.n; i++) {
		if (!strv_has(layers, l->layers.items[i]))
			continue;
		e = say(r, l->layers.items[i], err, why);
		if (e == 0 && note(&l->told, l->layers.items[i]) < 0)
			e = fail_nomem(err);
	}
	return e;
}

static int remove_image(struct repair *r, struct loss *l, const char *id, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	AUTO_FREE char *top = NULL;
	AUTO_STRV layers = { 0 };
	struct found f;
	int e;

	if (!repair_get(r, &image_records, id, &f))
		return 0;
	if (is_of_container(r, id))
		return say(r, id, err,
			"a container uses it: it is removed by force only, with the container");
	top = record_text(found_record(&f), IMAGE_LAYER);
	if (!top || removal_plan(r->s, &f, &layers) < 0)
		return fail_nomem(err);
	if (*top && repair_in_use(r->s, top))
		return say(r, id, err, "in use: left alone");
	e = removal_drop(r->s, &f, &layers, &why);
	if (e == 0)
		e = removal_save(r->s, &why);
	return e < 0 ? say_kept(r, l, id, &layers, why.message, err) : say(r, id, err, "removed");
}

static int remove_layer(
	struct repair *r, const struct loss *l, const char *id, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	struct found f;
	int e;

	if (strv_has(&l->told, id) || !repair_get(r, &layer_records, id, &f))
		return 0;
	if (layer_has_children(r->s, id) || layer_is_used(r->s, id))
		return say(r, id, err, "something needs it: left alone");
	if (repair_in_use(r->s, id))
		return say(r, id, err, "in use: left alone");
	e = layer_drop(r->s, id, &why);
	if (e == 0)
		e = store_save(r->s, &r->s->layers, &why);
	return say(r, id, err, e < 0 ? why.message : "removed");
}

int repair_remove(struct repair *r, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_LOSS loss = { 0 };
	size_t i;
	int e;

	e = store_hold(r->s, HOLD_WRITE_ALL, &hold, err);
	if (e < 0)
		return e;
	if (find_loss(r, &loss) < 0)
		return fail_nomem(err);
	for (i = 0; e == 0 && r->opts->force && i < loss.containers.n; i++)
		e = remove_container(r, loss.containers.items[i], err);
	for (i = 0; e == 0 && i < loss.images.n; i++)
		e = remove_image(r, &loss, loss.images.items[i], err);
	/* Children come after their parents in the table, and go before them. */
	for (i = loss.layers.n; e == 0 && i-- > 0;)
		e = remove_layer(r, &loss, loss.layers.items[i], err);
	return e;
}
