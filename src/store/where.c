/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns a path of the host, and why: from a file in the store, or in the tree of something that
 * is mounted, to the layer that brings it and to the images and containers that stand on it.
 * Nothing is changed and nothing is opened but directories.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/fd.h"
#include "store/layer.h"
#include "store/store.h"

/* What is known of the path so far. */
struct trail {
	char *layer;       /* owned; NULL: no layer's */
	char *image;       /* owned; the file is this image's; NULL: no image's */
	char *container;   /* owned; likewise */
	char *inside;      /* owned; NULL: not in a tree */
	const char *role;  /* static; NULL: nothing is known */
	bool is_merged;    /* `inside` is in the tree of a whole chain, from `layer` down */
	struct strv chain; /* ids from `layer` down, when is_merged was resolved */
};

static void trail_done(struct trail *t)
{
	free(t->layer);
	free(t->image);
	free(t->container);
	free(t->inside);
	strv_done(&t->chain);
}
#define AUTO_TRAIL __attribute__((cleanup(trail_done))) struct trail

PUBLIC void imbrex_where_done(struct imbrex_where *w)
{
	free(w->layer);
	imbrex_strings_free(w->images);
	imbrex_strings_free(w->containers);
	free(w->inside);
	free(w->role);
	free(w->why);
	*w = (struct imbrex_where){ 0 };
}

static int path_of_fd(int fd, struct str *ret, struct imbrex_error *err)
{
	char self[FD_PATH_BYTES];

	fd_path(fd, self);
	return read_link_at(AT_FDCWD, self, ret, err);
}

/* The absolute path without links on the way; a link at the end is itself meant. */
static int canonical_path(const char *path, struct str *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? fail_errno(err, "look at '%s'", path) : path_of_fd(fd, ret, err);
}

/* What of `path` lies below the directory `root`; NULL if it is not below it. */
static const char *below(const char *path, const char *root)
{
	const char *rest = str_after(path, root);

	if (!rest || (*rest && *rest != '/'))
		return NULL;
	return rest + strspn(rest, "/");
}

static int set_text(char **to, const char *text, size_t len, struct imbrex_error *err)
{
	free(*to);
	*to = strndup(text, len);
	return *to ? 0 : fail_nomem(err);
}

/* ---- files of the store's own ------------------------------------------------------------ */

static int in_driver(
	struct imbrex_store *s, const char *rest, struct trail *t, struct imbrex_error *err)
{
	AUTO_DRIVER_PLACE place = { 0 };
	int r;

	r = s->driver->ops->locate(s->driver, rest, &place, err);
	if (r < 0)
		return r;
	t->role = place.role;
	t->is_merged = str_eq(place.role, "mount");
	if (*place.id)
		t->layer = take_ptr(place.id);
	if (*place.inside)
		t->inside = take_ptr(place.inside);
	return 0;
}

/* A file in the directory of a table: "layers.json", "ID.tar-split.gz", "ID/DOCUMENT". */
static int in_table(
	struct store_table *table, const char *rest, struct trail *t, struct imbrex_error *err)
{
	size_t n = strcspn(rest, "/");
	char **owner = table->t.type == &layer_records   ? &t->layer
		       : table->t.type == &image_records ? &t->image
							 : &t->container;

	if (n >= ID_HEX_LEN && strspn(rest, "0123456789abcdef") == ID_HEX_LEN) {
		t->role = str_eq(rest + ID_HEX_LEN, ".tar-split.gz") ? "tar-split" : "document";
		return set_text(owner, rest, ID_HEX_LEN, err);
	}
	t->role = str_after(rest, "tmp") || str_after(rest, ".tmp-") ? "temporary"
		  : str_ends(rest, ".lock")                          ? "lock"
		  : str_ends(rest, ".json")                          ? "record"
		  : *rest                                            ? "other"
								     : "directory";
	return 0;
}

/* Nothing is set if the path is not below the root that `rootfd` is. */
static int in_root(struct imbrex_store *s, int rootfd, const char *path, struct trail *t,
	struct imbrex_error *err)
{
	struct store_table *const tables[] = { &s->layers, &s->images, &s->containers };
	AUTO_STR root = STR_INIT(LIMIT_PATH_BYTES);
	const char *next, *rest;
	size_t i;
	int r;

	r = path_of_fd(rootfd, &root, err);
	if (r < 0)
		return r;
	rest = below(path, str_text(&root));
	if (!rest)
		return 0;
	next = below(rest, s->driver->ops->name);
	if (next)
		return in_driver(s, next, t, err);
	for (i = 0; i < ARRAY_LEN(tables); i++) {
		next = below(rest, tables[i]->dir);
		if (next)
			return in_table(tables[i], next, t, err);
	}
	t->role = below(rest, "imbrex")     ? "private"
		  : str_ends(rest, ".lock") ? "lock"
		  : *rest                   ? "other"
					    : "directory";
	return 0;
}

/* ---- trees ------------------------------------------------------------------------------- */

/* A tree that the store has mounted, wherever it is. */
static int in_mounts(
	struct imbrex_store *s, const char *path, struct trail *t, struct imbrex_error *err)
{
	size_t i;
	int r;

	for (i = 0; i < s->n_mounts; i++) {
		const char *rest = below(path, s->mounts[i].path);

		if (!rest)
			continue;
		r = set_text(&t->layer, s->mounts[i].id, strlen(s->mounts[i].id), err);
		if (r < 0)
			return r;
		t->role = "mount";
		t->is_merged = true;
		free(t->inside);
		t->inside = format_text("/%s", rest);
		return t->inside ? 0 : fail_nomem(err);
	}
	return 0;
}

static int chain_of(
	struct imbrex_store *s, const char *id, struct strv *ret, struct imbrex_error *err)
{
	struct layer_walk w;

	layer_walk(s, (struct json_span){ .at = id, .len = strlen(id) }, &w);
	for (; w.more; layer_walk_next(s, &w)) {
		if (strv_take(ret, record_text(found_record(&w.at), LAYER_ID)) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* Which layer of the chain brings what the whole tree shows at `inside`. */
static int find_owner(struct imbrex_store *s, struct trail *t, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = chain_of(s, t->layer, &t->chain, err);
	for (i = 0; r == 0 && i < t->chain.n; i++) {
		const char *id = t->chain.items[i];

		r = s->driver->ops->holds(s->driver, id,
			i + 1 < t->chain.n ? t->chain.items[i + 1] : NULL, t->inside, err);
		if (r > 0)
			return set_text(&t->layer, id, strlen(id), err);
	}
	return r;
}

/* ---- who stands on it -------------------------------------------------------------------- */

static bool stands_on(struct imbrex_store *s, struct json_span top, const char *id)
{
	struct layer_walk w;

	for (layer_walk(s, top, &w); w.more; layer_walk_next(s, &w)) {
		if (record_is(found_record(&w.at), LAYER_ID, id))
			return true;
	}
	return false;
}

/* Ids of the records of a table that stand on layer `id`, or are `own`. */
static int standing(struct imbrex_store *s, const struct record_type *type, int layer_field,
	const char *id, const char *own, struct strv *ret)
{
	struct found f;
	bool more;

	for (more = store_first(s, type, &f); more; more = store_next(s, &f)) {
		const struct record *rec = found_record(&f);

		if (!(own && record_is(rec, RECORD_ID, own)) &&
			!(id && stands_on(s, record_plain(rec, layer_field), id)))
			continue;
		if (strv_take(ret, record_text(rec, RECORD_ID)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- in words ---------------------------------------------------------------------------- */

static const char *words_of(const struct trail *t)
{
	static const struct {
		const char *role, *words;
	} table[] = {
		{ "content", "content of the layer" },
		{ "mount", "seen in a mounted tree; the layer brings it" },
		{ "record", "bookkeeping of the store" },
		{ "link", "short name of a layer, which mounts use" },
		{ "tar-split", "how the layer's tar is put together again" },
		{ "document", "a document or the data of the object" },
		{ "lock", "a lock file; its content says when something changed" },
		{ "temporary", "of a writer at work, or one that died" },
		{ "work", "working directory of the overlay file system" },
		{ "private", "imbrex's own: indexes and parts of downloads; may be removed" },
		{ "directory", "a directory that the store consists of" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(table); i++) {
		if (str_eq(table[i].role, t->role))
			return table[i].words;
	}
	return "the store did not make this";
}

static int answer(struct imbrex_store *s, const struct trail *t, struct imbrex_where *ret,
	struct imbrex_error *err)
{
	AUTO_STRV images = { 0 };
	AUTO_STRV containers = { 0 };
	struct imbrex_where w = { 0 };
	struct found f;
	bool recorded = !t->layer || store_get(s, &layer_records, t->layer, strlen(t->layer), &f);

	if (standing(s, &image_records, IMAGE_LAYER, t->layer, t->image, &images) < 0 ||
		standing(s, &container_records, CONTAINER_LAYER, t->layer, t->container,
			&containers) < 0)
		return fail_nomem(err);
	w.layer = strdup(t->layer ? t->layer : "");
	w.inside = strdup(t->inside ? t->inside : "");
	w.role = strdup(t->role);
	w.why = format_text("%s%s", words_of(t),
		recorded ? "" : "; no record names that layer: garbage, or of a writer at work");
	w.images = strings_take(&images);
	w.containers = strings_take(&containers);
	if (!w.layer || !w.inside || !w.role || !w.why || !w.images || !w.containers) {
		imbrex_where_done(&w);
		return fail_nomem(err);
	}
	*ret = w;
	return 0;
}

PUBLIC int imbrex_where(struct imbrex_store *s, const char *path, struct imbrex_where *ret,
	struct imbrex_error *err)
{
	AUTO_STR canonical = STR_INIT(LIMIT_PATH_BYTES);
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_TRAIL t = { 0 };
	int r;

	r = canonical_path(path, &canonical, err);
	if (r == 0)
		r = store_hold(s, HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r == 0)
		r = in_mounts(s, str_text(&canonical), &t, err);
	if (r == 0 && !t.role)
		r = in_root(s, s->graphfd, str_text(&canonical), &t, err);
	if (r == 0 && !t.role && s->runfd >= 0)
		r = in_root(s, s->runfd, str_text(&canonical), &t, err);
	if (r == 0 && !t.role)
		r = fail(err, IMBREX_ENOENT,
			"'%s' is neither in the store nor in one of its mounts", path);
	if (r == 0 && t.is_merged && t.layer && t.inside)
		r = find_owner(s, &t, err);
	return r < 0 ? r : answer(s, &t, ret, err);
}
