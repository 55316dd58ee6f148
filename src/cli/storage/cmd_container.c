/* SPDX-License-Identifier: Apache-2.0 */
/* containers: the list. container: what is known of some. */
#include <inttypes.h>

#include "base/error.h"
#include "base/strv.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

static void print_lines(const char *what, char *const *values)
{
	size_t i;

	for (i = 0; values && values[i]; i++)
		(void)printf("%s: %s\n", what, values[i]);
}

static int run_containers(struct plumbing *p, struct imbrex_error *err)
{
	struct imbrex_container *all = NULL;
	size_t n = 0, i;
	int r;

	if (p->flags.json)
		return plumbing_print_all(p, IMBREX_KIND_CONTAINER, err);
	r = imbrex_containers_list(p->store, &all, &n, err);
	for (i = 0; r == 0 && i < n; i++) {
		AUTO_STRINGS data = NULL;

		r = imbrex_data_list(p->store, IMBREX_KIND_CONTAINER, all[i].id, &data, err);
		if (r == IMBREX_ENOENT) {
			r = 0; /* removed since it was listed */
			continue;
		}
		if (r < 0)
			break;
		(void)puts(all[i].id);
		print_lines("\tname", all[i].names);
		print_lines("\tdata", data);
	}
	imbrex_containers_free(all, n);
	return r;
}

static void print_size(struct plumbing *p, const char *id)
{
	struct imbrex_error err = { .status = 0 };
	char text[TEXT_ERROR_MAX];
	int64_t size;

	if (imbrex_container_size(p->store, id, &size, &err) < 0)
		(void)printf("Size unknown: %s\n", PLUMBING_TEXT(p, &err, id, text));
	else
		(void)printf("Size: %" PRId64 "\n", size);
}

static int print_container(
	struct plumbing *p, const struct imbrex_container *ctr, struct imbrex_error *err)
{
	AUTO_STRINGS image_names = NULL;
	AUTO_STRINGS data = NULL;
	int r;

	r = imbrex_data_list(p->store, IMBREX_KIND_CONTAINER, ctr->id, &data, err);
	if (r < 0)
		return r;
	(void)printf("ID: %s\n", ctr->id);
	print_lines("Name", ctr->names);
	(void)printf("Image: %s\n", ctr->image);
	/* An image that is gone has no names, and that is no failure. */
	if (*ctr->image && imbrex_names_get(p->store, ctr->image, IMBREX_KIND_IMAGE, &image_names,
				   /* err= */ NULL) == 0)
		print_lines("Image name", image_names);
	print_size(p, ctr->id);
	(void)printf("Layer: %s\n", ctr->layer);
	print_lines("Data", data);
	return 0;
}

static int run_container(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };
	struct imbrex_container *ctr;
	bool all;
	size_t i;
	int r;

	r = plumbing_find_all(p, IMBREX_KIND_CONTAINER, &ids, &all, err);
	if (r == 0 && p->flags.json)
		r = plumbing_print_records(p, ids.items, IMBREX_KIND_CONTAINER, err);
	for (i = 0; r == 0 && !p->flags.json && i < ids.n; i++) {
		r = imbrex_container_get(p->store, ids.items[i], &ctr, err);
		if (r < 0)
			return r;
		r = print_container(p, ctr, err);
		imbrex_containers_free(ctr, 1);
	}
	return r < 0 ? r : all ? EXIT_SUCCESS : EXIT_FAILURE;
}

const struct command container_commands[] = {
	{
		.name = "container",
		.operands = "[options [...]] containerNameOrID [...]",
		.summary = "Examine a container",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_CONTAINER,
		.run = run_container,
	},
	{
		.name = "containers",
		.operands = "[options [...]]",
		.summary = "List containers",
		.flags = json_flags,
		.kind = IMBREX_KIND_CONTAINER,
		.run = run_containers,
	},
	{ NULL },
};
