/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to 401.
 *
 * Invariants
 * (1) What was obtained for one (origin, repository) is never sent for another.
 * (2) The lock is held while a token is fetched: whoever waited finds it in the entry.
 * (3) A token request follows no redirect and goes to https, or to http only for a registry that
 *     is plain http itself.
 * (4) Secrets are wiped before their memory is freed.
 */
#include "registry/auth.h"

#include <pthread.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "json/doc.h"
#include "os/clock.h"
#include "registry/challenge.h"

/* Lifetime of a token that does not say: the value of the token specification. */
#define TOKEN_DEFAULT_SEC 60
/* A token this close to its end is not used any more. */
#define TOKEN_MARGIN_SEC 5
#define NS_PER_SEC       1000000000ull

struct entry {
	struct http_origin origin;
	char *repository;
	char *header;        /* secret; NULL: none known */
	uint64_t expires_ns; /* monotonic; 0: never */
	bool creds_looked_up;
	struct credentials creds; /* all NULL: none */
	struct entry *next;
};

struct auth {
	struct http *http;                 /* borrowed */
	const struct creds_options *creds; /* borrowed */
	pthread_mutex_t lock;              /* of all below */
	struct entry *entries;
};

static void entry_free(struct entry *e)
{
	free(e->repository);
	wipe_text(e->header);
	credentials_done(&e->creds);
	free(e);
}

/* With the lock held. NULL on no memory. */
static struct entry *entry_of(struct auth *a, const struct auth_target *t)
{
	struct entry *e;

	for (e = a->entries; e; e = e->next) {
		if (http_origin_equal(&e->origin, &t->origin) &&
			str_eq(e->repository, t->repository))
			return e;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->origin = t->origin;
	e->repository = strdup(t->repository);
	if (!e->repository) {
		free(e);
		return NULL;
	}
	e->next = a->entries;
	a->entries = e;
	return e;
}

static void entry_set_header(struct entry *e, char *header, uint64_t expires_ns)
{
	wipe_text(e->header);
	e->header = header;
	e->expires_ns = expires_ns;
}

static bool entry_is_fresh(const struct entry *e)
{
	return e->header && (!e->expires_ns || now_monotonic_ns() < e->expires_ns);
}

static bool has_password(const struct credentials *c)
{
	return c->username && c->password;
}

/* "Basic <base64 of user:password>", NULL on no memory. */
static char *basic_header(const struct credentials *c)
{
	AUTO_FREE char *plain = format_text("%s:%s", c->username, c->password);
	size_t len, prefix = strlen("Basic ");
	char *header;

	if (!plain)
		return NULL;
	len = strlen(plain);
	header = malloc(prefix + BASE64_ENCODED_LEN(len) + 1);
	if (header) {
		memcpy(header, "Basic ", prefix);
		header[prefix + base64_encode(plain, len, header + prefix)] = '\0';
	}
	explicit_bzero(plain, len);
	return header;
}

static int not_logged_in(
	const struct auth_target *t, const struct credentials *c, struct imbrex_error *err)
{
	if (c->found_in)
		return hint(err,
			fail(err, IMBREX_EPERM,
				"registry %s says: unauthorized (with the credentials from %s)",
				t->registry, c->found_in),
			"log in again with: podman login %s", t->registry);
	return hint(err, fail(err, IMBREX_EPERM, "registry %s says: unauthorized", t->registry),
		"the image may not exist, or log in with: podman login %s", t->registry);
}

static int add_query(struct str *to, char *separator, const char *name, const char *value)
{
	int r;

	if (!value || !value[0])
		return 0;
	r = *separator ? str_putc(to, *separator) : 0;
	*separator = '&';
	if (r == 0)
		r = str_printf(to, "%s=", name);
	return r == 0 ? http_escape(to, value) : r;
}

/* The scope to ask for: what the server names, else to pull from the repository. */
static char *wanted_scope(const struct auth_target *t, const struct challenge *c)
{
	const char *scope = challenge_param(c, "scope");

	return scope && scope[0] ? strdup(scope) : format_text("repository:%s:pull", t->repository);
}

static int build_token_url(
	const struct challenge *c, const char *scope, const char *account, struct str *url)
{
	const char *realm = challenge_param(c, "realm");
	char separator = strchr(realm, '?') ? '&' : '?';
	int r = str_append(url, realm, strcspn(realm, "#"));

	if (r == 0)
		r = add_query(url, &separator, "service", challenge_param(c, "service"));
	if (r == 0)
		r = add_query(url, &separator, "scope", scope);
	return r == 0 ? add_query(url, &separator, "account", account) : r;
}

static int build_token_form(const struct challenge *c, const char *scope,
	const struct credentials *creds, struct str *form)
{
	char separator = '\0';
	int r = add_query(form, &separator, "grant_type", "refresh_token");

	if (r == 0)
		r = add_query(form, &separator, "service", challenge_param(c, "service"));
	if (r == 0)
		r = add_query(form, &separator, "client_id", "imbrex");
	if (r == 0)
		r = add_query(form, &separator, "scope", scope);
	return r == 0 ? add_query(form, &separator, "refresh_token", creds->identity_token) : r;
}

static bool is_token(const char *text)
{
	size_t i;

	for (i = 0; text[i]; i++) {
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return false;
	}
	return i > 0 && i <= LIMIT_TOKEN_BYTES;
}

/* Read the token document into the entry. */
static int take_token(struct entry *e, const struct http_response *r, struct imbrex_error *err)
{
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, token, access, expires;
	const char *text = NULL;
	int64_t seconds = TOKEN_DEFAULT_SEC;
	char *header;
	int n;

	n = json_doc_parse("token", str_text(&r->document), r->document.len,
		LIMIT_HTTP_DOCUMENT_BYTES, &doc, err);
	if (n < 0)
		return n;
	root = json_doc_root(doc);
	token = json_get(&root, "token");
	access = json_get(&root, "access_token");
	expires = json_get(&root, "expires_in");
	n = json_opt_string(&token, &text, err);
	if (n == 0 || (n > 0 && !text[0]))
		n = json_opt_string(&access, &text, err);
	if (n < 0)
		return n;
	if (json_opt_int64(&expires, &seconds, NULL) < 0) /* some write "300"; not worth failing */
		seconds = TOKEN_DEFAULT_SEC;
	if (!text || !is_token(text))
		return fail(err, IMBREX_EFORMAT, "the answer holds no usable token");
	if (seconds <= 0 || seconds > 365 * 86400)
		seconds = TOKEN_DEFAULT_SEC;
	seconds = seconds > 2 * TOKEN_MARGIN_SEC ? seconds - TOKEN_MARGIN_SEC : seconds;
	header = format_text("Bearer %s", text);
	if (!header)
		return fail_nomem(err);
	entry_set_header(e, header, now_monotonic_ns() + (uint64_t)seconds * NS_PER_SEC);
	return 0;
}

static int check_token_status(const struct auth_target *t, const struct entry *e,
	const struct http_response *r, bool *ret_retry, struct imbrex_error *err)
{
	if (r->status == 200)
		return 0;
	if (r->status == 401 || r->status == 403 || (r->status == 400 && e->creds.identity_token))
		return not_logged_in(t, &e->creds, err);
	if (r->status >= 300 && r->status < 400)
		return fail(
			err, IMBREX_EPERM, "token server %s: redirects are refused there", r->host);
	*ret_retry = r->status >= 500 || r->status == 429;
	return fail(err, IMBREX_ENET, "token server %s: status %ld", r->host, r->status);
}

static int fetch_token(struct auth *a, const struct auth_target *t, const struct challenge *c,
	struct entry *e, bool *ret_retry, struct imbrex_error *err)
{
	struct http_request q = { .no_redirects = true };
	AUTO_RESPONSE response = { 0 };
	AUTO_FREE char *scope = wanted_scope(t, c);
	AUTO_STR url = STR_INIT(LIMIT_TOKEN_BYTES), form = STR_INIT(4 * LIMIT_TOKEN_BYTES);
	const char *realm = challenge_param(c, "realm");
	struct http_origin realm_origin;
	char *basic = NULL;
	int r;

	if (!realm)
		return fail(err, IMBREX_EFORMAT,
			"registry %s: asks for a token but does not say where (no realm)",
			t->registry);
	r = auth_check_realm(&t->origin, realm, err);
	if (r < 0)
		return wrap(err, r, "registry %s", t->registry);
	r = http_origin_parse(realm, &realm_origin, err);
	if (r < 0)
		return r;
	if (!scope)
		return fail_nomem(err);
	q.tls = str_eq(realm_origin.host, t->origin.host) ? t->tls : t->tls_redirect;
	if (e->creds.identity_token) {
		q.method = HTTP_POST;
		r = str_append(&url, realm, strcspn(realm, "#"));
		if (r == 0)
			r = build_token_form(c, scope, &e->creds, &form);
		q.form = str_text(&form);
	} else {
		r = build_token_url(c, scope, e->creds.username, &url);
		basic = has_password(&e->creds) ? basic_header(&e->creds) : NULL;
		q.authorization = basic;
		if (has_password(&e->creds) && !basic)
			r = -ENOMEM;
	}
	q.url = str_text(&url);
	if (r < 0)
		r = r == -EFBIG ? fail(err, IMBREX_ELIMIT,
					  "registry %s: the token request is too long", t->registry)
				: fail_nomem(err);
	else
		r = http_perform(a->http, &q, &response, err);
	wipe_text(basic);
	if (form.data)
		explicit_bzero(form.data, form.len);
	if (r < 0) {
		*ret_retry = response.trouble == HTTP_TROUBLE_LOST;
		return r;
	}
	r = check_token_status(t, e, &response, ret_retry, err);
	if (r < 0)
		return r;
	r = take_token(e, &response, err);
	return r < 0 ? wrap(err, r, "token server %s", response.host) : 0;
}

static int parse_all(
	const struct http_response *response, struct challenges *ret, struct imbrex_error *err)
{
	const char *value;
	size_t i;
	int r;

	for (i = 0; (value = http_header(response, "WWW-Authenticate", i)); i++) {
		r = challenges_parse(ret, value, strlen(value), err);
		if (r < 0)
			return wrap(err, r, "%s", response->host);
	}
	return 0;
}

static const struct challenge *find_scheme(const struct challenges *c, const char *scheme)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		if (str_eq(c->items[i].scheme, scheme))
			return &c->items[i];
	}
	return NULL;
}

/* With the lock held: put a fresh header into the entry. */
static int renew(struct auth *a, const struct auth_target *t, const struct http_response *response,
	struct entry *e, bool *ret_retry, struct imbrex_error *err)
{
	AUTO_CHALLENGES challenges = { 0 };
	const struct challenge *bearer, *basic;
	bool refused_basic = e->header && strncmp(e->header, "Basic ", 6) == 0;
	char *header;
	int r;

	entry_set_header(e, NULL, 0);
	r = parse_all(response, &challenges, err);
	if (r < 0)
		return r;
	bearer = find_scheme(&challenges, "bearer");
	basic = find_scheme(&challenges, "basic");
	if (!bearer && !basic && challenges.n)
		return fail(err, IMBREX_ENOTSUP,
			"registry %s: asks for authentication by '%.40s', which is not supported",
			t->registry, challenges.items[0].scheme);
	if (!e->creds_looked_up) {
		r = creds_find(a->creds, t->registry, t->repository, &e->creds, err);
		if (r < 0)
			return r;
		e->creds_looked_up = true;
	}
	if (bearer)
		return fetch_token(a, t, bearer, e, ret_retry, err);
	if (!basic || refused_basic || !has_password(&e->creds))
		return not_logged_in(t, &e->creds, err);
	header = basic_header(&e->creds);
	if (!header)
		return fail_nomem(err);
	entry_set_header(e, header, 0);
	return 0;
}

static int copy_header(const struct entry *e, char **ret_header, struct imbrex_error *err)
{
	char *copy = strdup(e->header);

	if (!copy)
		return fail_nomem(err);
	*ret_header = copy;
	return 0;
}

static int answer(struct auth *a, const struct auth_target *t,
	const struct http_response *challenge, const char *refused, char **ret_header,
	bool *ret_retry, struct imbrex_error *err)
{
	struct entry *e = entry_of(a, t);
	bool renewed_by_another;
	int r;

	if (!e)
		return fail_nomem(err);
	renewed_by_another = entry_is_fresh(e) && (!refused || !str_eq(e->header, refused));
	if (!renewed_by_another) {
		r = renew(a, t, challenge, e, ret_retry, err);
		if (r < 0)
			return r;
	}
	return copy_header(e, ret_header, err);
}

void wipe_text(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

int auth_check_realm(
	const struct http_origin *registry, const char *realm, struct imbrex_error *err)
{
	struct http_origin o;
	enum http_host_class class, registry_class;
	int r;

	r = http_origin_parse(realm, &o, err);
	if (r < 0)
		return wrap(err, r, "token server");
	if (str_eq(o.scheme, "http") && !str_eq(registry->scheme, "http"))
		return fail(err, IMBREX_EPERM, "token server %s: plain http is refused", o.host);
	class = http_host_classify(o.host);
	registry_class = http_host_classify(registry->host);
	if (class == HTTP_HOST_NAME || class == registry_class)
		return 0;
	if (class == HTTP_HOST_ADDRESS && registry_class == HTTP_HOST_LOOPBACK)
		return 0;
	return fail(err, IMBREX_EPERM,
		"token server %s: an address that a registry at %s may not send us to", o.host,
		registry->host);
}

int auth_header(
	struct auth *a, const struct auth_target *t, char **ret_header, struct imbrex_error *err)
{
	struct entry *e;
	int r = 0;

	*ret_header = NULL;
	pthread_mutex_lock(&a->lock);
	e = entry_of(a, t);
	if (!e)
		r = fail_nomem(err);
	else if (entry_is_fresh(e))
		r = copy_header(e, ret_header, err);
	pthread_mutex_unlock(&a->lock);
	return r;
}

int auth_answer(struct auth *a, const struct auth_target *t, const struct http_response *challenge,
	const char *refused, char **ret_header, bool *ret_retry, struct imbrex_error *err)
{
	int r;

	*ret_retry = false;
	pthread_mutex_lock(&a->lock);
	r = answer(a, t, challenge, refused, ret_header, ret_retry, err);
	pthread_mutex_unlock(&a->lock);
	return r;
}

int auth_new(struct http *http, const struct creds_options *creds, struct auth **ret,
	struct imbrex_error *err)
{
	struct auth *a = calloc(1, sizeof(*a));

	if (!a)
		return fail_nomem(err);
	a->http = http;
	a->creds = creds;
	(void)pthread_mutex_init(&a->lock, NULL); /* the default kind cannot fail */
	*ret = a;
	return 0;
}

void auth_free(struct auth *a)
{
	struct entry *e;

	if (!a)
		return;
	while (a->entries) {
		e = a->entries;
		a->entries = e->next;
		entry_free(e);
	}
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}
