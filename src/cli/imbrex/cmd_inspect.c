/* SPDX-License-Identifier: Apache-2.0 */
/* inspect: the records of objects as JSON, or a document of an image as it was received. */
#include <limits.h>

#include "cli/imbrex/verbs.h"
#include "cli/out.h"

enum document {
	DOCUMENT_NONE = 0,
	DOCUMENT_MANIFEST,
	DOCUMENT_CONFIG
};

struct inspect_args {
	int document; /* enum document */
};

/* The index of a choice is its enum: the empty word is no document. */
static const char *const documents[] = { "none", "manifest", "config", NULL };

static int print_document(
	struct imbrex_store *s, enum document which, const char *image, struct imbrex_error *err)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	int r;

	r = which == DOCUMENT_MANIFEST ? imbrex_image_manifest(s, image, &text, &len, err)
				       : imbrex_image_config(s, image, &text, &len, err);
	if (r < 0)
		return r;
	(void)fwrite(text, 1, len, stdout);
	return 0;
}

static int print_record(
	struct imbrex_store *s, struct json_out *j, const char *object, struct imbrex_error *err)
{
	AUTO_FREE char *json = NULL;
	int r;

	r = imbrex_inspect(s, object, &json, err);
	if (r < 0)
		return r;
	json_raw(j, NULL, json);
	return 0;
}

static int run(struct cli *c, const void *args)
{
	const struct inspect_args *a = args;
	AUTO_STORE *store = NULL;
	struct json_out j = { .f = stdout };
	struct imbrex_error err = { .status = 0 };
	int status = EXIT_SUCCESS, r;
	size_t i;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (a->document == DOCUMENT_NONE)
		json_begin(&j, NULL, '[');
	for (i = 0; i < c->n_operands; i++) {
		r = a->document == DOCUMENT_NONE ? print_record(store, &j, c->operands[i], &err)
						 : print_document(store, (enum document)a->document,
							   c->operands[i], &err);
		if (r < 0)
			status = cli_fail(c, &err);
	}
	if (a->document == DOCUMENT_NONE)
		json_end(&j, ']');
	return status;
}

static const struct opt opts[] = {
	{ "document", 0, OPT_CHOICE, offsetof(struct inspect_args, document), "WHICH",
		"manifest or config: the image's own text, as it is", documents },
	{ NULL },
};

const struct verb verb_inspect = {
	.name = "inspect",
	.operands = "OBJECT...",
	.summary = "show the records of images, containers and layers as JSON",
	.opts = opts,
	.args_size = sizeof(struct inspect_args),
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.kind = OPERAND_OBJECT,
	.records = true,
	.run = run,
};
