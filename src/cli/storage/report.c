/* SPDX-License-Identifier: Apache-2.0 */
/* Problems of layers climb the chains: layer -> image -> container. */
#include "cli/storage/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/map.h"
#include "base/str.h"

#define NONE SIZE_MAX

/* A layer while problems climb. */
struct rung {
	const struct imbrex_layer *layer; /* NULL: it has problems and no record */
	size_t first, last;               /* of its problems, linked by climb.next; NONE */
	size_t seen_by;                   /* the image that was here last */
};

struct climb {
	struct report *report;
	struct rung *rungs;
	size_t n_rungs;
	size_t *next;       /* of each problem: the next of its layer */
	struct map *layers; /* id -> struct rung */
	struct map *images; /* id -> its first line, as an index + 1 */
};

static void climb_done(struct climb *c)
{
	free(c->rungs);
	free(c->next);
	map_free(c->layers);
	map_free(c->images);
}
#define AUTO_CLIMB __attribute__((cleanup(climb_done))) struct climb

void report_done(struct report *r)
{
	imbrex_problems_free(r->problems, r->n_problems);
	free(r->lines);
	imbrex_layers_free(r->layers, r->n_layers);
	imbrex_images_free(r->images, r->n_images);
	imbrex_containers_free(r->containers, r->n_containers);
	free(r->image_is_read_only);
}

int report_look(struct imbrex_store *s, struct report *r, struct imbrex_error *err)
{
	size_t i;

	if (imbrex_layers_list(s, &r->layers, &r->n_layers, NULL) < 0 ||
		imbrex_images_list(s, &r->images, &r->n_images, NULL) < 0 ||
		imbrex_containers_list(s, &r->containers, &r->n_containers, NULL) < 0)
		return 0;
	r->image_is_read_only = calloc(r->n_images + 1, sizeof(bool));
	if (!r->image_is_read_only)
		return fail_nomem(err);
	for (i = 0; i < r->n_images; i++)
		r->image_is_read_only[i] =
			imbrex_object_is_read_only(s, r->images[i].id, IMBREX_KIND_IMAGE, NULL) > 0;
	return 0;
}

enum section report_section(const struct imbrex_problem *p)
{
	switch (p->object_kind) {
	case IMBREX_KIND_LAYER:
		return p->read_only ? SECTION_RO_LAYERS : SECTION_LAYERS;
	case IMBREX_KIND_IMAGE:
		return p->read_only ? SECTION_RO_IMAGES : SECTION_IMAGES;
	case IMBREX_KIND_CONTAINER:
		return SECTION_CONTAINERS;
	case IMBREX_KIND_ANY:
		break;
	}
	return SECTION_OTHER;
}

bool report_same_object(const struct report_line *a, const struct report_line *b)
{
	return a->section == b->section && str_eq(a->id, b->id);
}

static int add_line(struct report *r, enum section section, const char *id,
	const struct imbrex_problem *problem)
{
	size_t cap = r->cap ? r->cap * 2 : 64;
	struct report_line *grown;

	if (r->n == r->cap) {
		grown = reallocarray(r->lines, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		r->lines = grown;
		r->cap = cap;
	}
	r->lines[r->n++] = (struct report_line){
		.section = section, .id = id, .problem = problem, .next = NONE
	};
	return 0;
}

/* ---- layers -> images -------------------------------------------------------------------- */

static struct rung *rung_of(const struct climb *c, const char *id)
{
	void *found = NULL;

	return map_get(c->layers, id, strlen(id), &found) ? found : NULL;
}

static int add_rung(struct climb *c, const char *id, const struct imbrex_layer *layer)
{
	struct rung *rung = &c->rungs[c->n_rungs++];

	*rung = (struct rung){ .layer = layer, .first = NONE, .last = NONE, .seen_by = NONE };
	return map_set(c->layers, id, strlen(id), rung);
}

static int link_problem(struct climb *c, size_t index)
{
	const struct imbrex_problem *p = &c->report->problems[index];
	struct rung *rung = rung_of(c, p->id);
	int r;

	c->next[index] = NONE;
	if (p->object_kind != IMBREX_KIND_LAYER)
		return 0;
	if (!rung) {
		r = add_rung(c, p->id, NULL);
		if (r < 0)
			return r;
		rung = rung_of(c, p->id);
	}
	if (rung->last == NONE)
		rung->first = index;
	else
		c->next[rung->last] = index;
	rung->last = index;
	return 0;
}

static int climb_init(struct climb *c, struct report *report)
{
	size_t i;
	int r = 0;

	c->report = report;
	c->rungs = calloc(report->n_layers + report->n_problems + 1, sizeof(*c->rungs));
	c->next = calloc(report->n_problems + 1, sizeof(*c->next));
	c->layers = map_new();
	c->images = map_new();
	if (!c->rungs || !c->next || !c->layers || !c->images)
		return -ENOMEM;
	for (i = 0; r == 0 && i < report->n_layers; i++)
		r = add_rung(c, report->layers[i].id, &report->layers[i]);
	for (i = 0; r == 0 && i < report->n_problems; i++)
		r = link_problem(c, i);
	return r;
}

/* All problems of the chain below `top` that the image does not have yet. */
static int climb_chain(struct climb *c, size_t image, const char *top)
{
	struct report *report = c->report;
	struct rung *rung;
	size_t i;
	int r;

	for (rung = rung_of(c, top); rung && rung->seen_by != image;
		rung = rung->layer ? rung_of(c, rung->layer->parent) : NULL) {
		rung->seen_by = image;
		for (i = rung->first; i != NONE; i = c->next[i]) {
			r = add_line(report,
				report->image_is_read_only[image] ? SECTION_RO_IMAGES
								  : SECTION_IMAGES,
				report->images[image].id, &report->problems[i]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int climb_to_images(struct climb *c)
{
	const struct imbrex_image *image;
	size_t i, k;
	int r = 0;

	for (i = 0; r == 0 && c->report->image_is_read_only && i < c->report->n_images; i++) {
		image = &c->report->images[i];
		r = climb_chain(c, i, image->layer);
		for (k = 0; r == 0 && image->mapped_layers[k]; k++)
			r = climb_chain(c, i, image->mapped_layers[k]);
	}
	return r;
}

/* ---- images -> containers ---------------------------------------------------------------- */

/* From the end, so that each list is in the order of the lines. */
static int link_images(struct climb *c)
{
	struct report *report = c->report;
	struct report_line *line;
	void *first;
	size_t i;
	int r = 0;

	for (i = report->n; r == 0 && i-- > 0;) {
		line = &report->lines[i];
		if (line->section != SECTION_IMAGES && line->section != SECTION_RO_IMAGES)
			continue;
		first = NULL;
		if (map_get(c->images, line->id, strlen(line->id), &first))
			line->next = (size_t)first - 1;
		r = map_set(c->images, line->id, strlen(line->id), (void *)(i + 1));
	}
	return r;
}

static int climb_to_containers(struct climb *c)
{
	struct report *report = c->report;
	const struct imbrex_container *ctr;
	void *first;
	size_t i, line;
	int r = 0;

	for (i = 0; r == 0 && report->image_is_read_only && i < report->n_containers; i++) {
		ctr = &report->containers[i];
		if (!map_get(c->images, ctr->image, strlen(ctr->image), &first))
			continue;
		for (line = (size_t)first - 1; r == 0 && line != NONE;
			line = report->lines[line].next)
			r = add_line(
				report, SECTION_CONTAINERS, ctr->id, report->lines[line].problem);
	}
	return r;
}

/* ---- the whole --------------------------------------------------------------------------- */

/* Found earlier, told earlier; what is the object's own before what it stands on. */
static int compare(const void *a, const void *b)
{
	const struct report_line *x = a, *y = b;
	int order = (int)x->section - (int)y->section;

	if (!order)
		order = strcmp(x->id, y->id);
	if (!order)
		order = str_eq(y->problem->id, y->id) - str_eq(x->problem->id, x->id);
	return order ? order : (x->problem > y->problem) - (x->problem < y->problem);
}

static void count(struct report *r)
{
	size_t i, k;
	bool left;

	for (i = 0; i < r->n; i = k) {
		left = false;
		for (k = i; k < r->n && report_same_object(&r->lines[i], &r->lines[k]); k++)
			left = left || !r->lines[k].problem->repaired;
		r->objects[r->lines[i].section]++;
		r->unrepaired[r->lines[i].section] += left;
	}
}

int report_build(struct report *r)
{
	AUTO_CLIMB c = { .n_rungs = 0 };
	size_t i;
	int e;

	e = climb_init(&c, r);
	for (i = 0; e == 0 && i < r->n_problems; i++)
		e = add_line(
			r, report_section(&r->problems[i]), r->problems[i].id, &r->problems[i]);
	if (e == 0)
		e = climb_to_images(&c);
	if (e == 0)
		e = link_images(&c);
	if (e == 0)
		e = climb_to_containers(&c);
	if (e < 0)
		return e;
	if (r->n)
		qsort(r->lines, r->n, sizeof(*r->lines), compare);
	count(r);
	return 0;
}
