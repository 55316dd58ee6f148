/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents kept with layers, images and containers: one function a deed, and the kind of object
 * from the table. Also the directories that images and containers have for others' files.
 */
#include <inttypes.h>

#include "base/error.h"
#include "base/limits.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

static int run_list(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRINGS keys = NULL;
	size_t i;
	int r;

	r = imbrex_data_list(p->store, p->command->kind, p->args[0], &keys, err);
	if (r < 0)
		return r;
	if (p->flags.json) {
		text_json_list(stdout, (const char *const *)keys, /* empty_list= */ false);
		(void)putchar('\n');
		return EXIT_SUCCESS;
	}
	for (i = 0; keys[i]; i++)
		(void)puts(keys[i]);
	return EXIT_SUCCESS;
}

/* In upstream's words, which differ by kind. */
static int no_such_item(struct plumbing *p, struct imbrex_error *err)
{
	bool is_image = p->command->kind == IMBREX_KIND_IMAGE;
	AUTO_STR key = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	AUTO_FREE char *id = NULL;

	if (p->command->kind == IMBREX_KIND_CONTAINER ||
		plumbing_find(p, p->args[0], p->command->kind, &id, err) < 0)
		return IMBREX_ENOENT;
	(void)!text_quote(&key, p->args[1]); /* a longer one is cut in the message anyway */
	return fail(err, IMBREX_ENOENT,
		"locating item named %s for %s with ID \"%s\"%s: file does not exist",
		str_text(&key), is_image ? "image" : "layer", id,
		is_image ? " (consider removing the image to resolve the issue)" : "");
}

static int run_get(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_FREE char *data = NULL;
	size_t len;
	int r;

	r = imbrex_data_get(p->store, p->command->kind, p->args[0], p->args[1], &data, &len, err);
	if (r == IMBREX_ENOENT && err->reason == IMBREX_REASON_DATA_UNKNOWN)
		return no_such_item(p, err);
	return r < 0 ? r : plumbing_write(p->flags.file, data, len, err);
}

static int run_size(struct plumbing *p, struct imbrex_error *err)
{
	int64_t size;
	int r;

	r = imbrex_data_size(p->store, p->command->kind, p->args[0], p->args[1], &size, err);
	if (r < 0 && err->reason == IMBREX_REASON_DATA_UNKNOWN)
		return fail(err, r, "size is not known");
	if (r < 0)
		return r;
	(void)printf("%" PRId64 "\n", size);
	return EXIT_SUCCESS;
}

static int run_digest(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_FREE char *digest = NULL;
	int r;

	r = imbrex_data_digest(p->store, p->command->kind, p->args[0], p->args[1], &digest, err);
	if (r < 0 && err->reason == IMBREX_REASON_DATA_UNKNOWN)
		return fail(err, r, "could not compute digest of item");
	if (r < 0)
		return r;
	(void)puts(digest);
	return EXIT_SUCCESS;
}

static int run_set(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STR data = STR_INIT(LIMIT_DATA_ITEM_BYTES);
	AUTO_FREE char *id = NULL;
	int r;

	/* Whoever is not there need not be waited for. */
	r = plumbing_find(p, p->args[0], p->command->kind, &id, err);
	if (r == 0)
		r = plumbing_read(p->flags.file, &data, err);
	if (r == 0)
		r = imbrex_data_set(
			p->store, p->command->kind, id, p->args[1], str_text(&data), data.len, err);
	return r;
}

static int print_dir(struct plumbing *p, bool run, struct imbrex_error *err)
{
	AUTO_FREE char *path = NULL;
	int r;

	r = imbrex_object_dir(p->store, p->command->kind, p->args[0], run, &path, err);
	if (r < 0)
		return r;
	(void)puts(path);
	return EXIT_SUCCESS;
}

static int run_dir(struct plumbing *p, struct imbrex_error *err)
{
	return print_dir(p, /* run= */ false, err);
}

static int run_run_dir(struct plumbing *p, struct imbrex_error *err)
{
	return print_dir(p, /* run= */ true, err);
}

static const struct flag get_flags[] = {
	{ { "--file", "-f" }, FLAG_TEXT, FLAG_AT(file), "Write data to file" },
	{ { NULL } },
};
static const struct flag set_flags[] = {
	{ { "--file", "-f" }, FLAG_TEXT, FLAG_AT(file), "Read data from file" },
	{ { NULL } },
};

#define COMMAND(name_, alias_, operands_, summary_, flags_, n_, kind_, run_)                  \
	{                                                                                     \
		.name = name_, .alias = alias_, .operands = "[options [...]] " operands_,     \
		.summary = summary_, .flags = flags_, .operands_min = n_, .operands_max = n_, \
		.kind = kind_, .run = run_                                                    \
	}

#define CONTAINER "containerNameOrID"
#define IMAGE     "imageNameOrID"

const struct command data_commands[] = {
	COMMAND("list-container-data", "listcontainerdata", CONTAINER,
		"List data items that are attached to an container", json_flags, 1,
		IMBREX_KIND_CONTAINER, run_list),
	COMMAND("get-container-data", "getcontainerdata", CONTAINER " dataName",
		"Get data that is attached to an container", get_flags, 2, IMBREX_KIND_CONTAINER,
		run_get),
	COMMAND("get-container-data-size", "getcontainerdatasize", CONTAINER " dataName",
		"Get size of data that is attached to an container", NULL, 2, IMBREX_KIND_CONTAINER,
		run_size),
	COMMAND("get-container-data-digest", "getcontainerdatadigest", CONTAINER " dataName",
		"Get digest of data that is attached to an container", NULL, 2,
		IMBREX_KIND_CONTAINER, run_digest),
	COMMAND("set-container-data", "setcontainerdata", CONTAINER " dataName",
		"Set data that is attached to an container", set_flags, 2, IMBREX_KIND_CONTAINER,
		run_set),
	COMMAND("get-container-dir", "getcontainerdir", CONTAINER,
		"Find the container's associated data directory", NULL, 1, IMBREX_KIND_CONTAINER,
		run_dir),
	COMMAND("get-container-run-dir", "getcontainerrundir", CONTAINER,
		"Find the container's associated runtime directory", NULL, 1, IMBREX_KIND_CONTAINER,
		run_run_dir),
	COMMAND("list-image-data", "listimagedata", IMAGE,
		"List data items that are attached to an image", json_flags, 1, IMBREX_KIND_IMAGE,
		run_list),
	COMMAND("get-image-data", "getimagedata", IMAGE " dataName",
		"Get data that is attached to an image", get_flags, 2, IMBREX_KIND_IMAGE, run_get),
	COMMAND("get-image-data-size", "getimagedatasize", IMAGE " dataName",
		"Get size of data that is attached to an image", NULL, 2, IMBREX_KIND_IMAGE,
		run_size),
	COMMAND("get-image-data-digest", "getimagedatadigest", IMAGE " dataName",
		"Get digest of data that is attached to an image", NULL, 2, IMBREX_KIND_IMAGE,
		run_digest),
	COMMAND("set-image-data", "setimagedata", IMAGE " dataName",
		"Set data that is attached to an image (with sometimes wrong digest)", set_flags, 2,
		IMBREX_KIND_IMAGE, run_set),
	COMMAND("get-image-dir", "getimagedir", IMAGE, "Find the image's associated data directory",
		NULL, 1, IMBREX_KIND_IMAGE, run_dir),
	COMMAND("get-image-run-dir", "getimagerundir", IMAGE,
		"Find the image's associated runtime directory", NULL, 1, IMBREX_KIND_IMAGE,
		run_run_dir),
	COMMAND("list-layer-data", "listlayerdata", "layerNameOrID",
		"List data items that are attached to a layer", json_flags, 1, IMBREX_KIND_LAYER,
		run_list),
	COMMAND("get-layer-data", "getlayerdata", "layerID dataName",
		"Get data that is attached to a layer", get_flags, 2, IMBREX_KIND_LAYER, run_get),
	COMMAND("set-layer-data", "setlayerdata", "layerID dataName",
		"Set data that is attached to a layer", set_flags, 2, IMBREX_KIND_LAYER, run_set),
	{ NULL },
};
