/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New content for a layer that exists: a tar stream laid over what it holds, or a directory in its
 * place. The content is made aside, under no lock, and takes the place of the old in one step:
 *
 *   look ─▶ (no lock) stage, a copy of the layer, fill, seal, sync ─▶ look again ─▶ record without
 *   facts, tar-split out of the way ─▶ content exchanged ─▶ tar-split in place ─▶ record with facts
 *
 * Invariants: (1) A record never states facts of other content than what lies there: a crash leaves
 * the old content or the new, with its facts or with none, as the layer of a container has none.
 * (2) A failure leaves content, record and tar-split as they were.
 *
 * A layer that is mounted, or that a mounted one stands on, is refused: the kernel does not promise
 * anything about a tree whose directories are exchanged. (Upstream writes into it all the same.)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/fd.h"
#include "store/content.h"
#include "store/fill.h"
#include "store/layer.h"
#include "store/maps.h"
#include "store/temps.h"

/* The layer as it was found. */
struct target {
	char *id;      /* owned */
	char *parent;  /* owned; "": none */
	char *created; /* owned */
	char *label;   /* owned */
	struct id_maps_copy maps;
	bool other_owners; /* than the layers below it, as its map has them */
	bool is_volatile;  /* need not survive a crash */
};

static void target_done(struct target *t)
{
	free(t->id);
	free(t->parent);
	free(t->created);
	free(t->label);
	id_maps_copy_done(&t->maps);
}
#define AUTO_TARGET __attribute__((cleanup(target_done))) struct target

/* What makes the content of a stage; `fd` is that of the caller. */
typedef int (*fill_fn)(struct driver_stage *stage, struct tempdir *temp, int fd,
	char ret_split[TEMPDIR_NAME_BYTES], struct layer_facts *ret, struct imbrex_error *err);

/* The new content and what goes with it. */
struct content {
	struct store_temps temps;
	struct driver_stage *stage; /* owned; sealed */
	char split[TEMPDIR_NAME_BYTES];
	struct layer_facts facts;
};

static void content_done(struct content *c)
{
	driver_stage_free(c->stage);
	layer_facts_done(&c->facts);
	store_temps_close(&c->temps);
}
#define AUTO_CONTENT __attribute__((cleanup(content_done))) struct content

/* ---- looking ----------------------------------------------------------------------------- */

static bool stands_on(struct imbrex_store *s, const char *top, const char *id)
{
	struct json_span span = { .at = top, .len = strlen(top) };
	struct layer_walk w;

	for (layer_walk(s, span, &w); w.more; layer_walk_next(s, &w))
		if (record_is(found_record(&w.at), LAYER_ID, id))
			return true;
	return false;
}

static int check_unused(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	for (i = 0; i < s->n_mounts; i++) {
		const struct mount_record *m = &s->mounts[i];

		if (!stands_on(s, m->id, id))
			continue;
		r = store_mount_check_here(s, m, err);
		if (r < 0)
			return r;
		if (!store_mount_is_real(s, m))
			continue;
		if (str_eq(m->id, id))
			return fail_reason(err, IMBREX_EBUSY, IMBREX_REASON_LAYER_MOUNTED,
				"layer %s is mounted", id);
		return fail_reason(err, IMBREX_EBUSY, IMBREX_REASON_LAYER_MOUNTED,
			"layer %s is in use: layer %s, which is mounted, stands on it", id, m->id);
	}
	return 0;
}

/* A copy under other owners stands on its template, which has those of its parent. */
static int look_below(
	struct imbrex_store *s, const struct found *f, struct target *t, struct imbrex_error *err)
{
	AUTO_MAPS maps = { 0 };
	struct found below;

	if (layer_parent(s, f, &below) && maps_of_layer(found_record(&below), &maps) < 0)
		return fail_nomem(err);
	t->other_owners = *t->parent && !id_maps_equal(&maps.maps, &t->maps.maps);
	return 0;
}

static int look(
	struct imbrex_store *s, const char *layer, struct target *t, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	const struct record *rec;
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r == 0)
		r = store_find(s, &layer_records, layer, &f, err);
	if (r == 0)
		r = store_check_own(&f, err);
	if (r < 0)
		return r;
	rec = found_record(&f);
	t->id = record_text(rec, LAYER_ID);
	t->parent = record_text(rec, LAYER_PARENT);
	t->created = record_text(rec, LAYER_CREATED);
	t->label = record_text(rec, LAYER_MOUNTLABEL);
	t->is_volatile = rec->place == PLACE_VOLATILE;
	if (!t->id || !t->parent || !t->created || !t->label || maps_of_layer(rec, &t->maps) < 0)
		return fail_nomem(err);
	r = look_below(s, &f, t, err);
	return r < 0 ? r : check_unused(s, t->id, err);
}

/* The same layer, and still not in use. */
static int look_again(
	struct imbrex_store *s, const struct target *t, struct found *ret, struct imbrex_error *err)
{
	if (!store_get(s, &layer_records, t->id, strlen(t->id), ret) || ret->read_only ||
		!record_is(found_record(ret), LAYER_CREATED, t->created))
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer %s was removed while its new content was made", t->id);
	return check_unused(s, t->id, err);
}

/* ---- making ------------------------------------------------------------------------------ */

/*
 * `over`: lay it over what the layer holds; else over what is below it. Only content changes hands,
 * the layer stays on what it stands on: for a copy under other owners that is its template and the
 * owners changed since, which the record does not tell. So the new content is sealed as if it stood
 * on the layer itself, whose root it takes.
 */
static int make(struct imbrex_store *s, const struct target *t, bool over, fill_fn fill, int fd,
	struct content *c, struct imbrex_error *err)
{
	const struct driver_parent parent = { .id = *t->parent ? t->parent : NULL };
	const struct driver_parent itself = { .id = t->id };
	const struct driver_layer_opts opts = { .maps = &t->maps.maps, .label = t->label };
	struct driver *d = s->driver;
	int r;

	if (!over && t->other_owners && !d->ops->independent)
		return fail(err, IMBREX_ENOTSUP,
			"layer %s: the %s driver cannot replace its content: what it shows of the "
			"layers below has other owners there",
			t->id, d->ops->name);
	r = store_temps_open(s, &c->temps, err);
	if (r == 0)
		r = d->ops->stage_new(
			d, c->temps.driver, over ? NULL : &parent, &opts, &c->stage, err);
	if (r == 0 && over)
		r = d->ops->stage_copy(c->stage, t->id, err);
	if (r == 0)
		r = fill(c->stage, c->temps.layers, fd, c->split, &c->facts, err);
	if (r == 0)
		r = d->ops->stage_seal(c->stage, &itself, /* sync= */ false, err);
	if (r == 0 && !t->is_volatile && syncfs(tempdir_fd(c->temps.driver)) < 0)
		r = fail_errno(err, "sync '%s'", s->config.graphroot);
	return r;
}

/* ---- exchanging -------------------------------------------------------------------------- */

/* Everything of the old content but the content, to be put back if the exchange fails. */
struct old_facts {
	struct layer_facts_text text;
	char split[TEMPDIR_NAME_BYTES]; /* in the layers' temporary directory; "": there was none */
};

static void old_facts_done(struct old_facts *old)
{
	layer_facts_text_done(&old->text);
}
#define AUTO_OLD_FACTS __attribute__((cleanup(old_facts_done))) struct old_facts

static int splits_dir(const struct found *f)
{
	const struct table_place *p = &f->t->places[found_record(f)->place];

	return found_record(f)->place == PLACE_IMAGESTORE ? p->dirfd : f->t->dirfd;
}

static int save(struct imbrex_store *s, const struct found *f, struct imbrex_error *err)
{
	f->t->dirty[found_record(f)->place] = true;
	return store_save(s, f->t, err);
}

/* Invariant (1), first half. A layer that was never filled has nothing to forget. */
static int forget_facts(struct imbrex_store *s, const struct found *f, const char *split,
	struct content *c, struct old_facts *old, struct imbrex_error *err)
{
	int r = layer_facts_take(&f->t->t, f->index, &old->text, err);

	if (r > 0)
		r = save(s, f, err);
	if (r < 0 || !exists_at(splits_dir(f), split))
		return r;
	tempdir_stage_addition(c->temps.layers, old->split);
	if (renameat(splits_dir(f), split, tempdir_fd(c->temps.layers), old->split) < 0)
		r = fail_errno(err, "move '%s' out of the way", split);
	if (r < 0)
		old->split[0] = 0;
	return r;
}

/* Invariant (2); what fails here is the second failure in a row. */
static void remember_facts(struct imbrex_store *s, const struct found *f, const char *split,
	struct content *c, struct old_facts *old)
{
	struct imbrex_error ignored;

	if (old->split[0])
		(void)!renameat(tempdir_fd(c->temps.layers), old->split, splits_dir(f), split);
	if (layer_facts_put(&f->t->t, f->index, &old->text, &ignored) > 0)
		(void)!save(s, f, &ignored);
}

static int exchange(struct imbrex_store *s, const struct found *f, const struct target *t,
	struct content *c, struct imbrex_error *err)
{
	AUTO_FREE char *split = format_text("%s.tar-split.gz", t->id);
	AUTO_OLD_FACTS old = { 0 };
	int r;

	if (!split)
		return fail_nomem(err);
	r = forget_facts(s, f, split, c, &old, err);
	if (r >= 0)
		r = c->stage->ops->stage_replace(c->stage, t->id, c->temps.driver, err);
	if (r < 0) {
		remember_facts(s, f, split, c, &old);
		return r;
	}
	if (renameat(tempdir_fd(c->temps.layers), c->split, splits_dir(f), split) < 0)
		return fail_errno(err, "rename to '%s/%s'", f->t->dir, split);
	r = store_sync_layers(s, err);
	if (r == 0)
		r = layer_facts_record(&f->t->t, f->index, &c->facts, err);
	return r < 0 ? r : save(s, f, err);
}

static int apply(struct imbrex_store *s, const char *layer, bool over, fill_fn fill, int fd,
	int64_t *ret_bytes, struct imbrex_error *err)
{
	AUTO_TARGET t = { 0 };
	AUTO_CONTENT c = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	if (s->read_only)
		return store_fail_read_only(s, err);
	r = look(s, layer, &t, err);
	if (r == 0)
		r = make(s, &t, over, fill, fd, &c, err);
	if (r < 0)
		return r;
	r = store_hold(s, HOLD_LAYERS_W, &hold, err);
	if (r == 0)
		r = look_again(s, &t, &f, err);
	if (r == 0)
		r = exchange(s, &f, &t, &c, err);
	if (r == 0 && ret_bytes)
		*ret_bytes = (int64_t)c.facts.diff_bytes;
	return r;
}

PUBLIC int imbrex_layer_apply(struct imbrex_store *s, const char *layer, int fd,
	int64_t *ret_size_bytes, struct imbrex_error *err)
{
	return apply(s, layer, /* over= */ true, fill_from_fd, fd, ret_size_bytes, err);
}

PUBLIC int imbrex_layer_apply_dir(
	struct imbrex_store *s, const char *layer, const char *dir, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_root_dir_at(AT_FDCWD, dir, err);

	if (fd < 0)
		return fd;
	return apply(s, layer, /* over= */ false, fill_from_dir, fd, NULL, err);
}
