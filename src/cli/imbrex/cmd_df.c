/* SPDX-License-Identifier: Apache-2.0 */
/* df: what the store takes on disk, who shares it, and what could be had back. */
#include "base/error.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct df_args {
	bool verbose;
};

static const struct column columns[] = {
	{ "WHAT" },
	{ "COUNT", .right = true },
	{ "SIZE", .right = true },
	{ "SHARED", .right = true },
	{ "RECLAIMABLE", .right = true },
};

static const struct column object_columns[] = {
	{ "KIND" },
	{ "NAME", .shrink = true },
	{ "ID" },
	{ "SIZE", .right = true },
	{ "SHARED", .right = true },
	{ "UNIQUE", .right = true },
	{ "LIMIT", .right = true },
	{ "IN USE" },
};

static void object_json(struct json_out *j, const struct imbrex_df_object *o)
{
	json_begin(j, NULL, '{');
	json_text(j, "kind", o->is_container ? "container" : "image");
	json_text(j, "id", o->id);
	json_text(j, "name", o->name);
	json_number(j, "total_bytes", o->total_bytes);
	json_number(j, "shared_bytes", o->shared_bytes);
	json_number(j, "unique_bytes", o->unique_bytes);
	json_bool(j, "in_use", o->in_use);
	if (o->limit_bytes)
		json_number(j, "limit_bytes", o->limit_bytes);
	if (o->limit_inodes)
		json_number(j, "limit_inodes", o->limit_inodes);
	json_end(j, '}');
}

static void print_json(const struct imbrex_df *df, const struct imbrex_df_object *objects, size_t n)
{
	size_t i;

	struct json_out j = { .f = stdout };

	json_begin(&j, NULL, '{');
	json_number(&j, "images", (int64_t)df->n_images);
	json_number(&j, "containers", (int64_t)df->n_containers);
	json_number(&j, "layers", (int64_t)df->n_layers);
	json_number(&j, "layers_bytes", df->layers_bytes);
	json_number(&j, "containers_bytes", df->containers_bytes);
	json_number(&j, "reclaimable_bytes", df->reclaimable_bytes);
	json_number(&j, "shared_bytes", df->shared_bytes);
	json_number(&j, "unique_bytes", df->unique_bytes);
	json_number(&j, "unused_bytes", df->unused_bytes);
	if (objects) {
		json_begin(&j, "objects", '[');
		for (i = 0; i < n; i++)
			object_json(&j, &objects[i]);
		json_end(&j, ']');
	}
	json_end(&j, '}');
}

static int print_table(const struct imbrex_df *df)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	const struct {
		const char *what;
		size_t count;
		int64_t bytes, shared_bytes, reclaimable_bytes;
	} rows[] = {
		{ "images", df->n_images, -1, -1, -1 },
		{ "image layers", df->n_layers, df->layers_bytes, df->shared_bytes,
			df->reclaimable_bytes },
		{ "containers", df->n_containers, df->containers_bytes, -1, -1 },
	};
	char count[OUT_WORD_BYTES], size[OUT_WORD_BYTES], shared[OUT_WORD_BYTES],
		reclaimable[OUT_WORD_BYTES];
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(count, sizeof(count), "%zu", rows[i].count);
		const char *const cells[] = { rows[i].what, count, out_size(rows[i].bytes, size),
			out_size(rows[i].shared_bytes, shared),
			out_size(rows[i].reclaimable_bytes, reclaimable) };

		r = table_row(&t, cells);
		if (r < 0)
			return r;
	}
	return table_print(stdout, &t, out_columns(STDOUT_FILENO));
}

static int print_objects(const struct imbrex_df_object *objects, size_t n)
{
	AUTO_TABLE t = { .columns = object_columns, .n_columns = ARRAY_LEN(object_columns) };
	char id[OUT_WORD_BYTES * 2], total[OUT_WORD_BYTES], shared[OUT_WORD_BYTES],
		unique[OUT_WORD_BYTES], limit[OUT_WORD_BYTES];
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		const struct imbrex_df_object *o = &objects[i];
		const char *const cells[] = { o->is_container ? "container" : "image", o->name,
			out_id(o->id, false, id), out_size(o->total_bytes, total),
			out_size(o->shared_bytes, shared), out_size(o->unique_bytes, unique),
			out_size(o->limit_bytes ? o->limit_bytes : -1, limit),
			o->in_use ? "yes" : "no" };

		r = table_row(&t, cells);
		if (r < 0)
			return r;
	}
	(void)putchar('\n');
	return table_print(stdout, &t, out_columns(STDOUT_FILENO));
}

static int report(struct cli *c, struct imbrex_store *store, bool verbose, struct imbrex_error *err)
{
	struct imbrex_df_object *objects = NULL;
	struct imbrex_df df;
	size_t n = 0;
	int r;

	r = imbrex_df(store, &df, err);
	if (r == 0 && verbose)
		r = imbrex_df_objects(store, &objects, &n, err);
	if (r < 0)
		return r;
	if (c->globals.json) {
		print_json(&df, objects, n);
	} else {
		r = print_table(&df);
		if (r == 0 && verbose)
			r = print_objects(objects, n);
	}
	imbrex_df_objects_free(objects, n);
	return r < 0 ? fail_nomem(err) : 0;
}

static int run(struct cli *c, const void *args)
{
	const struct df_args *a = args;
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = report(c, store, a->verbose, &err);
	return r < 0 ? cli_fail(c, &err) : EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "verbose", 'v', OPT_FLAG, offsetof(struct df_args, verbose), NULL,
		"also each image and container, and what would go with it" },
	{ NULL },
};

const struct verb verb_df = {
	.name = "df",
	.operands = "",
	.summary = "show the disk use of the store",
	.opts = opts,
	.args_size = sizeof(struct df_args),
	.records = true,
	.run = run,
};
