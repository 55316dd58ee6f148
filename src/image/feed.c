/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: (1) begin() and end() are called for each place once, in order, the end of one before
 * the beginning of the next. (2) What is thrown away was hashed. (3) What an engine announces is
 * believed for the order only: every layer is compared with its DiffID, and the DiffIDs with those
 * of the configuration that came, before the caller is told that all is well.
 */
#include "image/feed.h"

#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "oci/digest.h"
#include "stream/buffer.h"
#include "stream/digest.h"
#include "stream/null.h"

/* An empty tar has 1 KiB, or the 10 KiB of a tape record. */
#define KEPT_BYTES_MAX 65536u

struct feed_kept {
	struct feed_kept *next;
	struct hash_value diff_id;
	struct str bytes; /* as they came; empty until the member has passed */
};

void feed_done(struct feed *f)
{
	while (f->kept) {
		struct feed_kept *k = f->kept;

		f->kept = k->next;
		str_done(&k->bytes);
		free(k);
	}
}

/* ---- one place ------------------------------------------------------------------------- */

/* A chain into the place whose turn it is; its finish ends the turn. */
struct turn {
	struct sink base;
	struct feed *f;
	struct sink *chain; /* owned */
	bool needed;        /* else it is only hashed */
};

static int turn_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return sink_write(CONTAINER_OF(s, struct turn, base)->chain, buf, len, err);
}

static int turn_finish(struct sink *s, struct imbrex_error *err)
{
	struct turn *turn = CONTAINER_OF(s, struct turn, base);
	struct feed *f = turn->f;
	int r = sink_finish(turn->chain, err);

	sink_free(take_ptr(turn->chain));
	if (r == 0 && turn->needed)
		r = f->target->end(f->target->ctx, f->next, err);
	if (r == 0)
		f->next++;
	return r;
}

static void turn_free(struct sink *s)
{
	struct turn *turn = CONTAINER_OF(s, struct turn, base);

	sink_free(turn->chain);
	free(turn);
}

static const struct sink_ops turn_ops = { "turn", turn_write, turn_finish, turn_free };

static void tell_once(struct feed *f)
{
	if (!f->told)
		import_tell(f->im, IMBREX_ROOTFS_UNPACK, f->n, NULL);
	f->told = true;
}

/* A blob is called by the digest of its bytes; everything else comes unpacked. */
static int hash_away(const struct archive_member *m, struct sink **ret, struct imbrex_error *err)
{
	const char *hex = m->is_blob ? str_after(m->name, "blobs/sha256/") : NULL;
	const struct hash_value *expect = m->diff_id;
	AUTO_SINK struct sink *end = NULL;
	struct hash_value blob;
	int r;

	if (m->is_blob && (!hex || digest_parse_hex(hex, strlen(hex), &blob, NULL) < 0))
		return 0;
	if (m->is_blob)
		expect = &blob;
	r = null_sink_new(&end, err);
	if (r == 0)
		r = digest_sink_new(expect->algorithm, expect, NULL, end, ret, err);
	if (r == 0)
		end = NULL;
	return r;
}

static int turn_new(struct feed *f, struct sink **ret, struct imbrex_error *err)
{
	const struct hash_value *diff_id = &f->diff_ids[f->next];
	struct turn *turn = calloc(1, sizeof(*turn));
	AUTO_SINK struct sink *owner = turn ? &turn->base : NULL;
	int fd, r;

	if (!turn)
		return fail_nomem(err);
	turn->base.ops = &turn_ops;
	turn->f = f;
	tell_once(f);
	r = f->target->begin(f->target->ctx, f->next, &fd, err);
	if (r < 0)
		return r;
	turn->needed = r == 0;
	/* Nothing is written of what somebody else has made meanwhile. */
	r = turn->needed ? import_layer_sink(f->im, fd, diff_id, &turn->chain, err)
			 : null_sink_new(&turn->chain, err);
	if (r == 0)
		*ret = take_ptr(owner);
	return r;
}

/* ---- what passes by -------------------------------------------------------------------- */

static const struct feed_kept *find_kept(const struct feed *f, const struct hash_value *diff_id)
{
	const struct feed_kept *k;

	for (k = f->kept; k; k = k->next) {
		if (k->bytes.len && hash_equal(&k->diff_id, diff_id))
			return k;
	}
	return NULL;
}

/* Those whose turn has come, of what was kept. */
static int take_kept(struct feed *f, struct imbrex_error *err)
{
	const struct feed_kept *k;
	int r = 0;

	while (r == 0 && f->next < f->n && (k = find_kept(f, &f->diff_ids[f->next])) != NULL) {
		AUTO_SINK struct sink *turn = NULL;

		r = turn_new(f, &turn, err);
		if (r == 0)
			r = sink_write(turn, k->bytes.data, k->bytes.len, err);
		if (r == 0)
			r = sink_finish(turn, err);
	}
	return r;
}

static int keep(struct feed *f, const struct hash_value *diff_id, struct sink **ret,
	struct imbrex_error *err)
{
	struct feed_kept *k = calloc(1, sizeof(*k));

	if (!k)
		return fail_nomem(err);
	k->bytes = (struct str)STR_INIT(KEPT_BYTES_MAX);
	k->diff_id = *diff_id;
	k->next = f->kept;
	f->kept = k;
	return buffer_sink_new(KEPT_BYTES_MAX, &k->bytes, ret, err);
}

static int on_layer(
	void *ctx, const struct archive_member *m, struct sink **ret, struct imbrex_error *err)
{
	struct feed *f = ctx;
	size_t i, wanted = 0, known = 0;
	int r;

	if (!f->armed || !m->diff_id)
		return 0;
	r = take_kept(f, err);
	if (r < 0)
		return r;
	for (i = 0; i < f->n; i++) {
		if (!hash_equal(&f->diff_ids[i], m->diff_id))
			continue;
		known++;
		wanted += i >= f->next;
	}
	if (known && !wanted)
		return hash_away(m, ret, err);
	if (wanted == 1 && hash_equal(&f->diff_ids[f->next], m->diff_id))
		return turn_new(f, ret, err);
	return wanted && m->size_bytes && m->size_bytes <= KEPT_BYTES_MAX
		       ? keep(f, m->diff_id, ret, err)
		       : 0;
}

void feed_init(struct feed *f, struct import *im)
{
	*f = (struct feed){ .im = im };
	f->events = (struct archive_events){ .ctx = f, .layer = on_layer };
}

/* ---- the story ------------------------------------------------------------------------- */

int feed_announced(struct feed *f, struct imbrex_error *err)
{
	const struct source *s = f->im->source;
	struct source_outline outline;
	int r;

	if (!s->ops->outline)
		return 0;
	r = s->ops->outline(f->im->source, &outline, err);
	if (r < 0)
		return r;
	f->image = outline.image;
	f->diff_ids = outline.diff_ids;
	f->n = outline.n_diff_ids;
	return 1;
}

static int check_announced(const struct feed *f, struct imbrex_error *err)
{
	const struct oci_config *c = &f->im->config;
	size_t i;

	if (f->n != f->im->manifest.n_layers)
		return fail(err, IMBREX_EDIGEST, "the image has %zu layers but %zu were announced",
			f->im->manifest.n_layers, f->n);
	for (i = 0; i < f->n; i++) {
		if (!hash_equal(&c->diff_ids[i], &f->diff_ids[i]))
			return fail(err, IMBREX_EDIGEST, "layer %zu is %s but %s was announced",
				i + 1, digest_text(&c->diff_ids[i]), digest_text(&f->diff_ids[i]));
	}
	return 0;
}

/* One from where it lies now. */
static int feed_next(struct feed *f, struct imbrex_error *err)
{
	int fd, r;

	tell_once(f);
	r = f->target->begin(f->target->ctx, f->next, &fd, err);
	if (r == 0) {
		r = import_layer(f->im, fd, f->next, err);
		if (r == 0)
			r = f->target->end(f->target->ctx, f->next, err);
	}
	if (r < 0)
		return wrap(err, r, "layer %s", digest_short(&f->diff_ids[f->next]));
	f->next++;
	return 0;
}

static int feed_rest(struct feed *f, struct imbrex_error *err)
{
	int r = take_kept(f, err);

	while (r == 0 && f->next < f->n) {
		r = feed_next(f, err);
		if (r == 0)
			r = take_kept(f, err);
	}
	return r;
}

int feed_run(
	struct feed *f, size_t first, const struct feed_target *target, struct imbrex_error *err)
{
	bool announced = f->diff_ids != NULL;
	int r = 0;

	f->target = target;
	f->next = f->im->first = first;
	if (announced) {
		f->armed = true;
		r = import_documents(f->im, err);
		f->armed = false;
		if (r == 0)
			r = check_announced(f, err);
	} else {
		f->diff_ids = f->im->config.diff_ids;
		f->n = f->im->manifest.n_layers;
	}
	if (r == 0)
		r = import_cache(f->im, err);
	return r < 0 ? r : feed_rest(f, err);
}
