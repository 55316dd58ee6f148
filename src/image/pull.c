/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling: one image from any source into the store.
 *
 * Documents first (manifest, configuration), because they name every layer before a byte of one
 * moves: what the store has is not fetched. The missing layers arrive in parallel, each through a
 * chain of its own, into staging places nobody else sees; one commit makes the image visible.
 * A source that can be read only once (an archive from a pipe) hands its layers over before its
 * documents: they are staged unnamed and bound to the manifest afterwards.
 */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "image/document.h"
#include "image/early.h"
#include "image/layer.h"
#include "image/open.h"
#include "image/progress.h"
#include "imbrex/image.h"
#include "oci/chain.h"
#include "oci/config.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "os/pool.h"
#include "store/image.h"
#include "store/txn.h"

struct pull {
	struct imbrex_store *s;
	const struct imbrex_pull_opts *opts;
	struct source *source;
	bool is_docker;
	int partial_fd;
	char *username; /* owned; the password stands behind it */
	struct store_txn *txn;
	struct early *early; /* owned */
	struct source_manifest docs;
	struct oci_manifest manifest;
	struct str config_text;
	struct oci_config config;
	char (*ids)[ID_HEX_LEN + 1]; /* of the layers, bottom first; owned */
	struct txn_layer *layers;    /* likewise */
	struct hash_value *tocs;     /* of layers known by their TOC only, else not set; owned */
	bool has_tocs;
	size_t *missing; /* indexes of layers to fetch; owned */
	size_t n_missing;
	struct progress progress;
};

static void pull_done(struct pull *p)
{
	/* The transaction's layers are what the early jobs point to. */
	store_txn_free(p->txn);
	early_free(p->early);
	source_free(p->source);
	source_manifest_done(&p->docs);
	oci_manifest_done(&p->manifest);
	oci_config_done(&p->config);
	str_done(&p->config_text);
	free(p->ids);
	free(p->layers);
	free(p->missing);
	free(p->tocs);
	if (p->username) {
		explicit_bzero(p->username, strlen(p->opts->creds));
		free(p->username);
	}
	p->partial_fd = close_fd(p->partial_fd);
	progress_done(&p->progress);
}

/* ---- the source ------------------------------------------------------------------------ */

static void note_retry(void *userdata, const char *text)
{
	struct pull *p = userdata;

	progress_note(&p->progress, text);
}

static void tell(const struct pull *p, enum imbrex_rootfs_step step, size_t n, const char *text)
{
	if (p->opts->step)
		p->opts->step(p->opts->step_userdata, step, n, text);
}

static void note_event(
	void *userdata, enum repository_event event, long http_status, const char *text)
{
	tell(userdata, step_of_event(event), (size_t)http_status, text);
}

/* "user:password" of the caller, kept for the life of the source. */
static int split_creds(struct pull *p, struct creds_options *ret, struct imbrex_error *err)
{
	char *colon;

	if (!p->opts->creds)
		return 0;
	p->username = strdup(p->opts->creds);
	if (!p->username)
		return fail_nomem(err);
	colon = strchr(p->username, ':');
	if (colon)
		*colon = '\0';
	ret->username = p->username;
	ret->password = colon ? colon + 1 : NULL;
	return 0;
}

static int open_source(struct pull *p, const char *text, struct imbrex_error *err)
{
	struct source_opts so = {
		.events = early_events(p->early),
		.engine_timeout_ms = p->opts->engine_timeout_ms,
	};
	AUTO_LOCATOR where = { 0 };
	int r;

	r = locator_parse(text, &where, err);
	if (r < 0)
		return r;
	p->is_docker = where.kind == LOCATOR_DOCKER;
	if (p->is_docker) {
		/* Best effort: without the directory a broken pull starts over. */
		if (mkdirs_at(p->s->graphfd, "imbrex/partial", 0700, NULL) == 0)
			p->partial_fd = open_dir_at(p->s->graphfd, "imbrex/partial", NULL);
		so.docker.partial_dirfd = p->partial_fd;
		so.docker.repository.tls_verify = p->opts->tls_verify > 0   ? TLS_VERIFY_ON
						  : p->opts->tls_verify < 0 ? TLS_VERIFY_OFF
									    : TLS_VERIFY_DEFAULT;
		r = split_creds(p, &so.docker.repository.creds, err);
		if (r < 0)
			return r;
		so.docker.repository.creds.authfile = p->opts->authfile;
		so.docker.repository.cert_dir = p->opts->cert_dir;
		so.docker.repository.n_tries = p->opts->tries;
		so.docker.repository.http.connect_timeout_ms =
			MIN(p->opts->connect_timeout_sec, UINT_MAX / 1000) * 1000;
		so.docker.repository.http.transfer_timeout_ms =
			MIN(p->opts->transfer_timeout_sec, UINT_MAX / 1000) * 1000;
		so.docker.repository.note = note_retry;
		so.docker.repository.event = note_event;
		so.docker.repository.userdata = p;
	}
	tell(p, IMBREX_ROOTFS_QUERY, 0, NULL);
	return image_source_open(&where, &so, p->s, &p->source, err);
}

/* ---- documents ------------------------------------------------------------------------- */

static int fetch_config(struct pull *p, struct imbrex_error *err)
{
	const struct oci_descriptor *d = &p->manifest.config;
	int r = image_fetch_document(p->source, d, &p->config_text, err);

	return r < 0 ? wrap(err, r, "image configuration %s", digest_short(&d->digest)) : 0;
}

static int fetch_documents(struct pull *p, struct imbrex_error *err)
{
	struct platform want;
	int r;

	r = p->opts->platform ? platform_parse(p->opts->platform, &want, err)
			      : platform_host(&want, err);
	if (r < 0)
		return r;
	r = p->source->ops->manifest(p->source, &want, &p->docs, err);
	if (r < 0)
		return r;
	r = oci_manifest_parse(p->docs.media_type, str_text(&p->docs.manifest),
		p->docs.manifest.len, &p->manifest, err);
	if (r < 0)
		return r;
	r = fetch_config(p, err);
	if (r < 0)
		return r;
	r = oci_config_parse(str_text(&p->config_text), p->config_text.len, &p->config, err);
	return r < 0 ? r : oci_config_check_layers(&p->config, p->manifest.n_layers, err);
}

/* ---- what is missing ------------------------------------------------------------------- */

/* Digest of a layer's table of contents, as its descriptor has it: 1 and *ret, or 0. */
static int toc_of(const struct oci_descriptor *d, struct hash_value *ret, struct imbrex_error *err)
{
	static const char *const keys[] = {
		"io.github.containers.zstd-chunked.manifest-checksum",
		"containerd.io/snapshot/stargz/toc.digest",
	};
	const char *text = NULL;
	size_t i, k;

	for (k = 0; k < ARRAY_LEN(keys); k++) {
		for (i = 0; i + 1 < d->annotations.n; i += 2) {
			if (!str_eq(d->annotations.items[i], keys[k]))
				continue;
			if (text)
				return fail(err, IMBREX_EFORMAT,
					"layer %s has tables of contents of two kinds",
					digest_short(&d->digest));
			text = d->annotations.items[i + 1];
		}
	}
	if (!text)
		return 0;
	return digest_parse(text, strlen(text), ret, err) < 0 ? err ? err->status : IMBREX_EFORMAT
							      : 1;
}

/*
 * A layer of an additional layer store takes the place of the one that would be fetched: 1, named
 * by its TOC, because nobody has compared its content with the DiffID. 0: it must be fetched, or is
 * here, checked.
 */
static int find_additional(struct pull *p, size_t i, struct imbrex_error *err)
{
	struct hash_value toc;
	char id[ID_HEX_LEN + 1];
	const char *const ids[] = { p->ids[i], id };
	bool have[2];
	int r;

	r = toc_of(&p->manifest.layers[i], &toc, err);
	if (r <= 0)
		return r;
	r = layer_id_toc(i ? p->ids[i - 1] : NULL, &toc, id, err);
	if (r == 0)
		r = store_have_layers(p->s, ids, ARRAY_LEN(ids), have, err);
	if (r < 0 || have[0])
		return r;
	if (!have[1]) {
		r = store_txn_layer_additional(
			p->txn, &toc, p->docs.name ? p->docs.name : "", &p->layers[i].staged, err);
		if (r <= 0)
			return r;
	}
	memcpy(p->ids[i], id, sizeof(id));
	p->tocs[i] = toc;
	p->has_tocs = true;
	return 1;
}

static int name_layers(struct pull *p, struct imbrex_error *err)
{
	size_t n = p->manifest.n_layers;
	size_t i;
	int r;

	p->ids = calloc(n + 1, sizeof(*p->ids));
	p->layers = calloc(n + 1, sizeof(*p->layers));
	p->missing = calloc(n + 1, sizeof(*p->missing));
	p->tocs = calloc(n + 1, sizeof(*p->tocs));
	if (!p->ids || !p->layers || !p->missing || !p->tocs)
		return fail_nomem(err);
	for (i = 0; i < n; i++) {
		r = layer_id(i ? p->ids[i - 1] : NULL, &p->config.diff_ids[i], p->ids[i], err);
		if (r < 0)
			return r;
		p->layers[i].id = p->ids[i];
		if (!store_txn_has_additional(p->txn))
			continue;
		r = find_additional(p, i, err);
		if (r < 0)
			return wrap(
				err, r, "layer %s", digest_short(&p->manifest.layers[i].digest));
	}
	return 0;
}

static int find_missing(struct pull *p, struct imbrex_error *err)
{
	size_t n = p->manifest.n_layers;
	AUTO_FREE const char **ids = calloc(n + 1, sizeof(*ids));
	AUTO_FREE bool *have = calloc(n + 1, sizeof(*have));
	struct layer_job *job;
	size_t i;
	int r;

	if (!ids || !have)
		return fail_nomem(err);
	for (i = 0; i < n; i++)
		ids[i] = p->ids[i];
	r = store_have_layers(p->s, ids, n, have, err);
	for (i = n; r == 0 && i-- > 0;) {
		if (have[i]) {
			r = store_txn_stand_on(p->txn, ids[i], err);
			break;
		}
	}
	for (i = 0; r == 0 && i < n; i++) {
		if ((have[i] && !early_holds(p->early, i)) || p->layers[i].staged) {
			progress_skip(&p->progress, &p->manifest.layers[i].digest);
			continue;
		}
		r = early_find(p->early, p->source, &p->manifest.layers[i], i, &job, err);
		if (r < 0)
			break;
		if (!job) {
			p->missing[p->n_missing++] = i;
			continue;
		}
		r = layer_job_bind(job, &p->manifest.layers[i], &p->config.diff_ids[i], err);
		p->layers[i].staged = job->staged;
	}
	return r;
}

/* ---- layers ---------------------------------------------------------------------------- */

static int pull_layer(void *ctx, size_t index, struct imbrex_error *err)
{
	struct pull *p = ctx;
	size_t i = p->missing[index];
	const struct oci_descriptor *d = &p->manifest.layers[i];
	struct layer_job job = { .blob = p->source->ops->unpacked ? NULL : d,
		.diff_id = &p->config.diff_ids[i] };
	AUTO_SINK struct sink *chain = NULL;
	AUTO_SINK struct sink *watched = NULL;
	const char *below = NULL;
	int r;

	if (i > 0 && !p->layers[i - 1].staged)
		below = p->ids[i - 1];
	r = store_txn_layer_new(p->txn, store_txn_independent(p->txn) ? NULL : below,
		i > 0 && !store_txn_independent(p->txn) ? p->layers[i - 1].staged : NULL,
		storage_source_content(p->source, i), &job.staged, err);
	if (r == 0)
		r = layer_chain_new(&job, &chain, err);
	if (r < 0)
		return wrap(err, r, "layer %s", digest_short(&d->digest));
	r = progress_sink_new(&p->progress, &d->digest, d->size_bytes, chain, &watched, err);
	if (r < 0)
		return r;
	chain = NULL;
	r = p->source->ops->blob(p->source, d, watched, err);
	if (r < 0) {
		if (r == IMBREX_EDIGEST && p->is_docker)
			docker_source_forget_partial(p->source, d);
		progress_cancel(&p->progress);
		return wrap(err, r, "layer %s", digest_short(&d->digest));
	}
	p->layers[i].staged = job.staged;
	return 0;
}

static int pull_layers(struct pull *p, struct imbrex_error *err)
{
	size_t jobs = p->opts->jobs ? p->opts->jobs : MAX(pool_n_cpus(), (size_t)3);

	/* A driver whose layers copy their parents builds from the bottom, one after the other. */
	if (!store_txn_independent(p->txn))
		jobs = 1;
	return pool_run(p->n_missing, jobs, pull_layer, p, err);
}

/* ---- the image ------------------------------------------------------------------------- */

#define N_DOCUMENTS_MAX 5

static int commit(struct pull *p, const char *id, struct imbrex_error *err)
{
	struct bigdata documents[N_DOCUMENTS_MAX];
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *metadata = NULL;
	AUTO_FREE char *signature = NULL;
	AUTO_STRV keys = { 0 };
	char text[HASH_TEXT_MAX];
	char hex[HASH_HEX_MAX];
	size_t n = 0;
	int r;

	if (p->opts->name) {
		r = image_complete_name(p->opts->name, &name, err);
		if (r < 0)
			return r;
	}
	metadata = format_text(
		"{\"signatures-sizes\":{\"%s\":[]}}", hash_format(&p->docs.digest, text));
	signature = format_text("signature-%s", hash_hex(&p->docs.digest, hex));
	if (!metadata || !signature ||
		(p->has_tocs ? strv_add(&keys, hash_format(&p->manifest.config.digest, text))
			     : strv_addf(&keys, "sha256:%s", id)) < 0 ||
		strv_addf(&keys, "manifest-%s", hash_format(&p->docs.list_digest, text)) < 0 ||
		strv_addf(&keys, "manifest-%s", hash_format(&p->docs.digest, text)) < 0)
		return fail_nomem(err);
	documents[n++] =
		(struct bigdata){ keys.items[0], str_text(&p->config_text), p->config_text.len };
	if (p->docs.list.len && !hash_equal(&p->docs.list_digest, &p->docs.digest))
		documents[n++] =
			(struct bigdata){ keys.items[1], p->docs.list.data, p->docs.list.len };
	documents[n++] = (struct bigdata){ keys.items[2], str_text(&p->docs.manifest),
		p->docs.manifest.len };
	documents[n++] =
		(struct bigdata){ "manifest", str_text(&p->docs.manifest), p->docs.manifest.len };
	documents[n++] = (struct bigdata){ signature, "", 0 };
	return store_txn_commit(p->txn, p->layers, p->manifest.n_layers,
		&(struct txn_image){
			.id = id,
			.name = name ? name : p->docs.name,
			.created = p->config.created,
			.digest = p->docs.digest,
			.metadata = metadata,
			.documents = documents,
			.n_documents = n,
		},
		!p->opts->no_sync, err);
}

/* The image is here: give it the name, and say its id. 1, or 0 if it has gone just now. */
static int name_it(struct pull *p, const char *id, const char *source_name, char **ret_id,
	struct imbrex_error *err)
{
	AUTO_FREE char *name = NULL;
	int r = 0;

	if (p->opts->name)
		r = image_complete_name(p->opts->name, &name, err);
	else if (source_name)
		name = strdup(source_name);
	if (r == 0 && (p->opts->name || source_name) && !name)
		r = fail_nomem(err);
	if (r == 0 && name)
		r = imbrex_image_tag(p->s, id, name, err);
	if (r < 0)
		return r == IMBREX_ENOENT ? 0 : r;
	*ret_id = strdup(id);
	return *ret_id ? 1 : fail_nomem(err);
}

/* What the source announces, if it does: 1 if the store has it, and now under that name. */
static int hear(struct pull *p, char **ret_id, struct imbrex_error *err)
{
	const char *same = storage_source_same(p->source);
	struct source_outline outline;
	char id[ID_HEX_LEN + 1];
	int r;

	if (same)
		return name_it(p, same, NULL, ret_id, err);
	/* It speaks of the platform of its own choice. */
	if (!p->source->ops->outline || p->opts->platform)
		return 0;
	r = p->source->ops->outline(p->source, &outline, err);
	if (r == 0)
		r = early_expect(p->early, &outline, err);
	if (r == 0)
		r = early_is_here(p->early, &outline, err);
	if (r <= 0)
		return r;
	r = image_id(&outline.image, NULL, 0, id, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < outline.n_diff_ids; i++)
		progress_skip(&p->progress, &outline.diff_ids[i]);
	return name_it(p, id, outline.name, ret_id, err);
}

static int pull(struct pull *p, const char *source, char **ret_id, struct imbrex_error *err)
{
	char id[ID_HEX_LEN + 1];
	char *copy;
	int r;

	r = store_txn_begin(p->s, &p->txn, err);
	if (r < 0)
		return r;
	r = early_new(p->s, p->txn, &p->progress, &p->early, err);
	if (r < 0)
		return r;
	r = open_source(p, source, err);
	if (r < 0)
		return r;
	r = hear(p, ret_id, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = fetch_documents(p, err);
	if (r < 0)
		return r;
	tell(p, IMBREX_ROOTFS_MANIFEST, p->manifest.n_layers, NULL);
	r = name_layers(p, err);
	if (r < 0)
		return r;
	r = image_id(&p->manifest.config.digest, p->has_tocs ? p->tocs : NULL,
		p->has_tocs ? p->manifest.n_layers : 0, id, err);
	if (r < 0)
		return r;
	r = find_missing(p, err);
	if (r < 0)
		return r;
	tell(p, IMBREX_ROOTFS_DOWNLOAD, p->n_missing, NULL);
	r = pull_layers(p, err);
	if (r < 0)
		return r;
	progress_note(&p->progress, "writing the image record");
	r = commit(p, id, err);
	if (r < 0)
		return r;
	copy = strdup(id);
	if (!copy)
		return fail_nomem(err);
	*ret_id = copy;
	return 0;
}

PUBLIC int imbrex_pull(struct imbrex_store *s, const char *source,
	const struct imbrex_pull_opts *opts, char **ret_id, struct imbrex_error *err)
{
	static const struct imbrex_pull_opts none = { 0 };
	int tries_left = 3;
	int r;

	do {
		struct pull p = { .s = s, .opts = opts ? opts : &none, .partial_fd = -EBADF };

		progress_init(&p.progress, p.opts->progress, p.opts->progress_userdata);
		r = pull(&p, source, ret_id, err);
		pull_done(&p);
		/* A layer that was here when we looked is gone: look again. */
	} while (r == IMBREX_EBUSY && --tries_left > 0);
	return r < 0 ? wrap(err, r, "pull %s", source) : 0;
}
