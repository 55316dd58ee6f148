/* SPDX-License-Identifier: Apache-2.0 */
/* What an image's configuration says: its history, joined with the layers, and what to run. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "imbrex/image.h"
#include "oci/config.h"
#include "store/layer.h"
#include "store/store.h"

static int load_config(
	struct imbrex_store *s, const char *image, struct oci_config *ret, struct imbrex_error *err)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	int r;

	r = imbrex_image_config(s, image, &text, &len, err);
	if (r < 0)
		return r;
	r = oci_config_parse(text, len, ret, err);
	return r < 0 ? wrap(err, r, "image %s", image) : 0;
}

PUBLIC void imbrex_history_free(struct imbrex_history *history, size_t n)
{
	size_t i;

	for (i = 0; history && i < n; i++) {
		free(history[i].created);
		free(history[i].created_by);
		free(history[i].comment);
		free(history[i].layer);
	}
	free(history);
}

/* Layer records of the image, base first: indexes into the table that is held. */
static int layer_chain(struct imbrex_store *s, const char *image, struct found *ret, size_t *ret_n,
	struct imbrex_error *err)
{
	struct layer_walk w;
	struct found f;
	size_t n = 0;
	size_t i;
	int r;

	r = store_find_image(s, image, &f, err);
	if (r < 0)
		return r;
	layer_walk(s, record_plain(found_record(&f), IMAGE_LAYER), &w);
	for (; w.more && n < LIMIT_IMAGE_LAYERS; layer_walk_next(s, &w))
		ret[n++] = w.at;
	for (i = 0; i < n / 2; i++) {
		struct found swap = ret[i];

		ret[i] = ret[n - 1 - i];
		ret[n - 1 - i] = swap;
	}
	*ret_n = n;
	return 0;
}

static char *text_or_empty(const char *text)
{
	return strdup(text ? text : "");
}

static int fill_history(
	const struct oci_history *h, const struct found *layer, struct imbrex_history *ret)
{
	ret->created = text_or_empty(h->created);
	ret->created_by = text_or_empty(h->created_by);
	ret->comment = text_or_empty(h->comment);
	ret->empty_layer = h->empty_layer;
	ret->size_bytes = h->empty_layer ? 0 : -1;
	if (layer) {
		ret->layer = record_text(found_record(layer), LAYER_ID);
		ret->size_bytes = record_int(found_record(layer), LAYER_DIFF_SIZE, 0);
	} else {
		ret->layer = strdup("");
	}
	return ret->created && ret->created_by && ret->comment && ret->layer ? 0 : -ENOMEM;
}

PUBLIC int imbrex_image_history(struct imbrex_store *s, const char *image,
	struct imbrex_history **ret, size_t *ret_n, struct imbrex_error *err)
{
	AUTO_OCI_CONFIG config = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	struct found chain[LIMIT_IMAGE_LAYERS];
	struct imbrex_history *history;
	size_t n_chain = 0;
	size_t used = 0;
	size_t i;
	int r;

	r = load_config(s, image, &config, err);
	if (r < 0)
		return r;
	r = store_hold(s, HOLD_LAYERS | HOLD_IMAGES, &hold, err);
	if (r == 0)
		r = layer_chain(s, image, chain, &n_chain, err);
	if (r < 0)
		return r;
	history = calloc(config.n_history + 1, sizeof(*history));
	if (!history)
		return fail_nomem(err);
	for (i = 0; i < config.n_history; i++) {
		const struct found *layer = NULL;

		if (!config.history[i].empty_layer && used < n_chain)
			layer = &chain[used++];
		if (fill_history(&config.history[i], layer, &history[i]) < 0) {
			imbrex_history_free(history, i + 1);
			return fail_nomem(err);
		}
	}
	*ret = history;
	*ret_n = config.n_history;
	return 0;
}

PUBLIC void imbrex_image_process_done(struct imbrex_image_process *p)
{
	imbrex_strings_free(p->env);
	imbrex_strings_free(p->entrypoint);
	imbrex_strings_free(p->cmd);
	free(p->user);
	free(p->working_dir);
	free(p->stop_signal);
	*p = (struct imbrex_image_process){ 0 };
}

PUBLIC int imbrex_image_process(struct imbrex_store *s, const char *image,
	struct imbrex_image_process *ret, struct imbrex_error *err)
{
	AUTO_OCI_CONFIG config = { 0 };
	struct imbrex_image_process p;
	int r;

	r = load_config(s, image, &config, err);
	if (r < 0)
		return r;
	p.env = strings_take(&config.env);
	p.entrypoint = strings_take(&config.entrypoint);
	p.cmd = strings_take(&config.cmd);
	p.user = text_or_empty(config.user);
	p.working_dir = text_or_empty(config.working_dir);
	p.stop_signal = text_or_empty(config.stop_signal);
	if (!p.env || !p.entrypoint || !p.cmd || !p.user || !p.working_dir || !p.stop_signal) {
		imbrex_image_process_done(&p);
		return fail_nomem(err);
	}
	*ret = p;
	return 0;
}
