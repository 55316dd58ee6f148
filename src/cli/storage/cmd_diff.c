/* SPDX-License-Identifier: Apache-2.0 */
/* changes, diffsize, diff: what a layer adds to another. applydiff…: laying more over a layer. */
#include <inttypes.h>

#include "base/error.h"
#include "base/limits.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

static int print_change(const struct imbrex_change *change)
{
	static const char *const words[] = { [IMBREX_CHANGE_MODIFY] = "Modify",
		[IMBREX_CHANGE_ADD] = "Add",
		[IMBREX_CHANGE_DELETE] = "Delete" };
	/* Escaped, a byte takes four at most. */
	AUTO_STR path = STR_INIT(4 * LIMIT_PATH_BYTES + 2);
	int r;

	r = text_quote(&path, change->path);
	if (r < 0)
		return r;
	(void)printf("%s %s\n", words[change->kind], str_text(&path));
	return 0;
}

static void print_json(const struct imbrex_change *changes, size_t n)
{
	size_t i;

	if (!n) {
		(void)puts("null");
		return;
	}
	for (i = 0; i < n; i++) {
		(void)fputs(i ? ",{\"Path\":" : "[{\"Path\":", stdout);
		text_json(stdout, changes[i].path);
		(void)printf(",\"Kind\":%d}", (int)changes[i].kind);
	}
	(void)puts("]");
}

static int run_changes(struct plumbing *p, struct imbrex_error *err)
{
	struct imbrex_change *changes = NULL;
	size_t n = 0, i;
	int r;

	r = imbrex_layer_changes(p->store, p->args[0], p->args[1], &changes, &n, err);
	if (r < 0)
		return r;
	if (p->flags.json)
		print_json(changes, n);
	for (i = 0; r >= 0 && !p->flags.json && i < n; i++)
		r = print_change(&changes[i]);
	imbrex_changes_free(changes, n);
	return r < 0 ? fail_nomem(err) : EXIT_SUCCESS;
}

static int run_diff_size(struct plumbing *p, struct imbrex_error *err)
{
	int64_t size;
	int r;

	r = imbrex_layer_diff_size(p->store, p->args[0], p->args[1], &size, err);
	if (r < 0)
		return r;
	(void)printf("%" PRId64 "\n", size);
	return EXIT_SUCCESS;
}

/* Of several, the last in upstream's order. */
static enum imbrex_compression compression(const struct plumbing_flags *f)
{
	if (f->xz)
		return IMBREX_COMPRESSION_XZ;
	if (f->bzip2)
		return IMBREX_COMPRESSION_BZIP2;
	if (f->gzip)
		return IMBREX_COMPRESSION_GZIP;
	return f->uncompressed ? IMBREX_COMPRESSION_NONE : IMBREX_COMPRESSION_RECORDED;
}

static int run_diff(struct plumbing *p, struct imbrex_error *err)
{
	enum imbrex_compression how = compression(&p->flags);
	AUTO_CLOSE int close_it = -EBADF;
	int fd, r;

	r = plumbing_open_output(p->flags.file, &fd, &close_it, err);
	if (r < 0)
		return r;
	(void)fflush(stdout);
	r = imbrex_layer_diff(p->store, p->args[0], p->args[1], how, fd, err);
	if (r == IMBREX_ENOTSUP && (p->flags.xz || p->flags.bzip2))
		return fail(err, r, "unsupported compression format %s",
			p->flags.xz ? "tar.xz" : "tar.bz2");
	if (r >= 0 && close_it >= 0 && close(take_fd(close_it)) < 0)
		return fail_errno(err, "close %s", p->flags.file);
	return r;
}

static int run_apply(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_CLOSE int close_it = -EBADF;
	int64_t size;
	int fd, r;

	r = plumbing_open_input(p->flags.file, &fd, &close_it, err);
	if (r < 0)
		return r;
	r = imbrex_layer_apply(p->store, p->args[0], fd, &size, err);
	return r < 0 ? r : EXIT_SUCCESS;
}

static int run_apply_dir(struct plumbing *p, struct imbrex_error *err)
{
	return imbrex_layer_apply_dir(p->store, p->args[0], p->args[1], err);
}

static const struct flag diff_flags[] = {
	{ { "--file", "-f" }, FLAG_TEXT, FLAG_AT(file), "Write to file instead of stdout" },
	{ { "--uncompressed", "-u" }, FLAG_BOOL, FLAG_AT(uncompressed), "Use no compression" },
	{ { "--gzip", "-c" }, FLAG_BOOL, FLAG_AT(gzip), "Compress using gzip" },
	{ { "--bzip2", "--bz2", "-b" }, FLAG_BOOL, FLAG_AT(bzip2),
		"Compress using bzip2 (not currently supported)" },
	{ { "--xz", "-x" }, FLAG_BOOL, FLAG_AT(xz), "Compress using xz (not currently supported)" },
	{ { NULL } },
};

static const struct flag apply_flags[] = {
	{ { "--file", "-f" }, FLAG_TEXT, FLAG_AT(file), "Read from file instead of stdin" },
	{ { NULL } },
};

const struct command diff_commands[] = {
	{
		.name = "changes",
		.operands = "[options [...]] layerNameOrID [referenceLayerNameOrID]",
		.summary = "Compare two layers",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = 2,
		.kind = IMBREX_KIND_LAYER,
		.run = run_changes,
	},
	{
		.name = "diffsize",
		.alias = "diff-size",
		.operands = "[options [...]] layerNameOrID [referenceLayerNameOrID]",
		.summary = "Compare two layers",
		.operands_min = 1,
		.operands_max = 2,
		.kind = IMBREX_KIND_LAYER,
		.run = run_diff_size,
	},
	{
		.name = "diff",
		.operands = "[options [...]] layerNameOrID [referenceLayerNameOrID]",
		.summary = "Compare two layers",
		.flags = diff_flags,
		.operands_min = 1,
		.operands_max = 2,
		.kind = IMBREX_KIND_LAYER,
		.run = run_diff,
	},
	{
		.name = "applydiff",
		.alias = "apply-diff",
		.operands = "[options [...]] layerNameOrID [referenceLayerNameOrID]",
		.summary = "Apply a diff to a layer",
		.flags = apply_flags,
		.operands_min = 1,
		.operands_max = 1,
		.kind = IMBREX_KIND_LAYER,
		.run = run_apply,
	},
	{
		.name = "applydiff-using-staging-dir",
		.operands = "layerNameOrID directory",
		.summary = "Apply a diff to a layer using a staging directory",
		.operands_min = 2,
		.operands_max = 2,
		.kind = IMBREX_KIND_LAYER,
		.run = run_apply_dir,
	},
	{ NULL },
};
