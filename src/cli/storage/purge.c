/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the top down: nothing is taken from below something that stays. Layers go in rounds, since a
 * parent can go only after its children; what is mounted, or has users that stay, stays.
 */
#include "cli/storage/purge.h"

#include "base/error.h"
#include "base/strv.h"
#include "cli/storage/text.h"

/* Damage that only concerns the record, or a writer who may be alive, is nobody's end. */
static bool is_fatal(const struct imbrex_problem *p)
{
	switch (p->kind) {
	case IMBREX_PROBLEM_LAYER_MISSING:
	case IMBREX_PROBLEM_LAYER_UNREFERENCED:
	case IMBREX_PROBLEM_PARENT_MISSING:
	case IMBREX_PROBLEM_CONTENT_DIGEST:
	case IMBREX_PROBLEM_CONTENT_SIZE:
	case IMBREX_PROBLEM_CONTENT_MODIFIED:
	case IMBREX_PROBLEM_CONTENT_MISSING:
	case IMBREX_PROBLEM_LAYER_DATA_MISSING:
	case IMBREX_PROBLEM_IMAGE_LAYER_MISSING:
	case IMBREX_PROBLEM_IMAGE_DATA_MISSING:
	case IMBREX_PROBLEM_IMAGE_DATA_SIZE:
	case IMBREX_PROBLEM_IMAGE_DATA_DIGEST:
	case IMBREX_PROBLEM_CONTAINER_IMAGE_MISSING:
	case IMBREX_PROBLEM_CONTAINER_LAYER_MISSING:
	case IMBREX_PROBLEM_CONTAINER_DATA_MISSING:
	case IMBREX_PROBLEM_CONTAINER_DATA_SIZE:
	case IMBREX_PROBLEM_CONTAINER_DATA_DIGEST:
		return true;
	case IMBREX_PROBLEM_OTHER:
	case IMBREX_PROBLEM_RECORD_UNREADABLE:
	case IMBREX_PROBLEM_TABLE_UNREADABLE:
	case IMBREX_PROBLEM_RECORD_TWICE:
	case IMBREX_PROBLEM_LAYER_UNACCOUNTED:
	case IMBREX_PROBLEM_LAYER_INCOMPLETE:
	case IMBREX_PROBLEM_PARENT_LOOP:
	case IMBREX_PROBLEM_TARSPLIT_MISSING:
	case IMBREX_PROBLEM_TARSPLIT_UNREADABLE:
	case IMBREX_PROBLEM_LINK:
	case IMBREX_PROBLEM_MOUNTS:
	case IMBREX_PROBLEM_LEFTOVER:
	case IMBREX_PROBLEM_DIRECTORY:
	case IMBREX_PROBLEM_N:
		break;
	}
	return false;
}

/* Ids of the objects of a section that have such a problem. */
static int doomed(const struct report *report, enum section section, struct strv *ret)
{
	const struct report_line *line;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < report->n; i++) {
		line = &report->lines[i];
		if (line->section != section || line->problem->repaired ||
			!is_fatal(line->problem) ||
			(ret->n && str_eq(ret->items[ret->n - 1], line->id)))
			continue;
		r = strv_add(ret, line->id);
	}
	return r;
}

/* 0 if it is gone now, else its failure in `why`. */
static int delete_one(
	struct plumbing *p, const char *id, enum imbrex_kind kind, struct imbrex_error *why)
{
	const struct imbrex_delete_opts opts = { .unmount = kind == IMBREX_KIND_CONTAINER };

	return imbrex_object_delete(p->store, id, kind, &opts, /* ret_layers= */ NULL, why);
}

static int note_failure(const struct imbrex_error *why, enum imbrex_kind kind, const char *id,
	struct strv *failures)
{
	const char *noun = kind == IMBREX_KIND_LAYER   ? "layer"
			   : kind == IMBREX_KIND_IMAGE ? "image"
						       : "container";
	char buf[TEXT_ERROR_MAX];

	return strv_addf(failures, "deleting %s %s: %s", noun, id, text_error(why, kind, id, buf));
}

/* As long as a round takes one away, another may take what was below it. */
static int delete_all(
	struct plumbing *p, struct strv *ids, enum imbrex_kind kind, struct strv *failures)
{
	struct imbrex_error why = { .status = 0 };
	size_t before, i;
	int r = 0;

	do {
		before = ids->n;
		for (i = ids->n; i-- > 0;) {
			if (delete_one(p, ids->items[i], kind, &why) == 0)
				strv_remove(ids, i);
		}
	} while (ids->n && ids->n < before);
	for (i = 0; r == 0 && i < ids->n; i++) {
		if (delete_one(p, ids->items[i], kind, &why) < 0)
			r = note_failure(&why, kind, ids->items[i], failures);
	}
	return r;
}

int purge_damaged(struct plumbing *p, const struct report *report, struct strv *ret_failures,
	struct imbrex_error *err)
{
	static const struct {
		enum section section;
		enum imbrex_kind kind;
	} order[] = { { SECTION_CONTAINERS, IMBREX_KIND_CONTAINER },
		{ SECTION_IMAGES, IMBREX_KIND_IMAGE }, { SECTION_LAYERS, IMBREX_KIND_LAYER } };
	size_t i;
	int r = 0;

	for (i = p->flags.force ? 0 : 1; r == 0 && i < ARRAY_LEN(order); i++) {
		AUTO_STRV ids = { 0 };

		r = doomed(report, order[i].section, &ids);
		if (r == 0)
			r = delete_all(p, &ids, order[i].kind, ret_failures);
	}
	return r < 0 ? fail_nomem(err) : 0;
}

bool purge_is_gone(struct plumbing *p, const struct imbrex_problem *problem)
{
	AUTO_FREE char *id = NULL;

	return problem->object_kind && plumbing_find(p, problem->id, problem->object_kind, &id,
					       /* err= */ NULL) == IMBREX_ENOENT;
}
