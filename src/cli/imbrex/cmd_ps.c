/* SPDX-License-Identifier: Apache-2.0 */
/* ps: containers, newest first. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct ps_args {
	bool no_trunc;
};

static const struct column columns[] = {
	{ "CONTAINER ID" },
	{ "IMAGE", .shrink = true },
	{ "CREATED" },
	{ "MOUNTED", .right = true },
	{ "NAMES", .shrink = true },
};

static int newest_first(const void *a, const void *b)
{
	const struct imbrex_container *x = a, *y = b;
	int r = strcmp(y->created, x->created);

	return r ? r : strcmp(x->id, y->id);
}

static void print_json(const struct imbrex_container *list, size_t n)
{
	struct json_out j = { .f = stdout };
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = 0; i < n; i++) {
		json_begin(&j, NULL, '{');
		json_text(&j, "id", list[i].id);
		json_texts(&j, "names", list[i].names);
		json_text(&j, "image", list[i].image);
		json_text(&j, "image_name", list[i].image_name);
		json_text(&j, "layer", list[i].layer);
		json_text(&j, "created", list[i].created);
		json_bool(&j, "volatile", list[i].is_volatile);
		json_number(&j, "mount_count", list[i].mount_count);
		json_text(&j, "mount_path", list[i].mount_path);
		json_end(&j, '}');
	}
	json_end(&j, ']');
}

static int add_row(struct table *t, const struct imbrex_container *ctr, bool whole, int64_t now_sec)
{
	char id[OUT_WORD_BYTES * 2], image[OUT_WORD_BYTES * 2], ago[OUT_WORD_BYTES];
	char mounted[OUT_WORD_BYTES];
	AUTO_STR names = STR_INIT(64u * 1024u);
	int r;

	r = out_join(&names, ctr->names);
	if (r < 0 && r != -EFBIG)
		return r;
	(void)snprintf(mounted, sizeof(mounted), "%d", ctr->mount_count);
	const char *const cells[] = {
		out_id(ctr->id, whole, id),
		*ctr->image_name ? ctr->image_name : out_id(ctr->image, whole, image),
		out_ago(ctr->created, now_sec, ago),
		mounted,
		str_text(&names),
	};
	return table_row(t, cells);
}

static int print_table(const struct imbrex_container *list, size_t n, bool whole)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	int64_t now_sec = time(NULL);
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		r = add_row(&t, &list[i], whole, now_sec);
		if (r < 0)
			return r;
	}
	return table_print(stdout, &t, out_columns(STDOUT_FILENO));
}

static int run(struct cli *c, const void *args)
{
	const struct ps_args *a = args;
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	struct imbrex_container *list;
	size_t n, i;
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_containers_list(store, &list, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (n)
		qsort(list, n, sizeof(*list), newest_first);
	r = 0;
	if (c->globals.json) {
		print_json(list, n);
	} else if (c->globals.quiet) {
		for (i = 0; i < n; i++)
			(void)puts(list[i].id);
	} else {
		r = print_table(list, n, a->no_trunc);
		if (!n && isatty(STDOUT_FILENO))
			cli_note(
				c, "no containers yet: '%s create IMAGE' makes one", c->face->name);
	}
	imbrex_containers_free(list, n);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "no-trunc", 0, OPT_FLAG, offsetof(struct ps_args, no_trunc), NULL, "show whole ids" },
	{ NULL },
};

const struct verb verb_ps = {
	.name = "ps",
	.operands = "",
	.summary = "list containers",
	.opts = opts,
	.args_size = sizeof(struct ps_args),
	.records = true,
	.run = run,
};
