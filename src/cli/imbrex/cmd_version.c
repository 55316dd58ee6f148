/* SPDX-License-Identifier: Apache-2.0 */
/* version: of this program and of the library it found. */
#include "cli/imbrex/verbs.h"
#include "cli/out.h"
#include "config.h"

static int run(struct cli *c, const void *args)
{
	struct json_out j = { .f = stdout };

	(void)args;
	if (!c->globals.json) {
		(void)printf("imbrex %s\n", IMBREX_VERSION);
		if (c->globals.debug)
			(void)printf("libimbrex %s\n", imbrex_version());
		return EXIT_SUCCESS;
	}
	json_begin(&j, NULL, '{');
	json_text(&j, "version", IMBREX_VERSION);
	json_text(&j, "library", imbrex_version());
	json_end(&j, '}');
	return EXIT_SUCCESS;
}

const struct verb verb_version = {
	.name = "version",
	.operands = "",
	.summary = "show the version",
	.records = true,
	.run = run,
};
