/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image, one commit.
 *
 *   begin ──layer_new──▶ staging ──layer_filled──▶ filled ──commit──▶ published
 *      └───────────────────────── free at any point: nothing was there ──────────┘
 *
 * Invariants: (1) until commit has renamed a layer into place, everything of it lies in temporary
 * directories whose lock this process holds: a crash leaves garbage that any store opener may
 * remove, and nobody removes it while we live. (2) Content, links and tar-split are on disk (one
 * syncfs) before the first rename. (3) Renames are on disk before the records that name them (fsync
 * of the homes, or the order of the journal: store_sync_layers). (4) All layers of the image enter
 * layers.json in one save, the image record follows while layers.lock is still held. (5) So after a
 * crash between any two system calls a reader sees either no record, or records whose content is
 * whole; what may be left is a directory without a record (garbage), or layers without an image
 * (usable, reclaimed by gc). (6) Other processes publish and remove layers while ours are staged:
 * what each stands on is looked at again under the lock, just before it is published.
 */
#include "store/txn.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "json/write.h"
#include "os/fd.h"
#include "store/image.h"
#include "store/layer.h"
#include "store/maps.h"
#include "store/newlayer.h"
#include "store/temps.h"

struct staged_layer {
	struct store_txn *txn;
	struct staged_layer *next;
	struct driver_stage *stage;     /* owned */
	char split[TEMPDIR_NAME_BYTES]; /* name of the tar-split file in the layers' temp dir; ""
					   none */
	struct layer_facts facts;       /* uids and gids owned */
	bool filled;
	char *elsewhere;   /* owned; where it lies in an additional layer store; NULL: it is ours */
	struct table info; /* one record: what that store says of it */
};

struct store_txn {
	struct imbrex_store *s;
	struct store_temps temps;
	struct id_maps_copy maps; /* of all its layers */
	pthread_mutex_t mutex;    /* guards `layers` */
	struct staged_layer *layers;
};

int store_txn_begin(struct imbrex_store *s, struct store_txn **ret, struct imbrex_error *err)
{
	AUTO_TXN struct store_txn *txn = calloc(1, sizeof(*txn));
	int r;

	if (!txn)
		return fail_nomem(err);
	txn->s = s;
	(void)pthread_mutex_init(&txn->mutex, NULL);
	r = store_temps_open(s, &txn->temps, err);
	if (r == 0 && !id_maps_empty(&s->config.remap.maps) &&
		!store_shifts(s, &s->config.remap.maps) &&
		id_maps_copy(&s->config.remap.maps, &txn->maps) < 0)
		r = fail_nomem(err);
	if (r < 0)
		return r;
	*ret = take_ptr(txn);
	return 0;
}

void store_txn_free(struct store_txn *txn)
{
	if (!txn)
		return;
	while (txn->layers) {
		struct staged_layer *l = txn->layers;

		txn->layers = l->next;
		driver_stage_free(l->stage);
		layer_facts_done(&l->facts);
		if (l->elsewhere)
			txn->s->driver->ops->release_additional(txn->s->driver, l->elsewhere);
		free(l->elsewhere);
		table_done(&l->info);
		free(l);
	}
	store_temps_close(&txn->temps);
	id_maps_copy_done(&txn->maps);
	(void)pthread_mutex_destroy(&txn->mutex);
	free(txn);
}

int store_txn_stand_on(struct store_txn *txn, const char *layer, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	/* What is staged already is owned as it is; publishing it says so if that is wrong. */
	if (txn->layers)
		return 0;
	r = store_hold(txn->s, HOLD_LAYERS, &hold, err);
	if (r < 0 || !store_get(txn->s, &layer_records, layer, strlen(layer), &f))
		return r;
	id_maps_copy_done(&txn->maps);
	return maps_of_layer(found_record(&f), &txn->maps) < 0 ? fail_nomem(err) : 0;
}

bool store_txn_independent(const struct store_txn *txn)
{
	return txn->s->driver->ops->independent;
}

int store_txn_layer_new(struct store_txn *txn, const char *parent_id, struct staged_layer *parent,
	const struct apply_content *content, struct staged_layer **ret, struct imbrex_error *err)
{
	const struct driver_parent below = { .id = parent_id,
		.stage = parent ? parent->stage : NULL };
	AUTO_FREE struct staged_layer *l = calloc(1, sizeof(*l));
	const struct driver_layer_opts opts = { .image = true,
		.maps = id_maps_empty(&txn->maps.maps) ? NULL : &txn->maps.maps,
		.content = content };
	struct driver *d = txn->s->driver;
	int r;

	if (!l)
		return fail_nomem(err);
	l->txn = txn;
	table_init(&l->info, &layer_records);
	r = d->ops->stage_new(
		d, store_temps_driver(&txn->temps, true), &below, &opts, &l->stage, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&txn->mutex);
	l->next = txn->layers;
	txn->layers = l;
	(void)pthread_mutex_unlock(&txn->mutex);
	*ret = take_ptr(l);
	return 0;
}

/* ---- of additional layer stores -------------------------------------------------------- */

bool store_txn_has_additional(const struct store_txn *txn)
{
	return txn->s->driver->ops->find_additional != NULL;
}

static int read_info(struct staged_layer *l, const struct hash_value *toc, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_FREE char *path = format_text("%s/info", l->elsewhere);
	char digest[HASH_TEXT_MAX];
	int r;

	if (!path)
		return fail_nomem(err);
	r = read_file_at(AT_FDCWD, path, LIMIT_CONFIG_BYTES, &text, err);
	if (r == 0)
		r = table_append(&l->info, text.data, text.len, PLACE_STABLE, err);
	if (r < 0)
		return wrap(err, r, "%s", path);
	if (!record_is(table_at(&l->info, 0), LAYER_TOC_DIGEST, hash_format(toc, digest)))
		return fail(err, IMBREX_EFORMAT, "%s is not of the layer with the TOC %s", path,
			digest);
	return 0;
}

int store_txn_layer_additional(struct store_txn *txn, const struct hash_value *toc,
	const char *reference, struct staged_layer **ret, struct imbrex_error *err)
{
	struct driver *d = txn->s->driver;
	AUTO_FREE char *path = NULL;
	char digest[HASH_TEXT_MAX];
	struct staged_layer *l;
	int r;

	r = d->ops->find_additional(d, hash_format(toc, digest), reference, &path, err);
	if (r <= 0)
		return r;
	r = store_txn_layer_new(txn, NULL, NULL, NULL, &l, err);
	if (r < 0) {
		d->ops->release_additional(d, path);
		return r;
	}
	l->elsewhere = take_ptr(path);
	r = read_info(l, toc, err);
	if (r == 0)
		r = d->ops->stage_point(l->stage, l->elsewhere, err);
	if (r < 0)
		return r;
	l->filled = true;
	*ret = l;
	return 1;
}

/* What the other store says of the content, into the record at the end of our table. */
static int copy_info(struct store_txn *txn, struct staged_layer *l, struct imbrex_error *err)
{
	static const int fields[] = { LAYER_COMPRESSED_DIGEST, LAYER_COMPRESSED_SIZE,
		LAYER_DIFF_DIGEST, LAYER_TOC_DIGEST, LAYER_DIFF_SIZE, LAYER_COMPRESSION,
		LAYER_UIDSET, LAYER_GIDSET };
	struct table *t = &txn->s->layers.t;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(fields); i++) {
		struct json_span raw = record_raw(table_at(&l->info, 0), fields[i]);
		AUTO_FREE char *value = raw.len ? strndup(raw.at, raw.len) : NULL;

		if (raw.len && !value)
			return fail_nomem(err);
		if (value)
			r = record_set(t, table_slots(t) - 1, fields[i], value, err);
	}
	return r;
}

int staged_layer_entries(struct staged_layer *l, struct entry_sink **ret, struct imbrex_error *err)
{
	return l->stage->ops->stage_entries(l->stage, ret, err);
}

int staged_layer_tarsplit(struct staged_layer *l, struct sink **ret, struct imbrex_error *err)
{
	return fill_split_new(l->txn->temps.layers, l->split, ret, err);
}

int staged_layer_filled(
	struct staged_layer *l, const struct layer_facts *facts, struct imbrex_error *err)
{
	int r = layer_facts_copy(facts, &l->facts, err);

	if (r == 0)
		l->filled = true;
	return r;
}

const struct layer_facts *staged_layer_facts(const struct staged_layer *l)
{
	return &l->facts;
}

/* ---- commit ---------------------------------------------------------------------------- */

static int seal_all(const struct txn_layer *layers, size_t n, struct imbrex_error *err)
{
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		struct driver_parent below = { 0 };
		struct driver_stage *stage;

		if (!layers[i].staged)
			continue;
		if (i > 0 && layers[i - 1].staged)
			below.stage = layers[i - 1].staged->stage;
		else if (i > 0)
			below.id = layers[i - 1].id;
		stage = layers[i].staged->stage;
		r = stage->ops->stage_seal(stage, &below, /* sync= */ false, err);
		if (r < 0)
			return wrap(err, r, "layer %s", layers[i].id);
	}
	return 0;
}

static int put_ids(struct str *to, const char *key, const uint32_t *ids, size_t n)
{
	size_t i;
	int r = 0;

	if (!n)
		return 0;
	r = str_printf(to, ",\"%s\":", key);
	for (i = 0; r == 0 && i < n; i++)
		r = str_printf(to, "%c%u", i ? ',' : '[', ids[i]);
	return r < 0 ? r : str_putc(to, ']');
}

static int format_layer(const struct txn_layer *l, const char *parent, struct str *to)
{
	const struct id_maps *maps = &l->staged->txn->maps.maps;
	const struct layer_facts *f = &l->staged->facts;
	const struct hash_value *compressed =
		hash_is_set(&f->compressed_digest) ? &f->compressed_digest : &f->diff_digest;
	char now[STORE_TIME_MAX];
	char text[HASH_TEXT_MAX];
	int r;

	store_now(now);
	r = str_printf(to, "{\"id\":\"%s\"", l->id);
	if (r == 0 && parent)
		r = str_printf(to, ",\"parent\":\"%s\"", parent);
	if (r == 0)
		r = str_printf(to, ",\"created\":\"%s\"", now);
	/* The rest is what the other store says: copy_info(). */
	if (l->staged->elsewhere)
		return r < 0 ? r : str_putc(to, '}');
	if (r == 0)
		r = str_printf(
			to, ",\"compressed-diff-digest\":\"%s\"", hash_format(compressed, text));
	if (r == 0 && f->compressed_bytes)
		r = str_printf(
			to, ",\"compressed-size\":%llu", (unsigned long long)f->compressed_bytes);
	if (r == 0)
		r = str_printf(to, ",\"diff-digest\":\"%s\"", hash_format(&f->diff_digest, text));
	if (r == 0 && f->diff_bytes)
		r = str_printf(to, ",\"diff-size\":%llu", (unsigned long long)f->diff_bytes);
	if (r == 0 && f->compression)
		r = str_printf(to, ",\"compression\":%d", f->compression);
	if (r == 0)
		r = put_ids(to, "uidset", f->uids, f->n_uids);
	if (r == 0)
		r = put_ids(to, "gidset", f->gids, f->n_gids);
	if (r == 0)
		r = map_put(to, "uidmap", maps->uids, maps->n_uids);
	if (r == 0)
		r = map_put(to, "gidmap", maps->gids, maps->n_gids);
	return r < 0 ? r : str_putc(to, '}');
}

/* A layer has the map of what it stands on, unless somebody asked for another. */
static int check_maps(
	struct store_txn *txn, const char *id, const char *below, struct imbrex_error *err)
{
	AUTO_MAPS maps = { 0 };
	struct found f;

	if (!below || !store_get(txn->s, &layer_records, below, strlen(below), &f))
		return 0;
	if (maps_of_layer(found_record(&f), &maps) < 0)
		return fail_nomem(err);
	if (id_maps_equal(&maps.maps, &txn->maps.maps))
		return 0;
	return fail(err, IMBREX_EBUSY,
		"layer %s: layer %s, which it stands on, has come with another identity map "
		"meanwhile",
		id, below);
}

/* `below`: the layer below as it is now; its id is set for a stage as well. */
static int publish_layer(struct store_txn *txn, const struct txn_layer *l,
	const struct driver_parent *below, struct imbrex_error *err)
{
	struct imbrex_store *s = txn->s;
	struct driver_stage *stage = l->staged->stage;
	AUTO_FREE char *split = format_text("%s.tar-split.gz", l->id);
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	enum record_place place = layer_place(s, true, false);
	int r;

	if (!split || format_layer(l, below->id, &text) < 0)
		return fail_nomem(err);
	r = check_maps(txn, l->id, below->id, err);
	if (r < 0)
		return r;
	r = stage->ops->stage_rebase(stage, below, err);
	if (r < 0)
		return wrap(err, r, "layer %s", l->id);
	r = stage->ops->stage_publish(stage, l->id, err);
	if (r < 0)
		return r;
	if (l->staged->split[0] && renameat(tempdir_fd(txn->temps.layers), l->staged->split,
					   s->layers.dirfd, split) < 0)
		return fail_errno(err, "rename to '%s/%s'", s->layers.dir, split);
	r = table_append(&s->layers.t, text.data, text.len, place, err);
	if (r == 0 && l->staged->elsewhere)
		r = copy_info(txn, l->staged, err);
	if (r < 0)
		return r;
	s->layers.dirty[place] = true;
	return 0;
}

static int publish_layers(
	struct store_txn *txn, const struct txn_layer *layers, size_t n, struct imbrex_error *err)
{
	struct imbrex_store *s = txn->s;
	struct driver_parent below = { 0 };
	struct found f;
	bool published = false;
	size_t i;
	int r;

	for (i = 0; i < n; below.id = layers[i++].id) {
		if (store_get(s, &layer_records, layers[i].id, strlen(layers[i].id), &f)) {
			below.stage = NULL;
			continue; /* another process was faster, or it was here before */
		}
		if (!layers[i].staged) {
			r = fail(err, IMBREX_EBUSY, "layer %s vanished from the store",
				layers[i].id);
			return hint(err, r, "another process removed it meanwhile; try again");
		}
		r = publish_layer(txn, &layers[i], &below, err);
		if (r < 0)
			return r;
		below.stage = layers[i].staged->stage;
		published = true;
	}
	if (!published)
		return 0;
	r = store_sync_layers(s, err);
	return r < 0 ? r : store_save(s, &s->layers, err);
}

int store_txn_commit(struct store_txn *txn, const struct txn_layer *layers, size_t n_layers,
	const struct txn_image *image, bool sync, struct imbrex_error *err)
{
	struct imbrex_store *s = txn->s;
	AUTO_HOLD hold = HOLD_NONE;
	bool staged = false;
	size_t i;
	int r;

	for (i = 0; i < n_layers; i++)
		staged = staged || layers[i].staged;
	r = seal_all(layers, n_layers, err);
	if (r < 0)
		return r;
	if (sync && staged && syncfs(s->graphfd) < 0)
		return fail_errno(err, "sync '%s'", s->config.graphroot);
	if (sync && staged && s->imagefd >= 0 && syncfs(s->imagefd) < 0)
		return fail_errno(err, "sync '%s'", s->config.imagestore);
	r = store_hold(s, HOLD_LAYERS_W | HOLD_IMAGES_W, &hold, err);
	if (r < 0)
		return r;
	r = publish_layers(txn, layers, n_layers, err);
	if (r < 0)
		return r;
	return image_put(s, image, n_layers ? layers[n_layers - 1].id : NULL, err);
}

int store_have_layers(struct imbrex_store *s, const char *const *ids, size_t n, bool *ret_have,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	size_t i;
	int r;

	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++) {
		ret_have[i] = store_get(s, &layer_records, ids[i], strlen(ids[i]), &f) &&
			      !record_flag(found_record(&f), LAYER_FLAGS, "incomplete");
	}
	return 0;
}
