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

/* What images are sorted by, side by side: many images would be many far memories for each
 * comparison. */
struct rank {
	char created[40]; /* filled with zeros; a whole RFC 3339 time with nanoseconds */
	char id[16];      /* the beginning of it */
	const struct imbrex_image *image;
};

static int newest_first(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;
	int r = memcmp(y->created, x->created, sizeof(x->created));

	/* Longer than it should be: the rest counts, too. */
	if (!r && x->created[sizeof(x->created) - 1])
		r = strcmp(y->image->created, x->image->created);
	if (!r)
		r = memcmp(x->id, y->id, sizeof(x->id));
	return r ? r : strcmp(x->image->id, y->image->id);
}

/* free(); NULL: no memory */
static struct rank *sorted(const struct imbrex_image *images, size_t n)
{
	struct rank *ranks = calloc(n + 1, sizeof(*ranks));
	size_t i;

	if (!ranks)
		return NULL;
	for (i = 0; i < n; i++) {
		ranks[i].image = &images[i];
		(void)memcpy(ranks[i].created, images[i].created,
			strnlen(images[i].created, sizeof(ranks[i].created)));
		(void)memcpy(ranks[i].id, images[i].id, strnlen(images[i].id, sizeof(ranks[i].id)));
	}
	qsort(ranks, n, sizeof(*ranks), newest_first);
	return ranks;
}

static void print_json(const struct rank *ranks, size_t n)
{
	struct json_out j = { .f = stdout };
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = 0; i < n; i++) {
		const struct imbrex_image *image = ranks[i].image;

		json_begin(&j, NULL, '{');
		json_text(&j, "id", image->id);
		json_texts(&j, "names", image->names);
		json_text(&j, "digest", image->digest);
		json_text(&j, "created", image->created);
		json_text(&j, "layer", image->layer);
		json_number(&j, "layers", (int64_t)image->n_layers);
		json_number(&j, "size_bytes", image->size_bytes);
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

static int print_table(const struct rank *ranks, size_t n, bool whole)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	int64_t now_sec = time(NULL);
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		r = add_rows(&t, ranks[i].image, whole, now_sec);
		if (r < 0)
			return r;
	}
	return table_print(stdout, &t, out_columns(STDOUT_FILENO));
}

static int run(struct cli *c, const void *args)
{
	const struct images_args *a = args;
	AUTO_STORE *store = NULL;
	AUTO_FREE struct rank *ranks = NULL;
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
	ranks = sorted(images, n);
	if (!ranks) {
		r = -ENOMEM;
	} else if (c->globals.json) {
		print_json(ranks, n);
	} else if (c->globals.quiet) {
		for (i = 0; i < n; i++)
			(void)puts(ranks[i].image->id);
	} else {
		r = print_table(ranks, n, a->no_trunc);
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
