/* SPDX-License-Identifier: Apache-2.0 */
/* layers: who stands on which, as a list or a tree. storage-layers: what the driver has. */
#include <string.h>

#include "base/error.h"
#include "base/map.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"
#include "cli/storage/tree.h"

/* One image on one layer; an image is on its top layer and on the mapped copies of it. */
struct standing {
	const struct imbrex_image *image;
	const struct standing *next; /* of the same layer */
};

/* All snapshots owned. */
struct census {
	struct imbrex_layer *layers;
	struct imbrex_image *images;
	struct imbrex_container *containers;
	size_t n_layers, n_images, n_containers;
	struct standing *standings;
	size_t n_standings;
	struct map *images_on;     /* layer id -> the first struct standing */
	struct map *containers_on; /* layer id -> struct imbrex_container */
};

static void census_done(struct census *c)
{
	imbrex_layers_free(c->layers, c->n_layers);
	imbrex_images_free(c->images, c->n_images);
	imbrex_containers_free(c->containers, c->n_containers);
	free(c->standings);
	map_free(c->images_on);
	map_free(c->containers_on);
}
#define AUTO_CENSUS __attribute__((cleanup(census_done))) struct census

static int add_standing(struct census *c, const struct imbrex_image *image, const char *layer)
{
	struct standing *st = &c->standings[c->n_standings++];
	void *next = NULL;

	(void)map_get(c->images_on, layer, strlen(layer), &next);
	*st = (struct standing){ .image = image, .next = next };
	return map_set(c->images_on, layer, strlen(layer), st);
}

static int census_link(struct census *c)
{
	const struct imbrex_container *ctr;
	size_t n = 1, i, k;
	int r = 0;

	for (i = 0; i < c->n_images; i++) {
		for (k = 0; c->images[i].mapped_layers[k];)
			k++;
		n += k + 1;
	}
	c->standings = calloc(n, sizeof(*c->standings));
	c->images_on = map_new();
	c->containers_on = map_new();
	if (!c->standings || !c->images_on || !c->containers_on)
		return -ENOMEM;
	/* From the end: what is put in front last is the first in the store. */
	for (i = c->n_images; r == 0 && i-- > 0;) {
		for (k = 0; r == 0 && c->images[i].mapped_layers[k]; k++)
			r = add_standing(c, &c->images[i], c->images[i].mapped_layers[k]);
		if (r == 0)
			r = add_standing(c, &c->images[i], c->images[i].layer);
	}
	for (i = 0; r == 0 && i < c->n_containers; i++) {
		ctr = &c->containers[i];
		r = map_set(c->containers_on, ctr->layer, strlen(ctr->layer), &c->containers[i]);
	}
	return r;
}

static int census_read(struct imbrex_store *s, struct census *c, struct imbrex_error *err)
{
	int r;

	r = imbrex_layers_list(s, &c->layers, &c->n_layers, err);
	if (r == 0)
		r = imbrex_images_list(s, &c->images, &c->n_images, err);
	if (r == 0)
		r = imbrex_containers_list(s, &c->containers, &c->n_containers, err);
	if (r < 0)
		return r;
	return census_link(c) < 0 ? fail_nomem(err) : 0;
}

static const struct standing *images_on(const struct census *c, const struct imbrex_layer *l)
{
	void *found = NULL;

	return map_get(c->images_on, l->id, strlen(l->id), &found) ? found : NULL;
}

static const struct imbrex_container *container_on(
	const struct census *c, const struct imbrex_layer *l)
{
	void *found = NULL;

	return map_get(c->containers_on, l->id, strlen(l->id), &found) ? found : NULL;
}

static void print_names(const char *before, char *const *names)
{
	size_t i;

	for (i = 0; names[i]; i++)
		(void)printf("%sname: %s\n", before, names[i]);
}

static void print_list(const struct census *c, bool quick)
{
	const struct imbrex_container *ctr;
	const struct standing *st;
	size_t i;

	for (i = 0; i < c->n_layers; i++) {
		(void)puts(c->layers[i].id);
		if (quick)
			continue;
		print_names("\t", c->layers[i].names);
		for (st = images_on(c, &c->layers[i]); st; st = st->next) {
			(void)printf("\timage: %s\n", st->image->id);
			print_names("\t\t", st->image->names);
		}
		ctr = container_on(c, &c->layers[i]);
		if (ctr) {
			(void)printf("\tcontainer: %s\n", ctr->id);
			print_names("\t\t", ctr->names);
		}
	}
}

static int note_names(struct strv *notes, const char *before, char *const *names)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && names[i]; i++)
		r = strv_addf(notes, "%sname: %s", before, names[i]);
	return r;
}

static int note_layer(const struct census *c, const struct imbrex_layer *l, struct strv *notes)
{
	const struct imbrex_container *ctr = container_on(c, l);
	const struct standing *st;
	int r;

	r = note_names(notes, "", l->names);
	if (r == 0 && *l->mount_path)
		r = strv_addf(notes, "mount: %s", l->mount_path);
	for (st = images_on(c, l); r == 0 && st; st = st->next) {
		r = strv_addf(notes, "image: %s", st->image->id);
		if (r == 0)
			r = note_names(notes, "image ", st->image->names);
	}
	if (r == 0 && ctr)
		r = strv_addf(notes, "container: %s", ctr->id);
	return r == 0 && ctr ? note_names(notes, "container ", ctr->names) : r;
}

static int print_tree(const struct census *c)
{
	struct tree_node *nodes = calloc(c->n_layers + 1, sizeof(*nodes));
	size_t i;
	int r = nodes ? 0 : -ENOMEM;

	for (i = 0; r == 0 && i < c->n_layers; i++) {
		nodes[i].parent = *c->layers[i].parent ? c->layers[i].parent : "(base)";
		nodes[i].name = c->layers[i].id;
		r = note_layer(c, &c->layers[i], &nodes[i].notes);
	}
	if (r == 0)
		r = tree_print(stdout, nodes, c->n_layers);
	for (i = 0; nodes && i < c->n_layers; i++)
		strv_done(&nodes[i].notes);
	free(nodes);
	return r;
}

static int run_layers(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_CENSUS c = { .n_layers = 0 };
	int r;

	if (p->flags.json)
		return plumbing_print_all(p, IMBREX_KIND_LAYER, err);
	if (p->flags.quiet && !p->flags.tree)
		r = imbrex_layers_list(p->store, &c.layers, &c.n_layers, err);
	else
		r = census_read(p->store, &c, err);
	if (r < 0)
		return r;
	if (!p->flags.tree)
		print_list(&c, p->flags.quiet);
	else if (print_tree(&c) < 0)
		return fail_nomem(err);
	return EXIT_SUCCESS;
}

static int run_storage_layers(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRINGS ids = NULL;
	size_t i;
	int r;

	r = imbrex_driver_layers(p->store, &ids, err);
	if (r < 0)
		return r;
	if (p->flags.json) {
		text_json_list(stdout, (const char *const *)ids, /* empty_list= */ true);
		(void)putchar('\n');
	}
	for (i = 0; !p->flags.json && ids[i]; i++)
		(void)puts(ids[i]);
	return EXIT_SUCCESS;
}

static const struct flag layers_flags[] = {
	{ { "--tree", "-t" }, FLAG_BOOL, FLAG_AT(tree), "Use a tree" },
	{ { "--quick", "-q" }, FLAG_BOOL, FLAG_AT(quiet), "Just the IDs" },
	FLAG_JSON,
	{ { NULL } },
};

const struct command layers_commands[] = {
	{
		.name = "layers",
		.operands = "[options [...]]",
		.summary = "List layers",
		.flags = layers_flags,
		.kind = IMBREX_KIND_LAYER,
		.run = run_layers,
	},
	{
		.name = "storage-layers",
		.operands = "[options [...]]",
		.summary = "List storage layers",
		.flags = json_flags,
		.kind = IMBREX_KIND_LAYER,
		.run = run_storage_layers,
	},
	{ NULL },
};
