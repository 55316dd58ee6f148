/* SPDX-License-Identifier: Apache-2.0 */
/* pull: import an image from any source. */
#include "cli/imbrex/fetch.h"
#include "cli/imbrex/verbs.h"

struct pull_args {
	struct fetch_args fetch;
};

static int run(struct cli *c, const void *args)
{
	const struct pull_args *a = args;
	AUTO_STORE *store = NULL;
	AUTO_FREE char *id = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = fetch_image(c, store, c->operands[0], c->operands[1], &a->fetch, &id, &err);
	if (r < 0)
		return cli_fail(c, &err);
	(void)puts(id);
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	FETCH_OPTS(struct pull_args, fetch),
	{ NULL },
};

const struct verb verb_pull = {
	.name = "pull",
	.operands = "SRC [NAME]",
	.summary = "import an image from any source, and print its id",
	.opts = opts,
	.args_size = sizeof(struct pull_args),
	.operands_min = 1,
	.operands_max = 2,
	.kind = OPERAND_FILE,
	.run = run,
};
