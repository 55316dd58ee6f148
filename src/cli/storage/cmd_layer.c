/* SPDX-License-Identifier: Apache-2.0 */
/* layer: what is known of some layers. *-parent-owners: ids above their mount points. */
#include <inttypes.h>
#include <string.h>

#include "cli/storage/storage.h"

static void print_map(const char *what, const struct imbrex_id_map *map, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		(void)printf("%s mapping: (container=%" PRIu32 ", host=%" PRIu32 ", size=%" PRIu32
			     ")\n",
			what, map[i].inside, map[i].outside, map[i].count);
}

static void print_layer(const struct imbrex_layer *l)
{
	size_t i;

	(void)printf("ID: %s\n", l->id);
	print_map("UID", l->uid_map, l->n_uid_map);
	print_map("GID", l->gid_map, l->n_gid_map);
	if (*l->parent)
		(void)printf("Parent: %s\n", l->parent);
	for (i = 0; l->names[i]; i++)
		(void)printf("Name: %s\n", l->names[i]);
	if (l->read_only)
		(void)puts("Read Only: true");
}

static int run_layer(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };
	struct imbrex_layer *layer;
	bool all;
	size_t i;
	int r;

	r = plumbing_find_all(p, IMBREX_KIND_LAYER, &ids, &all, err);
	if (r == 0 && p->flags.json)
		r = plumbing_print_records(p, ids.items, IMBREX_KIND_LAYER, err);
	for (i = 0; r == 0 && !p->flags.json && i < ids.n; i++) {
		r = imbrex_layer_get(p->store, ids.items[i], &layer, err);
		if (r < 0)
			return r;
		print_layer(layer);
		imbrex_layers_free(layer, 1);
	}
	return r < 0 ? r : all ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct owners {
	uint32_t *uids, *gids; /* owned */
	size_t n_uids, n_gids;
};

static void owners_done(struct owners *o)
{
	free(o->uids);
	free(o->gids);
}
#define AUTO_OWNERS __attribute__((cleanup(owners_done))) struct owners

static void print_ids(const uint32_t *ids, size_t n, const char *gap)
{
	size_t i;

	(void)putchar('[');
	for (i = 0; i < n; i++)
		(void)printf("%s%" PRIu32, i ? gap : "", ids[i]);
	(void)putchar(']');
}

/* `always`: containers show an empty list too. */
static void print_owners(const char *what, const uint32_t *ids, size_t n, bool always)
{
	if (!n && !always)
		return;
	(void)printf("%s: ", what);
	print_ids(ids, n, " ");
	(void)putchar('\n');
}

static void print_json_owners(const char *what, const uint32_t *ids, size_t n)
{
	(void)printf(",\"%s\":", what);
	if (n)
		print_ids(ids, n, ",");
	else
		(void)fputs("null", stdout);
}

static int show_owners(struct plumbing *p, const char *id, struct imbrex_error *err)
{
	bool is_container = p->command->kind == IMBREX_KIND_CONTAINER;
	AUTO_OWNERS o = { 0 };
	int r;

	if (is_container)
		r = imbrex_container_parent_owners(
			p->store, id, &o.uids, &o.n_uids, &o.gids, &o.n_gids, err);
	else
		r = imbrex_layer_parent_owners(
			p->store, id, &o.uids, &o.n_uids, &o.gids, &o.n_gids, err);
	if (r < 0)
		return r;
	if (p->flags.json) {
		(void)printf("{\"ID\":\"%s\"", id);
		print_json_owners("UIDs", o.uids, o.n_uids);
		print_json_owners("GIDs", o.gids, o.n_gids);
		(void)puts("}");
	} else {
		(void)printf("ID: %s\n", id);
		print_owners("UIDs", o.uids, o.n_uids, is_container);
		print_owners("GIDs", o.gids, o.n_gids, is_container);
	}
	return 0;
}

static int run_parent_owners(struct plumbing *p, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };
	bool all;
	size_t i;
	int r;

	r = plumbing_find_all(p, p->command->kind, &ids, &all, err);
	for (i = 0; r == 0 && i < ids.n; i++)
		r = show_owners(p, ids.items[i], err);
	return r < 0 ? r : all ? EXIT_SUCCESS : EXIT_FAILURE;
}

const struct command layer_commands[] = {
	{
		.name = "layer",
		.operands = "[options [...]] layerNameOrID [...]",
		.summary = "Examine a layer",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_LAYER,
		.run = run_layer,
	},
	{
		.name = "layer-parent-owners",
		.operands = "[options [...]] layerNameOrID [...]",
		.summary = "Compute the set of unmapped parent UIDs and GIDs of the layer",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_LAYER,
		.run = run_parent_owners,
	},
	{
		.name = "container-parent-owners",
		.operands = "[options [...]] containerNameOrID [...]",
		.summary = "Compute the set of unmapped parent UIDs and GIDs of the container",
		.flags = json_flags,
		.operands_min = 1,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_CONTAINER,
		.run = run_parent_owners,
	},
	{ NULL },
};
