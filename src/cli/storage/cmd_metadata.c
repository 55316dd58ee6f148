/* SPDX-License-Identifier: Apache-2.0 */
/* metadata, set-metadata: the opaque text of any object. */
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "cli/storage/answer.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

/* The text without one newline at its end; NULL if there is no such object. */
static int get_text(struct plumbing *p, const char *name, char **ret)
{
	size_t len;
	int r;

	r = imbrex_metadata_get(p->store, name, IMBREX_KIND_ANY, ret, /* err= */ NULL);
	if (r < 0)
		return r;
	len = strlen(*ret);
	if (len && (*ret)[len - 1] == '\n')
		(*ret)[len - 1] = '\0';
	return 0;
}

static void print_value(FILE *f, const struct answer *a)
{
	text_json(f, a->text);
}

/* Those that are missing have no place in the object. */
static int print_json(struct plumbing *p, bool *ret_all, struct imbrex_error *err)
{
	AUTO_ANSWERS answers = { 0 };
	size_t i, n = 0;

	if (answers_init(&answers, p->args, p->n_args) < 0)
		return fail_nomem(err);
	for (i = 0; i < answers.n; i++) {
		answers.items[n].key = answers.items[i].key;
		if (get_text(p, answers.items[i].key, &answers.items[n].text) == 0)
			n++;
	}
	*ret_all = n == answers.n;
	answers.n = n;
	return answers_print_json(stdout, &answers, print_value) < 0 ? fail_nomem(err) : 0;
}

static int run_metadata(struct plumbing *p, struct imbrex_error *err)
{
	bool all = true;
	size_t i;
	int r;

	if (p->flags.json) {
		r = print_json(p, &all, err);
		if (r < 0)
			return r;
	}
	for (i = 0; !p->flags.json && i < p->n_args; i++) {
		AUTO_FREE char *text = NULL;

		all = get_text(p, p->args[i], &text) == 0 && all;
		if (!p->flags.quiet)
			(void)printf("%s: ", p->args[i]);
		(void)puts(text ? text : "");
	}
	return all ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_set_metadata(struct plumbing *p, struct imbrex_error *err)
{
	bool has_text = p->flags.metadata && *p->flags.metadata;
	bool has_file = p->flags.metadata_file && *p->flags.metadata_file;
	AUTO_STR text = STR_INIT(LIMIT_CONFIG_BYTES);
	int r = 0;

	if (!has_text && !has_file)
		return fail(err, IMBREX_EINVAL, "no new metadata provided");
	if (has_file)
		r = plumbing_read(p->flags.metadata_file, &text, err);
	if (r < 0)
		return r;
	return imbrex_metadata_set(p->store, p->args[0], IMBREX_KIND_ANY,
		has_file ? str_text(&text) : p->flags.metadata, err);
}

static const struct flag get_flags[] = {
	{ { "--quiet", "-q" }, FLAG_BOOL, FLAG_AT(quiet), "Omit names and IDs" },
	FLAG_JSON,
	{ { NULL } },
};

static const struct flag set_flags[] = {
	{ { "--metadata", "-m" }, FLAG_TEXT, FLAG_AT(metadata), "Metadata" },
	{ { "--metadata-file", "-f" }, FLAG_TEXT, FLAG_AT(metadata_file), "Metadata File" },
	{ { NULL } },
};

const struct command metadata_commands[] = {
	{
		.name = "metadata",
		.operands = "[LayerOrImageOrContainerNameOrID [...]]",
		.summary = "Retrieve layer, image, or container metadata",
		.flags = get_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_metadata,
	},
	{
		.name = "set-metadata",
		.alias = "setmetadata",
		.operands = "[options [...]] layerOrImageOrContainerNameOrID",
		.summary = "Set layer, image, or container metadata",
		.flags = set_flags,
		.operands_min = 1,
		.operands_max = 1,
		.run = run_set_metadata,
	},
	{ NULL },
};
