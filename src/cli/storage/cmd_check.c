/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: problems by object, in upstream's words where it has some. With --repair the library has
 * mended what it could when they are printed, and what it could not is taken away after.
 */
#include <string.h>

#include "base/error.h"
#include "cli/storage/duration.h"
#include "cli/storage/purge.h"
#include "cli/storage/report.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

#define NS_PER_SEC (1000ll * 1000 * 1000)
/* A problem's text is one line of ours. */
#define LINE_MAX_BYTES (64u * 1024u)

static const struct {
	const char *key, *title;
} sections[N_SECTIONS] = {
	[SECTION_LAYERS] = { "Layers", "layer" },
	[SECTION_RO_LAYERS] = { "ROLayers", "read-only layer" },
	[SECTION_IMAGES] = { "Images", "image" },
	[SECTION_RO_IMAGES] = { "ROImages", "read-only image" },
	[SECTION_CONTAINERS] = { "Containers", "container" },
	[SECTION_OTHER] = { NULL, NULL },
};

/* ---- words ------------------------------------------------------------------------------- */

/* What is said of which problem, and what stands before it. */
struct wording {
	const char *text;
	enum {
		OF_OBJECT = 0, /* "layer ID: " */
		OF_DATA,       /* "image ID: data item "KEY": " */
		OF_LAYER,      /* "image ID: layer ID: " */
		OF_PATH,       /* "layer ID: +/path, " */
		ONLY_LAYER,    /* "layer ID: ", of the other one */
		ONLY_IMAGE     /* "image ID: ", of the other one */
	} form;
};

static const struct wording wordings[IMBREX_PROBLEM_N] = {
	[IMBREX_PROBLEM_LAYER_UNACCOUNTED] = { "layer in lower level storage driver not accounted "
					       "for",
		OF_OBJECT },
	[IMBREX_PROBLEM_LAYER_UNREFERENCED] = { "layer not referenced by any images or containers",
		OF_OBJECT },
	[IMBREX_PROBLEM_PARENT_MISSING] = { "layer is missing", ONLY_LAYER },
	[IMBREX_PROBLEM_CONTENT_DIGEST] = { "layer content incorrect digest", OF_OBJECT },
	[IMBREX_PROBLEM_CONTENT_SIZE] = { "layer content incorrect size", OF_OBJECT },
	[IMBREX_PROBLEM_CONTENT_MODIFIED] = { "layer content modified", OF_PATH },
	[IMBREX_PROBLEM_CONTENT_MISSING] = { "layer content modified", OF_PATH },
	[IMBREX_PROBLEM_LAYER_DATA_MISSING] = { "layer data item is missing", OF_DATA },
	[IMBREX_PROBLEM_IMAGE_LAYER_MISSING] = { "image layer is missing", OF_LAYER },
	[IMBREX_PROBLEM_IMAGE_DATA_MISSING] = { "image data item is missing", OF_DATA },
	[IMBREX_PROBLEM_IMAGE_DATA_SIZE] = { "image data item has incorrect size", OF_DATA },
	[IMBREX_PROBLEM_CONTAINER_IMAGE_MISSING] = { "image missing", ONLY_IMAGE },
	[IMBREX_PROBLEM_CONTAINER_DATA_MISSING] = { "container data item is missing", OF_DATA },
	[IMBREX_PROBLEM_CONTAINER_DATA_SIZE] = { "container data item has incorrect size",
		OF_DATA },
};

static int put_about(struct str *line, int form, const char *about)
{
	int r;

	switch (form) {
	case OF_DATA:
		r = str_puts(line, "data item ");
		if (r == 0)
			r = text_quote(line, about);
		return r < 0 ? r : str_puts(line, ": ");
	case OF_LAYER:
		return str_printf(line, "layer %s: ", about);
	case OF_PATH:
		return str_printf(line, "%s, ", about);
	}
	return 0;
}

/* One line about one problem. */
static int put_problem(struct str *line, const struct imbrex_problem *p)
{
	const char *title = sections[report_section(p)].title;
	const char *about = p->about && *p->about ? p->about : NULL;
	const struct wording *w = (size_t)p->kind < IMBREX_PROBLEM_N ? &wordings[p->kind] : NULL;
	int r;

	if (!title)
		return str_printf(line, "%s: %s", p->object, p->text);
	if (!w || !w->text)
		return str_printf(line, "%s %s: %s", title, p->id, p->text);
	if (about && (w->form == ONLY_LAYER || w->form == ONLY_IMAGE))
		return str_printf(line, "%s %s: %s", w->form == ONLY_LAYER ? "layer" : "image",
			about, w->text);
	r = str_printf(line, "%s %s: ", title, p->id);
	if (r == 0 && about)
		r = put_about(line, (int)w->form, about);
	else if (r == 0 && w->form != OF_OBJECT)
		r = str_printf(line, "%s: ", p->text);
	return r < 0 ? r : str_puts(line, w->text);
}

/* ---- output ------------------------------------------------------------------------------ */

/* What upstream has no section for goes to stderr. */
static int print_text(const struct report *r)
{
	AUTO_STR text = STR_INIT(LINE_MAX_BYTES);
	const struct report_line *line;
	const char *title;
	size_t i;
	int e;

	for (i = 0; i < r->n; i++) {
		line = &r->lines[i];
		title = sections[line->section].title;
		str_clear(&text);
		e = put_problem(&text, line->problem);
		if (e < 0 && e != -EFBIG)
			return e;
		if (title && (i == 0 || !report_same_object(line - 1, line)))
			(void)printf("%s %s:\n", title, line->id);
		(void)fprintf(title ? stdout : stderr, "%s%s\n", title ? " " : "", str_text(&text));
	}
	return 0;
}

/* Go encodes an error value as an empty object. */
static void print_json(const struct report *r)
{
	size_t at = 0, first;
	int s;

	for (s = 0; s < SECTION_OTHER; s++) {
		first = at;
		(void)printf("%c\"%s\":{", s ? ',' : '{', sections[s].key);
		for (; at < r->n && (int)r->lines[at].section == s; at++) {
			if (at > first && report_same_object(&r->lines[at - 1], &r->lines[at])) {
				(void)fputs(",{}", stdout);
				continue;
			}
			(void)fputs(at > first ? "]," : "", stdout);
			text_json(stdout, r->lines[at].id);
			(void)fputs(":[{}", stdout);
		}
		(void)fputs(at > first ? "]}" : "}", stdout);
	}
	(void)puts("}");
}

/* After repairing: counts of what may not be touched from here, or without --force. */
static int left_summary(const struct plumbing *p, const size_t *n, struct imbrex_error *err)
{
	size_t containers = p->flags.force ? 0 : n[SECTION_CONTAINERS];

	if (!n[SECTION_RO_LAYERS] && !n[SECTION_RO_IMAGES] && !containers)
		return 0;
	if (p->flags.force)
		return fail(err, IMBREX_EFAIL,
			"%zu read-only layer errors, %zu read-only image errors",
			n[SECTION_RO_LAYERS], n[SECTION_RO_IMAGES]);
	return fail(err, IMBREX_EFAIL,
		"%zu read-only layer errors, %zu read-only image errors, %zu container errors",
		n[SECTION_RO_LAYERS], n[SECTION_RO_IMAGES], containers);
}

static int summary(const size_t *n, struct imbrex_error *err)
{
	if (!n[SECTION_LAYERS] && !n[SECTION_RO_LAYERS] && !n[SECTION_IMAGES] &&
		!n[SECTION_RO_IMAGES] && !n[SECTION_CONTAINERS])
		return 0;
	return fail(err, IMBREX_EFAIL,
		"%zu layer errors, %zu read-only layer errors, %zu image errors, %zu read-only "
		"image errors, %zu container errors",
		n[SECTION_LAYERS], n[SECTION_RO_LAYERS], n[SECTION_IMAGES], n[SECTION_RO_IMAGES],
		n[SECTION_CONTAINERS]);
}

/* The first that repairing should have mended and did not. */
static const struct imbrex_problem *first_left(struct plumbing *p, const struct report *r)
{
	const struct imbrex_problem *problem;
	enum section s;
	size_t i;

	for (i = 0; i < r->n_problems; i++) {
		problem = &r->problems[i];
		s = report_section(problem);
		if (!problem->repaired && !problem->read_only &&
			(s != SECTION_CONTAINERS || p->flags.force) && !purge_is_gone(p, problem))
			return problem;
	}
	return NULL;
}

/* Take away what could not be mended, and say what is left. */
static int conclude_repair(struct plumbing *p, const struct report *r, struct imbrex_error *err)
{
	const struct imbrex_problem *left;
	AUTO_STRV failures = { 0 };
	size_t i;
	int e;

	e = purge_damaged(p, r, &failures, err);
	if (e < 0)
		return e;
	for (i = 0; i < failures.n; i++)
		(void)fprintf(stderr, "%s\n", failures.items[i]);
	if (failures.n)
		return fail(err, IMBREX_EFAIL, "%s", failures.items[0]);
	left = first_left(p, r);
	if (left)
		return fail(err, IMBREX_EFAIL, "%s: %s%s%s", left->object, left->text,
			*left->action ? "; " : "", left->action);
	return left_summary(p, r->unrepaired, err);
}

static int conclude(struct plumbing *p, const struct report *r, struct imbrex_error *err)
{
	int e;

	e = p->flags.repair || p->flags.force ? conclude_repair(p, r, err)
					      : summary(r->objects, err);
	if (e < 0)
		return e;
	return r->unrepaired[SECTION_OTHER] ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_check(struct plumbing *p, struct imbrex_error *err)
{
	struct imbrex_check_opts opts = {
		.repair = p->flags.repair || p->flags.force,
		.quick = p->flags.quiet,
		.remove = true,
		.force = p->flags.force,
	};
	AUTO_REPORT report = { .n = 0 };
	int64_t ns = 0;
	int r;

	if (p->flags.max_age && *p->flags.max_age) {
		r = duration_parse(p->flags.max_age, &ns, err);
		if (r < 0)
			return r;
		opts.max_age_sec = ns < NS_PER_SEC ? -1 : ns / NS_PER_SEC;
	}
	r = report_look(p->store, &report, err);
	if (r == 0)
		r = imbrex_check(p->store, &opts, &report.problems, &report.n_problems, err);
	if (r < 0)
		return r;
	if (report_build(&report) < 0)
		return fail_nomem(err);
	if (p->flags.json)
		print_json(&report);
	else if (print_text(&report) < 0)
		return fail_nomem(err);
	return conclude(p, &report, err);
}

static const struct flag check_flags[] = {
	FLAG_JSON,
	{ { "--max", "-m" }, FLAG_TEXT, FLAG_AT(max_age),
		"Maximum allowed age for unreferenced layers" },
	{ { "--repair", "-r" }, FLAG_BOOL, FLAG_AT(repair), "Remove damaged images and layers" },
	{ { "--force", "-f" }, FLAG_BOOL, FLAG_AT(force), "Remove damaged containers" },
	{ { "--quick", "-q" }, FLAG_BOOL, FLAG_AT(quiet), "Perform only quick checks" },
	{ { NULL } },
};

const struct command check_commands[] = {
	{
		.name = "check",
		.operands = "",
		.summary = "Check storage consistency",
		.flags = check_flags,
		.run = run_check,
	},
	{ NULL },
};
