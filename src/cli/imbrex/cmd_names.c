/* SPDX-License-Identifier: Apache-2.0 */
/* __names: the names and ids of images or containers, one a line, for shell completion. */
#include "base/error.h"
#include "base/str.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

static void print_names(char *const *names, const char *id)
{
	char buf[OUT_WORD_BYTES * 2];
	size_t i;

	for (i = 0; names[i]; i++)
		(void)puts(names[i]);
	if (!i)
		(void)puts(out_id(id, /* whole= */ false, buf));
}

static int print_images(struct imbrex_store *s, struct imbrex_error *err)
{
	struct imbrex_image *list;
	size_t n, i;
	int r;

	r = imbrex_images_list(s, &list, &n, err);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++)
		print_names(list[i].names, list[i].id);
	imbrex_images_free(list, n);
	return 0;
}

static int print_containers(struct imbrex_store *s, struct imbrex_error *err)
{
	struct imbrex_container *list;
	size_t n, i;
	int r;

	r = imbrex_containers_list(s, &list, &n, err);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++)
		print_names(list[i].names, list[i].id);
	imbrex_containers_free(list, n);
	return 0;
}

static int run(struct cli *c, const void *args)
{
	const char *what = c->operands[0];
	AUTO_STORE *store = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	(void)args;
	c->look_only = true;
	r = cli_open_store(c, &store, &err);
	if (r >= 0 && !str_eq(what, "containers"))
		r = print_images(store, &err);
	if (r >= 0 && !str_eq(what, "images"))
		r = print_containers(store, &err);
	/* A shell that completes a word has no place for messages. */
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct verb verb_names = {
	.name = "__names",
	.operands = "images|containers|objects",
	.summary = "list names for completion",
	.operands_min = 1,
	.operands_max = 1,
	.run = run,
};
