/* SPDX-License-Identifier: Apache-2.0 */
/* untag: take names away; the image stays. */
#include <limits.h>

#include "cli/imbrex/verbs.h"

static int run(struct cli *c, const void *args)
{
	AUTO_STORE *store = NULL;
	AUTO_FREE char *id = NULL;
	struct imbrex_error err = { .status = 0 };
	size_t i;
	int r;

	(void)args;
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	/* By id: the name that found the image may be the first one to go. */
	r = imbrex_image_find(store, c->operands[0], &id, &err);
	if (r >= 0 && c->n_operands == 1)
		r = imbrex_image_untag(store, id, /* name= */ NULL, &err);
	for (i = 1; r >= 0 && i < c->n_operands; i++)
		r = imbrex_image_untag(store, id, c->operands[i], &err);
	return r < 0 ? cli_fail(c, &err) : EXIT_SUCCESS;
}

const struct verb verb_untag = {
	.name = "untag",
	.operands = "IMAGE [NAME...]",
	.summary = "take names away from an image, or all of them",
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.kind = OPERAND_IMAGE,
	.run = run,
};
