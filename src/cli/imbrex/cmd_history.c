/* SPDX-License-Identifier: Apache-2.0 */
/* history: how an image says it was made, newest step first. */
#include <time.h>

#include "base/error.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct history_args {
	bool no_trunc;
};

static const struct column columns[] = {
	{ "LAYER" },
	{ "CREATED" },
	{ "CREATED BY", .shrink = true },
	{ "SIZE", .right = true },
	{ "COMMENT", .shrink = true },
};

/* Without a terminal there is no width to keep to, and commands may be pages long. */
#define COMMAND_COLUMNS 60

static void print_json(const struct imbrex_history *history, size_t n)
{
	struct json_out j = { .f = stdout };
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = n; i-- > 0;) {
		json_begin(&j, NULL, '{');
		json_text(&j, "created", history[i].created);
		json_text(&j, "created_by", history[i].created_by);
		json_text(&j, "comment", history[i].comment);
		json_bool(&j, "empty_layer", history[i].empty_layer);
		json_text(&j, "layer", history[i].layer);
		json_number(&j, "size_bytes", history[i].size_bytes);
		json_end(&j, '}');
	}
	json_end(&j, ']');
}

static int print_table(const struct imbrex_history *history, size_t n, bool whole)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	char id[OUT_WORD_BYTES * 2], ago[OUT_WORD_BYTES], size[OUT_WORD_BYTES];
	char command[COMMAND_COLUMNS + 1];
	int64_t now_sec = time(NULL);
	const struct imbrex_history *h;
	size_t i;
	int r;

	for (i = n; i-- > 0;) {
		h = &history[i];
		(void)snprintf(command, sizeof(command), "%s", h->created_by);
		const char *const cells[] = {
			*h->layer ? out_id(h->layer, whole, id) : "-",
			out_ago(h->created, now_sec, ago),
			whole ? h->created_by : command,
			out_size(h->empty_layer ? 0 : h->size_bytes, size),
			h->comment,
		};

		r = table_row(&t, cells);
		if (r < 0)
			return r;
	}
	return table_print(stdout, &t, whole ? 0 : out_columns(STDOUT_FILENO));
}

static int run(struct cli *c, const void *args)
{
	const struct history_args *a = args;
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	struct imbrex_history *history;
	size_t n, i;
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_image_history(store, c->operands[0], &history, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = 0;
	if (c->globals.json) {
		print_json(history, n);
	} else if (c->globals.quiet) {
		for (i = n; i-- > 0;) {
			if (*history[i].layer)
				(void)puts(history[i].layer);
		}
	} else {
		r = print_table(history, n, a->no_trunc);
	}
	imbrex_history_free(history, n);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "no-trunc", 0, OPT_FLAG, offsetof(struct history_args, no_trunc), NULL,
		"show whole ids and commands" },
	{ NULL },
};

const struct verb verb_history = {
	.name = "history",
	.operands = "IMAGE",
	.summary = "show how an image was made, newest step first",
	.opts = opts,
	.args_size = sizeof(struct history_args),
	.operands_min = 1,
	.operands_max = 1,
	.kind = OPERAND_IMAGE,
	.records = true,
	.run = run,
};
