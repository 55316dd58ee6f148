/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check and repair, with a source that has what the store has lost: the image there is opened when
 * something of it is first asked for, and nothing but what is damaged is fetched. The source is an
 * image anywhere, or another store with all that it has.
 */
#include "store/repair.h"

#include <stdlib.h>
#include <string.h>

#include "image/document.h"
#include "image/sibling.h"
#include "oci/config.h"
#include "oci/manifest.h"
#include "transport/open.h"

struct helper {
	struct imbrex_store *store;
	const struct imbrex_check_opts *opts;
	struct sibling *sibling;       /* another store; then there is no source */
	char *sibling_layer;           /* owned; its id there */
	struct oci_descriptor by_diff; /* of that layer: all there is to say */
	struct source *source;
	struct source_manifest docs;
	struct oci_manifest manifest;
	struct str config_text;
	struct oci_config config;
	bool opened;
	int status; /* of opening; with `why` */
	struct imbrex_error why;
};

static void helper_done(struct helper *h)
{
	sibling_free(h->sibling);
	free(h->sibling_layer);
	source_free(h->source);
	source_manifest_done(&h->docs);
	oci_manifest_done(&h->manifest);
	oci_config_done(&h->config);
	str_done(&h->config_text);
}

static int open_image(struct helper *h, struct imbrex_error *err)
{
	struct source_opts so = { .docker = { .partial_dirfd = -EBADF } };
	AUTO_LOCATOR where = { 0 };
	struct platform want;
	int r;

	r = locator_parse(h->opts->from, &where, err);
	if (r == 0)
		r = source_open(&where, &so, &h->source, err);
	if (r == 0)
		r = platform_host(&want, err);
	if (r == 0)
		r = h->source->ops->manifest(h->source, &want, &h->docs, err);
	if (r == 0)
		r = oci_manifest_parse(h->docs.media_type, str_text(&h->docs.manifest),
			h->docs.manifest.len, &h->manifest, err);
	if (r == 0)
		r = image_fetch_document(h->source, &h->manifest.config, &h->config_text, err);
	if (r == 0)
		r = oci_config_parse(
			str_text(&h->config_text), h->config_text.len, &h->config, err);
	return r < 0 ? r : oci_config_check_layers(&h->config, h->manifest.n_layers, err);
}

/* Once; what came of it the first time is what is said later. */
static int need(struct helper *h, struct imbrex_error *err)
{
	if (!h->opened) {
		h->opened = true;
		h->status = sibling_is_named(h->opts->from)
				    ? sibling_open(h->opts->from, h->store, &h->sibling, &h->why)
				    : open_image(h, &h->why);
	}
	if (h->status < 0 && err)
		*err = h->why;
	return h->status < 0 ? wrap(err, h->status, "%s", h->opts->from) : 0;
}

static int find_layer(void *ctx, const struct hash_value *diff_id,
	const struct oci_descriptor **ret, struct imbrex_error *err)
{
	struct helper *h = ctx;
	char text[HASH_TEXT_MAX];
	size_t i;
	int r = need(h, err);

	if (r == 0 && h->sibling) {
		free(take_ptr(h->sibling_layer));
		h->by_diff = (struct oci_descriptor){ .digest = *diff_id };
		*ret = &h->by_diff;
		return sibling_find_layer(h->sibling, diff_id, &h->sibling_layer, err);
	}
	for (i = 0; r == 0 && i < h->config.n_diff_ids; i++) {
		if (hash_equal(&h->config.diff_ids[i], diff_id)) {
			*ret = &h->manifest.layers[i];
			return 0;
		}
	}
	return r < 0 ? r
		     : fail(err, IMBREX_ENOENT, "%s has no layer %s", h->opts->from,
			       hash_format(diff_id, text));
}

static int push_blob(
	void *ctx, const struct oci_descriptor *d, struct sink *to, struct imbrex_error *err)
{
	struct helper *h = ctx;

	return h->sibling ? sibling_push(h->sibling, h->sibling_layer, to, err)
			  : h->source->ops->blob(h->source, d, to, err);
}

static int find_document(
	void *ctx, const struct hash_value *digest, struct str *ret, struct imbrex_error *err)
{
	struct helper *h = ctx;
	const struct str *found = NULL;
	int r = need(h, err);

	if (r < 0)
		return r;
	if (h->sibling)
		return sibling_document(h->sibling, digest, ret, err);
	if (hash_equal(digest, &h->manifest.config.digest))
		found = &h->config_text;
	else if (hash_equal(digest, &h->docs.digest))
		found = &h->docs.manifest;
	else if (h->docs.list.len && hash_equal(digest, &h->docs.list_digest))
		found = &h->docs.list;
	if (!found)
		return fail(err, IMBREX_ENOENT, "%s has no such document", h->opts->from);
	r = str_append(ret, str_text(found), found->len);
	return r < 0 ? fail_nomem(err) : 0;
}

PUBLIC int imbrex_check(struct imbrex_store *s, const struct imbrex_check_opts *opts,
	struct imbrex_problem **ret, size_t *ret_n, struct imbrex_error *err)
{
	static const struct imbrex_check_opts none = { 0 };
	struct helper h = { .store = s, .opts = opts ? opts : &none };
	const struct repair_source source = {
		.ctx = &h, .find_layer = find_layer, .blob = push_blob, .document = find_document
	};
	struct findings found = { 0 };
	int r;

	r = store_check(s, h.opts, h.opts->from ? &source : NULL, &found, err);
	helper_done(&h);
	if (r < 0)
		return r;
	*ret = found.items;
	*ret_n = found.n;
	return 0;
}
