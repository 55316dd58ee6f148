/* SPDX-License-Identifier: Apache-2.0 */
/* get-names, add-names, remove-names, set-names: of any object. */
#include "base/error.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

/*
 * A name of several things means the layer, then the image, then the container. Who is not there is
 * a layer that is not known, whatever it might have been.
 */
static int find_any(struct plumbing *p, char **ret_id, struct imbrex_error *err)
{
	static const unsigned int kinds[] = { IMBREX_KIND_LAYER, IMBREX_KIND_IMAGE,
		IMBREX_KIND_CONTAINER };
	int r = IMBREX_ENOENT;
	size_t i;

	for (i = 0; r == IMBREX_ENOENT && i < ARRAY_LEN(kinds); i++)
		r = plumbing_find(p, p->args[0], kinds[i], ret_id, err);
	return r == IMBREX_ENOENT ? fail(err, r, "layer not known") : r;
}

static int print_json_names(
	struct plumbing *p, const char *id, bool empty_list, struct imbrex_error *err)
{
	AUTO_STRINGS names = NULL;
	int r;

	r = imbrex_names_get(p->store, id, IMBREX_KIND_ANY, &names, err);
	if (r < 0)
		return r;
	text_json_list(stdout, (const char *const *)names, empty_list);
	(void)putchar('\n');
	return EXIT_SUCCESS;
}

static int run_get(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRINGS names = NULL;
	AUTO_FREE char *id = NULL;
	size_t i;
	int r;

	r = find_any(p, &id, err);
	if (r == 0 && p->flags.json)
		return print_json_names(p, id, /* empty_list= */ true, err);
	if (r == 0)
		r = imbrex_names_get(p->store, id, IMBREX_KIND_ANY, &names, err);
	for (i = 0; r == 0 && names[i]; i++)
		(void)puts(names[i]);
	return r;
}

static int change(struct plumbing *p, enum imbrex_names_change how, struct imbrex_error *err)
{
	static const char *const none[] = { NULL };
	const char *const *names = p->flags.names.n ? p->flags.names.items : none;
	AUTO_FREE char *id = NULL;
	int r;

	r = find_any(p, &id, err);
	if (r == 0)
		r = imbrex_names_change(p->store, id, IMBREX_KIND_ANY, how, names, err);
	if (r < 0 || !p->flags.json)
		return r;
	return print_json_names(p, id, /* empty_list= */ false, err);
}

static int run_add(struct plumbing *p, struct imbrex_error *err)
{
	return change(p, IMBREX_NAMES_ADD, err);
}

static int run_remove(struct plumbing *p, struct imbrex_error *err)
{
	return change(p, IMBREX_NAMES_REMOVE, err);
}

static int run_set(struct plumbing *p, struct imbrex_error *err)
{
	return change(p, IMBREX_NAMES_SET, err);
}

#define NAME_FLAGS(text)                                                            \
	{                                                                           \
		{ { "--name", "-n" }, FLAG_LIST, FLAG_AT(names), text }, FLAG_JSON, \
		{                                                                   \
			{                                                           \
				NULL                                                \
			}                                                           \
		}                                                                   \
	}

static const struct flag add_flags[] = NAME_FLAGS("Name to add");
static const struct flag remove_flags[] = NAME_FLAGS("Name to remove");
static const struct flag set_flags[] = NAME_FLAGS("New name");

const struct command name_commands[] = {
	{
		.name = "get-names",
		.alias = "getnames",
		.operands = "[options [...]] imageOrContainerNameOrID",
		.summary = "Get layer, image, or container name or names",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = 1,
		.run = run_get,
	},
	{
		.name = "add-names",
		.alias = "addnames",
		.operands = "[options [...]] imageOrContainerNameOrID",
		.summary = "Add layer, image, or container name or names",
		.flags = add_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_add,
	},
	{
		.name = "remove-names",
		.alias = "removenames",
		.operands = "[options [...]] imageOrContainerNameOrID",
		.summary = "Remove layer, image, or container name or names",
		.flags = remove_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_remove,
	},
	{
		.name = "set-names",
		.alias = "setnames",
		.operands = "[options [...]] imageOrContainerNameOrID",
		.summary = "Set layer, image, or container name or names",
		.flags = set_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.run = run_set,
	},
	{ NULL },
};
