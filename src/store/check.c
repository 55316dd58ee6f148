/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the store consistent? Records against each other and against the directories, under shared
 * locks; then, unless quick, every layer's bytes against its DiffID, under none: what is removed
 * while we hash is no problem, and nobody waits for us.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "oci/digest.h"
#include "store/bigdata.h"
#include "store/content.h"
#include "store/garbage.h"
#include "store/layer.h"
#include "store/tables.h"

struct report {
	struct imbrex_problem *items; /* owned */
	size_t n;
};

/* A layer to be hashed when the locks are gone. */
struct pending {
	char *id;
	struct hash_value diff_id;
};

struct findings {
	struct imbrex_store *s;
	struct report report;
	struct pending *pending; /* owned */
	size_t n_pending;
};

PUBLIC void imbrex_problems_free(struct imbrex_problem *problems, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(problems[i].object);
		free(problems[i].text);
	}
	free(problems);
}

static int add_problem(
	struct report *report, char *object, char *text, bool repaired, struct imbrex_error *err)
{
	AUTO_FREE char *owned_object = object;
	AUTO_FREE char *owned_text = text;
	struct imbrex_problem *items;

	items = reallocarray(report->items, report->n + 1, sizeof(*items));
	if (items)
		report->items = items;
	if (!items || !object || !text)
		return fail_nomem(err);
	report->items[report->n++] = (struct imbrex_problem){
		.object = take_ptr(owned_object),
		.text = take_ptr(owned_text),
		.repaired = repaired,
	};
	return 0;
}

/* Takes text. */
static int problem(struct findings *f, const struct record_type *type, const char *id, char *text,
	struct imbrex_error *err)
{
	AUTO_FREE char *noun = format_text("%s %s: ", type->noun, id);
	const char *rest = noun && text ? str_after(text, noun) : NULL;

	/* Whoever wrote the text may have said the noun already. */
	if (rest)
		memmove(text, rest, strlen(rest) + 1);
	return add_problem(&f->report, format_text("%s %s", type->noun, id), text, false, err);
}

static bool is_published(
	struct imbrex_store *s, const struct record_type *type, struct json_span id)
{
	struct found f;

	return store_get(s, type, id.at, id.len, &f);
}

/* ---- layers ---------------------------------------------------------------------------- */

static int plan_hashing(
	struct findings *f, const struct record *rec, const char *id, struct imbrex_error *err)
{
	struct json_span digest = record_plain(rec, LAYER_DIFF_DIGEST);
	struct pending *pending;

	if (!digest.len)
		return 0;
	pending = reallocarray(f->pending, f->n_pending + 1, sizeof(*pending));
	if (!pending)
		return fail_nomem(err);
	f->pending = pending;
	pending += f->n_pending;
	if (digest_parse(digest.at, digest.len, &pending->diff_id, NULL) < 0)
		return problem(f, &layer_records, id,
			format_text("diff-digest '%.*s' is no digest", (int)digest.len, digest.at),
			err);
	if (!layer_has_tarsplit(f->s, id))
		return problem(f, &layer_records, id,
			strdup("the tar-split file is missing: the layer cannot be pushed as it "
			       "came"),
			err);
	pending->id = strdup(id);
	if (!pending->id)
		return fail_nomem(err);
	f->n_pending++;
	return 0;
}

/* Whether the parents of a layer come to an end within the limit. */
static bool chain_ends(struct imbrex_store *s, struct json_span top)
{
	struct layer_walk w;

	for (layer_walk(s, top, &w); w.more; layer_walk_next(s, &w))
		continue;
	return !w.endless;
}

static int check_layer(struct findings *f, ptrdiff_t number, struct imbrex_error *err)
{
	const struct record *rec = table_at(&f->s->layers.t, (size_t)number);
	AUTO_FREE char *id = record_text(rec, LAYER_ID);
	AUTO_FREE char *parent = record_text(rec, LAYER_PARENT);
	struct driver *d = f->s->driver;
	AUTO_STRV lines = { 0 };
	size_t i;
	int r;

	if (!id || !parent)
		return fail_nomem(err);
	if (!id_is_valid(id))
		return problem(f, &layer_records, id, strdup("the id is not 64 hex digits"), err);
	if (record_flag(rec, LAYER_FLAGS, "incomplete"))
		return problem(f, &layer_records, id,
			strdup("incomplete: its writer died; the next writer removes it"), err);
	if (*parent && !is_published(f->s, &layer_records, record_plain(rec, LAYER_PARENT))) {
		r = problem(f, &layer_records, id, format_text("its parent %s is missing", parent),
			err);
		if (r < 0)
			return r;
	}
	if (!chain_ends(f->s, record_plain(rec, LAYER_ID))) {
		r = problem(f, &layer_records, id,
			format_text("more than %d layers are below it, or a circle",
				LIMIT_IMAGE_LAYERS),
			err);
		if (r < 0)
			return r;
	}
	if (!d->ops->exists(d, id))
		return problem(f, &layer_records, id, strdup("its content is missing"), err);
	r = d->ops->check(d, id, *parent ? parent : NULL, &lines, err);
	if (r < 0)
		return r;
	for (i = 0; i < lines.n; i++) {
		r = problem(f, &layer_records, id, strdup(lines.items[i]), err);
		if (r < 0)
			return r;
	}
	return plan_hashing(f, rec, id, err);
}

/* ---- documents ------------------------------------------------------------------------- */

static int check_document(struct findings *f, struct store_table *t, const char *id,
	const char *key, int64_t size, struct imbrex_error *err)
{
	AUTO_FREE char *file = NULL;
	AUTO_FREE char *path = NULL;
	struct stat st;

	if (bigdata_file_name(key, &file, NULL) < 0)
		return 0;
	path = format_text("%s/%s", id, file);
	if (!path)
		return fail_nomem(err);
	if (fstatat(t->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return problem(f, t->t.type, id, format_text("document '%s' is missing", key), err);
	if (size >= 0 && st.st_size != size)
		return problem(f, t->t.type, id,
			format_text("document '%s' has %lld bytes, not %lld", key,
				(long long)st.st_size, (long long)size),
			err);
	return 0;
}

static int check_documents(struct findings *f, struct store_table *t, const struct record *rec,
	const char *id, int names_field, int sizes_field, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	size_t i;
	int r = 0;

	if (record_list(rec, names_field, &names) < 0)
		return fail_nomem(err);
	for (i = 0; r == 0 && i < names.n; i++) {
		struct json_span raw = record_member(rec, sizes_field, names.items[i]);
		int64_t size = -1;
		struct json_scan scan;

		if (raw.len) {
			json_scan_init(&scan, raw.at, raw.len);
			if (json_scan_int64(&scan, &size, NULL) < 0)
				size = -1;
		}
		r = check_document(f, t, id, names.items[i], size, err);
	}
	return r;
}

/* ---- images and containers ------------------------------------------------------------- */

static int check_layer_of(struct findings *f, const struct record_type *type,
	const struct record *rec, const char *id, int field, struct imbrex_error *err)
{
	struct json_span layer = record_plain(rec, field);

	if (!layer.len || is_published(f->s, &layer_records, layer))
		return 0;
	return problem(f, type, id,
		format_text("its layer %.*s is missing", (int)layer.len, layer.at), err);
}

static int check_image(struct findings *f, const struct record *rec, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(rec, IMAGE_ID);
	int r;

	if (!id)
		return fail_nomem(err);
	if (!id_is_valid(id))
		return problem(f, &image_records, id, strdup("the id is not 64 hex digits"), err);
	r = check_layer_of(f, &image_records, rec, id, IMAGE_LAYER, err);
	return r < 0 ? r
		     : check_documents(f, &f->s->images, rec, id, IMAGE_BIG_DATA_NAMES,
			       IMAGE_BIG_DATA_SIZES, err);
}

static int check_container(struct findings *f, const struct record *rec, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(rec, CONTAINER_ID);
	struct json_span image = record_plain(rec, CONTAINER_IMAGE);
	int r;

	if (!id)
		return fail_nomem(err);
	if (!id_is_valid(id))
		return problem(
			f, &container_records, id, strdup("the id is not 64 hex digits"), err);
	r = check_layer_of(f, &container_records, rec, id, CONTAINER_LAYER, err);
	if (r == 0 && image.len && !is_published(f->s, &image_records, image))
		r = problem(f, &container_records, id,
			format_text("its image %.*s is missing", (int)image.len, image.at), err);
	return r < 0 ? r
		     : check_documents(f, &f->s->containers, rec, id, CONTAINER_BIG_DATA_NAMES,
			       CONTAINER_BIG_DATA_SIZES, err);
}

/* ---- all of it ------------------------------------------------------------------------- */

static int check_odd(struct findings *f, const struct store_table *t, struct imbrex_error *err)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < t->t.odd.n; i++)
		r = add_problem(&f->report, format_text("file %s/%s", t->dir, t->file),
			strdup(t->t.odd.items[i]), false, err);
	return r;
}

/* Two records of one id: whatever removes the first takes the content from the second. */
static int check_twice(struct findings *f, struct store_table *t, struct imbrex_error *err)
{
	ptrdiff_t i;
	int r = 0;

	for (i = table_next(&t->t, -1); r == 0 && i >= 0; i = table_next(&t->t, i)) {
		struct json_span id = record_plain(table_at(&t->t, (size_t)i), RECORD_ID);

		if (id.len && table_find_id(&t->t, id.at, id.len) != i)
			r = add_problem(&f->report, format_text("file %s/%s", t->dir, t->file),
				format_text("%s %.*s is recorded twice", t->t.type->noun,
					(int)id.len, id.at),
				false, err);
	}
	return r;
}

static int check_records(struct findings *f, struct imbrex_error *err)
{
	struct imbrex_store *s = f->s;
	ptrdiff_t i;
	int r;

	r = check_odd(f, &s->layers, err);
	if (r == 0)
		r = check_odd(f, &s->images, err);
	if (r == 0)
		r = check_odd(f, &s->containers, err);
	if (r == 0)
		r = check_twice(f, &s->layers, err);
	if (r == 0)
		r = check_twice(f, &s->images, err);
	if (r == 0)
		r = check_twice(f, &s->containers, err);
	for (i = table_next(&s->layers.t, -1); r == 0 && i >= 0; i = table_next(&s->layers.t, i))
		r = check_layer(f, i, err);
	for (i = table_next(&s->images.t, -1); r == 0 && i >= 0; i = table_next(&s->images.t, i))
		r = check_image(f, table_at(&s->images.t, (size_t)i), err);
	for (i = table_next(&s->containers.t, -1); r == 0 && i >= 0;
		i = table_next(&s->containers.t, i))
		r = check_container(f, table_at(&s->containers.t, (size_t)i), err);
	return r;
}

static int check_garbage(struct findings *f, bool collect, struct imbrex_error *err)
{
	AUTO_STRV lines = { 0 };
	size_t i;
	int r;

	r = garbage_find(f->s, collect, &lines, err);
	for (i = 0; r == 0 && i < lines.n; i++) {
		const char *colon = strstr(lines.items[i], ": ");

		r = add_problem(&f->report,
			format_text("%.*s", (int)(colon - lines.items[i]), lines.items[i]),
			strdup(colon + 2), collect, err);
	}
	return r;
}

/* 1 yes, 0 no. */
static int still_there(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	return table_find_id(&s->layers.t, id, strlen(id)) >= 0;
}

static int check_content(struct findings *f, struct imbrex_error *err)
{
	struct imbrex_error found = { 0 };
	size_t i;
	int r;

	for (i = 0; i < f->n_pending; i++) {
		r = layer_verify(f->s, f->pending[i].id, &f->pending[i].diff_id, &found);
		if (r == 0)
			continue;
		r = still_there(f->s, f->pending[i].id, err);
		if (r > 0)
			r = problem(
				f, &layer_records, f->pending[i].id, strdup(found.message), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_held(struct findings *f, bool repair, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(f->s, repair ? HOLD_WRITE_ALL : HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = check_records(f, err);
	return r < 0 ? r : check_garbage(f, repair, err);
}

PUBLIC int imbrex_check(struct imbrex_store *s, const struct imbrex_check_opts *opts,
	struct imbrex_problem **ret, size_t *ret_n, struct imbrex_error *err)
{
	struct findings f = { .s = s };
	struct store_table *t;
	size_t i;
	int r;

	for (i = 0; (t = store_tables(s, &layer_records, i)); i++)
		store_table_distrust(t);
	for (i = 0; (t = store_tables(s, &image_records, i)); i++)
		store_table_distrust(t);
	store_table_distrust(&s->containers);
	r = check_held(&f, opts && opts->repair, err);
	if (r == 0 && !(opts && opts->quick))
		r = check_content(&f, err);
	for (i = 0; i < f.n_pending; i++)
		free(f.pending[i].id);
	free(f.pending);
	if (r < 0) {
		imbrex_problems_free(f.report.items, f.report.n);
		return r;
	}
	*ret = f.report.items;
	*ret_n = f.report.n;
	return 0;
}
