/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers: what images and containers are made of; --tree shows who shares what.
 *
 * The tree is drawn from the base upwards. A layer with one child goes on in the same column, so
 * that an image of forty layers is forty lines and not forty columns; only where images part, the
 * drawing branches.
 */
#include <string.h>

#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

struct layers_args {
	bool tree, no_trunc;
};

static const struct column columns[] = {
	{ "LAYER" },
	{ "PARENT" },
	{ "SIZE", .right = true },
	{ "COMPRESSED", .right = true },
	{ "USED BY", .shrink = true },
};

#define NONE SIZE_MAX

struct node {
	size_t first_child, next_sibling; /* NONE: no more */
	struct str users;                 /* names of images and containers on this layer */
};

/* Everything a listing needs; all snapshots owned. */
struct forest {
	struct imbrex_layer *layers;
	struct imbrex_image *images;
	struct imbrex_container *containers;
	size_t n_layers, n_images, n_containers;
	struct node *nodes; /* of the same indices as layers */
	size_t first_root;
	struct map *by_id; /* id -> node */
};

static void forest_done(struct forest *f)
{
	size_t i;

	for (i = 0; f->nodes && i < f->n_layers; i++)
		str_done(&f->nodes[i].users);
	free(f->nodes);
	map_free(f->by_id);
	imbrex_layers_free(f->layers, f->n_layers);
	imbrex_images_free(f->images, f->n_images);
	imbrex_containers_free(f->containers, f->n_containers);
}
#define AUTO_FOREST __attribute__((cleanup(forest_done))) struct forest

static struct node *find_node(const struct forest *f, const char *id)
{
	void *node;

	return *id && map_get(f->by_id, id, strlen(id), &node) ? node : NULL;
}

static int add_user(struct node *node, const char *before, const char *name)
{
	int r;

	if (!node)
		return 0;
	r = str_printf(&node->users, "%s%s%s", node->users.len ? ", " : "", before, name);
	return r == -EFBIG ? 0 : r;
}

static int add_image(struct forest *f, const struct imbrex_image *image)
{
	struct node *node = find_node(f, image->layer);
	char id[OUT_WORD_BYTES * 2];
	size_t i;
	int r;

	for (i = 0; image->names[i]; i++) {
		r = add_user(node, "", image->names[i]);
		if (r < 0)
			return r;
	}
	return i ? 0 : add_user(node, "image ", out_id(image->id, /* whole= */ false, id));
}

static int add_container(struct forest *f, const struct imbrex_container *ctr)
{
	char id[OUT_WORD_BYTES * 2];

	return add_user(find_node(f, ctr->layer), "container ",
		ctr->names[0] ? ctr->names[0] : out_id(ctr->id, /* whole= */ false, id));
}

/* Link children to parents, names to layers. A layer whose parent is missing is a root. */
static int forest_link(struct forest *f)
{
	struct node *parent;
	size_t i, *head;
	int r;

	f->first_root = NONE;
	f->by_id = map_new();
	f->nodes = calloc(f->n_layers + 1, sizeof(*f->nodes));
	if (!f->by_id || !f->nodes)
		return -ENOMEM;
	for (i = 0; i < f->n_layers; i++) {
		f->nodes[i] = (struct node){
			.first_child = NONE, .next_sibling = NONE, .users = STR_INIT(64u * 1024u)
		};
		r = map_set(f->by_id, f->layers[i].id, strlen(f->layers[i].id), &f->nodes[i]);
		if (r < 0)
			return r;
	}
	/* From the end, so that every list comes out in the order of the store. */
	for (i = f->n_layers; i-- > 0;) {
		parent = find_node(f, f->layers[i].parent);
		head = parent ? &parent->first_child : &f->first_root;
		f->nodes[i].next_sibling = *head;
		*head = i;
	}
	for (i = 0; i < f->n_images; i++) {
		r = add_image(f, &f->images[i]);
		if (r < 0)
			return r;
	}
	for (i = 0; i < f->n_containers; i++) {
		r = add_container(f, &f->containers[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int forest_read(struct imbrex_store *s, struct forest *f, struct imbrex_error *err)
{
	int r;

	r = imbrex_layers_list(s, &f->layers, &f->n_layers, err);
	if (r < 0)
		return r;
	r = imbrex_images_list(s, &f->images, &f->n_images, err);
	if (r < 0)
		return r;
	r = imbrex_containers_list(s, &f->containers, &f->n_containers, err);
	if (r < 0)
		return r;
	r = forest_link(f);
	return r < 0 ? fail_nomem(err) : 0;
}

static void print_json(const struct forest *f)
{
	static const char *const compressions[] = { "none", "bzip2", "gzip", "xz", "zstd" };
	struct json_out j = { .f = stdout };
	const struct imbrex_layer *l;
	size_t i;

	json_begin(&j, NULL, '[');
	for (i = 0; i < f->n_layers; i++) {
		l = &f->layers[i];
		json_begin(&j, NULL, '{');
		json_text(&j, "id", l->id);
		json_text(&j, "parent", l->parent);
		json_texts(&j, "names", l->names);
		json_text(&j, "created", l->created);
		json_text(&j, "diff_digest", l->diff_digest);
		json_number(&j, "diff_size_bytes", l->diff_size_bytes);
		json_text(&j, "compressed_digest", l->compressed_digest);
		json_number(&j, "compressed_size_bytes", l->compressed_size_bytes);
		json_text(&j, "compression",
			l->compression >= 0 && (size_t)l->compression < ARRAY_LEN(compressions)
				? compressions[l->compression]
				: "unknown");
		json_bool(&j, "incomplete", l->incomplete);
		json_number(&j, "mount_count", l->mount_count);
		json_text(&j, "mount_path", l->mount_path);
		json_text(&j, "used_by", str_text(&f->nodes[i].users));
		json_end(&j, '}');
	}
	json_end(&j, ']');
}

static int print_table(const struct forest *f, bool whole)
{
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	char id[OUT_WORD_BYTES * 2], parent[OUT_WORD_BYTES * 2];
	char size[OUT_WORD_BYTES], compressed[OUT_WORD_BYTES];
	const struct imbrex_layer *l;
	size_t i;
	int r;

	for (i = 0; i < f->n_layers; i++) {
		l = &f->layers[i];
		const char *const cells[] = {
			out_id(l->id, whole, id),
			*l->parent ? out_id(l->parent, whole, parent) : "-",
			out_size(l->diff_size_bytes, size),
			out_size(l->compressed_size_bytes, compressed),
			l->incomplete ? "(incomplete)" : str_text(&f->nodes[i].users),
		};

		r = table_row(&t, cells);
		if (r < 0)
			return r;
	}
	return table_print(stdout, &t, out_columns(STDOUT_FILENO));
}

/* A node that waits to be drawn. */
struct pending {
	size_t node;
	size_t indent_len; /* bytes of the indentation that are its parent's */
	bool branches;     /* has siblings */
	bool last;         /* of them */
};

struct drawing {
	const struct forest *forest;
	struct pending *stack; /* owned; every node is on it at most once */
	size_t n_stack;
	struct str indent;
	size_t width; /* of the terminal; 0: do not cut */
	bool utf8, whole;
};

static void drawing_done(struct drawing *d)
{
	free(d->stack);
	str_done(&d->indent);
}
#define AUTO_DRAWING __attribute__((cleanup(drawing_done))) struct drawing

static void push_children(struct drawing *d, size_t first, bool are_roots)
{
	const struct node *nodes = d->forest->nodes;
	size_t n = 0, i, at;

	for (i = first; i != NONE; i = nodes[i].next_sibling)
		n++;
	/* Last in, first out: the first child goes on top. */
	at = d->n_stack + n;
	d->n_stack = at;
	for (i = first; i != NONE; i = nodes[i].next_sibling)
		d->stack[--at] = (struct pending){
			.node = i,
			.indent_len = d->indent.len,
			.branches = n > 1 && !are_roots,
			.last = nodes[i].next_sibling == NONE,
		};
}

static int draw_line(const struct drawing *d, const struct pending *at)
{
	const struct imbrex_layer *l = &d->forest->layers[at->node];
	const char *dot = d->utf8 ? "●" : "*";
	const char *branch = !at->branches ? ""
			     : !d->utf8    ? (at->last ? "`-" : "|-")
			     : at->last    ? "└─"
					   : "├─";
	char id[OUT_WORD_BYTES * 2], size[OUT_WORD_BYTES];
	AUTO_STR line = STR_INIT(128u * 1024u);
	size_t i, n = 0;
	int r;

	r = str_printf(&line, "%s%s%s %s  %s%s%s", str_text(&d->indent), branch, dot,
		out_id(l->id, d->whole, id), out_size(l->diff_size_bytes, size),
		l->incomplete ? "  (incomplete)" : "",
		d->forest->nodes[at->node].users.len ? "  " : "");
	if (r == 0)
		r = out_clean(&line, str_text(&d->forest->nodes[at->node].users));
	if (r < 0 && r != -EFBIG)
		return r;
	for (i = 0; i < line.len; i++) {
		if (((unsigned char)line.data[i] & 0xC0) != 0x80 && n++ == d->width && d->width)
			break;
	}
	(void)printf("%.*s\n", (int)i, str_text(&line));
	return 0;
}

static int draw_node(struct drawing *d)
{
	const struct pending at = d->stack[--d->n_stack];
	int r;

	/* What deeper lines appended is cut off; what is kept is our parent's still. */
	if (d->indent.len > at.indent_len) {
		d->indent.len = at.indent_len;
		d->indent.data[at.indent_len] = '\0';
	}
	r = draw_line(d, &at);
	if (r < 0)
		return r;
	if (at.branches) {
		r = str_puts(&d->indent, at.last ? "  " : d->utf8 ? "│ " : "| ");
		if (r < 0)
			return r;
	}
	push_children(d, d->forest->nodes[at.node].first_child, /* are_roots= */ false);
	return 0;
}

static int print_tree(const struct forest *f, bool whole)
{
	AUTO_DRAWING d = {
		.forest = f,
		.indent = STR_INIT(1u << 20),
		.width = out_columns(STDOUT_FILENO),
		.utf8 = out_is_utf8(),
		.whole = whole,
	};
	bool first = true;
	int r;

	d.stack = calloc(f->n_layers + 1, sizeof(*d.stack));
	if (!d.stack)
		return -ENOMEM;
	push_children(&d, f->first_root, /* are_roots= */ true);
	while (d.n_stack) {
		/* An empty line before every root but the first. */
		if (!first && !find_node(f, f->layers[d.stack[d.n_stack - 1].node].parent))
			(void)putchar('\n');
		first = false;
		r = draw_node(&d);
		if (r < 0)
			return r;
	}
	return 0;
}

static int run(struct cli *c, const void *args)
{
	const struct layers_args *a = args;
	AUTO_STORE *store = NULL;
	AUTO_FOREST f = { .n_layers = 0 };
	struct imbrex_error err = { .status = 0 };
	size_t i;
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = forest_read(store, &f, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = 0;
	if (c->globals.json) {
		print_json(&f);
	} else if (c->globals.quiet) {
		for (i = 0; i < f.n_layers; i++)
			(void)puts(f.layers[i].id);
	} else {
		r = a->tree ? print_tree(&f, a->no_trunc) : print_table(&f, a->no_trunc);
	}
	if (r < 0) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{ "tree", 0, OPT_FLAG, offsetof(struct layers_args, tree), NULL,
		"draw which images and containers share which layers" },
	{ "no-trunc", 0, OPT_FLAG, offsetof(struct layers_args, no_trunc), NULL, "show whole ids" },
	{ NULL },
};

const struct verb verb_layers = {
	.name = "layers",
	.operands = "",
	.summary = "list layers, or draw who shares them",
	.opts = opts,
	.args_size = sizeof(struct layers_args),
	.records = true,
	.run = run,
};
