/* SPDX-License-Identifier: Apache-2.0 */
/* exists: of each argument, whether any object has that name. */
#include "base/error.h"
#include "cli/storage/answer.h"
#include "cli/storage/storage.h"

static bool is_there(struct plumbing *p, const char *name, unsigned int kind)
{
	AUTO_FREE char *id = NULL;

	return plumbing_find(p, name, kind, &id, /* err= */ NULL) == 0;
}

/* What it prints does not depend on the kind that is asked for; only the exit status does. */
static bool is_as_asked(struct plumbing *p, const struct answer *a)
{
	const struct plumbing_flags *f = &p->flags;

	return a->yes && (!f->only_container || is_there(p, a->key, IMBREX_KIND_CONTAINER)) &&
	       (!f->only_image || is_there(p, a->key, IMBREX_KIND_IMAGE)) &&
	       (!f->only_layer || is_there(p, a->key, IMBREX_KIND_LAYER));
}

static const char *word(const struct answer *a)
{
	return a->yes ? "true" : "false";
}

static void print_value(FILE *f, const struct answer *a)
{
	(void)fputs(word(a), f);
}

static int run_exists(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_ANSWERS answers = { 0 };
	bool all = true;
	size_t i;

	if (answers_init(&answers, p->args, p->n_args) < 0)
		return fail_nomem(err);
	for (i = 0; i < answers.n; i++) {
		answers.items[i].yes = is_there(p, answers.items[i].key, IMBREX_KIND_ANY);
		all = is_as_asked(p, &answers.items[i]) && all;
	}
	if (p->flags.json && answers_print_json(stdout, &answers, print_value) < 0)
		return fail_nomem(err);
	for (i = 0; !p->flags.json && !p->flags.quiet && i < answers.n; i++)
		(void)printf("%s: %s\n", answers.items[i].key, word(&answers.items[i]));
	return all ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const struct flag exists_flags[] = {
	{ { "--quiet", "-q" }, FLAG_BOOL, FLAG_AT(quiet), "Don't print names" },
	{ { "--layer", "-l" }, FLAG_BOOL, FLAG_AT(only_layer),
		"Only succeed if the match is a layer" },
	{ { "--image", "-i" }, FLAG_BOOL, FLAG_AT(only_image),
		"Only succeed if the match is an image" },
	{ { "--container", "-c" }, FLAG_BOOL, FLAG_AT(only_container),
		"Only succeed if the match is a container" },
	FLAG_JSON,
	{ { NULL } },
};

const struct command exists_commands[] = {
	{
		.name = "exists",
		.operands = "[LayerOrImageOrContainerNameOrID [...]]",
		.summary = "Check if a layer or image or container exists",
		.flags = exists_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_exists,
	},
	{ NULL },
};
