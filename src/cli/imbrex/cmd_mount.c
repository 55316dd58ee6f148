/* SPDX-License-Identifier: Apache-2.0 */
/* mount: the path of a container's or an image's tree; without an operand, what is mounted. */
#include "base/error.h"
#include "base/str.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct mount_args {
	const char *options;
	bool read_only;
};

static const struct column columns[] = {
	{ "CONTAINER ID" },
	{ "PATH" },
};

static void print_json(const struct imbrex_container *list, size_t n)
{
	struct json_out j = { .f = stdout };
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = 0; i < n; i++) {
		if (!*list[i].mount_path)
			continue;
		json_begin(&j, NULL, '{');
		json_text(&j, "id", list[i].id);
		json_texts(&j, "names", list[i].names);
		json_text(&j, "mount_path", list[i].mount_path);
		json_number(&j, "mount_count", list[i].mount_count);
		json_end(&j, '}');
	}
	json_end(&j, ']');
}

static int print_table(const struct imbrex_container *list, size_t n)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	char id[OUT_WORD_BYTES * 2];
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		const char *const cells[] = { out_id(list[i].id, /* whole= */ false, id),
			list[i].mount_path };

		r = *list[i].mount_path ? table_row(&t, cells) : 0;
		if (r < 0)
			return r;
	}
	/* Paths are for the next command: never cut. */
	return table_print(stdout, &t, /* width= */ 0);
}

static int list_mounts(struct cli *c, struct imbrex_store *s)
{
	struct imbrex_error err = { .status = 0 };
	struct imbrex_container *list;
	size_t n;
	int r;

	r = imbrex_containers_list(s, &list, &n, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = 0;
	if (c->globals.json)
		print_json(list, n);
	else
		r = print_table(list, n);
	imbrex_containers_free(list, n);
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

static int run(struct cli *c, const void *args)
{
	const struct mount_args *a = args;
	const struct imbrex_mount_opts opts = { .read_only = a->read_only, .options = a->options };
	AUTO_STORE *store = NULL;
	AUTO_FREE char *path = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (!c->n_operands)
		return list_mounts(c, store);
	/* A mount of our own namespace would end with this command; a directory of vfs or btrfs
	 * stays. */
	if (c->in_userns && !imbrex_store_mounts_last(store)) {
		r = fail(&err, IMBREX_EPERM,
			"mount '%s': a mount of an unprivileged user ends with the command",
			c->operands[0]);
		(void)hint(&err, r, "run it inside 'imbrex unshare'");
		return cli_fail(c, &err);
	}
	r = imbrex_mount(store, c->operands[0], &opts, &path, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (!c->globals.json) {
		(void)puts(path);
	} else {
		struct json_out j = { .f = stdout };

		json_begin(&j, NULL, '[');
		json_begin(&j, NULL, '{');
		json_text(&j, "object", c->operands[0]);
		json_text(&j, "mount_path", path);
		json_end(&j, '}');
		json_end(&j, ']');
	}
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "read-only", 0, OPT_FLAG, offsetof(struct mount_args, read_only), NULL,
		"nobody shall write to the container's tree; always so for images" },
	{ "options", 'o', OPT_TEXT, offsetof(struct mount_args, options), "LIST",
		"mount options, with commas, in place of the configured ones" },
	{ NULL },
};

const struct verb verb_mount = {
	.name = "mount",
	.operands = "[OBJECT]",
	.summary = "mount a container or an image, and print the path",
	.opts = opts,
	.args_size = sizeof(struct mount_args),
	.operands_max = 1,
	.kind = OPERAND_OBJECT,
	.records = true,
	.run = run,
};
