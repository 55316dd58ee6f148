/* SPDX-License-Identifier: Apache-2.0 */
/* tag: further names for an image. */
#include <limits.h>

#include "cli/imbrex/verbs.h"

static int run(struct cli *c, const void *args)
{
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	size_t i;
	int r;

	(void)args;
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	for (i = 1; i < c->n_operands; i++) {
		r = imbrex_image_tag(store, c->operands[0], c->operands[i], &err);
		if (r < 0)
			return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

const struct verb verb_tag = {
	.name = "tag",
	.operands = "IMAGE NAME...",
	.summary = "give an image further names",
	.operands_min = 2,
	.operands_max = UINT_MAX,
	.kind = OPERAND_IMAGE,
	.run = run,
};
