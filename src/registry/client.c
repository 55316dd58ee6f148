/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of one request: endpoints in order, for each of them tries with growing pauses, in
 * each try the scheme, the authorization and one answer to a 401.
 *
 *   repository_manifest, repository_blob
 *     -> over_endpoints -> over_tries -> try_once -> send (scheme) -> http_perform
 *
 * Invariants
 * (1) A blob's state outlives tries and endpoints: `offset` bytes were pushed, and exactly the byte
 *     at `offset` is pushed next, wherever it comes from. Content addressing makes that sound;
 *     the digest is checked behind the sink.
 * (2) What the receiver refused is never tried again. What the server did wrong may be.
 * (3) A 401 is answered once a try, and only if the registry itself sent it, not a redirect's end.
 */
#include "registry/client.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/doc.h"
#include "oci/descriptor.h"
#include "oci/digest.h"
#include "registry/auth.h"
#include "registry/certs.h"

#define N_TRIES_DEFAULT    5u
#define BACKOFF_DEFAULT_MS 500u
#define BACKOFF_MAX_MS     60000u
/* Progress that makes a lost connection a new one instead of the next try of the old. */
#define PROGRESS_BYTES (1024u * 1024u)
#define URL_MAX        (16u * 1024u)

enum scheme {
	SCHEME_UNKNOWN = 0,
	SCHEME_HTTPS = 1,
	SCHEME_HTTP = 2,
};

struct place {
	struct endpoint endpoint; /* owned by repository.endpoints */
	struct http_tls tls;      /* borrows from certs */
	struct certs certs;
	atomic_int scheme;    /* enum scheme */
	atomic_bool answered; /* a response came: from now on a failed connection is tried again */
};

struct repository {
	struct repository_options opts; /* defaults filled in */
	struct http_tls tls_redirect;
	struct endpoints endpoints;
	struct place *places; /* one for each endpoint */
	struct http *http;
	struct auth *auth;
	atomic_size_t preferred; /* the place that answered last; asked first for blobs */
	bool admitted;           /* told how the first request was answered */
};

/* One thing asked for. */
struct job {
	struct repository *repository;
	enum http_method method;
	bool tells;       /* events are told */
	const char *what; /* for messages: "blob sha256:ab12..." */
	const char *path; /* behind the repository: "blobs/sha256:..." */
	const char *const *headers;
	http_body_fn body; /* NULL: document */
	void *userdata;
	size_t document_max;
	void (*aim)(struct job *job); /* set up the next try; NULL: nothing to do */
	/* A 2xx response came to its end: 0 if it was all, else a failure. NULL: fine as it is. */
	int (*check)(struct job *job, struct http_response *response, struct imbrex_error *err);
	uint64_t offset; /* bytes received for good; where the next try begins */
	/* Outcome of one try. */
	bool retry;       /* another try here may help */
	bool local;       /* our own receiver failed: no other place helps */
	uint64_t wait_ms; /* the server's wish; 0: none */
};

/* Host to speak to: Docker Hub's registry is not where its name says. */
static const char *host_of(const struct endpoint *e)
{
	return str_eq(e->registry, "docker.io") ? "registry-1.docker.io" : e->registry;
}

static void pause_ms(uint64_t ms)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};
	int r;

	do
		r = clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts);
	while (r == EINTR);
}

/* Half of the time for certain, the other half by chance: many clients do not return at once. */
static uint64_t with_jitter(uint64_t ms)
{
	uint32_t random = 0;

	if (random_bytes(&random, sizeof(random)) < 0) /* no chance, then: the full time */
		return ms;
	return ms / 2 + random % (ms / 2 + 1);
}

/* The registry's own words, if it sent any: " (NAME_UNKNOWN: repository not known)". */
static void server_text(const struct http_response *response, char *ret, size_t size)
{
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, errors, first, code, message;
	const char *code_text = "", *message_text = "";

	ret[0] = '\0';
	if (json_doc_parse("error", str_text(&response->document), response->document.len,
		    LIMIT_HTTP_DOCUMENT_BYTES, &doc, NULL) < 0)
		return;
	root = json_doc_root(doc);
	errors = json_get(&root, "errors");
	first = json_at(&errors, 0);
	code = json_get(&first, "code");
	message = json_get(&first, "message");
	if (json_opt_string(&code, &code_text, NULL) < 0 ||
		json_opt_string(&message, &message_text, NULL) < 0)
		return;
	if (code_text[0] || message_text[0])
		(void)snprintf(ret, size, " (%.60s%s%.200s)", code_text,
			code_text[0] && message_text[0] ? ": " : "", message_text);
}

/* Retry-After in milliseconds: seconds only; a date is as good as nothing to us. */
static uint64_t retry_after_ms(const struct http_response *response)
{
	const char *text = http_header(response, "Retry-After", 0);
	uint64_t seconds = 0;

	for (; text && *text >= '0' && *text <= '9' && seconds < 1000000; text++)
		seconds = seconds * 10 + (uint64_t)(*text - '0');
	return seconds * 1000;
}

static int check_status(
	struct job *job, const struct http_response *response, struct imbrex_error *err)
{
	char text[300];
	long status = response->status;

	if (status >= 200 && status < 300)
		return 0;
	server_text(response, text, sizeof(text));
	job->retry = status == 429 || status == 408 || status >= 500;
	job->wait_ms = status == 429 || status == 503 ? retry_after_ms(response) : 0;
	if (status == 404)
		return fail(err, IMBREX_ENOENT, "registry %s: %s not found%s", response->host,
			job->what, text);
	if (status == 401 || status == 403)
		return fail(err, IMBREX_EPERM, "registry %s: %s: access denied%s", response->host,
			job->what, text);
	if (status == 416)
		return fail(err, IMBREX_ENET, "registry %s: %s: cannot resume at byte %" PRIu64,
			response->host, job->what, job->offset);
	if (status == 429)
		return fail(err, IMBREX_ENET, "registry %s: %s: too many requests%s",
			response->host, job->what, text);
	return fail(err, IMBREX_ENET, "registry %s: %s: status %ld%s", response->host, job->what,
		status, text);
}

static int build_url(
	const struct place *p, const struct job *job, enum scheme scheme, struct str *url)
{
	str_clear(url);
	return str_printf(url, "%s://%s/v2/%s/%s", scheme == SCHEME_HTTP ? "http" : "https",
		host_of(&p->endpoint), p->endpoint.repository, job->path);
}

/* One request by one scheme. */
static int send_by(struct place *p, struct job *job, enum scheme scheme, const char *authorization,
	struct http_response *response, struct imbrex_error *err)
{
	struct repository *repository = job->repository;
	AUTO_STR url = STR_INIT(URL_MAX);
	struct http_request q = {
		.method = job->method,
		.headers = job->headers,
		.authorization = authorization,
		.tls = &p->tls,
		.tls_redirect = &repository->tls_redirect,
		.body = job->body,
		.userdata = job->userdata,
		.document_max = job->document_max,
	};

	if (build_url(p, job, scheme, &url) < 0)
		return fail_nomem(err);
	q.url = str_text(&url);
	http_response_done(response);
	return http_perform(repository->http, &q, response, err);
}

static int origin_of(struct place *p, struct job *job, enum scheme scheme, struct http_origin *ret,
	struct imbrex_error *err)
{
	AUTO_STR url = STR_INIT(URL_MAX);

	if (build_url(p, job, scheme, &url) < 0)
		return fail_nomem(err);
	return http_origin_parse(str_text(&url), ret, err);
}

static void tell(
	const struct job *job, enum repository_event event, long http_status, const char *text)
{
	const struct repository_options *o = &job->repository->opts;

	if (job->tells && o->event)
		o->event(o->userdata, event, http_status, text);
}

/* Once for a repository: what the first answer means. */
static void tell_admission(struct place *p, struct job *job, bool asked)
{
	struct repository *r = job->repository;
	AUTO_CREDENTIALS c = { 0 };

	if (!job->tells || !r->opts.event || r->admitted)
		return;
	r->admitted = true;
	if (!asked) {
		tell(job, REPOSITORY_GRANTED, 0, NULL);
		return;
	}
	(void)!creds_find(&r->opts.creds, p->endpoint.registry, p->endpoint.repository, &c, NULL);
	tell(job, REPOSITORY_AUTHENTICATING, 0, c.username);
}

/* Send; if 401 comes from the registry, answer it and send once more. */
static int send_authorized(struct place *p, struct job *job, enum scheme scheme,
	struct http_response *response, struct imbrex_error *err)
{
	struct repository *repository = job->repository;
	struct auth_target target = {
		.registry = p->endpoint.registry,
		.repository = p->endpoint.repository,
		.tls = &p->tls,
		.tls_redirect = &repository->tls_redirect,
	};
	char *header = NULL, *fresh = NULL;
	int r;

	r = origin_of(p, job, scheme, &target.origin, err);
	if (r < 0)
		return wrap(err, r, "registry %s", p->endpoint.registry);
	r = auth_header(repository->auth, &target, &header, err);
	if (r < 0)
		return r;
	r = send_by(p, job, scheme, header, response, err);
	if (r == 0 && response->status < 400)
		tell_admission(p, job, /* asked= */ false);
	if (r == 0 && response->status == 401 &&
		http_origin_equal(&response->origin, &target.origin)) {
		tell_admission(p, job, /* asked= */ true);
		r = auth_answer(
			repository->auth, &target, response, header, &fresh, &job->retry, err);
		if (r == 0 && fresh)
			tell(job, REPOSITORY_AUTHENTICATED, 0, NULL);
		if (r == 0)
			r = send_by(p, job, scheme, fresh, response, err);
		else
			response->trouble = HTTP_TROUBLE_OTHER;
		if (r == 0 && response->status == 401)
			r = hint(err,
				fail(err, IMBREX_EPERM, "registry %s says: unauthorized (%s)",
					p->endpoint.registry, job->what),
				"the image may not exist, or log in with: podman login %s",
				p->endpoint.registry);
	}
	wipe_text(header);
	wipe_text(fresh);
	return r;
}

/* Find the scheme of an insecure place by trying https, then http. */
static int send_anyhow(
	struct place *p, struct job *job, struct http_response *response, struct imbrex_error *err)
{
	enum scheme scheme = (enum scheme)atomic_load(&p->scheme);
	int r;

	if (scheme != SCHEME_UNKNOWN)
		return send_authorized(p, job, scheme, response, err);
	r = send_authorized(p, job, SCHEME_HTTPS, response, err);
	if (r < 0 && !response->status &&
		(response->trouble == HTTP_TROUBLE_TLS ||
			response->trouble == HTTP_TROUBLE_CONNECT ||
			response->trouble == HTTP_TROUBLE_LOST)) {
		r = send_authorized(p, job, SCHEME_HTTP, response, err);
		if (response->status)
			atomic_store(&p->scheme, SCHEME_HTTP);
		return r;
	}
	if (response->status)
		atomic_store(&p->scheme, SCHEME_HTTPS);
	return r;
}

static int try_once(
	struct place *p, struct job *job, struct http_response *response, struct imbrex_error *err)
{
	int r;

	job->retry = false;
	job->wait_ms = 0;
	if (job->aim)
		job->aim(job);
	r = send_anyhow(p, job, response, err);
	if (response->status)
		atomic_store(&p->answered, true);
	if (r < 0) {
		if (response->trouble == HTTP_TROUBLE_LOST ||
			(response->trouble == HTTP_TROUBLE_CONNECT && atomic_load(&p->answered)))
			job->retry = true;
		if (response->trouble == HTTP_TROUBLE_TLS && !p->tls.insecure)
			(void)hint(err, r, "a registry without TLS needs --tls-verify=false");
		return r;
	}
	return check_status(job, response, err);
}

static void note_retry(struct job *job, const struct imbrex_error *err, uint64_t wait)
{
	const struct repository_options *o = &job->repository->opts;
	char text[IMBREX_ERROR_MESSAGE_MAX + 80];

	if (!o->note)
		return;
	(void)snprintf(
		text, sizeof(text), "%s; trying again in %" PRIu64 " ms", err->message, wait);
	o->note(o->userdata, text);
}

/* Tries at one place, with pauses. */
static int over_tries(
	struct place *p, struct job *job, struct http_response *response, struct imbrex_error *err)
{
	const struct repository_options *o = &job->repository->opts;
	uint64_t backoff = o->backoff_ms, wait, before;
	unsigned int n_left = o->n_tries;
	int r;

	for (;;) {
		before = job->offset;
		r = try_once(p, job, response, err);
		if (r == 0 && job->check)
			r = job->check(job, response, err);
		if (r == 0 || job->local || !job->retry)
			return r;
		if (job->offset - before >= PROGRESS_BYTES) {
			n_left = o->n_tries;
			backoff = o->backoff_ms;
		}
		if (!--n_left)
			return r;
		wait = MIN(job->wait_ms ? job->wait_ms : with_jitter(backoff), o->backoff_max_ms);
		backoff = MIN(backoff * 2, o->backoff_max_ms);
		note_retry(job, err, wait);
		pause_ms(wait);
	}
}

/* One line for all that was tried; the status is that of the last, the place named by the user. */
static int all_failed(size_t n, int last, const struct str *log, struct imbrex_error *err)
{
	struct imbrex_error *e = err;
	char next[IMBREX_ERROR_HINT_MAX] = "";

	if (n == 1 || !e)
		return last;
	memcpy(next, e->hint, sizeof(next));
	last = fail(e, last, "all %zu sources failed: %s", n, str_text(log));
	return next[0] ? hint(e, last, "%s", next) : last;
}

static void tell_refusal(struct place *p, struct job *job, const struct http_response *response)
{
	AUTO_STR url = STR_INIT(URL_MAX);
	enum scheme scheme = str_eq(response->origin.scheme, "http") ? SCHEME_HTTP : SCHEME_HTTPS;

	if (response->status >= 400 && build_url(p, job, scheme, &url) == 0)
		tell(job, REPOSITORY_REFUSED, response->status, str_text(&url));
}

/* Places in order, the one that worked last first if `sticky`. `err` must not be NULL. */
static int over_places(
	struct job *job, bool sticky, struct http_response *response, struct imbrex_error *err)
{
	struct repository *repository = job->repository;
	AUTO_STR log = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	size_t n = repository->endpoints.n, first, i, at = 0;
	int r = 0;

	first = sticky ? atomic_load(&repository->preferred) : 0;
	for (i = 0; i < n; i++) {
		at = (first + i) % n;
		r = over_tries(&repository->places[at], job, response, err);
		if (r == 0)
			atomic_store(&repository->preferred, at);
		if (r == 0 || job->local || r == IMBREX_ENOMEM)
			return r;
		/* Cut when full: the message that holds it is no longer. */
		(void)!str_printf(&log, "%s%.300s", i ? "; " : "", err->message);
	}
	tell_refusal(&repository->places[at], job, response);
	return all_failed(n, r, &log, err);
}

/* "a/b; charset=utf-8" without its parameters. */
static char *bare_type(const char *text)
{
	size_t len = strcspn(text, ";");

	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	return strndup(text, len);
}

/* The registry's own claim about the bytes, if it makes one, must hold. */
static int check_announced(struct job *job, const struct http_response *response,
	const struct hash_value *got, struct imbrex_error *err)
{
	const char *text = http_header(response, "Docker-Content-Digest", 0);
	struct hash_value announced, same;
	int r;

	if (!text)
		return 0;
	r = digest_parse(text, strlen(text), &announced, err);
	if (r < 0)
		return wrap(err, r, "registry %s: Docker-Content-Digest", response->host);
	same = *got;
	if (announced.algorithm != got->algorithm &&
		hash_bytes(announced.algorithm, str_text(&response->document),
			response->document.len, &same) < 0)
		return fail(err, IMBREX_EFAIL, "cannot compute a %s digest",
			hash_name(announced.algorithm));
	if (!hash_equal(&announced, &same))
		return fail(err, IMBREX_EDIGEST,
			"registry %s: %s: the bytes are %s, but were announced as %s",
			response->host, job->what, digest_short(&same), digest_short(&announced));
	return 0;
}

static int check_manifest(struct job *job, struct http_response *response, struct imbrex_error *err)
{
	const struct hash_value *want = job->userdata;
	struct hash_value got;
	int r;

	if (response->status != 200)
		return fail(err, IMBREX_ENET, "registry %s: %s: status %ld", response->host,
			job->what, response->status);
	r = hash_bytes(HASH_SHA256, str_text(&response->document), response->document.len, &got);
	if (r < 0)
		return fail(err, IMBREX_EFAIL, "cannot compute a sha256 digest");
	r = check_announced(job, response, &got, err);
	if (r < 0 || !want)
		return r;
	if (want->algorithm != got.algorithm &&
		hash_bytes(want->algorithm, str_text(&response->document), response->document.len,
			&got) < 0)
		return fail(err, IMBREX_EFAIL, "cannot compute a %s digest",
			hash_name(want->algorithm));
	if (!hash_equal(want, &got))
		return fail(err, IMBREX_EDIGEST, "registry %s: %s: the bytes are %s",
			response->host, job->what, digest_short(&got));
	return 0;
}

/* A blob on its way; `job` is first so that callbacks find the rest. */
struct blob_job {
	struct job job;
	uint64_t size;
	uint64_t skip; /* bytes of this response that were pushed already */
	bool begun;    /* this response's head was judged */
	struct sink *to;
	struct blob_observer *observer;
	char range[64];
	const char *headers[2];
};

static bool parse_number(const char **text, uint64_t *ret)
{
	uint64_t n = 0;
	const char *s = *text;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return false;
	}
	*text = s;
	*ret = n;
	return true;
}

/* "bytes 10-99/100" with the last two numbers as they must be; the first goes to *ret_start. */
static bool range_is_good(const char *text, uint64_t size, uint64_t *ret_start)
{
	uint64_t end, total;

	if (strncasecmp(text, "bytes ", 6) != 0)
		return false;
	text += 6;
	if (!parse_number(&text, ret_start) || *text++ != '-' || !parse_number(&text, &end) ||
		*text++ != '/' || end != size - 1)
		return false;
	if (str_eq(text, "*"))
		return true;
	return parse_number(&text, &total) && !*text && total == size;
}

/* Judge the head of a blob's response: where do its bytes belong? */
static int begin_blob(
	struct blob_job *b, const struct http_response *head, struct imbrex_error *err)
{
	const char *range = http_header(head, "Content-Range", 0);
	uint64_t start;

	b->begun = true;
	if (head->status == 200) {
		b->skip = b->job.offset;
		if (head->has_content_length && head->content_length != b->size)
			return fail(err, IMBREX_EDIGEST,
				"registry %s: %s has %" PRIu64
				" bytes there, the manifest says %" PRIu64,
				head->host, b->job.what, head->content_length, b->size);
		return 0;
	}
	if (head->status != 206)
		return fail(err, IMBREX_EFORMAT, "registry %s: %s: status %ld with a body",
			head->host, b->job.what, head->status);
	if (!range || !range_is_good(range, b->size, &start) || start != b->job.offset)
		return fail(err, IMBREX_EFORMAT,
			"registry %s: %s: asked for bytes from %" PRIu64 " of %" PRIu64
			", was sent '%.60s'",
			head->host, b->job.what, b->job.offset, b->size, range ? range : "");
	b->skip = 0;
	return 0;
}

static int take_blob_bytes(void *userdata, const struct http_response *head, const void *buf,
	size_t len, struct imbrex_error *err)
{
	struct blob_job *b = userdata;
	const char *bytes = buf;
	size_t n;
	int r;

	if (!b->begun) {
		r = begin_blob(b, head, err);
		if (r < 0)
			return r;
	}
	n = (size_t)MIN(b->skip, (uint64_t)len);
	b->skip -= n;
	bytes += n;
	len -= n;
	if (!len)
		return 0;
	if (len > b->size - b->job.offset)
		return fail(err, IMBREX_EDIGEST,
			"registry %s: %s is longer than the %" PRIu64 " bytes of the manifest",
			head->host, b->job.what, b->size);
	r = sink_write(b->to, bytes, len, err);
	if (r < 0) {
		b->job.local = true;
		return r;
	}
	b->job.offset += len;
	if (b->observer)
		b->observer->data(b->observer, bytes, len);
	return 0;
}

/* Header lines of the next try. */
static void aim_blob(struct job *job)
{
	struct blob_job *b = CONTAINER_OF(job, struct blob_job, job);

	b->begun = false;
	b->headers[0] = NULL;
	if (b->job.offset) {
		(void)snprintf(
			b->range, sizeof(b->range), "Range: bytes=%" PRIu64 "-", b->job.offset);
		b->headers[0] = b->range;
	}
}

static int check_blob(struct job *job, struct http_response *response, struct imbrex_error *err)
{
	struct blob_job *b = CONTAINER_OF(job, struct blob_job, job);

	if (job->offset == b->size)
		return 0;
	job->retry = true;
	return fail(err, IMBREX_ENET,
		"registry %s: %s ended after %" PRIu64 " of %" PRIu64 " bytes", response->host,
		job->what, job->offset, b->size);
}

static int open_place(struct place *p, const struct endpoint *e, const struct repository_options *o,
	struct imbrex_error *err)
{
	int r;

	p->endpoint = *e;
	if (o->tls_verify != TLS_VERIFY_DEFAULT)
		p->endpoint.insecure = o->tls_verify == TLS_VERIFY_OFF;
	atomic_init(&p->scheme, p->endpoint.insecure ? SCHEME_UNKNOWN : SCHEME_HTTPS);
	r = certs_load(o->cert_dir, e->registry, &p->certs, err);
	if (r < 0)
		return r;
	p->tls.insecure = p->endpoint.insecure;
	p->tls.ca_pem = p->certs.ca_pem.len ? p->certs.ca_pem.data : NULL;
	p->tls.cert_path = p->certs.cert_path;
	p->tls.key_path = p->certs.key_path;
	return 0;
}

static int open_places(struct repository *r, struct imbrex_error *err)
{
	size_t i;
	int n;

	r->places = calloc(r->endpoints.n, sizeof(*r->places));
	if (!r->places)
		return fail_nomem(err);
	for (i = 0; i < r->endpoints.n; i++) {
		n = open_place(&r->places[i], &r->endpoints.items[i], &r->opts, err);
		if (n < 0)
			return n;
	}
	return 0;
}

static void free_places(struct repository *r)
{
	size_t i;

	for (i = 0; r->places && i < r->endpoints.n; i++)
		certs_done(&r->places[i].certs);
	free(r->places);
	r->places = NULL;
}

void repository_document_done(struct repository_document *d)
{
	str_done(&d->body);
	free(d->media_type);
	*d = (struct repository_document){ 0 };
}

/* Header lines of every request for a manifest. */
static const char *const manifest_headers[] = {
	"Accept: " OCI_TYPE_INDEX ", " OCI_TYPE_MANIFEST ", " OCI_TYPE_DOCKER_LIST
	", " OCI_TYPE_DOCKER_MANIFEST,
	NULL,
};

int repository_digest(struct repository *r, const char *name, struct hash_value *ret,
	char **ret_media_type, struct imbrex_error *err)
{
	AUTO_RESPONSE response = { 0 };
	AUTO_FREE char *what = format_text("manifest '%s'", name);
	AUTO_FREE char *path = format_text("manifests/%s", name);
	struct imbrex_error scratch = { 0 };
	struct job job = {
		.repository = r,
		.method = HTTP_HEAD,
		.tells = true,
		.what = what,
		.path = path,
		.headers = manifest_headers,
	};
	const char *digest, *type;
	char *copy;
	int n;

	if (!what || !path)
		return fail_nomem(err);
	n = over_places(&job, /* sticky= */ false, &response, err ? err : &scratch);
	if (n < 0)
		return n;
	digest = http_header(&response, "Docker-Content-Digest", 0);
	if (!digest)
		return 0;
	n = digest_parse(digest, strlen(digest), ret, err);
	if (n < 0)
		return wrap(err, n, "registry %s: Docker-Content-Digest", response.host);
	type = http_header(&response, "Content-Type", 0);
	copy = type ? bare_type(type) : NULL;
	if (type && !copy)
		return fail_nomem(err);
	*ret_media_type = copy;
	return 1;
}

int repository_manifest(struct repository *r, const char *name, const struct hash_value *want,
	struct repository_document *ret, struct imbrex_error *err)
{
	AUTO_RESPONSE response = { 0 };
	AUTO_FREE char *what = want ? format_text("manifest %s", digest_short(want))
				    : format_text("manifest '%s'", name);
	AUTO_FREE char *path = format_text("manifests/%s", name);
	struct imbrex_error scratch = { 0 };
	struct hash_value expect = want ? *want : (struct hash_value){ 0 };
	struct job job = {
		.repository = r,
		.tells = true,
		.what = what,
		.path = path,
		.headers = manifest_headers,
		.check = check_manifest,
		.userdata = want ? &expect : NULL,
		.document_max = LIMIT_MANIFEST_BYTES,
	};
	struct repository_document d = { 0 };
	const char *type;
	int n;

	if (!what || !path)
		return fail_nomem(err);
	n = over_places(&job, /* sticky= */ want != NULL, &response, err ? err : &scratch);
	if (n < 0)
		return n;
	type = http_header(&response, "Content-Type", 0);
	if (type) {
		d.media_type = bare_type(type);
		if (!d.media_type)
			return fail_nomem(err);
	}
	(void)!hash_bytes(HASH_SHA256, str_text(&response.document), response.document.len,
		&d.digest); /* worked a moment ago in check_manifest() */
	d.body = response.document;
	response.document = (struct str){ 0 };
	*ret = d;
	return 0;
}

int repository_blob(struct repository *r, const struct hash_value *digest, uint64_t size,
	uint64_t offset, struct sink *to, struct blob_observer *observer, struct imbrex_error *err)
{
	AUTO_RESPONSE response = { 0 };
	AUTO_FREE char *path = format_text("blobs/%s", digest_text(digest));
	AUTO_FREE char *what = format_text("blob %s", digest_short(digest));
	struct imbrex_error scratch = { 0 };
	struct blob_job b = {
		.job = {
			.repository = r,
			.what = what,
			.path = path,
			.body = take_blob_bytes,
			.check = check_blob,
			.aim = aim_blob,
			.offset = offset,
		},
		.size = size,
		.to = to,
		.observer = observer,
	};

	if (!path || !what)
		return fail_nomem(err);
	b.job.headers = b.headers;
	b.job.userdata = &b;
	if (offset >= size) /* nothing left to ask for */
		return 0;
	return over_places(&b.job, /* sticky= */ true, &response, err ? err : &scratch);
}

void repository_free(struct repository *r)
{
	if (!r)
		return;
	auth_free(r->auth);
	http_free(r->http);
	free_places(r);
	endpoints_done(&r->endpoints);
	free(r);
}

int repository_open(struct endpoints *endpoints, const struct repository_options *opts,
	struct repository **ret, struct imbrex_error *err)
{
	AUTO_REPOSITORY struct repository *r = calloc(1, sizeof(*r));
	int n;

	if (!r)
		return fail_nomem(err);
	if (opts)
		r->opts = *opts;
	if (!r->opts.n_tries)
		r->opts.n_tries = N_TRIES_DEFAULT;
	if (!r->opts.backoff_ms)
		r->opts.backoff_ms = BACKOFF_DEFAULT_MS;
	if (!r->opts.backoff_max_ms)
		r->opts.backoff_max_ms = BACKOFF_MAX_MS;
	r->tls_redirect.insecure = r->opts.tls_verify == TLS_VERIFY_OFF;
	n = http_new(&r->opts.http, &r->http, err);
	if (n < 0)
		return n;
	n = auth_new(r->http, &r->opts.creds, &r->auth, err);
	if (n < 0)
		return n;
	r->endpoints = *endpoints;
	n = open_places(r, err);
	if (n < 0) {
		free_places(r);
		r->endpoints = (struct endpoints){ 0 }; /* still the caller's */
		return n;
	}
	*endpoints = (struct endpoints){ 0 };
	*ret = take_ptr(r);
	return 0;
}
