/* SPDX-License-Identifier: Apache-2.0 */
/* mount, unmount, mounted: layers and containers; with --read-only, and for unmount too, images. */
#include <string.h>

#include "base/error.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

#define KINDS (IMBREX_KIND_CONTAINER | IMBREX_KIND_LAYER)

/* What became of one argument. */
struct result {
	const char *name;
	char *path;  /* owned; NULL: none */
	char *error; /* owned; NULL: none */
};

struct results {
	struct result *items; /* owned */
	size_t n;
};

static void results_done(struct results *r)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		free(r->items[i].path);
		free(r->items[i].error);
	}
	free(r->items);
}
#define AUTO_RESULTS __attribute__((cleanup(results_done))) struct results

static int results_init(struct results *r, char *const *names, size_t n)
{
	r->items = calloc(n + 1, sizeof(*r->items));
	if (!r->items)
		return -ENOMEM;
	for (r->n = 0; r->n < n; r->n++)
		r->items[r->n].name = names[r->n];
	return 0;
}

static bool any_error(const struct results *r)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		if (r->items[i].error)
			return true;
	}
	return false;
}

/* paths: each object has "mountpoint" too */
static void print_json(const struct results *r, bool paths)
{
	size_t i;

	(void)putchar('[');
	for (i = 0; i < r->n; i++) {
		(void)fputs(i ? ",{\"id\":" : "{\"id\":", stdout);
		text_json(stdout, r->items[i].name);
		if (paths) {
			(void)fputs(",\"mountpoint\":", stdout);
			text_json(stdout, r->items[i].path ? r->items[i].path : "");
		}
		(void)fputs(",\"error\":", stdout);
		text_json(stdout, r->items[i].error ? r->items[i].error : "");
		(void)putchar('}');
	}
	(void)puts("]");
}

/* Whatever it is not, it is a layer that is not known. */
static int note_failure(struct plumbing *p, const struct imbrex_error *why, struct result *ret,
	struct imbrex_error *err)
{
	char buf[TEXT_ERROR_MAX];
	const char *text;

	if (why->reason == IMBREX_REASON_READ_ONLY)
		text = "mounting read/only store images is not allowed: called a write method on a "
		       "read-only store";
	else if (why->reason == IMBREX_REASON_NOT_ANY ||
		 why->reason == IMBREX_REASON_CONTAINER_UNKNOWN)
		text = "layer not known";
	else
		text = PLUMBING_TEXT(p, why, ret->name, buf);
	ret->error = strdup(text);
	return ret->error ? 0 : fail_nomem(err);
}

static int run_mount(struct plumbing *p, struct imbrex_error *err)
{
	const struct imbrex_mount_opts opts = {
		.read_only = p->flags.read_only,
		.label = p->flags.label && *p->flags.label ? p->flags.label : NULL,
		.kinds = p->flags.read_only ? IMBREX_KIND_IMAGE : KINDS,
		.exact = true,
	};
	struct imbrex_error why = { .status = 0 };
	AUTO_RESULTS results = { 0 };
	struct result *at;
	size_t i;

	if (results_init(&results, p->args, p->n_args) < 0)
		return fail_nomem(err);
	for (i = 0; i < results.n; i++) {
		at = &results.items[i];
		if (imbrex_mount(p->store, at->name, &opts, &at->path, &why) < 0 &&
			note_failure(p, &why, at, err) < 0)
			return err->status;
	}
	if (p->flags.json)
		print_json(&results, /* paths= */ true);
	for (i = 0; !p->flags.json && i < results.n; i++) {
		at = &results.items[i];
		if (at->error)
			(void)fprintf(stderr, "%s while mounting %s\n", at->error, at->name);
		(void)puts(at->path ? at->path : "");
	}
	return any_error(&results) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What is not mounted is unmounted: the line says so, even with --json. An image's success has no
 * line. */
static int unmount_one(struct plumbing *p, struct result *at, struct imbrex_error *err)
{
	struct imbrex_error why = { .status = 0 };
	int still = 0;
	int r;

	r = imbrex_unmount_kind(p->store, at->name, KINDS, p->flags.force, &still, &why);
	if (r < 0 && why.reason == IMBREX_REASON_LAYER_NOT_MOUNTED) {
		r = 0;
		still = 0;
	}
	if (r >= 0) {
		if (!still)
			(void)printf("%s mountpoint unmounted\n", at->name);
		return 0;
	}
	r = imbrex_unmount_kind(p->store, at->name, IMBREX_KIND_IMAGE, p->flags.force, &still,
		/* err= */ NULL);
	return r < 0 ? note_failure(p, &why, at, err) : 0;
}

static int mounted_one(struct plumbing *p, struct result *at, struct imbrex_error *err)
{
	struct imbrex_error why = { .status = 0 };
	int count;

	if (imbrex_mounted(p->store, at->name, KINDS, &count, &why) < 0)
		return note_failure(p, &why, at, err);
	if (count > 0)
		(void)printf("%s mounted\n", at->name);
	return 0;
}

static int each(struct plumbing *p,
	int (*one)(struct plumbing *p, struct result *at, struct imbrex_error *err),
	const char *doing, const char *after, struct imbrex_error *err)
{
	AUTO_RESULTS results = { 0 };
	size_t i;
	int r;

	if (results_init(&results, p->args, p->n_args) < 0)
		return fail_nomem(err);
	for (i = 0; i < results.n; i++) {
		r = one(p, &results.items[i], err);
		if (r < 0)
			return r;
	}
	if (p->flags.json)
		print_json(&results, /* paths= */ false);
	for (i = 0; !p->flags.json && i < results.n; i++) {
		if (results.items[i].error)
			(void)fprintf(stderr, "%s %s %s%s\n", results.items[i].error, doing,
				results.items[i].name, after);
	}
	return any_error(&results) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_unmount(struct plumbing *p, struct imbrex_error *err)
{
	return each(p, unmount_one, "while unmounting", "", err);
}

static int run_mounted(struct plumbing *p, struct imbrex_error *err)
{
	return each(p, mounted_one, "checking if", " is mounted", err);
}

static const struct flag mount_flags[] = {
	{ { "--opt", "-o" }, FLAG_TEXT, FLAG_AT(mount_opts), "Mount Options" },
	{ { "--label", "-l" }, FLAG_TEXT, FLAG_AT(label), "Mount Label" },
	{ { "--read-only", "--ro", "-r" }, FLAG_BOOL, FLAG_AT(read_only), "Mount image readonly" },
	FLAG_JSON,
	{ { NULL } },
};

static const struct flag unmount_flags[] = {
	FLAG_JSON,
	{ { "--force", "-f" }, FLAG_BOOL, FLAG_AT(force), "Force the umount" },
	{ { NULL } },
};

const struct command mount_commands[] = {
	{
		.name = "mount",
		.operands = "[options [...]] LayerOrContainerNameOrID",
		.summary = "Mount a layer or container",
		.flags = mount_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_mount,
	},
	{
		.name = "unmount",
		.alias = "umount",
		.operands = "LayerOrContainerNameOrID",
		.summary = "Unmount an image, layer or container",
		.flags = unmount_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_unmount,
	},
	{
		.name = "mounted",
		.operands = "LayerOrContainerNameOrID",
		.summary = "Check if a file system is mounted",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_mounted,
	},
	{ NULL },
};
