/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for test_faults.py: pulls one image through the docker source into nothing and prints
 * what happened as lines of text.
 *
 *   manifest <digest> <media type>     list <digest>     name <reference>
 *   blob <digest> <size> ok            note <text>       bytes <n> ns <n>
 *   error <status name>: <message>     hint <text>       of whatever failed; exit 1
 */
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci/digest.h"
#include "os/clock.h"
#include "transport/docker.h"

/* Hashes what comes, by libcrypto alone: an oracle beside the product's own stages. */
struct hash_sink {
	struct sink base;
	EVP_MD_CTX *md; /* NULL: only count */
	const struct oci_descriptor *want;
	uint64_t n_bytes;
	uint64_t fail_at; /* refuse to take more than this; 0: never */
};

static int hash_write(struct sink *base, const void *buf, size_t len, struct imbrex_error *err)
{
	struct hash_sink *s = CONTAINER_OF(base, struct hash_sink, base);

	s->n_bytes += len;
	if (s->fail_at && s->n_bytes > s->fail_at)
		return fail(err, IMBREX_ENOSPC, "the disk is full");
	if (s->md && EVP_DigestUpdate(s->md, buf, len) != 1)
		return fail(err, IMBREX_EFAIL, "libcrypto");
	return 0;
}

static int hash_finish(struct sink *base, struct imbrex_error *err)
{
	struct hash_sink *s = CONTAINER_OF(base, struct hash_sink, base);
	struct hash_value got = { .algorithm = s->want->digest.algorithm };

	if (s->n_bytes != s->want->size_bytes)
		return fail(err, IMBREX_EDIGEST, "got %" PRIu64 " bytes", s->n_bytes);
	if (s->md && EVP_DigestFinal_ex(s->md, got.bytes, NULL) != 1)
		return fail(err, IMBREX_EFAIL, "libcrypto");
	if (s->md && !hash_equal(&got, &s->want->digest))
		return fail(err, IMBREX_EDIGEST, "blob %s: the bytes are %s",
			digest_short(&s->want->digest), digest_short(&got));
	return 0;
}

static void hash_free(struct sink *base)
{
	EVP_MD_CTX_free(CONTAINER_OF(base, struct hash_sink, base)->md);
}

static const struct sink_ops hash_ops = { "hash", hash_write, hash_finish, hash_free };

struct settings {
	struct docker_options docker;
	const char *reference;
	const char *platform;
	bool manifest_only;
	bool count_only;
	unsigned int n_jobs;
	uint64_t fail_at;
};

struct pull {
	const struct settings *settings;
	struct source *source;
	const struct oci_descriptor **blobs;
	size_t n_blobs;
	size_t next;
	int status; /* first failure */
	uint64_t n_bytes;
	struct imbrex_error err;
	pthread_mutex_t lock;
};

static int pull_blob(struct pull *p, const struct oci_descriptor *d, struct imbrex_error *err)
{
	struct hash_sink sink = { .base = { &hash_ops }, .want = d };
	int r;

	sink.fail_at = p->settings->fail_at;
	if (!p->settings->count_only) {
		sink.md = EVP_MD_CTX_new();
		(void)EVP_DigestInit_ex(sink.md,
			d->digest.algorithm == HASH_SHA256 ? EVP_sha256() : EVP_sha512(), NULL);
	}
	r = p->source->ops->blob(p->source, d, &sink.base, err);
	sink_free(&sink.base);
	return r;
}

static void *work(void *userdata)
{
	struct pull *p = userdata;
	struct imbrex_error err = { 0 };
	int r;

	for (;;) {
		const struct oci_descriptor *d = NULL;

		pthread_mutex_lock(&p->lock);
		if (p->next < p->n_blobs && p->status == 0)
			d = p->blobs[p->next++];
		pthread_mutex_unlock(&p->lock);
		if (!d)
			return NULL;
		r = pull_blob(p, d, &err);
		pthread_mutex_lock(&p->lock);
		if (r < 0 && p->status == 0) {
			p->status = r;
			p->err = err;
		}
		if (r == 0) {
			p->n_bytes += d->size_bytes;
			(void)printf(
				"blob %s %" PRIu64 " ok\n", digest_text(&d->digest), d->size_bytes);
		}
		pthread_mutex_unlock(&p->lock);
	}
}

static int pull_blobs(const struct settings *settings, struct source *source,
	const struct oci_manifest *m, struct imbrex_error *err)
{
	struct pull p = { .settings = settings, .source = source };
	uint64_t start = now_monotonic_ns();
	pthread_t threads[16];
	unsigned int i, n = settings->n_jobs ? settings->n_jobs : 1;
	size_t j;

	(void)pthread_mutex_init(&p.lock, NULL);
	p.blobs = calloc(m->n_layers + 1, sizeof(*p.blobs));
	if (!p.blobs)
		return fail_nomem(err);
	p.blobs[p.n_blobs++] = &m->config;
	for (j = 0; j < m->n_layers; j++)
		p.blobs[p.n_blobs++] = &m->layers[j];
	for (i = 0; i < n; i++)
		(void)pthread_create(&threads[i], NULL, work, &p);
	for (i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	(void)printf("bytes %" PRIu64 " ns %" PRIu64 "\n", p.n_bytes, now_monotonic_ns() - start);
	free(p.blobs);
	if (p.status < 0)
		*err = p.err;
	return p.status;
}

static int pull(const struct settings *s, struct source *source, struct imbrex_error *err)
{
	AUTO_OCI_MANIFEST m = { 0 };
	struct source_manifest documents = { 0 };
	struct platform platform;
	int r;

	if (s->platform) {
		r = platform_parse(s->platform, &platform, err);
		if (r < 0)
			return r;
	}
	r = source->ops->manifest(source, s->platform ? &platform : NULL, &documents, err);
	if (r < 0)
		return r;
	(void)printf("manifest %s %s\n", digest_text(&documents.digest), documents.media_type);
	if (documents.list.len)
		(void)printf("list %s\n", digest_text(&documents.list_digest));
	(void)printf("name %s\n", documents.name);
	r = oci_manifest_parse(documents.media_type, str_text(&documents.manifest),
		documents.manifest.len, &m, err);
	source_manifest_done(&documents);
	if (r < 0)
		return r;
	return s->manifest_only ? 0 : pull_blobs(s, source, &m, err);
}

static void note(void *userdata, const char *text)
{
	(void)printf("note %s\n", text);
}

static unsigned int number(const char *text)
{
	return (unsigned int)strtoul(text, NULL, 10);
}

static int parse(int argc, char **argv, struct settings *s)
{
	struct repository_options *o = &s->docker.repository;
	int opt;

	o->note = note;
	o->creds.note = note;
	o->backoff_ms = 1;
	while ((opt = getopt(argc, argv, "ika:u:p:n:b:w:t:c:C:P:F:R:smNj:f:d:")) != -1) {
		switch (opt) {
		case 'i':
			o->tls_verify = TLS_VERIFY_OFF;
			break;
		case 'k':
			o->tls_verify = TLS_VERIFY_ON;
			break;
		case 'a':
			o->creds.authfile = optarg;
			break;
		case 'u':
			o->creds.username = optarg;
			break;
		case 'p':
			o->creds.password = optarg;
			break;
		case 'n':
			o->n_tries = number(optarg);
			break;
		case 'b':
			o->backoff_ms = number(optarg);
			break;
		case 'w':
			o->backoff_max_ms = number(optarg);
			break;
		case 't':
			o->http.stall_timeout_ms = number(optarg);
			break;
		case 'd':
			o->http.document_timeout_ms = number(optarg);
			break;
		case 'c':
			o->http.connect_timeout_ms = number(optarg);
			break;
		case 'C':
			o->cert_dir = optarg;
			break;
		case 'R':
			s->docker.registries_conf = optarg;
			break;
		case 's':
			s->docker.short_names = true;
			break;
		case 'P':
			s->docker.partial_dirfd = open(optarg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			s->docker.partial_min_bytes = 1;
			break;
		case 'F':
			s->platform = optarg;
			break;
		case 'm':
			s->manifest_only = true;
			break;
		case 'N':
			s->count_only = true;
			break;
		case 'j':
			s->n_jobs = MIN(number(optarg), 16);
			break;
		case 'f':
			s->fail_at = number(optarg);
			break;
		default:
			return -1;
		}
	}
	if (optind != argc - 1)
		return -1;
	s->reference = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	struct settings s = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_SOURCE struct source *source = NULL;
	int r;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (parse(argc, argv, &s) < 0) {
		(void)fprintf(stderr, "usage: registry-client [options] REFERENCE\n");
		return 2;
	}
	r = docker_source_open(s.reference, &s.docker, &source, &err);
	if (r == 0)
		r = pull(&s, source, &err);
	if (r == 0)
		return 0;
	(void)printf("error %s: %s\n", imbrex_status_name(r), err.message);
	if (err.hint[0])
		(void)printf("hint %s\n", err.hint);
	return 1;
}
