/* SPDX-License-Identifier: Apache-2.0 */
/* Problems and their names; see the header. */
#include "store/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* One line for people: what is longer is cut. */
#define TEXT_MAX 1024u

static const char *const names[IMBREX_PROBLEM_N] = {
	[IMBREX_PROBLEM_OTHER] = "other",
	[IMBREX_PROBLEM_RECORD_UNREADABLE] = "record-unreadable",
	[IMBREX_PROBLEM_TABLE_UNREADABLE] = "table-unreadable",
	[IMBREX_PROBLEM_RECORD_TWICE] = "record-twice",
	[IMBREX_PROBLEM_LAYER_UNACCOUNTED] = "layer-unaccounted",
	[IMBREX_PROBLEM_LAYER_UNREFERENCED] = "layer-unreferenced",
	[IMBREX_PROBLEM_LAYER_MISSING] = "layer-missing",
	[IMBREX_PROBLEM_LAYER_INCOMPLETE] = "layer-incomplete",
	[IMBREX_PROBLEM_PARENT_MISSING] = "parent-missing",
	[IMBREX_PROBLEM_PARENT_LOOP] = "parent-loop",
	[IMBREX_PROBLEM_CONTENT_DIGEST] = "content-digest",
	[IMBREX_PROBLEM_CONTENT_SIZE] = "content-size",
	[IMBREX_PROBLEM_CONTENT_MODIFIED] = "content-modified",
	[IMBREX_PROBLEM_CONTENT_MISSING] = "content-missing",
	[IMBREX_PROBLEM_TARSPLIT_MISSING] = "tarsplit-missing",
	[IMBREX_PROBLEM_TARSPLIT_UNREADABLE] = "tarsplit-unreadable",
	[IMBREX_PROBLEM_LINK] = "link",
	[IMBREX_PROBLEM_LAYER_DATA_MISSING] = "layer-data-missing",
	[IMBREX_PROBLEM_IMAGE_LAYER_MISSING] = "image-layer-missing",
	[IMBREX_PROBLEM_IMAGE_DATA_MISSING] = "image-data-missing",
	[IMBREX_PROBLEM_IMAGE_DATA_SIZE] = "image-data-size",
	[IMBREX_PROBLEM_IMAGE_DATA_DIGEST] = "image-data-digest",
	[IMBREX_PROBLEM_CONTAINER_IMAGE_MISSING] = "container-image-missing",
	[IMBREX_PROBLEM_CONTAINER_LAYER_MISSING] = "container-layer-missing",
	[IMBREX_PROBLEM_CONTAINER_DATA_MISSING] = "container-data-missing",
	[IMBREX_PROBLEM_CONTAINER_DATA_SIZE] = "container-data-size",
	[IMBREX_PROBLEM_CONTAINER_DATA_DIGEST] = "container-data-digest",
	[IMBREX_PROBLEM_MOUNTS] = "mounts",
	[IMBREX_PROBLEM_LEFTOVER] = "leftover",
	[IMBREX_PROBLEM_DIRECTORY] = "directory",
};

PUBLIC const char *imbrex_problem_name(enum imbrex_problem_kind kind)
{
	return (size_t)kind < IMBREX_PROBLEM_N ? names[kind] : names[IMBREX_PROBLEM_OTHER];
}

static void problem_done(struct imbrex_problem *p)
{
	free(p->id);
	free(p->object);
	free(p->about);
	free(p->text);
	free(p->action);
}

PUBLIC void imbrex_problems_free(struct imbrex_problem *problems, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		problem_done(&problems[i]);
	free(problems);
}

void findings_done(struct findings *f)
{
	imbrex_problems_free(f->items, f->n);
	*f = (struct findings){ 0 };
}

static int make_room(struct findings *f, size_t more)
{
	size_t cap = f->cap ? f->cap : 16;
	struct imbrex_problem *items;

	while (cap < f->n + more)
		cap *= 2;
	if (cap == f->cap)
		return 0;
	items = reallocarray(f->items, cap, sizeof(*items));
	if (!items)
		return -ENOMEM;
	f->items = items;
	f->cap = cap;
	return 0;
}

static enum imbrex_kind kind_of(const struct record_type *type)
{
	if (!type)
		return (enum imbrex_kind)0;
	return type == &layer_records   ? IMBREX_KIND_LAYER
	       : type == &image_records ? IMBREX_KIND_IMAGE
					: IMBREX_KIND_CONTAINER;
}

static char *PRINTF_LIKE(1, 0) format_line(const char *fmt, va_list ap)
{
	char line[TEXT_MAX];

	return vsnprintf(line, sizeof(line), fmt, ap) < 0 ? NULL : strdup(line);
}

int findings_add(struct findings *f, const struct finding *what, struct imbrex_error *err,
	const char *fmt, ...)
{
	struct imbrex_problem p = {
		.kind = what->kind, .object_kind = kind_of(what->type), .read_only = what->read_only
	};
	va_list ap;

	va_start(ap, fmt);
	p.text = format_line(fmt, ap);
	va_end(ap);
	p.id = strdup(what->type ? what->id : "");
	p.object = what->type ? format_text("%s %.200s", what->type->noun, what->id)
			      : strdup(what->object);
	p.about = strdup(what->about ? what->about : "");
	p.action = strdup("");
	if (!p.text || !p.id || !p.object || !p.about || !p.action || make_room(f, 1) < 0) {
		problem_done(&p);
		return fail_nomem(err);
	}
	f->items[f->n++] = p;
	return 0;
}

int findings_move(struct findings *to, struct findings *from, struct imbrex_error *err)
{
	if (!from->n)
		return 0;
	if (make_room(to, from->n) < 0)
		return fail_nomem(err);
	memcpy(to->items + to->n, from->items, from->n * sizeof(*from->items));
	to->n += from->n;
	free(from->items);
	*from = (struct findings){ 0 };
	return 0;
}

int findings_copy(struct findings *to, const struct imbrex_problem *p, struct imbrex_error *err)
{
	struct imbrex_problem copy = *p;

	copy.id = strdup(p->id);
	copy.object = strdup(p->object);
	copy.about = strdup(p->about);
	copy.text = strdup(p->text);
	copy.action = strdup(p->action);
	if (!copy.id || !copy.object || !copy.about || !copy.text || !copy.action ||
		make_room(to, 1) < 0) {
		problem_done(&copy);
		return fail_nomem(err);
	}
	to->items[to->n++] = copy;
	return 0;
}

ptrdiff_t findings_find(const struct findings *f, const struct imbrex_problem *like)
{
	size_t i;

	for (i = 0; i < f->n; i++) {
		const struct imbrex_problem *p = &f->items[i];

		if (p->kind == like->kind && p->read_only == like->read_only &&
			str_eq(p->object, like->object) && str_eq(p->about, like->about) &&
			(*p->about || str_eq(p->text, like->text)))
			return (ptrdiff_t)i;
	}
	return -1;
}

int problem_set_action(struct imbrex_problem *p, struct imbrex_error *err, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = format_line(fmt, ap);
	va_end(ap);
	if (!text)
		return fail_nomem(err);
	free(p->action);
	p->action = text;
	return 0;
}
