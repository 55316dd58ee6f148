/* SPDX-License-Identifier: Apache-2.0 */
/* enroot: that face, for those who do not want its name in their PATH. */
#include <limits.h>

#include "cli/enroot/enroot.h"
#include "cli/imbrex/verbs.h"

static int run(struct cli *c, char **argv)
{
	static char called[] = "imbrex enroot";

	argv[0] = called;
	return enroot_main(c, "enroot", argv);
}

const struct verb verb_enroot = {
	.name = "enroot",
	.operands = "[COMMAND [ARG...]]",
	.summary = "speak enroot: import images, make root file systems of them",
	.operands_max = UINT_MAX,
	.rest_is_program = true,
	.run_raw = run,
};
