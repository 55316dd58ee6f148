/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do with a member of an archive, before the archive has said what it is.
 *
 * Invariants: (1) what is thrown away was hashed: its name in the archive, or the DiffID it was
 * announced with, is right. (2) A layer staged for a place stands on the layer of that archive, or
 * of the store, that was announced below it; with a driver that copies parents it is good for that
 * place only. (3) Nothing here decides what the image is: early_find() hands out jobs by what the
 * manifest says, and layer_job_bind() compares.
 */
#include "image/early.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "imbrex/image.h"
#include "imbrex/layer.h"
#include "oci/chain.h"
#include "oci/digest.h"
#include "stream/digest.h"
#include "stream/null.h"
#include "stream/tee.h"

/* An empty tar has 1 KiB, or the 10 KiB of a tape record. */
#define SPOOLED_LAYER_BYTES 65536
/* Places that one passing layer is unpacked into at once: each costs threads and buffers. */
#define FAN_OUT_MAX 4

#define NO_PLACE SIZE_MAX

struct early_layer {
	struct early_layer *next;
	char *member;    /* owned */
	size_t position; /* NO_PLACE: not known */
	bool skipped;    /* hashed and thrown away; no job */
	struct layer_job job;
	struct hash_value diff_id; /* what job.diff_id points to */
};

/* A place of the image that was announced. */
struct place {
	char id[ID_HEX_LEN + 1]; /* of its layer in the store */
	struct hash_value diff_id;
	bool have;                    /* the store has it */
	struct hash_value compressed; /* digest of the blob it once was; not set: not known */
	struct staged_layer *staged;  /* filled or being filled; borrowed from the transaction */
};

struct early {
	struct imbrex_store *s;
	struct store_txn *txn;
	struct progress *progress;
	struct archive_events events;
	struct early_layer *layers; /* owned list */
	struct place *places;       /* owned */
	size_t n_places;
};

/* Where a member goes. */
struct places_wanted {
	size_t n;       /* places that the announced layer has and the store lacks */
	size_t first;   /* of them */
	bool announced; /* it is one of the image's layers */
};

static int add_layer(
	struct early *e, const char *member, struct early_layer **ret, struct imbrex_error *err)
{
	struct early_layer *l = calloc(1, sizeof(*l));

	if (!l)
		return fail_nomem(err);
	l->position = NO_PLACE;
	l->member = strdup(member);
	l->next = e->layers;
	e->layers = l;
	*ret = l;
	return l->member ? 0 : fail_nomem(err);
}

/* The DiffID of a member, as announced: by the archive, or as a blob that once was unpacked. */
static const struct hash_value *announced(
	const struct early *e, const struct archive_member *m, struct hash_value *blob)
{
	const char *hex = str_after(m->name, "blobs/sha256/");
	size_t i;

	if (!m->is_blob || !hex || digest_parse_hex(hex, strlen(hex), blob, NULL) < 0)
		return m->diff_id;
	for (i = 0; i < e->n_places && !m->diff_id; i++) {
		if (hash_equal(&e->places[i].compressed, blob))
			return &e->places[i].diff_id;
	}
	return m->diff_id;
}

static struct places_wanted count_places(const struct early *e, const struct hash_value *diff_id)
{
	struct places_wanted w = { .first = NO_PLACE };
	size_t i;

	for (i = 0; i < e->n_places; i++) {
		if (!hash_equal(&e->places[i].diff_id, diff_id))
			continue;
		w.announced = true;
		if (e->places[i].have || e->places[i].staged)
			continue;
		if (w.n++ == 0)
			w.first = i;
	}
	return w;
}

static int skip(struct early *e, const struct archive_member *m, const struct hash_value *expect,
	struct sink **ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *end = NULL;
	struct early_layer *l;
	int r = add_layer(e, m->name, &l, err);

	if (r < 0)
		return r;
	l->skipped = true;
	r = null_sink_new(&end, err);
	if (r == 0)
		r = digest_sink_new(expect->algorithm, expect, NULL, end, ret, err);
	if (r == 0)
		end = NULL;
	return r;
}

/* The layer below a place is there to be stood on, or need not be. */
static bool is_ready(const struct early *e, size_t position)
{
	const struct place *below = position ? &e->places[position - 1] : NULL;

	return store_txn_independent(e->txn) || !below || below->have ||
	       (below->staged && hash_is_set(&staged_layer_facts(below->staged)->diff_digest));
}

/* Stage for one place (NO_PLACE: any). */
static int stage(struct early *e, const struct archive_member *m, size_t position,
	struct sink **ret, struct imbrex_error *err)
{
	struct place *place = position == NO_PLACE ? NULL : &e->places[position];
	struct place *below = place && position ? &e->places[position - 1] : NULL;
	AUTO_SINK struct sink *chain = NULL;
	struct early_layer *l;
	int r = add_layer(e, m->name, &l, err);

	if (r < 0)
		return r;
	if (store_txn_independent(e->txn))
		below = NULL;
	r = store_txn_layer_new(e->txn, below && below->have ? below->id : NULL,
		below && !below->have ? below->staged : NULL, NULL, &l->job.staged, err);
	if (r < 0)
		return r;
	if (place) {
		l->position = position;
		l->diff_id = place->diff_id;
		l->job.diff_id = &l->diff_id;
		place->staged = l->job.staged;
	}
	r = layer_chain_new(&l->job, &chain, err);
	if (r == 0 && place) {
		r = progress_sink_new(e->progress, &l->diff_id, m->size_bytes, chain, ret, err);
		if (r == 0)
			chain = NULL;
	} else if (r == 0) {
		*ret = take_ptr(chain);
	}
	return r;
}

static int stage_all(struct early *e, const struct archive_member *m,
	const struct hash_value *diff_id, struct sink **ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *all = NULL;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < e->n_places; i++) {
		AUTO_SINK struct sink *one = NULL;
		struct sink *both;

		if (e->places[i].have || e->places[i].staged ||
			!hash_equal(&e->places[i].diff_id, diff_id))
			continue;
		r = stage(e, m, i, &one, err);
		if (r < 0)
			break;
		if (!all) {
			all = take_ptr(one);
			continue;
		}
		r = tee_sink_new(one, all, &both, err);
		if (r == 0) {
			one = NULL;
			all = both;
		}
	}
	if (r == 0)
		*ret = take_ptr(all);
	return r;
}

static int on_layer(
	void *ctx, const struct archive_member *m, struct sink **ret, struct imbrex_error *err)
{
	struct early *e = ctx;
	struct hash_value blob = { 0 };
	const struct hash_value *diff_id = announced(e, m, &blob);
	struct places_wanted w = { 0 };

	if (diff_id)
		w = count_places(e, diff_id);
	if (w.announced && w.n == 0)
		return skip(e, m, hash_is_set(&blob) ? &blob : diff_id, ret, err);
	if (w.n == 1 && is_ready(e, w.first))
		return stage(e, m, w.first, ret, err);
	if (!store_txn_independent(e->txn) || w.n > FAN_OUT_MAX)
		return 0; /* spooled until it is known what is below it */
	if (w.n > 0)
		return stage_all(e, m, diff_id, ret, err);
	/* Empty layers are those that an image has several times, and they are small: spooled. */
	return m->size_bytes <= SPOOLED_LAYER_BYTES ? 0 : stage(e, m, NO_PLACE, ret, err);
}

int early_new(struct imbrex_store *s, struct store_txn *txn, struct progress *progress,
	struct early **ret, struct imbrex_error *err)
{
	struct early *e = calloc(1, sizeof(*e));

	if (!e)
		return fail_nomem(err);
	e->s = s;
	e->txn = txn;
	e->progress = progress;
	e->events = (struct archive_events){ .ctx = e, .layer = on_layer };
	*ret = e;
	return 0;
}

void early_free(struct early *e)
{
	if (!e)
		return;
	while (e->layers) {
		struct early_layer *l = e->layers;

		e->layers = l->next;
		free(l->member);
		free(l);
	}
	free(e->places);
	free(e);
}

const struct archive_events *early_events(const struct early *e)
{
	return &e->events;
}

/* As what blobs the layers that are here once came. */
static int note_blobs(struct early *e, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; i < e->n_places; i++) {
		struct imbrex_layer *layer = NULL;
		const char *text;
		int r;

		if (!e->places[i].have)
			continue;
		r = imbrex_layer_get(e->s, e->places[i].id, &layer, err);
		if (r == IMBREX_ENOENT) { /* gone already: so be it fetched */
			e->places[i].have = false;
			continue;
		}
		if (r < 0)
			return r;
		text = layer->compressed_digest;
		if (digest_parse(text, strlen(text), &e->places[i].compressed, NULL) < 0)
			e->places[i].compressed = (struct hash_value){ 0 };
		imbrex_layers_free(layer, 1);
	}
	return 0;
}

int early_expect(struct early *e, const struct source_outline *outline, struct imbrex_error *err)
{
	size_t n = outline->n_diff_ids, i;
	AUTO_FREE const char **ids = calloc(n + 1, sizeof(*ids));
	AUTO_FREE bool *have = calloc(n + 1, sizeof(*have));
	int r;

	e->places = calloc(n + 1, sizeof(*e->places));
	if (!ids || !have || !e->places)
		return fail_nomem(err);
	for (i = 0; i < n; i++) {
		e->places[i].diff_id = outline->diff_ids[i];
		r = layer_id(i ? e->places[i - 1].id : NULL, &outline->diff_ids[i], e->places[i].id,
			err);
		if (r < 0)
			return r;
		ids[i] = e->places[i].id;
	}
	r = store_have_layers(e->s, ids, n, have, err);
	if (r < 0)
		return r;
	e->n_places = n;
	for (i = 0; i < n; i++)
		e->places[i].have = have[i];
	return note_blobs(e, err);
}

int early_is_here(struct early *e, const struct source_outline *outline, struct imbrex_error *err)
{
	struct imbrex_image *image = NULL;
	char id[ID_HEX_LEN + 1];
	size_t i;
	int r;

	for (i = 0; i < e->n_places; i++) {
		if (!e->places[i].have)
			return 0;
	}
	r = image_id(&outline->image, NULL, 0, id, err);
	if (r == 0)
		r = imbrex_image_get(e->s, id, &image, err);
	if (r < 0)
		return r == IMBREX_ENOENT ? 0 : r;
	r = str_eq(image->layer, e->n_places ? e->places[e->n_places - 1].id : "");
	imbrex_images_free(image, 1);
	return r;
}

bool early_holds(const struct early *e, size_t position)
{
	return position < e->n_places && e->places[position].staged;
}

int early_find(struct early *e, struct source *source, const struct oci_descriptor *d,
	size_t position, struct layer_job **ret, struct imbrex_error *err)
{
	bool skipped = false;
	const char *member;
	struct early_layer *l;
	int r;

	*ret = NULL;
	for (l = e->layers; l && early_holds(e, position); l = l->next) {
		if (l->position == position) {
			*ret = &l->job;
			return 0;
		}
	}
	if (!e->layers || !source->ops->member)
		return 0;
	r = source->ops->member(source, d, &member, err);
	if (r <= 0)
		return r;
	for (l = e->layers; l; l = l->next) {
		if (!str_eq(l->member, member))
			continue;
		skipped = skipped || l->skipped;
		if (l->position == NO_PLACE && !l->skipped && !l->job.bound) {
			*ret = &l->job;
			return 0;
		}
	}
	if (skipped)
		return fail(err, IMBREX_EDIGEST,
			"layer %s passed by unread: the image is not what was announced",
			digest_short(&d->digest));
	return fail(err, IMBREX_ENOTSUP,
		"layer %s occurs twice in an archive that can be read once "
		"only; save it to a file and pull that",
		digest_short(&d->digest));
}
