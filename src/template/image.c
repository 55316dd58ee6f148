/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of images. What an image is, is known before its layers come: from its manifest, or
 * because the engine says so; if there is a template, nothing more is asked for.
 *
 * Flat, all layers are applied to one new dataset. As a chain, each layer is a dataset of its own,
 * a clone of the one below, called by its chain ID, which stands for everything below it as well;
 * and the template is a clone of the last one, with enroot's files in it:
 *
 *   .layers/CHAIN1@done ─clone, apply─▶ .layers/CHAIN2@done ─ … ─▶ .templates/KEY@pristine
 *
 * The deepest layer that is here is where it begins. Both are streams: no layer is unpacked
 * anywhere else.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strv.h"
#include "image/feed.h"
#include "oci/chain.h"
#include "oci/digest.h"
#include "template/evict.h"
#include "template/work.h"

/* How often a layer may vanish under us: others evict. */
#define RACES_MAX 4

struct build {
	struct imbrex_templates *t;
	struct import *im;
	struct feed *feed;
	char key[ID_HEX_LEN + 1];
	struct strv chains;          /* owned; chain ID of each layer, base first */
	struct template_work layer;  /* whose turn it is */
	struct template_work *whole; /* borrowed; flat: the template */
	size_t n_here;               /* layers that were here */
	bool vanished;               /* a layer that was here is not */
};

static void build_done(struct build *b)
{
	template_work_free(&b->layer);
	strv_done(&b->chains);
}
#define AUTO_BUILD __attribute__((cleanup(build_done))) struct build

/* ---- what it is ------------------------------------------------------------------------ */

/* Only sha256 makes keys. */
static int set_key(struct build *b, const struct hash_value *id, struct imbrex_error *err)
{
	if (id->algorithm != HASH_SHA256)
		return fail(err, IMBREX_ENOTSUP, "image %s is not called by a sha256",
			digest_short(id));
	(void)snprintf(b->key, sizeof(b->key), "%s", digest_hex(id));
	return 0;
}

static int identify(struct build *b, const char *source, struct imbrex_error *err)
{
	int r = import_open(b->im, source, err);

	if (r == 0)
		r = feed_announced(b->feed, err);
	if (r < 0)
		return r;
	if (r > 0)
		return set_key(b, &b->feed->image, err);
	r = import_documents(b->im, err);
	return r < 0 ? r : set_key(b, &b->im->manifest.config.digest, err);
}

static int name_chains(struct build *b, struct imbrex_error *err)
{
	const struct hash_value *diff_ids =
		b->feed->diff_ids ? b->feed->diff_ids : b->im->config.diff_ids;
	size_t n = b->feed->diff_ids ? b->feed->n : b->im->manifest.n_layers;
	struct hash_value chain = { 0 };
	char hex[HASH_HEX_MAX];
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		r = chain_id(i ? &chain : NULL, &diff_ids[i], &chain, err);
		if (r < 0)
			return r;
		if (chain.algorithm != HASH_SHA256)
			return fail(err, IMBREX_ENOTSUP, "layer %s is not called by a sha256",
				digest_short(&diff_ids[i]));
		if (strv_add(&b->chains, hash_hex(&chain, hex)) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* The deepest of them that is here has all others below it. */
static int find_here(struct build *b, struct imbrex_error *err)
{
	size_t i;
	int r = 0;

	for (i = b->chains.n; r == 0 && i > 0; i--) {
		r = template_has(b->t, &b->t->layers, b->chains.items[i - 1], err);
		if (r > 0)
			b->n_here = i;
	}
	return r < 0 ? r : 0;
}

/* ---- flat ------------------------------------------------------------------------------ */

static int begin_flat(void *ctx, size_t i, int *ret_fd, struct imbrex_error *err)
{
	const struct build *b = ctx;

	*ret_fd = b->whole->view.fd;
	return 0;
}

static int end_flat(void *ctx, size_t i, struct imbrex_error *err)
{
	return 0;
}

/* ---- a chain --------------------------------------------------------------------------- */

static int begin_layer(void *ctx, size_t i, int *ret_fd, struct imbrex_error *err)
{
	struct build *b = ctx;
	struct zfs_name below;
	struct template_start start = { 0 };
	int r = 0;

	if (i > 0) {
		r = template_snapshot_name(&b->t->layers, b->chains.items[i - 1], &below, err);
		start.origin = &below;
	}
	if (r == 0)
		r = template_work_begin(
			&b->layer, b->t, &b->t->layers, b->chains.items[i], &start, err);
	b->vanished = r == IMBREX_ENOENT;
	if (r != 0)
		return r;
	template_note(b->t, IMBREX_NOTE_INFO, "Building layer %.12s...", b->chains.items[i]);
	*ret_fd = b->layer.view.fd;
	return 0;
}

static int end_layer(void *ctx, size_t i, struct imbrex_error *err)
{
	struct build *b = ctx;
	const char *chain = b->chains.items[i];
	char text[HASH_TEXT_MAX];
	struct zfs_name name;
	int r = template_work_commit(&b->layer, err);

	template_work_free(&b->layer);
	if (r < 0)
		return r;
	r = template_name(&b->t->layers, chain, &name, err);
	if (r < 0)
		return r;
	/* After the documents: what passes by has no blob that could be named. */
	template_set(b->t, &name, "imbrex:diff-id", hash_format(&b->feed->diff_ids[i], text));
	if (b->im->manifest.n_layers > i && !b->im->source->ops->unpacked)
		template_set(b->t, &name, "enroot:layer-digest",
			hash_format(&b->im->manifest.layers[i].digest, text));
	return 0;
}

static int build_chain(struct build *b, struct imbrex_error *err)
{
	const struct feed_target target = { begin_layer, end_layer, b };
	int r = template_prepare(b->t, &b->t->layers, err);

	if (r == 0)
		r = find_here(b, err);
	return r < 0 ? r : feed_run(b->feed, b->n_here, &target, err);
}

/* ---- the template ---------------------------------------------------------------------- */

static int fill_flat(struct build *b, struct imbrex_error *err)
{
	const struct feed_target target = { begin_flat, end_flat, b };

	return feed_run(b->feed, 0, &target, err);
}

/* 1 if another process made it meanwhile. */
static int make(struct build *b, struct imbrex_error *err)
{
	bool chain = b->chains.n > 0;
	AUTO_WORK w = TEMPLATE_WORK_INIT;
	struct template_start start = { 0 };
	struct zfs_name leaf;
	int r = 0;

	if (chain) {
		r = build_chain(b, err);
		if (r == 0)
			r = template_snapshot_name(
				&b->t->layers, b->chains.items[b->chains.n - 1], &leaf, err);
		start.origin = &leaf;
	}
	if (r == 0)
		r = template_work_begin(&w, b->t, &b->t->templates, b->key, &start, err);
	if (chain && r == IMBREX_ENOENT)
		b->vanished = true;
	if (r != 0)
		return r;
	b->whole = &w;
	if (!chain)
		r = fill_flat(b, err);
	if (r == 0)
		r = import_configure(b->im, w.view.fd, err);
	return r < 0 ? r : template_work_commit(&w, err);
}

/* Was it here? 1: nothing was transferred. */
static int reuse(struct build *b, struct imbrex_error *err)
{
	struct zfs_name name;
	int r = template_has(b->t, &b->t->templates, b->key, err);

	if (r <= 0)
		return r;
	template_note(b->t, IMBREX_NOTE_INFO, "Reusing cached template %.12s", b->key);
	if (template_name(&b->t->templates, b->key, &name, NULL) == 0)
		template_touch(b->t, &name);
	return 1;
}

static int set_facts(const struct build *b, bool reused, struct imbrex_template_facts *ret,
	struct imbrex_error *err)
{
	char text[HASH_TEXT_MAX] = "";

	ret->reused = reused;
	/* Engines have no manifest of their own. */
	if (b->im->is_docker)
		(void)hash_format(&b->im->docs.digest, text);
	free(ret->manifest_digest);
	ret->manifest_digest = strdup(text);
	return ret->manifest_digest ? 0 : fail_nomem(err);
}

static int build_with(struct build *b, const char *source, const char *expect,
	struct imbrex_template_facts *ret, struct imbrex_error *err)
{
	int r = identify(b, source, err);

	if (r == 0 && b->t->layer_chain)
		r = name_chains(b, err);
	if (r < 0)
		return r;
	free(ret->key);
	ret->key = strdup(b->key);
	if (!ret->key)
		return fail_nomem(err);
	if (expect && !str_eq(expect, b->key))
		return fail(
			err, IMBREX_EDIGEST, "it is image %s, and no longer %s", b->key, expect);
	b->t->keep = &b->chains;
	r = template_sweep(b->t, EVICT_DUE, err);
	if (r == 0)
		r = reuse(b, err);
	if (r == 0) {
		r = make(b, err);
		return r < 0 ? r : set_facts(b, r > 0, ret, err);
	}
	return r < 0 ? r : set_facts(b, true, ret, err);
}

/* *ret_vanished: it is worth another try. */
static int build_once(struct imbrex_templates *t, const char *source,
	const struct imbrex_rootfs_opts *opts, const char *expect, bool make_room,
	struct imbrex_template_facts *ret, bool *ret_vanished, struct imbrex_error *err)
{
	AUTO_IMPORT im = IMPORT_INIT(opts);
	AUTO_FEED feed = { 0 };
	AUTO_BUILD b = { .t = t, .im = &im, .feed = &feed, .layer = TEMPLATE_WORK_INIT };
	struct imbrex_error ignored;
	int r;

	feed_init(&feed, &im);
	im.events = &feed.events;
	r = build_with(&b, source, expect, ret, err);
	*ret_vanished = b.vanished;
	/* While it is known which layers are needed. */
	template_work_free(&b.layer);
	if (r == IMBREX_ENOSPC && make_room) {
		template_note(t, IMBREX_NOTE_WARN,
			"No space left for %s; evicting all warm templates and retrying", source);
		if (template_sweep(t, EVICT_ALL, &ignored) < 0)
			r = IMBREX_ENOSPC;
	}
	t->keep = NULL;
	return r;
}

PUBLIC void imbrex_template_facts_done(struct imbrex_template_facts *f)
{
	free(f->key);
	free(f->manifest_digest);
	*f = (struct imbrex_template_facts){ 0 };
}

PUBLIC int imbrex_template_import(struct imbrex_templates *t, const char *source,
	const struct imbrex_rootfs_opts *opts, const char *expect,
	struct imbrex_template_facts *ret, struct imbrex_error *err)
{
	static const struct imbrex_rootfs_opts none = { 0 };
	unsigned int races = 0;
	bool make_room = true, vanished;
	int r;

	*ret = (struct imbrex_template_facts){ 0 };
	for (;;) {
		r = build_once(
			t, source, opts ? opts : &none, expect, make_room, ret, &vanished, err);
		if (r == IMBREX_ENOSPC && make_room)
			make_room = false;
		else if (!vanished || ++races == RACES_MAX)
			break;
	}
	return r < 0 ? wrap(err, r, "import %s", source) : 0;
}
