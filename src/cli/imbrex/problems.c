/* SPDX-License-Identifier: Apache-2.0 */
/* Problems, one a line, those of one object together; see the header. */
#include "cli/imbrex/problems.h"

#include "base/str.h"
#include "cli/out.h"

#define LINE_MAX_BYTES (16u * 1024u)

size_t problems_left(const struct imbrex_problem *problems, size_t n)
{
	size_t i, left = 0;

	for (i = 0; i < n; i++)
		left += !problems[i].repaired;
	return left;
}

static const char *kind_name(enum imbrex_kind kind)
{
	switch (kind) {
	case IMBREX_KIND_LAYER:
		return "layer";
	case IMBREX_KIND_IMAGE:
		return "image";
	case IMBREX_KIND_CONTAINER:
		return "container";
	case IMBREX_KIND_ANY:
		break;
	}
	return "";
}

void problems_print_json(const struct imbrex_problem *problems, size_t n)
{
	struct json_out j = { .f = stdout };
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = 0; i < n; i++) {
		const struct imbrex_problem *p = &problems[i];

		json_begin(&j, NULL, '{');
		json_text(&j, "kind", imbrex_problem_name(p->kind));
		json_text(&j, "object", p->object);
		json_text(&j, "object-kind", kind_name(p->object_kind));
		json_text(&j, "id", p->id);
		json_text(&j, "about", p->about);
		json_bool(&j, "read-only", p->read_only);
		json_text(&j, "problem", p->text);
		json_text(&j, "action", p->action);
		json_bool(&j, "repaired", p->repaired);
		json_end(&j, '}');
	}
	json_end(&j, ']');
}

static int put_text(struct str *line, const char *text)
{
	int r = out_clean(line, text);

	return r == -EFBIG ? 0 : r;
}

static int print_one(const struct imbrex_problem *p, bool mended)
{
	AUTO_STR line = STR_INIT(LINE_MAX_BYTES);
	int r;

	r = put_text(&line, p->object);
	if (r == 0)
		r = str_puts(&line, p->read_only ? " (read-only): " : ": ");
	if (r == 0)
		r = put_text(&line, p->text);
	if (r == 0 && p->repaired)
		r = str_puts(&line, " (repaired)");
	if (r == 0 && *p->action)
		r = str_puts(&line, mended && !p->repaired ? "; left: " : " -> ");
	if (r == 0 && *p->action)
		r = put_text(&line, p->action);
	if (r < 0)
		return r;
	(void)puts(str_text(&line));
	return 0;
}

int problems_print(const struct imbrex_problem *problems, size_t n, bool mended)
{
	AUTO_FREE bool *done = calloc(n + 1, sizeof(*done));
	size_t i, k;
	int r = 0;

	if (!done)
		return -ENOMEM;
	for (i = 0; r == 0 && i < n; i++) {
		for (k = i; r == 0 && k < n && !done[i]; k++) {
			if (done[k] || !str_eq(problems[k].object, problems[i].object))
				continue;
			r = print_one(&problems[k], mended);
			done[k] = k != i;
		}
		done[i] = true;
	}
	return r;
}
