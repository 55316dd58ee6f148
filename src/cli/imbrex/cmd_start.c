/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start: a program in a container that exists. What it writes stays.
 *
 * A container is asked for by its own name only: an image of that name is not meant.
 */
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/imbrex/job.h"
#include "cli/imbrex/verbs.h"

struct start_args {
	struct job_args job;
};

/*
 * A mount of an unprivileged user is seen in one user namespace only. A second one, over the same
 * writable layer, would be undefined (kernel: Documentation/filesystems/overlayfs.rst, "Sharing and
 * copying layers"). vfs and btrfs mount nothing.
 */
static int check_not_in_use(const struct cli *c, struct imbrex_store *s,
	const struct imbrex_container *ctr, struct imbrex_error *err)
{
	const char *name = c->operands[0];
	int r;

	if (!c->in_userns || !ctr->mount_count || imbrex_store_mounts_last(s))
		return 0;
	r = fail(err, IMBREX_EBUSY,
		"container '%s' is in use: an unprivileged user can run one program in it at a "
		"time",
		name);
	return hint(
		err, r, "if none runs, '%s umount %s' puts the count right", c->face->name, name);
}

/* The image of a container, and a name of it for messages. Both empty: it has none. */
static int image_of(const struct cli *c, struct imbrex_store *s, const char *id, char **ret_image,
	char **ret_called, struct imbrex_error *err)
{
	struct imbrex_container *list, *found = NULL;
	size_t n, i;
	int r;

	r = imbrex_containers_list(s, &list, &n, err);
	if (r < 0)
		return r;
	for (i = 0; i < n && !found; i++) {
		if (str_eq(list[i].id, id))
			found = &list[i];
	}
	if (found)
		r = check_not_in_use(c, s, found, err);
	else
		r = fail(err, IMBREX_ENOENT, "container %s was removed meanwhile", id);
	if (r >= 0) {
		*ret_image = take_ptr(found->image);
		*ret_called = take_ptr(found->image_name);
	}
	imbrex_containers_free(list, n);
	return r;
}

static int find_container(
	struct cli *c, struct imbrex_store *s, char **ret_id, struct imbrex_error *err)
{
	const char *name = c->operands[0];
	AUTO_FREE char *image = NULL;
	int r;

	r = imbrex_container_find(s, name, ret_id, err);
	if (r != IMBREX_ENOENT)
		return r;
	if (imbrex_image_find(s, name, &image, /* err= */ NULL) < 0)
		return hint(err, r, "'%s ps' lists containers", c->face->name);
	return hint(err, r, "there is an image of that name: '%s run %s'", c->face->name, name);
}

static int run(struct cli *c, const void *args)
{
	const struct start_args *a = args;
	AUTO_STORE *store = NULL;
	AUTO_JOB j = { .args = &a->job };
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *image = NULL;
	AUTO_FREE char *called = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = job_set_mounts(&j, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = find_container(c, store, &id, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = image_of(c, store, id, &image, &called, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = job_set_image(c, store, image, *called ? called : image, &j, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = job_catch_signals(&err);
	if (r < 0)
		return cli_fail(c, &err);
	return job_in_container(c, store, &j, id);
}

static const struct opt opts[] = {
	JOB_OPTS(struct start_args, job),
	{ NULL },
};

const struct verb verb_start = {
	.name = "start",
	.operands = "CONTAINER [CMD [ARG...]]",
	.summary = "run a program in a container that exists",
	.opts = opts,
	.args_size = sizeof(struct start_args),
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.kind = OPERAND_CONTAINER,
	.rest_is_program = true,
	.failure = EXIT_RUN_FAILED,
	.run = run,
};
