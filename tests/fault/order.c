/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power goes at any time: what a record names must be on disk before the record is.
 *
 * A model of a disk follows the calls of an operation. It knows which content and which names are
 * durable, and which a power cut would take:
 *
 *   content, mode, xattrs of a file   durable after fsync, fdatasync (content) or syncfs
 *   a name in a directory             durable after fsync of the directory, or syncfs
 *
 * With `keeps_order` (ext4 with its default data=ordered, xfs: one journal of all metadata), names
 * and modes become durable in the order in which they were made, and every sync of anything takes
 * all the earlier ones along. Without it (btrfs and what else may come), each name needs its own.
 *
 * At each rename of a record file the model must hold nothing that a power cut could take but what
 * no record names. And in a removal no name of content goes before the record that names it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "modes.h"
#include "operations.h"
#include "seam.h"

#define PENDING_MAX 4096

struct pending {
	enum seam_kind kind;
	ino_t inode;
	ino_t dir; /* names only */
	char *path;
};

struct disk {
	const struct world *w;
	bool keeps_order;
	char home[PATH_MAX];  /* of the layers */
	bool may_lose_layers; /* a volatile container's: nobody promised */
	bool is_remade;       /* what is taken away is damaged, and comes again */
	struct pending *pending;
	size_t n;
	unsigned int n_syncfs;
	struct strv published; /* record files, in the order of their renames */
	unsigned int n_homes;  /* layers moved into place */
	unsigned int n_trashed;
};

static void take_off(struct disk *d, size_t i)
{
	free(d->pending[i].path);
	d->pending[i] = d->pending[--d->n];
}

static void put_on(struct disk *d, const struct seam_event *e)
{
	char *path = strdup(e->path);
	size_t i;

	for (i = 0; path && i < d->n; i++) {
		if (d->pending[i].kind == e->kind && d->pending[i].inode == e->inode &&
			strcmp(d->pending[i].path, path) == 0) {
			free(path);
			return;
		}
	}
	if (!path || d->n == PENDING_MAX)
		abort();
	d->pending[d->n++] =
		(struct pending){ .kind = e->kind, .inode = e->inode, .dir = e->dir, .path = path };
}

static bool is_name(enum seam_kind kind)
{
	return kind == SEAM_CREATE || kind == SEAM_LINK || kind == SEAM_RENAME;
}

/* A power cut may take these: no record names them. */
static bool is_loss_fine(const struct disk *d, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	size_t len = strlen(name);

	return !strstr(path, "/root/") ||
	       (d->may_lose_layers && strncmp(path, d->home, strlen(d->home)) == 0) ||
	       (len > 5 && strcmp(name + len - 5, ".lock") == 0) || str_after(name, "lock-") ||
	       str_after(name, "temp-dir-") || strstr(path, "/temp-dir-") ||
	       strcmp(name, "tempdirs") == 0 || strcmp(name, "tmp") == 0 ||
	       str_after(name, ".tmp-") || str_after(name, "volatile-") ||
	       strstr(path, "/root/imbrex/");
}

static void sync_object(struct disk *d, const struct seam_event *e)
{
	size_t i = 0;

	while (i < d->n) {
		const struct pending *p = &d->pending[i];
		bool own = p->inode == e->inode && !is_name(p->kind) &&
			   (p->kind == SEAM_DATA || e->kind == SEAM_SYNC);
		bool name = is_name(p->kind) && e->kind == SEAM_SYNC && p->dir == e->inode;
		bool journal = d->keeps_order && p->kind != SEAM_DATA;

		if (own || name || journal)
			take_off(d, i);
		else
			i++;
	}
}

static void forget_inode(struct disk *d, ino_t inode)
{
	size_t i = 0;

	while (inode && i < d->n) {
		if (d->pending[i].inode == inode)
			take_off(d, i);
		else
			i++;
	}
}

static bool is_record_file(const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	return strcmp(name, "layers.json") == 0 || strcmp(name, "images.json") == 0 ||
	       strcmp(name, "containers.json") == 0;
}

static const char *kind_name(enum seam_kind kind)
{
	return kind == SEAM_DATA ? "content" : kind == SEAM_METADATA ? "metadata" : "name";
}

static void publish(struct disk *d, const struct seam_event *e)
{
	size_t i;

	for (i = 0; i < d->n; i++) {
		const struct pending *p = &d->pending[i];

		/* The temporary file is itself now: its content must be there. */
		if (p->inode == e->inode && p->kind == SEAM_DATA)
			problem("%s is renamed before its content is synced", e->path);
		else if (p->inode == e->inode || is_loss_fine(d, p->path) ||
			 (d->keeps_order && p->kind != SEAM_DATA))
			continue;
		else
			problem("%s is renamed before the %s of %s is durable", e->path,
				kind_name(p->kind), p->path);
	}
	if (strv_add(&d->published, strrchr(e->path, '/') + 1) < 0)
		abort();
}

/* Something goes that the records of a table named: the table's file was replaced before. */
static void trashed(struct disk *d, const struct seam_event *e)
{
	const char *record = strstr(e->from, "-images/")       ? "images.json"
			     : strstr(e->from, "-containers/") ? "containers.json"
							       : "layers.json";

	d->n_trashed++;
	if (!d->is_remade && strv_find(&d->published, record) < 0)
		problem("%s is taken away before %s is replaced", e->from, record);
}

static void moved(struct disk *d, const struct seam_event *e)
{
	bool at_home = strncmp(e->path, d->home, strlen(d->home)) == 0 &&
		       !strchr(e->path + strlen(d->home), '/');
	size_t i;

	/* What lies below is at its new place. */
	for (i = 0; i < d->n; i++) {
		size_t len = strlen(e->from);
		const char *rest = d->pending[i].path + len;
		char *path;

		if (strncmp(d->pending[i].path, e->from, len) != 0 || (*rest && *rest != '/'))
			continue;
		path = format_text("%s%s", e->path, rest);
		if (!path)
			abort();
		free(d->pending[i].path);
		d->pending[i].path = path;
	}
	if (at_home) {
		d->n_homes++;
		if (!d->n_syncfs && !d->may_lose_layers)
			problem("%s is moved into place before the file system is synced", e->path);
	}
	if (strstr(e->path, "/temp-dir-") && !strstr(e->from, "/temp-dir-"))
		trashed(d, e);
	if (is_record_file(e->path))
		publish(d, e);
	put_on(d, e);
}

static void watch(void *ctx, const struct seam_event *e)
{
	struct disk *d = ctx;

	switch (e->kind) {
	case SEAM_CREATE:
	case SEAM_LINK:
	case SEAM_DATA:
	case SEAM_METADATA:
		put_on(d, e);
		break;
	case SEAM_RENAME:
		moved(d, e);
		break;
	case SEAM_UNLINK:
		forget_inode(d, e->inode);
		break;
	case SEAM_SYNC_DATA:
	case SEAM_SYNC:
		sync_object(d, e);
		break;
	case SEAM_SYNC_FS:
		d->n_syncfs++;
		while (d->n)
			take_off(d, 0);
		break;
	case SEAM_MOUNT:
		break;
	}
}

struct expectation {
	const char *operation;
	const char *records[3]; /* that are replaced, in this order */
	bool has_layers;        /* new ones, with content */
	bool is_removal;
};

static const struct expectation expectations[] = {
	{ "pull", { "layers.json", "images.json" }, true, false },
	{ "pull a sibling", { "layers.json", "images.json" }, true, false },
	{ "pull from a store", { "layers.json", "images.json" }, true, false },
	{ "tag", { "images.json" }, false, false },
	{ "untag", { "images.json" }, false, false },
	{ "create", { "layers.json", "containers.json" }, false, false },
	{ "create volatile", { "layers.json", "containers.json" }, false, false },
	{ "make a layer", { "layers.json" }, false, false },
	{ "make a mapped layer", { "layers.json" }, false, false },
	{ "import a layer", { "layers.json" }, true, false },
	{ "apply a diff", { "layers.json" }, false, false },
	/* Facts of the old content go before it does. */
	{ "apply another diff", { "layers.json", "layers.json" }, false, false },
	{ "make an image", { "images.json" }, false, false },
	{ "make a mapped container", { "layers.json", "images.json", "containers.json" }, false,
		false },
	{ "name a layer", { "layers.json" }, false, false },
	{ "move a name", { "images.json" }, false, false },
	{ "set metadata", { "containers.json" }, false, false },
	{ "set a document", { "containers.json" }, false, false },
	/* What was said of the old one is taken back first. */
	{ "set another document", { "containers.json", "containers.json" }, false, false },
	{ "delete a layer", { "layers.json" }, false, true },
	{ "delete a container", { "containers.json", "layers.json" }, false, true },
	{ "delete an image and a copy", { "images.json", "layers.json" }, false, true },
	{ "remove a container", { "containers.json", "layers.json" }, false, true },
	{ "remove an image", { "images.json", "layers.json" }, false, true },
	{ "remove a sibling", { "images.json", "layers.json" }, false, true },
	{ "remove an image with its container", { "containers.json", "images.json", "layers.json" },
		false, true },
	{ "take a name", { "layers.json" }, false, false },
	{ "set a layer's document", { "layers.json" }, false, false },
	{ "set an image's document", { "images.json" }, false, false },
	{ "apply a directory", { "layers.json" }, false, false },
	{ "apply a diff to a copy", { "layers.json", "layers.json" }, false, false },
	{ "wipe", { "containers.json", "images.json", "layers.json" }, false, true },
	/* The layer's record stays as it is. */
	{ "repair content", { NULL }, false, false },
	{ "repair a copy", { NULL }, true, false },
	{ "repair a document", { "images.json" }, false, false },
	{ "repair what lies beside", { NULL }, false, false },
	/* What can be read of it, and then what was found of the rest. */
	{ "repair a table", { "layers.json", "layers.json" }, false, false },
	{ "repair from a source", { NULL }, false, false },
	{ "repair by removing", { "images.json", "layers.json" }, false, true },
};

static void expect_records(const struct disk *d, const struct expectation *x)
{
	size_t i;

	for (i = 0; i < 3 && (x->records[i] || i < d->published.n); i++) {
		const char *want = x->records[i] ? x->records[i] : "nothing";
		const char *is = i < d->published.n ? d->published.items[i] : "nothing";

		if (strcmp(want, is) != 0)
			problem("record file %zu to be replaced is %s, not %s", i + 1, is, want);
	}
	if (d->published.n > 3)
		problem("%zu record files are replaced", d->published.n);
}

/* Success was said: the records must have reached the disk. */
static void expect_durable(const struct disk *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		if (d->pending[i].kind == SEAM_RENAME && is_record_file(d->pending[i].path))
			problem("success is said before the new name of %s is durable",
				d->pending[i].path);
}

static void follow(const struct world *w, const struct operation *o, const struct expectation *x,
	bool keeps_order)
{
	struct disk d = { .w = w, .keeps_order = keeps_order };
	const struct seam_plan plan = { .action = SEAM_WATCH, .watch = watch, .ctx = &d };
	struct imbrex_error err = { 0 };
	struct imbrex_store *s;
	unsigned int n;

	context("%s %s, %s", w->driver, o->name,
		keeps_order ? "names in order" : "names in any order");
	(void)snprintf(d.home, sizeof(d.home), "%s/round/root/%s/", w->dir, world_home(w));
	d.may_lose_layers = strcmp(o->name, "create volatile") == 0;
	d.is_remade = strcmp(o->name, "repair a copy") == 0;
	d.pending = calloc(PENDING_MAX, sizeof(*d.pending));
	if (!d.pending)
		abort();
	seam_keep_order(keeps_order);
	s = operation_begin(w, o, "round");
	if (!s)
		return;
	seam_arm(&plan);
	if (operation_run(w, o, "round", &s, &err) < 0)
		problem("it fails: %s", err.message);
	n = seam_disarm();
	imbrex_store_close(s);
	expect_records(&d, x);
	expect_durable(&d);
	if (x->has_layers && !d.n_homes)
		problem("no layer was seen to be moved into place");
	if (x->is_removal && !d.n_trashed)
		problem("nothing was seen to be removed");
	printf("%s %s: %u calls, %u syncfs, %u layers\n", w->driver, o->name, n, d.n_syncfs,
		d.n_homes);
	while (d.n)
		take_off(&d, 0);
	free(d.pending);
	strv_done(&d.published);
}

void test_order(const struct world *w)
{
	size_t i, k;

	operations_prepare(w);
	for (i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
		for (k = 0; k < n_operations; k++) {
			if (strcmp(operations[k].name, expectations[i].operation) != 0)
				continue;
			/* It is what it is, and says so. */
			if (strcmp(w->driver, "btrfs") != 0)
				follow(w, &operations[k], &expectations[i], true);
			follow(w, &operations[k], &expectations[i], false);
		}
	}
	seam_keep_order(-1);
}
