/* SPDX-License-Identifier: Apache-2.0 */
/* check: is the store whole, and what can be mended? Exits 1 if a problem is left. */
#include "base/error.h"
#include "cli/imbrex/problems.h"
#include "cli/imbrex/verbs.h"

struct check_args {
	bool repair, quick, dry_run, force, all;
	const char *from;
};

static int conclude(struct cli *c, const struct check_args *a, struct imbrex_store *store,
	size_t left, struct imbrex_error *err)
{
	bool mending = a->repair && !a->dry_run;
	int r;

	if (!left)
		return EXIT_SUCCESS;
	r = fail(err, IMBREX_EFAIL, "store '%s': %zu problem%s", imbrex_store_graphroot(store),
		left, left == 1 ? "" : "s");
	(void)hint(err, r,
		mending ? "what is in use is left alone: unmount it and try again; --from SOURCE "
			  "fetches what is lost, --force removes it"
			: "imbrex check --repair does what stands behind the arrows");
	return cli_fail(c, err);
}

static int run(struct cli *c, const void *args)
{
	const struct check_args *a = args;
	struct imbrex_check_opts opts = {
		.repair = a->repair || a->dry_run,
		.dry_run = a->dry_run,
		.quick = a->quick,
		.remove = a->force,
		.force = a->force,
		.from = a->from,
		.max_age_sec = a->all ? -1 : 0,
	};
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	struct imbrex_problem *problems;
	size_t n, left;
	int r;

	if ((a->force || a->from) && !opts.repair) {
		r = fail(&err, IMBREX_EINVAL, "option --%s needs --repair",
			a->force ? "force" : "from");
		return cli_usage(c, &err);
	}
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_check(store, &opts, &problems, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	left = problems_left(problems, n);
	if (c->globals.json)
		problems_print_json(problems, n);
	else
		r = problems_print(problems, n, opts.repair && !opts.dry_run);
	imbrex_problems_free(problems, n);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return conclude(c, a, store, left, &err);
}

static const struct opt opts[] = {
	{ "repair", 0, OPT_FLAG, offsetof(struct check_args, repair), NULL,
		"rebuild or remove what is damaged and not in use" },
	{ "dry-run", 'n', OPT_FLAG, offsetof(struct check_args, dry_run), NULL,
		"say what --repair would do, and change nothing" },
	{ "from", 0, OPT_TEXT, offsetof(struct check_args, from), "SOURCE",
		"with --repair: fetch what is damaged, and only that, from there" },
	{ "force", 0, OPT_FLAG, offsetof(struct check_args, force), NULL,
		"with --repair: remove what cannot be saved, containers too" },
	{ "quick", 0, OPT_FLAG, offsetof(struct check_args, quick), NULL,
		"records and links only, not the content of layers" },
	{ "all", 0, OPT_FLAG, offsetof(struct check_args, all), NULL,
		"layers that nobody needs, even if they are younger than a day" },
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
