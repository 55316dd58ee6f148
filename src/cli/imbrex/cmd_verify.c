/* SPDX-License-Identifier: Apache-2.0 */
/* verify: the content of one object against its digests. Exits 1 if it is not what they say. */
#include "base/error.h"
#include "cli/imbrex/problems.h"
#include "cli/imbrex/verbs.h"

static int run(struct cli *c, const void *args)
{
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	struct imbrex_problem *problems;
	size_t n;
	int r;

	r = cli_open_store(c, &store, &err);
	if (r == 0)
		r = imbrex_verify(store, c->operands[0], IMBREX_KIND_ANY, &problems, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (c->globals.json)
		problems_print_json(problems, n);
	else
		r = problems_print(problems, n, false);
	imbrex_problems_free(problems, n);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	if (!n)
		return EXIT_SUCCESS;
	r = fail(&err, IMBREX_EFAIL, "'%s' is not what its digests say", c->operands[0]);
	(void)hint(&err, r, "imbrex check --repair --dry-run says what can be done");
	return cli_fail(c, &err);
}

const struct verb verb_verify = {
	.name = "verify",
	.operands = "OBJECT",
	.summary = "compare an image, container or layer with its digests",
	.operands_min = 1,
	.operands_max = 1,
	.kind = OPERAND_OBJECT,
	.records = true,
	.run = run,
};
