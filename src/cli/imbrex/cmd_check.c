/* SPDX-License-Identifier: Apache-2.0 */
/* check: is the store whole? Exits 1 if a problem is left. */
#include "base/error.h"
#include "base/str.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct check_args {
	bool repair, quick;
};

static void print_json(const struct imbrex_problem *problems, size_t n)
{
	struct json_out j = { .f = stdout };
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = 0; i < n; i++) {
		json_begin(&j, NULL, '{');
		json_text(&j, "object", problems[i].object);
		json_text(&j, "problem", problems[i].text);
		json_bool(&j, "repaired", problems[i].repaired);
		json_end(&j, '}');
	}
	json_end(&j, ']');
}

static int print_lines(const struct imbrex_problem *problems, size_t n)
{
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		AUTO_STR line = STR_INIT(16u * 1024u);

		r = out_clean(&line, problems[i].object);
		if (r == 0)
			r = str_puts(&line, ": ");
		if (r == 0)
			r = out_clean(&line, problems[i].text);
		if (r < 0 && r != -EFBIG)
			return r;
		(void)printf("%s%s\n", str_text(&line), problems[i].repaired ? " (repaired)" : "");
	}
	return 0;
}

static int run(struct cli *c, const void *args)
{
	const struct check_args *a = args;
	const struct imbrex_check_opts opts = { .repair = a->repair, .quick = a->quick };
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	struct imbrex_problem *problems;
	size_t n, i, left = 0;
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_check(store, &opts, &problems, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	for (i = 0; i < n; i++)
		left += !problems[i].repaired;
	r = 0;
	if (c->globals.json)
		print_json(problems, n);
	else
		r = print_lines(problems, n);
	imbrex_problems_free(problems, n);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	if (!left)
		return EXIT_SUCCESS;
	r = fail(&err, IMBREX_EFAIL, "store '%s': %zu problem%s", imbrex_store_graphroot(store),
		left, left == 1 ? "" : "s");
	(void)hint(&err, r,
		a->repair ? "what is in use cannot be repaired: remove its containers and try again"
			  : "imbrex check --repair rebuilds or removes what is damaged");
	return cli_fail(c, &err);
}

static const struct opt opts[] = {
	{ "repair", 0, OPT_FLAG, offsetof(struct check_args, repair), NULL,
		"rebuild or remove what is damaged and not in use" },
	{ "quick", 0, OPT_FLAG, offsetof(struct check_args, quick), NULL,
		"records and links only, not the content of layers" },
	{ NULL },
};

const struct verb verb_check = {
	.name = "check",
	.operands = "",
	.summary = "find, and with --repair mend, damage of the store",
	.opts = opts,
	.args_size = sizeof(struct check_args),
	.records = true,
	.run = run,
};
