/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: a throw-away container of an image, a program in it, its exit status.
 *
 *   find (or fetch) ─▶ create ─▶ job_in_container ─▶ remove, unless --keep
 *
 * Invariants: (1) once a container exists, every way out goes through run_container(), which takes
 * it away again; (2) signals are caught before that, so (1) holds for control-C too.
 */
#include <limits.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/imbrex/fetch.h"
#include "cli/imbrex/job.h"
#include "cli/imbrex/verbs.h"

enum pull_policy {
	PULL_MISSING = 0,
	PULL_ALWAYS,
	PULL_NEVER
};

static const char *const pull_policies[] = { "missing", "always", "never", NULL };

struct run_args {
	const char *name;
	bool keep;
	struct opt_list storage_opts;
	int pull; /* enum pull_policy */
	struct job_args job;
	struct fetch_args fetch;
};

static int find_image(struct cli *c, struct imbrex_store *s, const struct run_args *a,
	char **ret_id, struct imbrex_error *err)
{
	const char *image = c->operands[0];
	const char *name = str_after(image, "docker://");
	int r;

	if (!name)
		name = image;
	if (a->pull == PULL_NEVER)
		return imbrex_image_find(s, name, ret_id, err);
	/* An archive or a folder has no name to look for; what it holds is compared anyway. */
	if (a->pull == PULL_MISSING && !fetch_is_source(name)) {
		r = imbrex_image_find(s, name, ret_id, err);
		if (r != IMBREX_ENOENT)
			return r;
		cli_debug(c, "image '%s' is not in the store", name);
	}
	return fetch_image(c, s, image, /* name= */ NULL, &a->fetch, ret_id, err);
}

static int run_container(struct cli *c, struct imbrex_store *s, const struct run_args *a,
	const struct job *j, const char *image)
{
	const struct imbrex_container_opts opts = {
		.name = a->name, .is_volatile = !a->keep, .storage_opts = a->storage_opts.items
	};
	AUTO_FREE char *id = NULL;
	struct imbrex_error err = { .status = 0 };
	int status, r;

	r = job_catch_signals(&err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_container_create(s, image, &opts, &id, &err);
	if (r < 0)
		return cli_fail(c, &err);
	cli_debug(c, "container %s", id);
	status = job_in_container(c, s, j, id);
	if (a->keep) {
		cli_note(c, "container %s is kept", a->name ? a->name : id);
		return status;
	}
	r = imbrex_container_remove(s, id, /* force= */ true, &err);
	if (r < 0) {
		(void)cli_fail(c, &err);
		status = status ? status : EXIT_RUN_FAILED;
	}
	return status;
}

static int run(struct cli *c, const void *args)
{
	const struct run_args *a = args;
	AUTO_STORE *store = NULL;
	AUTO_JOB j = { .args = &a->job };
	AUTO_FREE char *image = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = job_set_mounts(&j, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = find_image(c, store, a, &image, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = job_set_image(c, store, image, /* called= */ c->operands[0], &j, &err);
	if (r < 0)
		return cli_fail(c, &err);
	return run_container(c, store, a, &j, image);
}

static const struct opt opts[] = {
	{ "name", 0, OPT_TEXT, offsetof(struct run_args, name), "NAME",
		"a name for the container" },
	{ "keep", 0, OPT_FLAG, offsetof(struct run_args, keep), NULL,
		"keep the container when the program has ended" },
	/* Hides the global one, as in create. */
	{ "storage-opt", 0, OPT_LIST, offsetof(struct run_args, storage_opts), "KEY=VALUE",
		"option of this container's layer: size=10G, inodes=100000" },
	JOB_OPTS(struct run_args, job),
	{ "pull", 0, OPT_CHOICE, offsetof(struct run_args, pull), "WHEN",
		"fetch the image: missing, always or never", pull_policies },
	FETCH_OPTS(struct run_args, fetch),
	{ NULL },
};

const struct verb verb_run = {
	.name = "run",
	.operands = "IMAGE [CMD [ARG...]]",
	.summary = "run a program in a new container of an image",
	.opts = opts,
	.args_size = sizeof(struct run_args),
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.kind = OPERAND_IMAGE,
	.rest_is_program = true,
	.failure = EXIT_RUN_FAILED,
	.run = run,
};
