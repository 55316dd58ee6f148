/* SPDX-License-Identifier: Apache-2.0 */
/* One layer: its record, what it stands on, what the driver has of it, and what lies beside it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/str.h"
#include "oci/digest.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "store/bigdata.h"
#include "store/check.h"
#include "store/layer.h"
#include "store/mapped.h"
#include "store/maps.h"

/* As long as any that a peer makes, with room for suffixes. */
#define ID_BYTES_MAX 128

struct layer_check {
	struct check *c;
	const struct found *f;
	const char *id;
};

bool check_id_is_usable(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= ID_BYTES_MAX && id[0] != '.' && !strchr(id, '/') &&
	       !str_eq(id, "l") && !str_eq(id, "tmp") && !str_eq(id, "staging") &&
	       !str_eq(id, "tempdirs");
}

static struct finding about(
	const struct layer_check *l, enum imbrex_problem_kind kind, const char *what)
{
	return (struct finding){ .kind = kind,
		.type = &layer_records,
		.id = l->id,
		.about = what,
		.read_only = l->f->read_only };
}

/* ---- the chain below ------------------------------------------------------------------- */

static int check_chain(struct layer_check *l, const char *parent, struct imbrex_error *err)
{
	struct json_span id = record_plain(found_record(l->f), LAYER_ID);
	struct finding what;
	struct layer_walk w;
	struct found below;

	if (*parent && !store_get(l->c->s, &layer_records, parent, strlen(parent), &below)) {
		what = about(l, IMBREX_PROBLEM_PARENT_MISSING, parent);
		return findings_add(&l->c->found, &what, err, "its parent %s is missing", parent);
	}
	for (layer_walk(l->c->s, id, &w); w.more; layer_walk_next(l->c->s, &w))
		continue;
	if (!w.endless)
		return 0;
	what = about(l, IMBREX_PROBLEM_PARENT_LOOP, NULL);
	return findings_add(&l->c->found, &what, err,
		"more than %d layers are below it, or a circle", LIMIT_IMAGE_LAYERS);
}

/* ---- on disk --------------------------------------------------------------------------- */

static int take_problem(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	static const enum imbrex_problem_kind kinds[] = {
		[DRIVER_PROBLEM_LINK] = IMBREX_PROBLEM_LINK,
		[DRIVER_PROBLEM_ABSENT] = IMBREX_PROBLEM_LAYER_MISSING,
		[DRIVER_PROBLEM_DIRECTORY] = IMBREX_PROBLEM_DIRECTORY,
		[DRIVER_PROBLEM_MODIFIED] = IMBREX_PROBLEM_CONTENT_MODIFIED,
		[DRIVER_PROBLEM_MISSING] = IMBREX_PROBLEM_CONTENT_MISSING,
		[DRIVER_PROBLEM_LEFTOVER] = IMBREX_PROBLEM_LEFTOVER,
	};
	struct layer_check *l = ctx;
	const struct finding what = about(l, kinds[p->kind], p->path);

	if (p->kind == DRIVER_PROBLEM_ABSENT)
		return findings_add(
			&l->c->found, &what, err, "its content is missing: %s", p->text);
	return findings_add(&l->c->found, &what, err, "%s", p->text);
}

/* A regular file in the directory of the layer's documents, in any of the table's roots. */
static bool has_file(const struct store_table *t, const char *path)
{
	int place;

	for (place = -1; place < N_PLACES; place++) {
		int dir = place < 0 ? t->dirfd : t->places[place].dirfd;
		AUTO_CLOSE int fd = -EBADF;
		struct stat st;

		if (dir >= 0)
			fd = open_beneath(dir, path, O_PATH | O_NOFOLLOW, 0, BENEATH_NO_SYMLINKS);
		if (fd >= 0 && fstat(fd, &st) == 0)
			return S_ISREG(st.st_mode);
	}
	return false;
}

static int check_data(struct layer_check *l, struct imbrex_error *err)
{
	AUTO_STRV keys = { 0 };
	size_t i;
	int r = 0;

	if (record_list(found_record(l->f), LAYER_BIG_DATA_NAMES, &keys) < 0)
		return fail_nomem(err);
	for (i = 0; r == 0 && i < keys.n; i++) {
		const struct finding what =
			about(l, IMBREX_PROBLEM_LAYER_DATA_MISSING, keys.items[i]);
		AUTO_FREE char *file = NULL;
		AUTO_FREE char *path = NULL;

		if (bigdata_file_name(keys.items[i], &file, NULL) == 0) {
			path = format_text("%s/%s", l->id, file);
			if (!path)
				return fail_nomem(err);
			if (has_file(l->f->t, path))
				continue;
		}
		r = findings_add(
			&l->c->found, &what, err, "document '%s' is missing", keys.items[i]);
	}
	return r;
}

/* ---- content --------------------------------------------------------------------------- */

/*
 * The layer that its content was laid over: the parent of the record. Content that was applied to a
 * copy under other owners lies over its template; until then the copy is its template once more.
 */
static int laid_over(struct layer_check *l, char **ret, struct imbrex_error *err)
{
	const struct record *rec = found_record(l->f);
	AUTO_FREE char *parent = record_text(rec, LAYER_PARENT);
	AUTO_FREE char *below = mapped_below(l->c->s, l->f);
	struct found f;

	if (!parent || !below)
		return fail_nomem(err);
	if (!str_eq(parent, below) &&
		store_get(l->c->s, &layer_records, below, strlen(below), &f) &&
		!record_same(found_record(&f), LAYER_DIFF_DIGEST, rec, LAYER_DIFF_DIGEST))
		*ret = take_ptr(below);
	else
		*ret = take_ptr(parent);
	return 0;
}

/* Drivers whose layers show what is below them are compared with all of it. */
static int plan_below(struct layer_check *l, struct pending_layer *p, struct imbrex_error *err)
{
	AUTO_FREE char *parent = NULL;
	struct layer_walk w;
	int r;

	if (l->c->s->driver->ops->independent && id_maps_empty(&p->maps.maps))
		return 0;
	r = laid_over(l, &parent, err);
	if (r < 0)
		return r;
	p->knows_below = true;
	layer_walk(l->c->s, (struct json_span){ .at = parent, .len = strlen(parent) }, &w);
	for (; w.more; layer_walk_next(l->c->s, &w)) {
		AUTO_FREE char *id = record_text(found_record(&w.at), LAYER_ID);

		if (!id || strv_add(&p->below, id) < 0)
			return fail_nomem(err);
		if (!record_raw(found_record(&w.at), LAYER_DIFF_DIGEST).len)
			p->knows_below = false;
	}
	p->knows_below = p->knows_below && !w.endless;
	return 0;
}

static int plan_reading(struct layer_check *l, struct imbrex_error *err)
{
	const struct record *rec = found_record(l->f);
	struct json_span digest = record_plain(rec, LAYER_DIFF_DIGEST);
	AUTO_FREE char *split = format_text("%s.tar-split.gz", l->id);
	struct pending_layer *layers, *p;
	struct hash_value diff_id;
	struct finding what;

	if (!split)
		return fail_nomem(err);
	if (!digest.len)
		return 0;
	if (digest_parse(digest.at, digest.len, &diff_id, NULL) < 0) {
		what = about(l, IMBREX_PROBLEM_RECORD_UNREADABLE, NULL);
		return findings_add(&l->c->found, &what, err, "diff-digest '%.*s' is no digest",
			(int)MIN(digest.len, 200u), digest.at);
	}
	if (!has_file(l->f->t, split)) {
		what = about(l, IMBREX_PROBLEM_TARSPLIT_MISSING, NULL);
		return findings_add(&l->c->found, &what, err,
			"the tar-split file is missing: the layer cannot be pushed as it came");
	}
	layers = reallocarray(l->c->layers, l->c->n_layers + 1, sizeof(*layers));
	if (!layers)
		return fail_nomem(err);
	l->c->layers = layers;
	p = &layers[l->c->n_layers];
	*p = (struct pending_layer){ .id = strdup(l->id),
		.store = l->f->store,
		.read_only = l->f->read_only,
		.diff_id = diff_id,
		.diff_bytes = record_int(rec, LAYER_DIFF_SIZE, -1) };
	l->c->n_layers++;
	if (!p->id || maps_of_layer(rec, &p->maps) < 0)
		return fail_nomem(err);
	return plan_below(l, p, err);
}

/* ---- all of it ------------------------------------------------------------------------- */

static int check_published(struct layer_check *l, const char *parent, struct imbrex_error *err)
{
	AUTO_FREE char *below = mapped_below(l->c->s, l->f);
	struct driver *d = l->c->s->driver;
	int r;

	if (!below)
		return fail_nomem(err);
	r = check_chain(l, parent, err);
	if (r < 0)
		return r;
	r = d->ops->check(d, l->id, *below ? below : NULL, take_problem, l, err);
	if (r < 0 || !d->ops->exists(d, l->id))
		return r;
	r = check_data(l, err);
	return r < 0 ? r : plan_reading(l, err);
}

int check_layer(struct check *c, const struct found *f, struct imbrex_error *err)
{
	const struct record *rec = found_record(f);
	AUTO_FREE char *id = record_text(rec, LAYER_ID);
	AUTO_FREE char *parent = record_text(rec, LAYER_PARENT);
	struct layer_check l = { .c = c, .f = f, .id = id };
	struct finding what;

	if (!id || !parent)
		return fail_nomem(err);
	if (!check_id_is_usable(id)) {
		what = about(&l, IMBREX_PROBLEM_RECORD_UNREADABLE, NULL);
		return findings_add(&c->found, &what, err, "the id cannot be a layer's");
	}
	if (record_flag(rec, LAYER_FLAGS, "incomplete")) {
		what = about(&l, IMBREX_PROBLEM_LAYER_INCOMPLETE, NULL);
		return findings_add(&c->found, &what, err,
			"incomplete: its writer died; the next writer removes it");
	}
	return check_published(&l, parent, err);
}
