/* SPDX-License-Identifier: Apache-2.0 */
/* images, images-by-digest: lists. image: what is known of some images. */
#include <inttypes.h>

#include "base/error.h"
#include "base/strv.h"
#include "cli/storage/digest.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

static void print_lines(const char *what, char *const *values)
{
	size_t i;

	for (i = 0; values && values[i]; i++)
		(void)printf("%s: %s\n", what, values[i]);
}

/* Documents and digests, which lists do not carry. Both owned. */
struct details {
	char **names, **digests, **data;
};

static void details_done(struct details *d)
{
	imbrex_strings_free(d->names);
	imbrex_strings_free(d->digests);
	imbrex_strings_free(d->data);
}
#define AUTO_DETAILS __attribute__((cleanup(details_done))) struct details

static int get_details(
	struct plumbing *p, const char *id, struct details *ret, struct imbrex_error *err)
{
	int r;

	r = imbrex_names_get(p->store, id, IMBREX_KIND_IMAGE, &ret->names, err);
	if (r == 0)
		r = imbrex_image_digests(p->store, id, &ret->digests, err);
	if (r == 0)
		r = imbrex_data_list(p->store, IMBREX_KIND_IMAGE, id, &ret->data, err);
	return r;
}

static int list_image(struct plumbing *p, const char *id, struct imbrex_error *err)
{
	AUTO_DETAILS d = { 0 };
	int r;

	if (p->flags.quiet) {
		(void)puts(id);
		return 0;
	}
	r = get_details(p, id, &d, err);
	if (r == IMBREX_ENOENT)
		return 0; /* removed since it was listed */
	if (r < 0)
		return r;
	(void)puts(id);
	print_lines("\tname", d.names);
	print_lines("\tdigest", d.digests);
	print_lines("\tdata", d.data);
	return 0;
}

static int run_images(struct plumbing *p, struct imbrex_error *err)
{
	struct imbrex_image *images = NULL;
	size_t n = 0, i;
	int r;

	if (p->flags.json)
		return plumbing_print_all(p, IMBREX_KIND_IMAGE, err);
	r = imbrex_images_list(p->store, &images, &n, err);
	for (i = 0; r == 0 && i < n; i++)
		r = list_image(p, images[i].id, err);
	imbrex_images_free(images, n);
	return r;
}

static int run_by_digest(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRINGS ids = NULL;
	size_t i;
	int r;

	r = digest_check(p->args[0], err);
	if (r < 0)
		return r;
	r = imbrex_images_by_digest(p->store, p->args[0], &ids, err);
	if (r < 0)
		return r;
	if (p->flags.json)
		return plumbing_print_records(p, ids, IMBREX_KIND_IMAGE, err);
	for (i = 0; r == 0 && ids[i]; i++)
		r = list_image(p, ids[i], err);
	return r;
}

static void print_size(struct plumbing *p, const char *id)
{
	struct imbrex_error err = { .status = 0 };
	char text[TEXT_ERROR_MAX];
	int64_t size;

	if (imbrex_image_size(p->store, id, &size, &err) < 0)
		(void)printf("Size unknown: %s\n", PLUMBING_TEXT(p, &err, id, text));
	else if (size < 0)
		(void)puts("Size unknown: size is not known");
	else
		(void)printf("Size: %" PRId64 "\n", size);
}

static int print_image(
	struct plumbing *p, const struct imbrex_image *image, struct imbrex_error *err)
{
	AUTO_DETAILS d = { 0 };
	int r;

	r = get_details(p, image->id, &d, err);
	if (r == 0)
		r = imbrex_object_is_read_only(p->store, image->id, IMBREX_KIND_IMAGE, err);
	if (r < 0)
		return r;
	(void)printf("ID: %s\n", image->id);
	print_lines("Name", d.names);
	(void)printf("Top Layer: %s\n", image->layer);
	print_lines("Top Layer", image->mapped_layers);
	print_lines("Digest", d.digests);
	print_lines("Data", d.data);
	print_size(p, image->id);
	if (r)
		(void)puts("Read Only: true");
	return 0;
}

static int run_image(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };
	struct imbrex_image *image;
	bool all;
	size_t i;
	int r;

	r = plumbing_find_all(p, IMBREX_KIND_IMAGE, &ids, &all, err);
	if (r == 0 && p->flags.json)
		r = plumbing_print_records(p, ids.items, IMBREX_KIND_IMAGE, err);
	for (i = 0; r == 0 && !p->flags.json && i < ids.n; i++) {
		r = imbrex_image_get(p->store, ids.items[i], &image, err);
		if (r < 0)
			return r;
		r = print_image(p, image, err);
		imbrex_images_free(image, 1);
	}
	return r < 0 ? r : all ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const struct flag list_flags[] = {
	FLAG_JSON,
	{ { "--quiet", "-q" }, FLAG_BOOL, FLAG_AT(quiet), "Only print IDs" },
	{ { NULL } },
};

const struct command image_commands[] = {
	{
		.name = "image",
		.operands = "[options [...]] imageNameOrID [...]",
		.summary = "Examine an image",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_IMAGE,
		.run = run_image,
	},
	{
		.name = "images",
		.operands = "[options [...]]",
		.summary = "List images",
		.flags = list_flags,
		.kind = IMBREX_KIND_IMAGE,
		.run = run_images,
	},
	{
		.name = "images-by-digest",
		.operands = "[options [...]] DIGEST",
		.summary = "List images by digest",
		.flags = list_flags,
		.operands_min = 1,
		.operands_max = 1,
		.kind = IMBREX_KIND_IMAGE,
		.run = run_by_digest,
	},
	{ NULL },
};
