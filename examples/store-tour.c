/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk through the store with libimbrex: a layer from a tar stream, an image on it, a container
 * on that, its tree on a path, what changed, and the change as a tar stream.
 *
 *   cc store-tour.c -o store-tour $(pkg-config --cflags --libs libimbrex)
 *   tar -C some/directory -c . | ./store-tour /tmp/root /tmp/run >change.tar
 */
#include <imbrex/imbrex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whatever fails has filled in `err`: one line, and sometimes what to do. */
static int give_up(const struct imbrex_error *err)
{
	fprintf(stderr, "store-tour: %s\n", err->message);
	if (err->hint[0])
		fprintf(stderr, "hint: %s\n", err->hint);
	return EXIT_FAILURE;
}

static int write_greeting(const char *tree)
{
	char path[4096];
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/greeting", tree) >= (int)sizeof(path))
		return -1;
	f = fopen(path, "w");
	if (!f)
		return -1;
	fputs("written by the tour\n", f);
	return fclose(f);
}

/* Everything that this program makes, and unmakes in the end. */
struct tour {
	struct imbrex_store *store;
	char *layer, *image, *container, *tree;
};

static int set_up(struct tour *t, struct imbrex_error *err)
{
	const char *const names[] = { "example.org/tour:1", NULL };
	int r;

	/* Options are structs in which zero means default. */
	r = imbrex_layer_import(t->store, NULL, NULL, /* stdin */ 0, &t->layer, err);
	if (r == 0)
		r = imbrex_image_create(t->store, t->layer,
			&(struct imbrex_image_opts){ .names = names }, &t->image, err);
	if (r == 0)
		r = imbrex_container_create(t->store, t->image,
			&(struct imbrex_container_opts){ .name = "tour" }, &t->container, err);
	if (r == 0)
		r = imbrex_mount(t->store, t->container, NULL, &t->tree, err);
	return r;
}

static int show_changes(struct tour *t, struct imbrex_error *err)
{
	static const char *const kinds[] = { "changed", "added", "deleted" };
	struct imbrex_container *container;
	struct imbrex_change *changes;
	size_t i, n;
	int r;

	r = imbrex_container_get(t->store, t->container, &container, err);
	if (r < 0)
		return r;
	r = imbrex_layer_changes(t->store, container->layer, NULL, &changes, &n, err);
	if (r == 0) {
		for (i = 0; i < n; i++)
			fprintf(stderr, "%s %s\n", kinds[changes[i].kind], changes[i].path);
		imbrex_changes_free(changes, n);
		r = imbrex_layer_diff(t->store, container->layer, NULL, IMBREX_COMPRESSION_NONE,
			/* stdout */ 1, err);
	}
	imbrex_containers_free(container, 1);
	return r;
}

static int clean_up(struct tour *t, struct imbrex_error *err)
{
	int r;

	r = imbrex_unmount(t->store, t->container, false, NULL, err);
	if (r == 0)
		r = imbrex_container_remove(t->store, t->container, false, err);
	/* The layer that only this image stood on goes with it. */
	if (r == 0)
		r = imbrex_object_delete(
			t->store, t->image, IMBREX_KIND_IMAGE, NULL, /* ret_layers */ NULL, err);
	return r;
}

int main(int argc, char **argv)
{
	struct imbrex_store_opts opts = { 0 };
	struct imbrex_error err = { 0 };
	struct tour t = { 0 };
	int r;

	if (argc < 3) {
		fprintf(stderr,
			"usage: store-tour GRAPHROOT RUNROOT [DRIVER] <layer.tar >change.tar\n");
		return 2;
	}
	opts.graphroot = argv[1];
	opts.runroot = argv[2];
	opts.driver = argc > 3 ? argv[3] : NULL;
	/* Does nothing for root; everybody else becomes root of a user namespace. */
	r = imbrex_userns_enter(&err);
	if (r == 0)
		r = imbrex_store_open(&opts, &t.store, &err);
	if (r == 0)
		r = set_up(&t, &err);
	if (r == 0 && write_greeting(t.tree) < 0)
		perror("greeting");
	if (r == 0)
		r = show_changes(&t, &err);
	if (r == 0)
		r = clean_up(&t, &err);
	free(t.tree);
	free(t.container);
	free(t.image);
	free(t.layer);
	imbrex_store_close(t.store);
	return r < 0 ? give_up(&err) : EXIT_SUCCESS;
}
