/* SPDX-License-Identifier: Apache-2.0 */
/* df: what the store takes on disk, and what could be had back. */
#include "base/error.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

static const struct column columns[] = {
	{ "WHAT" },
	{ "COUNT", .right = true },
	{ "SIZE", .right = true },
	{ "RECLAIMABLE", .right = true },
};

static void print_json(const struct imbrex_df *df)
{
	struct json_out j = { .f = stdout };

	json_begin(&j, NULL, '{');
	json_number(&j, "images", (int64_t)df->n_images);
	json_number(&j, "containers", (int64_t)df->n_containers);
	json_number(&j, "layers", (int64_t)df->n_layers);
	json_number(&j, "layers_bytes", df->layers_bytes);
	json_number(&j, "containers_bytes", df->containers_bytes);
	json_number(&j, "reclaimable_bytes", df->reclaimable_bytes);
	json_end(&j, '}');
}

static int print_table(const struct imbrex_df *df)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	const struct {
		const char *what;
		size_t count;
		int64_t bytes, reclaimable_bytes;
	} rows[] = {
		{ "images", df->n_images, -1, -1 },
		{ "image layers", df->n_layers, df->layers_bytes, df->reclaimable_bytes },
		{ "containers", df->n_containers, df->containers_bytes, -1 },
	};
	char count[OUT_WORD_BYTES], size[OUT_WORD_BYTES], reclaimable[OUT_WORD_BYTES];
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(count, sizeof(count), "%zu", rows[i].count);
		const char *const cells[] = { rows[i].what, count, out_size(rows[i].bytes, size),
			out_size(rows[i].reclaimable_bytes, reclaimable) };

		r = table_row(&t, cells);
		if (r < 0)
			return r;
	}
	return table_print(stdout, &t, out_columns(STDOUT_FILENO));
}

static int run(struct cli *c, const void *args)
{
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	struct imbrex_df df;
	int r;

	(void)args;
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_df(store, &df, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (c->globals.json) {
		print_json(&df);
		return EXIT_SUCCESS;
	}
	r = print_table(&df);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

const struct verb verb_df = {
	.name = "df",
	.operands = "",
	.summary = "show the disk use of the store",
	.records = true,
	.run = run,
};
