/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delete, delete-layer, delete-image, delete-container: each argument by itself; what could not be
 * deleted is told on stderr, or in the JSON object, and fails the whole.
 */
#include <string.h>

#include "base/error.h"
#include "cli/storage/answer.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

/* What is not there is not of the kind that was to be deleted. */
static const char *failure_text(struct plumbing *p, const struct imbrex_error *err,
	const char *name, char buf[TEXT_ERROR_MAX])
{
	struct imbrex_error copy = *err;

	switch (err->reason) {
	case IMBREX_REASON_CONTAINER_UNKNOWN:
		copy.reason = IMBREX_REASON_NOT_CONTAINER;
		break;
	case IMBREX_REASON_IMAGE_UNKNOWN:
		copy.reason = IMBREX_REASON_NOT_IMAGE;
		break;
	case IMBREX_REASON_LAYER_UNKNOWN:
		copy.reason = IMBREX_REASON_NOT_LAYER;
		break;
	case IMBREX_REASON_NOT_ANY:
		copy.reason = IMBREX_REASON_LAYER_UNKNOWN;
		break;
	}
	return PLUMBING_TEXT(p, &copy, name, buf);
}

static int delete_one(struct plumbing *p, struct answer *a, struct imbrex_error *err)
{
	struct imbrex_delete_opts opts = {
		.dry_run = p->flags.test,
		/* Without a kind an image is its record alone, and who uses it does not matter. */
		.keep_layers = !p->command->kind,
		.used_too = !p->command->kind,
		.unmount = true,
		.must_exist = true,
	};
	unsigned int kinds = p->command->kind ? p->command->kind : IMBREX_KIND_ANY;
	struct imbrex_error why = { .status = 0 };
	char buf[TEXT_ERROR_MAX];
	int r;

	r = imbrex_object_delete(p->store, a->key, kinds, &opts,
		p->command->kind == IMBREX_KIND_IMAGE ? &a->list : NULL, &why);
	a->yes = r >= 0;
	a->text = strdup(a->yes ? "" : failure_text(p, &why, a->key, buf));
	return a->text ? 0 : fail_nomem(err);
}

static void print_text(FILE *f, const struct answer *a)
{
	text_json(f, a->text);
}

static void print_image(FILE *f, const struct answer *a)
{
	bool some = a->list && a->list[0];

	(void)fputc('{', f);
	if (some) {
		(void)fputs("\"deleted-layers\":", f);
		text_json_list(f, (const char *const *)a->list, /* empty_list= */ true);
	}
	if (*a->text) {
		(void)fprintf(f, "%s\"error\":", some ? "," : "");
		text_json(f, a->text);
	}
	(void)fputc('}', f);
}

static void print_lines(const struct answer *a)
{
	size_t i;

	if (!a->yes)
		(void)fprintf(stderr, "%s: %s\n", a->key, a->text);
	for (i = 0; a->yes && a->list && a->list[i]; i++)
		(void)fprintf(stderr, "%s: %s\n", a->key, a->list[i]);
}

static int run_delete(struct plumbing *p, struct imbrex_error *err)
{
	bool is_image = p->command->kind == IMBREX_KIND_IMAGE;
	AUTO_ANSWERS answers = { 0 };
	bool all = true;
	size_t i;
	int r;

	if (answers_init(&answers, p->args, p->n_args) < 0)
		return fail_nomem(err);
	for (i = 0; i < answers.n; i++) {
		r = delete_one(p, &answers.items[i], err);
		if (r < 0)
			return r;
		all = answers.items[i].yes && all;
	}
	if (p->flags.json &&
		answers_print_json(stdout, &answers, is_image ? print_image : print_text) < 0)
		return fail_nomem(err);
	for (i = 0; !p->flags.json && i < answers.n; i++)
		print_lines(&answers.items[i]);
	return all ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const struct flag image_flags[] = {
	{ { "--test", "-t" }, FLAG_BOOL, FLAG_AT(test), "Only test removal" },
	FLAG_JSON,
	{ { NULL } },
};

const struct command delete_commands[] = {
	{
		.name = "delete",
		.operands = "[LayerOrImageOrContainerNameOrID [...]]",
		.summary = "Delete a layer or image or container, with no safety checks",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_delete,
	},
	{
		.name = "delete-layer",
		.alias = "deletelayer",
		.operands = "[LayerNameOrID [...]]",
		.summary = "Delete a layer, with safety checks",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_LAYER,
		.run = run_delete,
	},
	{
		.name = "delete-image",
		.alias = "deleteimage",
		.operands = "[ImageNameOrID [...]]",
		.summary = "Delete an image, with safety checks",
		.flags = image_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_IMAGE,
		.run = run_delete,
	},
	{
		.name = "delete-container",
		.alias = "deletecontainer",
		.operands = "[ContainerNameOrID [...]]",
		.summary = "Delete a container, with safety checks",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_CONTAINER,
		.run = run_delete,
	},
	{ NULL },
};
