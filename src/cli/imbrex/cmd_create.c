/* SPDX-License-Identifier: Apache-2.0 */
/* create: a container, that is a writable layer on an image. */
#include "base/error.h"
#include "cli/imbrex/verbs.h"

struct create_args {
	const char *name;
	bool is_volatile;
	struct opt_list storage_opts;
};

static int run(struct cli *c, const void *args)
{
	const struct create_args *a = args;
	const struct imbrex_container_opts opts = {
		.name = a->name,
		.is_volatile = a->is_volatile,
		.storage_opts = a->storage_opts.items,
	};
	AUTO_STORE *store = NULL;
	AUTO_FREE char *id = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_container_create(store, c->operands[0], &opts, &id, &err);
	if (r == IMBREX_ENOENT)
		(void)hint(&err, r, "imbrex pull %s", c->operands[0]);
	if (r < 0)
		return cli_fail(c, &err);
	(void)puts(id);
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "name", 0, OPT_TEXT, offsetof(struct create_args, name), "NAME",
		"a name for the container" },
	{ "volatile", 0, OPT_FLAG, offsetof(struct create_args, is_volatile), NULL,
		"faster: what is written need not survive a crash" },
	/* Hides the global one, whose options are for the driver: before the verb it still is that.
	 */
	{ "storage-opt", 0, OPT_LIST, offsetof(struct create_args, storage_opts), "KEY=VALUE",
		"option of this container's layer: size=10G, inodes=100000" },
	{ NULL },
};

const struct verb verb_create = {
	.name = "create",
	.operands = "IMAGE",
	.summary = "make a container of an image, and print its id",
	.opts = opts,
	.args_size = sizeof(struct create_args),
	.operands_min = 1,
	.operands_max = 1,
	.kind = OPERAND_IMAGE,
	.run = run,
};
