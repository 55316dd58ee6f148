/* SPDX-License-Identifier: Apache-2.0 */
/* rm: remove containers and what was written in them. */
#include <limits.h>

#include "base/error.h"
#include "cli/imbrex/verbs.h"

struct rm_args {
	bool force, all;
};

static int remove_one(
	struct cli *c, struct imbrex_store *s, const char *name, const struct rm_args *a)
{
	AUTO_FREE char *id = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = imbrex_container_find(s, name, &id, &err);
	if (r >= 0)
		r = imbrex_container_remove(s, id, a->force, &err);
	if (r == IMBREX_EBUSY && !a->force)
		(void)hint(&err, r, "imbrex umount %s, or imbrex rm --force %s", name, name);
	if (r < 0)
		return cli_fail(c, &err);
	(void)puts(id);
	return EXIT_SUCCESS;
}

static int remove_all(struct cli *c, struct imbrex_store *s, const struct rm_args *a)
{
	struct imbrex_error err = { .status = 0 };
	struct imbrex_container *list;
	int status = EXIT_SUCCESS, r;
	size_t n, i;

	r = imbrex_containers_list(s, &list, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	for (i = 0; i < n; i++) {
		r = remove_one(c, s, list[i].id, a);
		if (r)
			status = r;
	}
	imbrex_containers_free(list, n);
	return status;
}

static int run(struct cli *c, const void *args)
{
	const struct rm_args *a = args;
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	int status = EXIT_SUCCESS, r;
	size_t i;

	if (a->all ? c->n_operands : !c->n_operands) {
		(void)fail(&err, IMBREX_EINVAL, "'rm' needs CONTAINER..., or --all without any");
		return cli_usage(c, &err);
	}
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (a->all)
		return remove_all(c, store, a);
	for (i = 0; i < c->n_operands; i++) {
		r = remove_one(c, store, c->operands[i], a);
		if (r)
			status = r;
	}
	return status;
}

static const struct opt opts[] = {
	{ "force", 'f', OPT_FLAG, offsetof(struct rm_args, force), NULL,
		"unmount what is mounted" },
	{ "all", 'a', OPT_FLAG, offsetof(struct rm_args, all), NULL, "every container" },
	{ NULL },
};

const struct verb verb_rm = {
	.name = "rm",
	.operands = "CONTAINER...",
	.summary = "remove containers, and print their ids",
	.opts = opts,
	.args_size = sizeof(struct rm_args),
	.operands_max = UINT_MAX,
	.kind = OPERAND_CONTAINER,
	.run = run,
};
