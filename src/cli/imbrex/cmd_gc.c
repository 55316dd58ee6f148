/* SPDX-License-Identifier: Apache-2.0 */
/* gc: remove what no record names. */
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct gc_args {
	bool dry_run;
};

static int run(struct cli *c, const void *args)
{
	const struct gc_args *a = args;
	AUTO_STORE *store = NULL;
	struct json_out j = { .f = stdout };
	struct imbrex_error err = { .status = 0 };
	char **lines;
	size_t i;
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_gc(store, a->dry_run, &lines, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (c->globals.json)
		json_begin(&j, NULL, '[');
	for (i = 0; lines[i]; i++) {
		AUTO_STR clean = STR_INIT(8192);

		r = out_clean(&clean, lines[i]);
		if (c->globals.json)
			json_text(&j, NULL, lines[i]);
		else if (r == 0 || r == -EFBIG)
			(void)puts(str_text(&clean));
	}
	if (c->globals.json)
		json_end(&j, ']');
	imbrex_strings_free(lines);
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "dry-run", 'n', OPT_FLAG, offsetof(struct gc_args, dry_run), NULL,
		"say what would be removed, and remove nothing" },
	{ NULL },
};

const struct verb verb_gc = {
	.name = "gc",
	.operands = "",
	.summary = "remove what a crash left behind",
	.opts = opts,
	.args_size = sizeof(struct gc_args),
	.records = true,
	.run = run,
};
