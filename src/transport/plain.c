/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest(): push -> digest -> count -> tar reader -> newest time; then the documents.
 * blob():     push -> the caller's sink.
 */
#include "transport/plain.h"

#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "format/tar/reader.h"
#include "oci/config.h"
#include "oci/digest.h"
#include "stream/count.h"
#include "stream/digest.h"
#include "transport/documents.h"

struct plain {
	struct source source;
	struct source_ops ops; /* what source.ops points to */
	plain_push_fn push;
	int fd;                          /* owned; a file that can seek, or a directory */
	char *path;                      /* owned; as the user gave it */
	struct str config;               /* owned; after manifest() */
	struct hash_value config_digest; /* after manifest() */
	struct hash_value layer_digest;  /* after manifest() */
	uint64_t layer_bytes;            /* after manifest() */
};

/* Keeps the newest time of all entries. */
struct newest {
	struct entry_sink sink;
	int64_t *ret_sec; /* borrowed */
};

static int newest_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct newest *n = CONTAINER_OF(s, struct newest, sink);

	if (e->mtime_sec > *n->ret_sec)
		*n->ret_sec = e->mtime_sec;
	return 0;
}

static int newest_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return 0;
}

static int newest_end(struct entry_sink *s, struct imbrex_error *err)
{
	return 0;
}

static void newest_free(struct entry_sink *s)
{
	free(CONTAINER_OF(s, struct newest, sink));
}

static const struct entry_sink_ops newest_ops = {
	.begin = newest_begin,
	.data = newest_data,
	.end = newest_end,
	.finish = newest_end,
	.free = newest_free,
};

static int newest_new(int64_t *ret_sec, struct entry_sink **ret, struct imbrex_error *err)
{
	struct newest *n = calloc(1, sizeof(*n));

	if (!n)
		return fail_nomem(err);
	n->sink.ops = &newest_ops;
	n->ret_sec = ret_sec;
	*ret = &n->sink;
	return 0;
}

/* The chain that manifest() pushes through. */
static int measure_new(
	struct plain *p, int64_t *ret_newest_sec, struct sink **ret, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *newest = NULL;
	AUTO_SINK struct sink *reader = NULL;
	AUTO_SINK struct sink *count = NULL;
	int r;

	r = newest_new(ret_newest_sec, &newest, err);
	if (r < 0)
		return r;
	r = tar_reader_new(newest, NULL, &reader, err);
	if (r < 0)
		return r;
	newest = NULL;
	r = count_sink_new(&p->layer_bytes, reader, &count, err);
	if (r < 0)
		return r;
	reader = NULL;
	r = digest_sink_new(HASH_SHA256, NULL, &p->layer_digest, count, ret, err);
	if (r < 0)
		return r;
	count = NULL;
	return 0;
}

static int measure(struct plain *p, int64_t *ret_newest_sec, struct imbrex_error *err)
{
	AUTO_SINK struct sink *chain = NULL;
	int r;

	p->layer_bytes = 0;
	*ret_newest_sec = 0;
	r = measure_new(p, ret_newest_sec, &chain, err);
	if (r < 0)
		return r;
	return p->push(p->fd, chain, err);
}

/* RFC 3339 of a time between 1970 and 9999; others are moved to the nearer end. */
static char *time_text(int64_t sec)
{
	time_t t = (time_t)MIN(MAX(sec, 0), INT64_C(253402300799));
	struct tm tm;
	char text[32];

	if (!gmtime_r(&t, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return NULL;
	return strdup(text);
}

static int fill_config(const struct plain *p, const struct platform *want, int64_t newest_sec,
	struct oci_config *c, struct imbrex_error *err)
{
	int r = 0;

	if (want)
		c->platform = *want;
	else
		r = platform_host(&c->platform, err);
	if (r < 0)
		return r;
	c->created = time_text(newest_sec);
	c->diff_ids = calloc(1, sizeof(*c->diff_ids));
	c->history = calloc(1, sizeof(*c->history));
	if (!c->created || !c->diff_ids || !c->history)
		return fail_nomem(err);
	c->diff_ids[0] = p->layer_digest;
	c->n_diff_ids = 1;
	c->n_history = 1;
	c->history[0].created = strdup(c->created);
	c->history[0].created_by = format_text("imbrex: %s", p->source.ops->name);
	if (!c->history[0].created || !c->history[0].created_by)
		return fail_nomem(err);
	return 0;
}

static int make_config(
	struct plain *p, const struct platform *want, int64_t newest_sec, struct imbrex_error *err)
{
	AUTO_OCI_CONFIG config = { 0 };
	int r;

	r = fill_config(p, want, newest_sec, &config, err);
	if (r < 0)
		return r;
	str_done(&p->config);
	p->config = (struct str)STR_INIT(LIMIT_CONFIG_BYTES);
	r = oci_config_write(&config, &p->config, err);
	if (r < 0)
		return r;
	r = hash_bytes(HASH_SHA256, str_text(&p->config), p->config.len, &p->config_digest);
	return r < 0 ? fail_code(err, r, "hash the configuration") : 0;
}

static int make_manifest(const struct plain *p, struct str *ret, struct imbrex_error *err)
{
	AUTO_OCI_MANIFEST m = { .media = OCI_MEDIA_MANIFEST };

	m.layers = calloc(1, sizeof(*m.layers));
	if (!m.layers)
		return fail_nomem(err);
	m.n_layers = 1;
	m.config.media = OCI_MEDIA_CONFIG;
	m.config.media_type = strdup(OCI_TYPE_CONFIG);
	m.config.digest = p->config_digest;
	m.config.size_bytes = p->config.len;
	m.layers[0].media = OCI_MEDIA_LAYER;
	m.layers[0].media_type = strdup(OCI_TYPE_LAYER);
	m.layers[0].digest = p->layer_digest;
	m.layers[0].size_bytes = p->layer_bytes;
	if (!m.config.media_type || !m.layers[0].media_type)
		return fail_nomem(err);
	return oci_manifest_write(&m, ret, err);
}

static int make_documents(struct plain *p, const struct platform *want, struct source_manifest *ret,
	struct imbrex_error *err)
{
	int64_t newest_sec;
	int r;

	r = measure(p, &newest_sec, err);
	if (r < 0)
		return r;
	r = make_config(p, want, newest_sec, err);
	if (r < 0)
		return r;
	ret->manifest = (struct str)STR_INIT(LIMIT_MANIFEST_BYTES);
	r = make_manifest(p, &ret->manifest, err);
	if (r < 0)
		return r;
	r = hash_bytes(HASH_SHA256, str_text(&ret->manifest), ret->manifest.len, &ret->digest);
	if (r < 0)
		return fail_code(err, r, "hash the manifest");
	ret->media_type = strdup(OCI_TYPE_MANIFEST);
	if (!ret->media_type)
		return fail_nomem(err);
	return name_from_path(p->path, NULL, &ret->name, err);
}

static int plain_manifest(struct source *s, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	struct plain *p = CONTAINER_OF(s, struct plain, source);
	struct source_manifest m = { 0 };
	int r = make_documents(p, want, &m, err);

	if (r < 0) {
		source_manifest_done(&m);
		return wrap(err, r, "%s:%s", s->ops->name, p->path);
	}
	*ret = m;
	return 0;
}

static int plain_blob(
	struct source *s, const struct oci_descriptor *d, struct sink *to, struct imbrex_error *err)
{
	struct plain *p = CONTAINER_OF(s, struct plain, source);
	int r;

	if (hash_equal(&d->digest, &p->config_digest)) {
		r = sink_write(to, str_text(&p->config), p->config.len, err);
		return r < 0 ? r : sink_finish(to, err);
	}
	if (!hash_equal(&d->digest, &p->layer_digest))
		return fail(err, IMBREX_ENOENT, "%s:%s: no blob %s", s->ops->name, p->path,
			digest_text(&d->digest));
	r = p->push(p->fd, to, err);
	if (r == IMBREX_EDIGEST)
		return wrap(err, r, "%s:%s changed since it was read first", s->ops->name, p->path);
	return r;
}

static void plain_free(struct source *s)
{
	struct plain *p = CONTAINER_OF(s, struct plain, source);

	(void)close_fd(p->fd);
	str_done(&p->config);
	free(p->path);
	free(p);
}

static const struct source_ops plain_ops = {
	.manifest = plain_manifest,
	.blob = plain_blob,
	.free = plain_free,
};

int plain_source_new(const char *scheme, plain_push_fn push, int fd, const char *path,
	struct source **ret, struct imbrex_error *err)
{
	struct plain *p = calloc(1, sizeof(*p));

	if (!p)
		return fail_nomem(err);
	p->path = strdup(path);
	if (!p->path) {
		free(p);
		return fail_nomem(err);
	}
	p->ops = plain_ops;
	p->ops.name = scheme;
	p->source.ops = &p->ops;
	p->push = push;
	p->fd = fd;
	*ret = &p->source;
	return 0;
}
