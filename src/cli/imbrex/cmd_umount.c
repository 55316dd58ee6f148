/* SPDX-License-Identifier: Apache-2.0 */
/* umount: undo mounts of containers and images. */
#include <limits.h>

#include "cli/imbrex/verbs.h"

struct umount_args {
	bool all;
};

static int run(struct cli *c, const void *args)
{
	const struct umount_args *a = args;
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	int status = EXIT_SUCCESS, still, r;
	size_t i;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	for (i = 0; i < c->n_operands; i++) {
		r = imbrex_unmount(store, c->operands[i], a->all, &still, &err);
		if (r < 0)
			status = cli_fail(c, &err);
		else if (still > 0)
			cli_note(c, "%s is still mounted: %d more to undo", c->operands[i], still);
	}
	return status;
}

static const struct opt opts[] = {
	{ "all", 'a', OPT_FLAG, offsetof(struct umount_args, all), NULL,
		"undo every mount of the object, not only one" },
	{ NULL },
};

const struct verb verb_umount = {
	.name = "umount",
	.operands = "OBJECT...",
	.summary = "undo a mount",
	.opts = opts,
	.args_size = sizeof(struct umount_args),
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.kind = OPERAND_OBJECT,
	.run = run,
};
