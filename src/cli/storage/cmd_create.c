/* SPDX-License-Identifier: Apache-2.0 */
/* create-layer, import-layer, create-storage-layer, create-image, create-container. */
#include "base/error.h"
#include "base/limits.h"
#include "cli/storage/digest.h"
#include "cli/storage/idmap.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

static const char *none_if_empty(const char *text)
{
	return text && *text ? text : NULL;
}

/* The id and, indented, the names it got; or the record. */
static int print_created(struct plumbing *p, const char *id, struct imbrex_error *err)
{
	AUTO_STRINGS names = NULL;
	size_t i;
	int r;

	if (p->flags.json)
		return plumbing_print_record(p, id, p->command->kind, err);
	r = imbrex_names_get(p->store, id, p->command->kind, &names, err);
	if (r < 0)
		return r;
	(void)puts(id);
	for (i = 0; names[i]; i++)
		(void)printf("\t%s\n", names[i]);
	return EXIT_SUCCESS;
}

static struct imbrex_layer_opts layer_opts(const struct plumbing *p, const struct idmap_flags *maps)
{
	return (struct imbrex_layer_opts){
		.id = none_if_empty(p->flags.id),
		.names = p->flags.names.items,
		.mount_label = none_if_empty(p->flags.label),
		.read_only = p->flags.read_only,
		.maps = maps->maps,
	};
}

static int run_create_layer(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_IDMAP_FLAGS maps = { .n_uids = 0 };
	struct imbrex_layer_opts opts;
	AUTO_FREE char *id = NULL;
	int r;

	r = idmap_flags_read(&p->flags, &maps, err);
	if (r < 0)
		return r;
	opts = layer_opts(p, &maps);
	r = imbrex_layer_create(p->store, p->args[0], &opts, &id, err);
	return r < 0 ? r : print_created(p, id, err);
}

static int run_import_layer(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_IDMAP_FLAGS maps = { .n_uids = 0 };
	struct imbrex_layer_opts opts;
	AUTO_CLOSE int close_it = -EBADF;
	AUTO_FREE char *id = NULL;
	int fd, r;

	r = plumbing_open_input(p->flags.file, &fd, &close_it, err);
	if (r == 0)
		r = idmap_flags_read(&p->flags, &maps, err);
	if (r < 0)
		return r;
	opts = layer_opts(p, &maps);
	r = imbrex_layer_import(p->store, p->args[0], &opts, fd, &id, err);
	return r < 0 ? r : print_created(p, id, err);
}

static int run_create_storage_layer(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_IDMAP_FLAGS maps = { .n_uids = 0 };
	struct imbrex_layer_opts opts;
	AUTO_FREE char *id = NULL;
	int r;

	r = idmap_flags_read(&p->flags, &maps, err);
	if (r < 0)
		return r;
	opts = layer_opts(p, &maps);
	opts.names = NULL;
	opts.no_record = true;
	r = imbrex_layer_create(p->store, p->args[0], &opts, &id, err);
	if (r < 0)
		return r;
	if (p->flags.json)
		text_json(stdout, id);
	else
		(void)fputs(id, stdout);
	(void)putchar('\n');
	return EXIT_SUCCESS;
}

/* The text of --metadata, or of the file of --metadata-file. */
static int read_metadata(struct plumbing *p, struct str *ret, struct imbrex_error *err)
{
	if (none_if_empty(p->flags.metadata_file))
		return plumbing_read(p->flags.metadata_file, ret, err);
	if (str_puts(ret, p->flags.metadata ? p->flags.metadata : "") < 0)
		return fail_nomem(err);
	return 0;
}

static int run_create_image(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STR metadata = STR_INIT(LIMIT_CONFIG_BYTES);
	struct imbrex_image_opts opts;
	AUTO_FREE char *id = NULL;
	int r;

	r = read_metadata(p, &metadata, err);
	if (r == 0 && none_if_empty(p->flags.digest))
		r = digest_check(p->flags.digest, err);
	if (r < 0)
		return r;
	opts = (struct imbrex_image_opts){
		.id = none_if_empty(p->flags.id),
		.names = p->flags.names.items,
		.digest = none_if_empty(p->flags.digest),
		.metadata = str_text(&metadata),
	};
	r = imbrex_image_create(p->store, p->args[0], &opts, &id, err);
	return r < 0 ? r : print_created(p, id, err);
}

static int run_create_container(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STR metadata = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_IDMAP_FLAGS maps = { .n_uids = 0 };
	struct imbrex_container_opts opts;
	AUTO_FREE char *id = NULL;
	int r;

	r = read_metadata(p, &metadata, err);
	if (r == 0)
		r = idmap_flags_read(&p->flags, &maps, err);
	if (r < 0)
		return r;
	opts = (struct imbrex_container_opts){
		.id = none_if_empty(p->flags.id),
		.names = p->flags.names.items,
		.metadata = str_text(&metadata),
		.is_volatile = p->flags.is_volatile,
		.maps = maps.maps,
		.exact_image = true,
	};
	r = imbrex_container_create(p->store, p->args[0], &opts, &id, err);
	return r < 0 ? r : print_created(p, id, err);
}

#define FLAG_LABEL                                                            \
	{                                                                     \
		{ "--label", "-l" }, FLAG_TEXT, FLAG_AT(label), "Mount Label" \
	}
#define FLAG_NAME(text)                                             \
	{                                                           \
		{ "--name", "-n" }, FLAG_LIST, FLAG_AT(names), text \
	}
#define FLAG_ID(text)                                          \
	{                                                      \
		{ "--id", "-i" }, FLAG_TEXT, FLAG_AT(id), text \
	}
#define FLAG_READ_ONLY                                                                     \
	{                                                                                  \
		{ "--readonly", "-r" }, FLAG_BOOL, FLAG_AT(read_only), "Mark as read-only" \
	}
#define FLAGS_METADATA                                                                          \
	{ { "--metadata", "-m" }, FLAG_TEXT, FLAG_AT(metadata), "Metadata" },                   \
	{                                                                                       \
		{ "--metadata-file", "-f" }, FLAG_TEXT, FLAG_AT(metadata_file), "Metadata File" \
	}

static const struct flag storage_layer_flags[] = {
	FLAG_LABEL,
	FLAG_ID("Layer ID"),
	FLAG_READ_ONLY,
	FLAG_JSON,
	FLAGS_IDMAP,
	{ { NULL } },
};

static const struct flag layer_flags[] = {
	FLAG_LABEL,
	FLAG_NAME("Layer name"),
	FLAG_ID("Layer ID"),
	FLAG_READ_ONLY,
	FLAG_JSON,
	FLAGS_IDMAP,
	{ { NULL } },
};

static const struct flag import_flags[] = {
	FLAG_LABEL,
	FLAG_NAME("Layer name"),
	FLAG_ID("Layer ID"),
	FLAG_READ_ONLY,
	FLAG_JSON,
	{ { "--file", "-f" }, FLAG_TEXT, FLAG_AT(file), "Read from file instead of stdin" },
	FLAGS_IDMAP,
	{ { NULL } },
};

static const struct flag image_flags[] = {
	FLAG_NAME("Image name"),
	FLAG_ID("Image ID"),
	{ { "--digest", "-d" }, FLAG_TEXT, FLAG_AT(digest), "Image Digest" },
	FLAGS_METADATA,
	FLAG_JSON,
	{ { NULL } },
};

static const struct flag container_flags[] = {
	FLAG_NAME("Container name"),
	{ { "--volatile" }, FLAG_BOOL, FLAG_AT(is_volatile), "Mark as volatile" },
	FLAG_ID("Container ID"),
	FLAGS_METADATA,
	FLAG_JSON,
	FLAGS_IDMAP,
	{ { NULL } },
};

const struct command create_commands[] = {
	{
		.name = "create-storage-layer",
		.operands = "[options [...]] [parentLayerNameOrID]",
		.summary = "Create a new layer only in the storage driver",
		.flags = storage_layer_flags,
		.operands_max = 1,
		.kind = IMBREX_KIND_LAYER,
		.run = run_create_storage_layer,
	},
	{
		.name = "create-layer",
		.alias = "createlayer",
		.operands = "[options [...]] [parentLayerNameOrID]",
		.summary = "Create a new layer",
		.flags = layer_flags,
		.operands_max = 1,
		.kind = IMBREX_KIND_LAYER,
		.run = run_create_layer,
	},
	{
		.name = "import-layer",
		.alias = "importlayer",
		.operands = "[options [...]] [parentLayerNameOrID]",
		.summary = "Import a new layer",
		.flags = import_flags,
		.operands_max = 1,
		.kind = IMBREX_KIND_LAYER,
		.run = run_import_layer,
	},
	{
		.name = "create-image",
		.alias = "createimage",
		.operands = "[options [...]] topLayerNameOrID",
		.summary = "Create a new image using layers",
		.flags = image_flags,
		.operands_max = 1,
		.kind = IMBREX_KIND_IMAGE,
		.run = run_create_image,
	},
	{
		.name = "create-container",
		.alias = "createcontainer",
		.operands = "[options [...]] parentImageNameOrID",
		.summary = "Create a new container from an image",
		.flags = container_flags,
		.operands_min = 1,
		.operands_max = 1,
		.kind = IMBREX_KIND_CONTAINER,
		.run = run_create_container,
	},
	{ NULL },
};
