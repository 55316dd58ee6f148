/* SPDX-License-Identifier: Apache-2.0 */
/* rmi: remove images, and the layers that nothing else needs. */
#include <limits.h>

#include "base/error.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct rmi_args {
	bool force, all;
};

static void print_removed(const struct imbrex_removed *removed, bool quiet)
{
	size_t i;

	for (i = 0; removed->untagged[i] && !quiet; i++)
		(void)printf("untagged %s\n", removed->untagged[i]);
	for (i = 0; removed->images[i]; i++)
		(void)printf("%s%s\n", quiet ? "" : "removed ", removed->images[i]);
}

static int remove_one(struct cli *c, struct imbrex_store *s, struct json_out *j, const char *name,
	const struct rmi_args *a)
{
	struct imbrex_error err = { .status = 0 };
	struct imbrex_removed removed;
	int r;

	r = imbrex_image_remove(s, name, a->force, &removed, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (c->globals.json) {
		json_begin(j, NULL, '{');
		json_texts(j, "untagged", removed.untagged);
		json_texts(j, "images", removed.images);
		json_texts(j, "layers", removed.layers);
		json_end(j, '}');
	} else {
		print_removed(&removed, c->globals.quiet);
	}
	imbrex_removed_done(&removed);
	return EXIT_SUCCESS;
}

static int remove_all(
	struct cli *c, struct imbrex_store *s, struct json_out *j, const struct rmi_args *a)
{
	struct imbrex_error err = { .status = 0 };
	struct imbrex_image *list;
	int status = EXIT_SUCCESS, r;
	size_t n, i;

	r = imbrex_images_list(s, &list, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	for (i = 0; i < n; i++) {
		r = remove_one(c, s, j, list[i].id, a);
		if (r)
			status = r;
	}
	imbrex_images_free(list, n);
	return status;
}

static int run(struct cli *c, const void *args)
{
	const struct rmi_args *a = args;
	AUTO_STORE *store = NULL;
	struct json_out j = { .f = stdout };
	struct imbrex_error err = { .status = 0 };
	int status = EXIT_SUCCESS, r;
	size_t i;

	if (a->all ? c->n_operands : !c->n_operands) {
		(void)fail(&err, IMBREX_EINVAL, "'rmi' needs IMAGE..., or --all without any");
		return cli_usage(c, &err);
	}
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (c->globals.json)
		json_begin(&j, NULL, '[');
	if (a->all)
		status = remove_all(c, store, &j, a);
	for (i = 0; i < c->n_operands; i++) {
		r = remove_one(c, store, &j, c->operands[i], a);
		if (r)
			status = r;
	}
	if (c->globals.json)
		json_end(&j, ']');
	return status;
}

static const struct opt opts[] = {
	{ "force", 'f', OPT_FLAG, offsetof(struct rmi_args, force), NULL,
		"remove the containers of the image too" },
	{ "all", 'a', OPT_FLAG, offsetof(struct rmi_args, all), NULL, "every image" },
	{ NULL },
};

const struct verb verb_rmi = {
	.name = "rmi",
	.operands = "IMAGE...",
	.summary = "remove images, or names that others share",
	.opts = opts,
	.args_size = sizeof(struct rmi_args),
	.operands_max = UINT_MAX,
	.kind = OPERAND_IMAGE,
	.records = true,
	.run = run,
};
