/* SPDX-License-Identifier: Apache-2.0 */
/* storage: the plumbing face, for those who do not want its name in their PATH. */
#include <limits.h>

#include "cli/imbrex/verbs.h"
#include "cli/storage/storage.h"

static int run(struct cli *c, char **argv)
{
	static char called[] = "imbrex storage";

	argv[0] = called;
	return plumbing_main(c, "containers-storage", argv);
}

const struct verb verb_storage = {
	.name = "storage",
	.operands = "[COMMAND [ARG...]]",
	.summary = "speak containers-storage: layers, images, containers and their records",
	.operands_max = UINT_MAX,
	.kind = OPERAND_PLUMBING,
	.rest_is_program = true,
	.run_raw = run,
};
