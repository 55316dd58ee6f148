/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's content made again: its tar, from wherever its bytes are, goes the road of a pull into
 * a stage, and takes the place of the damaged content if it adds up to the recorded DiffID. The
 * layer keeps its id and everything that stands on it.
 *
 * Bytes come from, in this order: the layer itself, if only inodes are not as they were; the layer
 * with files from other layers in the place of damaged ones; the difference to its parent, if it is
 * its tar-split file that is lost; the source.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "format/tar/writer.h"
#include "oci/chain.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "store/content.h"
#include "store/fill.h"
#include "store/layer.h"
#include "store/maps.h"
#include "store/repair.h"
#include "store/reread.h"
#include "store/substitute.h"
#include "store/temps.h"

struct remake {
	struct repair *r;
	struct imbrex_problem *p;
	const char *id;
	char *parent; /* owned; "": none */
	struct hash_value diff_id;
	struct id_maps_copy maps;
	struct id_maps_copy parent_maps;
	int place;
	bool there; /* it has a directory */

	struct driver_tree tree; /* owned; fd -EBADF: it has none */
	struct reread read;      /* of what there is */
	bool has_read;           /* its tar-split file can be read */
	struct substitutes subs;

	struct store_temps temps;
	bool has_temps;
	struct driver_stage *stage; /* owned */
	char split[TEMPDIR_NAME_BYTES];
};

static void remake_done(struct remake *m)
{
	driver_stage_free(m->stage);
	if (m->has_temps)
		store_temps_close(&m->temps);
	substitutes_done(&m->subs);
	reread_done(&m->read);
	if (m->tree.fd >= 0)
		m->r->s->driver->ops->tree_close(m->r->s->driver, &m->tree);
	id_maps_copy_done(&m->maps);
	id_maps_copy_done(&m->parent_maps);
	free(m->parent);
}

static int refuse(struct imbrex_problem *p, struct imbrex_error *err, const char *why)
{
	return problem_set_action(p, err, "%s", why);
}

/* ---- what is known --------------------------------------------------------------------- */

/* 0: refused. */
static int learn_record(struct remake *m, const struct found *f, struct imbrex_error *err)
{
	const struct record *rec = found_record(f);
	struct json_span digest = record_plain(rec, LAYER_DIFF_DIGEST);
	struct found below;

	m->parent = record_text(rec, LAYER_PARENT);
	if (!m->parent || maps_of_layer(rec, &m->maps) < 0)
		return fail_nomem(err);
	m->place = rec->place;
	m->there = m->r->s->driver->ops->exists(m->r->s->driver, m->id);
	if (!digest.len || digest_parse(digest.at, digest.len, &m->diff_id, NULL) < 0)
		return refuse(
			m->p, err, "nothing says what its content was: it is no image's layer");
	if (layer_parent(m->r->s, f, &below) &&
		maps_of_layer(found_record(&below), &m->parent_maps) < 0)
		return fail_nomem(err);
	if (repair_in_use(m->r->s, m->id))
		return refuse(
			m->p, err, "in use: left alone; unmount what stands on it and try again");
	return 1;
}

static int learn(struct remake *m, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int e;

	e = store_hold(m->r->s, HOLD_READ_ALL, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(m->r, &layer_records, m->id, &f))
		return refuse(m->p, err, "it was removed meanwhile");
	return learn_record(m, &f, err);
}

/* What there is of it, read once. */
static int look(struct remake *m, struct imbrex_error *err)
{
	struct imbrex_store *s = m->r->s;
	AUTO_CLOSE int split = layer_split_open(&s->layers, m->id, NULL);
	struct driver_tree tree;
	int e;

	if (!m->there || s->driver->ops->tree_open(s->driver, m->id, &tree, NULL) < 0)
		return 1;
	m->tree = tree;
	if (tree.whole && s->driver->ops->independent)
		return refuse(m->p, err,
			"a copy under other owners that no image lists: remove it, the next "
			"container that needs one gets a new copy");
	if (split < 0)
		return 1;
	e = reread_layer(split, tree.fd, m->diff_id.algorithm, NULL, &m->read, NULL);
	if (e == IMBREX_ENOMEM)
		return fail_nomem(err);
	m->has_read = e == 0;
	return 1;
}

/* ---- records that are wrong ------------------------------------------------------------ */

static int set_value(struct remake *m, int field, const char *json, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int e;

	e = repair_hold(m->r, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(m->r, &layer_records, m->id, &f))
		return 1;
	e = record_set(&f.t->t, f.index, field, json, err);
	if (e < 0)
		return e;
	f.t->dirty[found_record(&f)->place] = true;
	e = store_save(m->r->s, f.t, err);
	return e < 0 ? e : 1;
}

/* 1: bytes are whole, and it is the record that was not. */
static int correct_record(struct remake *m, struct imbrex_error *err)
{
	char own[ID_HEX_LEN + 1], digest[HASH_TEXT_MAX], text[HASH_TEXT_MAX + 2];
	bool whole = m->has_read && !m->read.damaged.n && !m->read.missing.n;
	int e;

	if (!whole)
		return 0;
	if (hash_equal(&m->read.digest, &m->diff_id)) {
		if (m->p->kind != IMBREX_PROBLEM_CONTENT_SIZE)
			return 0;
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)m->read.tar_bytes);
		e = problem_set_action(m->p, err, "record the size that it has");
		return e < 0 || m->r->dry ? (e < 0 ? e : 1)
					  : set_value(m, LAYER_DIFF_SIZE, text, err);
	}
	if (layer_id(*m->parent ? m->parent : NULL, &m->read.digest, own, NULL) < 0 ||
		!str_eq(own, m->id))
		return 0;
	(void)snprintf(text, sizeof(text), "\"%s\"", hash_format(&m->read.digest, digest));
	e = problem_set_action(m->p, err, "record the digest that its id follows from");
	return e < 0 || m->r->dry ? (e < 0 ? e : 1) : set_value(m, LAYER_DIFF_DIGEST, text, err);
}

/* ---- bytes ----------------------------------------------------------------------------- */

static int open_content(void *ctx, const char *name, size_t name_len, struct imbrex_error *err)
{
	struct remake *m = ctx;

	return substitutes_open(&m->subs, m->tree.fd, name, name_len, err);
}

/* Each takes `to` in every case, and finishes it. */
static int push_own(struct remake *m, struct sink *to, struct imbrex_error *err)
{
	AUTO_CLOSE int split = layer_split_open(&m->r->s->layers, m->id, err);

	if (split < 0) {
		sink_free(to);
		return split;
	}
	return substitutes_assemble(split, open_content, m, to, err);
}

static int push_difference(struct remake *m, struct sink *to, struct imbrex_error *err)
{
	struct driver *d = m->r->s->driver;
	AUTO_ENTRY_SINK struct entry_sink *tar = NULL;
	int e;

	e = tar_writer_new(to, NULL, &tar, err);
	if (e < 0) {
		sink_free(to);
		return e;
	}
	return d->ops->diff(d, m->id, &m->maps.maps, *m->parent ? m->parent : NULL,
		&m->parent_maps.maps, tar, err);
}

static int push_source(struct remake *m, struct sink *to, struct imbrex_error *err)
{
	AUTO_SINK struct sink *owned = to;
	const struct oci_descriptor *d;
	int e;

	e = m->r->source->find_layer(m->r->source->ctx, &m->diff_id, &d, err);
	return e < 0 ? e : m->r->source->blob(m->r->source->ctx, d, owned, err);
}

static int ignore_facts(void *ctx, const struct layer_facts *facts, struct imbrex_error *err)
{
	return 0;
}

static int new_stage(struct remake *m, struct sink **ret, struct imbrex_error *err)
{
	const bool image = m->place == PLACE_IMAGESTORE;
	const struct driver_parent below = { .id = *m->parent ? m->parent : NULL };
	const struct driver_layer_opts opts = { .image = image,
		.maps = id_maps_empty(&m->maps.maps) ? NULL : &m->maps.maps };
	const struct fill_job job = { .diff_id = &m->diff_id, .filled = ignore_facts };
	struct driver *d = m->r->s->driver;
	struct entry_sink *entries;
	struct sink *split;
	int e;

	driver_stage_free(take_ptr(m->stage));
	if (!m->has_temps) {
		e = store_temps_open(m->r->s, &m->temps, err);
		if (e < 0)
			return e;
		m->has_temps = true;
	}
	e = d->ops->stage_new(
		d, store_temps_driver(&m->temps, image), &below, &opts, &m->stage, err);
	if (e == 0)
		e = m->stage->ops->stage_entries(m->stage, &entries, err);
	if (e < 0)
		return e;
	e = fill_split_new(m->temps.layers, m->split, &split, err);
	if (e < 0) {
		entry_sink_free(entries);
		return e;
	}
	return fill_chain_new(&job, entries, split, ret, err);
}

typedef int (*push_fn)(struct remake *m, struct sink *to, struct imbrex_error *err);

/* 1: the stage holds the layer. 0: this did not give its bytes, and `why` says why. */
static int attempt(
	struct remake *m, push_fn push, struct imbrex_error *why, struct imbrex_error *err)
{
	struct sink *chain;
	int e;

	e = new_stage(m, &chain, why);
	if (e == 0)
		e = push(m, chain, why);
	return e == IMBREX_ENOMEM ? fail_nomem(err) : e == 0;
}

/* ---- in place -------------------------------------------------------------------------- */

static int exchange(struct remake *m, const struct driver_parent *below, struct imbrex_error *err)
{
	struct imbrex_store *s = m->r->s;
	AUTO_FREE char *name = format_text("%s.tar-split.gz", m->id);
	const struct table_place *place = &s->layers.places[m->place];
	int dir =
		place->dirfd >= 0 && m->place == PLACE_IMAGESTORE ? place->dirfd : s->layers.dirfd;
	struct tempdir *temp = store_temps_driver(&m->temps, m->place == PLACE_IMAGESTORE);
	int e;

	if (!name)
		return fail_nomem(err);
	if (m->there) {
		/* What it is put in must be there, too. */
		e = s->driver->ops->repair(s->driver, m->id, below->id, err);
		if (e < 0)
			return e;
		e = m->stage->ops->stage_replace(m->stage, m->id, temp, err);
	} else {
		e = m->stage->ops->stage_rebase(m->stage, below, err);
		if (e == 0)
			e = m->stage->ops->stage_publish(m->stage, m->id, err);
	}
	if (e < 0)
		return e;
	if (is_dir_at(dir, name))
		(void)unlinkat(dir, name, AT_REMOVEDIR);
	if (renameat(tempdir_fd(m->temps.layers), m->split, dir, name) < 0)
		return fail_errno(err, "rename to '%s/%s'", s->layers.dir, name);
	return store_sync_layers(s, err);
}

static int put_in_place(struct remake *m, struct imbrex_error *err)
{
	const struct driver_parent below = { .id = *m->parent ? m->parent : NULL };
	struct imbrex_store *s = m->r->s;
	struct imbrex_error why = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	char digest[HASH_TEXT_MAX];
	struct found f;
	int e;

	e = m->stage->ops->stage_seal(m->stage, &below, /* sync= */ true, &why);
	if (e == 0 && syncfs(store_layers_root(s, m->place == PLACE_IMAGESTORE)) < 0)
		e = fail_errno(&why, "sync the layer");
	if (e < 0)
		return refuse(m->p, err, why.message);
	e = repair_hold(m->r, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(m->r, &layer_records, m->id, &f) ||
		!record_is(found_record(&f), LAYER_DIFF_DIGEST, hash_format(&m->diff_id, digest)) ||
		!record_is(found_record(&f), LAYER_PARENT, m->parent))
		return refuse(m->p, err, "it was changed meanwhile");
	if (repair_in_use(s, m->id))
		return refuse(
			m->p, err, "in use: left alone; unmount what stands on it and try again");
	m->there = s->driver->ops->exists(s->driver, m->id);
	e = exchange(m, &below, &why);
	if (e == IMBREX_ENOMEM)
		return fail_nomem(err);
	return e < 0 ? refuse(m->p, err, why.message) : 1;
}

/* ---- all of it ------------------------------------------------------------------------- */

/* 1: the stage holds the layer. */
static int restore(struct remake *m, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	const struct oci_descriptor *d;
	int e = 0;

	if (m->has_read) {
		e = substitutes_find(m->r->s, m->id, &m->read, &m->subs, err);
		if (e > 0)
			e = attempt(m, push_own, &why, err);
	} else if (m->there && m->tree.fd >= 0) {
		e = attempt(m, push_difference, &why, err);
	}
	if (e != 0)
		return e < 0                                             ? e
		       : problem_set_action(m->p, err, "made again") < 0 ? IMBREX_ENOMEM
									 : 1;
	/* They are there, and there was no room for them: nobody need bring them. */
	if (why.status == IMBREX_ENOSPC)
		return refuse(m->p, err, why.message);
	if (!m->r->source)
		return refuse(m->p, err,
			why.status == IMBREX_EIO
				? why.message
				: "its bytes are nowhere in the store; --from SOURCE can bring "
				  "them back");
	if (m->r->source->find_layer(m->r->source->ctx, &m->diff_id, &d, &why) < 0)
		return problem_set_action(m->p, err,
			"its bytes are nowhere in the store, nor at the source: %s", why.message);
	e = attempt(m, push_source, &why, err);
	if (e == 0)
		return problem_set_action(m->p, err, "the source failed: %s", why.message);
	return e < 0                                                          ? e
	       : problem_set_action(m->p, err, "fetched from the source") < 0 ? IMBREX_ENOMEM
									      : 1;
}

static int remake(struct remake *m, struct imbrex_error *err)
{
	struct found below;
	int e;

	e = learn(m, err);
	if (e > 0)
		e = look(m, err);
	if (e <= 0)
		return e;
	e = correct_record(m, err);
	if (e != 0)
		return e;
	if (m->r->dry && !m->there && !m->r->source)
		return refuse(m->p, err,
			"its bytes are nowhere in the store; --from SOURCE can bring them back");
	if (m->r->dry) {
		e = problem_set_action(m->p, err,
			!m->there          ? "fetch it"
			: m->r->opts->from ? "make it again from what is whole in the store, or "
					     "fetch it"
					   : "make it again from what is whole in the store");
		return e < 0 ? e : 1;
	}
	if (*m->parent && !store_get(m->r->s, &layer_records, m->parent, strlen(m->parent), &below))
		return refuse(m->p, err, "what it stands on is missing");
	e = restore(m, err);
	return e <= 0 ? e : put_in_place(m, err);
}

/* The word about another problem of the same layer in this round. */
static const char *said_before(struct repair *r, const struct imbrex_problem *p)
{
	const char *said = NULL;
	size_t i;

	for (i = 0; i < r->c->found.n; i++) {
		const struct imbrex_problem *other = &r->c->found.items[i];

		if (other != p && str_eq(other->id, p->id) && *other->action &&
			other->object_kind == p->object_kind &&
			other->kind >= IMBREX_PROBLEM_CONTENT_DIGEST &&
			other->kind <= IMBREX_PROBLEM_TARSPLIT_UNREADABLE)
			said = other->action;
	}
	return said;
}

int repair_layer(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	struct remake m = { .r = r, .p = p, .id = p->id, .tree = { .fd = -EBADF } };
	const char *said = said_before(r, p);
	int e;

	if (said && p->kind != IMBREX_PROBLEM_CONTENT_SIZE)
		return problem_set_action(p, err, "%s", said);
	if (!r->dry && strv_add(&r->touched, p->id) < 0)
		return fail_nomem(err);
	e = repair_copy(r, p, err);
	if (e != REPAIR_NO_COPY)
		return e;
	e = remake(&m, err);
	remake_done(&m);
	return e;
}
