/* SPDX-License-Identifier: Apache-2.0 */
/* help: the list of verbs, or the options of one. */
#include "cli/imbrex/verbs.h"

static int run(struct cli *c, const void *args)
{
	const struct verb *verb;

	(void)args;
	if (!c->n_operands) {
		face_print_help(stdout, c->face);
		return EXIT_SUCCESS;
	}
	verb = face_find(c->face, c->operands[0]);
	if (!verb)
		return face_unknown_verb(c, c->operands[0]);
	verb_print_help(stdout, c->face, verb);
	return EXIT_SUCCESS;
}

const struct verb verb_help = {
	.name = "help",
	.operands = "[VERB]",
	.summary = "show the verbs, or the options of one",
	.operands_max = 1,
	.kind = OPERAND_VERB,
	.run = run,
};
