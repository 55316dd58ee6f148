/* SPDX-License-Identifier: Apache-2.0 */
/* images: what is in the store, newest first. A row for every name, a record for every image. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct images_args {
	bool no_trunc;
};

static const struct column columns[] = {
	{ "NAME", .shrink = true },
	{ "IMAGE ID" },
	{ "CREATED" },
	{ "LAYERS", .right = true },
	{ "SIZE", .right = true },
};

static int newest_first(const void *a, const void *b)
{
	const struct imbrex_image *x = a, *y = b;
	int r = strcmp(y->created, x->created);

	return r ? r : strcmp(x->id, y->id);
}

static void print_json(const struct imbrex_image *images, size_t n)
{
	struct json_out j = { .f = stdout };
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = 0; i < n; i++) {
		json_begin(&j, NULL, '{');
		json_text(&j, "id", images[i].id);
		json_texts(&j, "names", images[i].names);
		json_text(&j, "digest", images[i].digest);
		json_text(&j, "created", images[i].created);
		json_text(&j, "layer", images[i].layer);
		json_number(&j, "layers", (int64_t)images[i].n_layers);
		json_number(&j, "size_bytes", images[i].size_bytes);
		json_end(&j, '}');
	}
	json_end(&j, ']');
}

static int add_rows(struct table *t, const struct imbrex_image *image, bool whole, int64_t now_sec)
{
	char id[OUT_WORD_BYTES * 2], ago[OUT_WORD_BYTES], size[OUT_WORD_BYTES];
	char layers[OUT_WORD_BYTES];
	size_t i = 0;
	int r;

	(void)snprintf(layers, sizeof(layers), "%zu", image->n_layers);
	do {
		const char *const cells[] = {
			image->names[i] ? image->names[i] : "<none>",
			out_id(image->id, whole, id),
			out_ago(image->created, now_sec, ago),
			layers,
			out_size(image->size_bytes, size),
		};

		r = table_row(t, cells);
		if (r < 0)
			return r;
	} while (image->names[i] && image->names[++i]);
	return 0;
}

static int print_table(const struct imbrex_image *images, size_t n, bool whole)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	int64_t now_sec = time(NULL);
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		r = add_rows(&t, &images[i], whole, now_sec);
		if (r < 0)
			return r;
	}
	return table_print(stdout, &t, out_columns(STDOUT_FILENO));
}

static int run(struct cli *c, const void *args)
{
	const struct images_args *a = args;
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	struct imbrex_image *images;
	size_t n, i;
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_images_list(store, &images, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (n)
		qsort(images, n, sizeof(*images), newest_first);
	r = 0;
	if (c->globals.json) {
		print_json(images, n);
	} else if (c->globals.quiet) {
		for (i = 0; i < n; i++)
			(void)puts(images[i].id);
	} else {
		r = print_table(images, n, a->no_trunc);
		if (!n && isatty(STDOUT_FILENO))
			cli_note(c, "no images yet: '%s pull SRC' fetches one", c->face->name);
	}
	imbrex_images_free(images, n);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "no-trunc", 0, OPT_FLAG, offsetof(struct images_args, no_trunc), NULL, "show whole ids" },
	{ NULL },
};

const struct verb verb_images = {
	.name = "images",
	.operands = "",
	.summary = "list images",
	.opts = opts,
	.args_size = sizeof(struct images_args),
	.records = true,
	.run = run,
};
