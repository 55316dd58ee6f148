/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect: the records of objects as JSON, a document of an image as it was received, or who owns a
 * path of the host.
 */
#include <limits.h>

#include "base/error.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

enum document {
	DOCUMENT_NONE = 0,
	DOCUMENT_MANIFEST,
	DOCUMENT_CONFIG
};

struct inspect_args {
	int document; /* enum document */
	bool where;   /* the operands are paths */
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

static int print_owner(
	struct imbrex_store *s, struct json_out *j, const char *path, struct imbrex_error *err)
{
	struct imbrex_where w;
	int r;

	r = imbrex_where(s, path, &w, err);
	if (r < 0)
		return r;
	json_begin(j, NULL, '{');
	json_text(j, "path", path);
	json_text(j, "role", w.role);
	json_text(j, "layer", w.layer);
	json_text(j, "inside", w.inside);
	json_texts(j, "images", w.images);
	json_texts(j, "containers", w.containers);
	json_text(j, "why", w.why);
	json_end(j, '}');
	imbrex_where_done(&w);
	return 0;
}

static int print_one(const struct inspect_args *a, struct imbrex_store *s, struct json_out *j,
	const char *operand, struct imbrex_error *err)
{
	if (a->where)
		return print_owner(s, j, operand, err);
	if (a->document != DOCUMENT_NONE)
		return print_document(s, (enum document)a->document, operand, err);
	return print_record(s, j, operand, err);
}

static int run(struct cli *c, const void *args)
{
	const struct inspect_args *a = args;
	AUTO_STORE *store = NULL;
	struct json_out j = { .f = stdout };
	struct imbrex_error err = { .status = 0 };
	int status = EXIT_SUCCESS, r;
	size_t i;

	if (a->where && a->document != DOCUMENT_NONE) {
		(void)fail(&err, IMBREX_EINVAL, "--where asks for paths, --document for images");
		return cli_usage(c, &err);
	}
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (a->document == DOCUMENT_NONE)
		json_begin(&j, NULL, '[');
	for (i = 0; i < c->n_operands; i++) {
		r = print_one(a, store, &j, c->operands[i], &err);
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
	{ "where", 0, OPT_FLAG, offsetof(struct inspect_args, where), NULL,
		"operands are paths of this machine: tell whose they are, and why" },
	{ NULL },
};

const struct verb verb_inspect = {
	.name = "inspect",
	.operands = "OBJECT...",
	.summary = "show the records of images, containers and layers as JSON, or whose a path is",
	.opts = opts,
	.args_size = sizeof(struct inspect_args),
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.kind = OPERAND_OBJECT,
	.records = true,
	.run = run,
};
