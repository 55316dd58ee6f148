/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over libcurl's multi interface, one transfer at a time per connection.
 *
 * The multi interface instead of curl_easy_perform() because the loop is ours: stalls are measured
 * in milliseconds between bytes, headers have a deadline of their own, and time that the receiver
 * of the body spends does not count as silence of the server.
 *
 * Invariants
 * (1) A connection is in the pool (idle) or owned by one exchange. It returns to the pool only
 *     after an exchange that ended well; any other is closed.
 * (2) Redirects are followed here, never by libcurl. Once an origin differs from the first one,
 *     Authorization is gone for the rest of the chain, whatever comes later.
 * (3) Body bytes reach request.body only after the headers were complete, checked, and 2xx.
 *
 * One hop:  connection_take -> hop_setup -> hop_drive (on_header*, head_complete, on_body*)
 *           -> hop_result -> connection_give | connection_free
 */
#include "registry/http.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/limits.h"
#include "config.h"
#include "registry/curl.h"

#define CONNECT_TIMEOUT_MS  30000u
#define STALL_TIMEOUT_MS    60000u
#define DOCUMENT_TIMEOUT_MS 180000u
/* The largest libcurl takes: fewer system calls for the same bytes. */
#define RECEIVE_BYTES (512L * 1024)

struct connection {
	CURL *easy;
	CURLM *multi; /* holds the open sockets */
	struct connection *next;
};

struct http {
	const struct curl_api *api;
	struct http_options opts; /* defaults filled in; its strings are owned */
	pthread_mutex_t lock;     /* of idle */
	struct connection *idle;
};

/* One hop of an exchange, while it runs. */
struct hop {
	struct http *http;
	const struct http_request *request;
	struct http_response *response;
	struct imbrex_error *err;
	CURL *easy;
	size_t header_bytes;
	bool head_done; /* headers complete and acceptable */
	int failed;     /* status of our own refusal inside a callback; err is filled */
	uint64_t body_bytes;
	uint64_t last_ms; /* when the last byte came, or the receiver was done with it */
	char text[CURL_ERROR_SIZE];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void connection_free(struct http *h, struct connection *c)
{
	if (!c)
		return;
	if (c->easy)
		h->api->easy_cleanup(c->easy);
	if (c->multi)
		(void)h->api->multi_cleanup(c->multi);
	free(c);
}

static struct connection *connection_new(struct http *h)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->easy = h->api->easy_init();
	c->multi = h->api->multi_init();
	if (!c->easy || !c->multi) {
		connection_free(h, c);
		return NULL;
	}
	return c;
}

static struct connection *connection_take(struct http *h)
{
	struct connection *c;

	pthread_mutex_lock(&h->lock);
	c = h->idle;
	if (c)
		h->idle = c->next;
	pthread_mutex_unlock(&h->lock);
	return c ? c : connection_new(h);
}

static void connection_give(struct http *h, struct connection *c)
{
	pthread_mutex_lock(&h->lock);
	c->next = h->idle;
	h->idle = c;
	pthread_mutex_unlock(&h->lock);
}

static int refuse(struct hop *hop, enum http_trouble trouble, int status)
{
	hop->failed = status;
	hop->response->trouble = trouble;
	return status;
}

/* What must hold before a body byte is looked at: invariant (3). */
static int head_complete(struct hop *hop)
{
	struct http_response *r = hop->response;
	const char *coding;
	curl_off_t length = -1;

	coding = http_header(r, "Content-Encoding", 0);
	if (coding && coding[0] && strcasecmp(coding, "identity") != 0)
		return refuse(hop, HTTP_TROUBLE_OTHER,
			fail(hop->err, IMBREX_EFORMAT,
				"%s: sent a body with Content-Encoding '%.40s', which was not "
				"asked for",
				r->host, coding));
	coding = http_header(r, "Transfer-Encoding", 0);
	if (coding &&
		(strcasecmp(coding, "chunked") != 0 || http_header(r, "Transfer-Encoding", 1)))
		return refuse(hop, HTTP_TROUBLE_OTHER,
			fail(hop->err, IMBREX_EFORMAT,
				"%s: sent a body with Transfer-Encoding '%.40s', which was not "
				"asked for",
				r->host, coding));
	(void)hop->http->api->easy_getinfo(hop->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	r->has_content_length = length >= 0;
	r->content_length = length >= 0 ? (uint64_t)length : 0;
	hop->head_done = true;
	return 0;
}

static int take_header(struct hop *hop, const char *line, size_t len)
{
	struct http_response *r = hop->response;
	long status = 0;

	hop->header_bytes += len;
	if (hop->header_bytes > LIMIT_HTTP_HEADER_BYTES)
		return refuse(hop, HTTP_TROUBLE_OTHER,
			fail(hop->err, IMBREX_ELIMIT, "%s: response headers exceed %u bytes",
				r->host, LIMIT_HTTP_HEADER_BYTES));
	if (hop->head_done) /* trailers: counted, not believed */
		return 0;
	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		strv_done(&r->headers);
		return 0;
	}
	if (len) {
		if (strv_addf(&r->headers, "%.*s", (int)len, line) < 0)
			return refuse(hop, HTTP_TROUBLE_OTHER, fail_nomem(hop->err));
		return 0;
	}
	(void)hop->http->api->easy_getinfo(hop->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200) /* an interim response; the real one follows */
		return 0;
	r->status = status;
	return head_complete(hop);
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata)
{
	struct hop *hop = userdata;

	hop->last_ms = now_ms();
	return take_header(hop, line, size * n) < 0 ? 0 : size * n;
}

static int take_body(struct hop *hop, const char *buf, size_t len)
{
	const struct http_request *q = hop->request;
	struct http_response *r = hop->response;
	bool good = r->status >= 200 && r->status < 300;
	int err;

	hop->body_bytes += len;
	if (good && q->body) {
		err = q->body(q->userdata, r, buf, len, hop->err);
		return err < 0 ? refuse(hop, HTTP_TROUBLE_BODY, err) : 0;
	}
	if (!good) {
		size_t room = r->document.max_len - r->document.len;

		/* An error page: as much as the limit allows, the rest is of no interest. */
		len = MIN(len, room);
	}
	err = str_append(&r->document, buf, len);
	if (err == -EFBIG)
		return refuse(hop, HTTP_TROUBLE_OTHER,
			fail(hop->err, IMBREX_ELIMIT, "%s: document exceeds %zu bytes", r->host,
				r->document.max_len));
	return err < 0 ? refuse(hop, HTTP_TROUBLE_OTHER, fail_nomem(hop->err)) : 0;
}

static size_t on_body(char *buf, size_t size, size_t n, void *userdata)
{
	struct hop *hop = userdata;
	int err = take_body(hop, buf, size * n);

	hop->last_ms = now_ms();
	return err < 0 ? (size_t)-1 : size * n;
}

/* As OpenSSL, Go and curl(1) have it: other authorities than the system's. */
static void setup_authorities(struct hop *hop)
{
	const struct curl_api *api = hop->http->api;
	const char *file = getenv("SSL_CERT_FILE");
	const char *dir = getenv("SSL_CERT_DIR");

	if (file && *file)
		(void)api->easy_setopt(hop->easy, CURLOPT_CAINFO, file);
	if (dir && *dir)
		(void)api->easy_setopt(hop->easy, CURLOPT_CAPATH, dir);
}

static void setup_tls(struct hop *hop, const struct http_tls *tls)
{
	const struct curl_api *api = hop->http->api;

	setup_authorities(hop);
	if (!tls)
		return;
	if (tls->insecure) {
		(void)api->easy_setopt(hop->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)api->easy_setopt(hop->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (tls->ca_pem) {
		struct curl_blob blob = {
			.data = (void *)(uintptr_t)tls->ca_pem,
			.len = strlen(tls->ca_pem),
			.flags = CURL_BLOB_NOCOPY,
		};

		(void)api->easy_setopt(hop->easy, CURLOPT_CAINFO_BLOB, &blob);
		if (tls->ca_only)
			(void)api->easy_setopt(hop->easy, CURLOPT_CAPATH, NULL);
	}
	if (tls->cert_path) {
		(void)api->easy_setopt(hop->easy, CURLOPT_SSLCERT, tls->cert_path);
		(void)api->easy_setopt(hop->easy, CURLOPT_SSLKEY, tls->key_path);
	}
}

static int add_header(const struct curl_api *api, struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = api->slist_append(*list, line);

	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

/* The header list of a hop; `authorization` NULL: without. */
static int build_headers(const struct curl_api *api, const struct http_request *q, bool trusted,
	struct curl_slist **list)
{
	const char *const *line;
	AUTO_FREE char *authorization = NULL;
	int r = add_header(api, list, "Accept-Encoding: identity");

	for (line = q->headers; r == 0 && line && *line; line++)
		r = add_header(api, list, *line);
	if (r == 0 && trusted && q->authorization) {
		authorization = format_text("Authorization: %s", q->authorization);
		r = authorization ? add_header(api, list, authorization) : -ENOMEM;
		if (authorization)
			explicit_bzero(authorization, strlen(authorization));
	}
	return r;
}

static void free_headers(const struct curl_api *api, struct curl_slist *list)
{
	struct curl_slist *l;

	for (l = list; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	api->slist_free_all(list);
}

static void hop_setup(
	struct hop *hop, const char *url, const struct http_tls *tls, struct curl_slist *headers)
{
	const struct curl_api *api = hop->http->api;
	const struct http_request *q = hop->request;
	CURL *easy = hop->easy;

	/* A setopt fails for want of memory or of the feature; the transfer then reports it. */
	api->easy_reset(easy);
	(void)api->easy_setopt(easy, CURLOPT_URL, url);
	(void)api->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)api->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)api->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)api->easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	(void)api->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	(void)api->easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	(void)api->easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	(void)api->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)api->easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
	(void)api->easy_setopt(easy, CURLOPT_USERAGENT, "imbrex/" IMBREX_VERSION);
	(void)api->easy_setopt(
		easy, CURLOPT_CONNECTTIMEOUT_MS, (long)hop->http->opts.connect_timeout_ms);
	if (hop->http->opts.unix_socket) {
		(void)api->easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, hop->http->opts.unix_socket);
		(void)api->easy_setopt(easy, CURLOPT_PROXY, "");
	}
	(void)api->easy_setopt(easy, CURLOPT_ERRORBUFFER, hop->text);
	(void)api->easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	(void)api->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)api->easy_setopt(easy, CURLOPT_HEADERDATA, hop);
	(void)api->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)api->easy_setopt(easy, CURLOPT_WRITEDATA, hop);
	if (q->method == HTTP_HEAD)
		(void)api->easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (q->method == HTTP_POST)
		(void)api->easy_setopt(easy, CURLOPT_POSTFIELDS, q->form ? q->form : "");
	setup_tls(hop, tls);
}

/* How many milliseconds of silence are left; 0: none, err is filled. */
static uint64_t time_left(struct hop *hop, uint64_t start_ms)
{
	const struct http_options *o = &hop->http->opts;
	const struct http_response *r = hop->response;
	uint64_t now = now_ms(), stall_end = hop->last_ms + o->stall_timeout_ms, end = stall_end;

	if (!hop->head_done) /* one header byte a minute is not an answer either */
		end = MIN(end, start_ms + o->connect_timeout_ms + o->stall_timeout_ms);
	else if (!hop->request->body)
		end = MIN(end, start_ms + o->document_timeout_ms);
	if (o->transfer_timeout_ms)
		end = MIN(end, start_ms + o->transfer_timeout_ms);
	if (now < end)
		return end - now;
	if (now >= stall_end)
		(void)fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_TIMEOUT,
			"%s: no data for %u ms after %" PRIu64 " bytes", r->host,
			o->stall_timeout_ms, hop->body_bytes);
	else
		(void)fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_TIMEOUT,
			"%s: answer not complete after %" PRIu64 " ms", r->host, now - start_ms);
	(void)refuse(hop, HTTP_TROUBLE_LOST, IMBREX_ENET);
	return 0;
}

/* Run the transfer to its end. *ret_code is valid if the result is 0. */
static int hop_drive(struct hop *hop, struct connection *c, CURLcode *ret_code)
{
	const struct curl_api *api = hop->http->api;
	uint64_t start = now_ms(), left;
	CURLMsg *message;
	CURLMcode mc;
	int running, n;

	hop->last_ms = start;
	for (;;) {
		mc = api->multi_perform(c->multi, &running);
		if (mc != CURLM_OK)
			break;
		if (!running) {
			message = api->multi_info_read(c->multi, &n);
			*ret_code = message ? message->data.result : CURLE_OK;
			return hop->failed;
		}
		left = time_left(hop, start);
		if (!left)
			return hop->failed;
		mc = api->multi_poll(c->multi, NULL, 0, (int)MIN(left, 1000u), NULL);
		if (mc != CURLM_OK)
			break;
	}
	return refuse(hop, HTTP_TROUBLE_OTHER,
		fail(hop->err, IMBREX_EFAIL, "%s: libcurl: %s", hop->response->host,
			api->multi_strerror(mc)));
}

static int connect_failed(struct hop *hop, CURLcode code)
{
	const char *host = hop->response->host;
	long errnum = 0;

	if (code == CURLE_COULDNT_RESOLVE_HOST)
		return fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_NAME,
			"%s: host name not found", host);
	if (code == CURLE_COULDNT_RESOLVE_PROXY)
		return fail(hop->err, IMBREX_ENET, "%s: name of the proxy not found", host);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_TIMEOUT,
			"%s: no connection within %u ms", host, hop->http->opts.connect_timeout_ms);
	(void)hop->http->api->easy_getinfo(hop->easy, CURLINFO_OS_ERRNO, &errnum);
	if (errnum > 0)
		return fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_CONNECT,
			"%s: cannot connect: %s", host,
			strerrordesc_np((int)errnum) ? strerrordesc_np((int)errnum)
						     : "unknown error");
	return fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_CONNECT,
		"%s: cannot connect: %s", host, hop->text);
}

static int certificate_refused(struct hop *hop, const char *text)
{
	const char *host = hop->response->host;
	int r = refuse(hop, HTTP_TROUBLE_TLS,
		fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_CERTIFICATE,
			"%s: TLS certificate not accepted: %s", host, text));

	if (hop->http->opts.peer)
		return r;
	return hint(hop->err, r, "put its authority into /etc/containers/certs.d/%s/ca.crt", host);
}

/* Say in our words what libcurl's code means. */
static int hop_result(struct hop *hop, CURLcode code)
{
	const char *host = hop->response->host;
	const char *text = hop->text[0] ? hop->text : hop->http->api->easy_strerror(code);

	switch ((int)code) {
	case CURLE_OK:
		if (hop->head_done)
			return 0;
		return refuse(hop, HTTP_TROUBLE_LOST,
			fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_LOST, "%s: no answer",
				host));
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
		return refuse(hop, HTTP_TROUBLE_CONNECT, connect_failed(hop, code));
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return certificate_refused(hop, text);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ENGINE_INITFAILED:
		return refuse(hop, HTTP_TROUBLE_TLS,
			fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_TLS,
				"%s: TLS failed: %s", host, text));
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return refuse(hop, HTTP_TROUBLE_LOST,
			fail_reason(hop->err, IMBREX_ENET, IMBREX_REASON_NET_LOST,
				"%s: connection lost after %" PRIu64 " bytes", host,
				hop->body_bytes));
	case CURLE_OUT_OF_MEMORY: /* also what it says of one endless header line */
		return refuse(hop, HTTP_TROUBLE_OTHER,
			hop->head_done ? fail_nomem(hop->err)
				       : fail(hop->err, IMBREX_ELIMIT,
						 "%s: a response header is too long", host));
	default:
		return refuse(
			hop, HTTP_TROUBLE_OTHER, fail(hop->err, IMBREX_ENET, "%s: %s", host, text));
	}
}

static int set_origin(
	const struct http *h, struct http_response *r, const char *url, struct imbrex_error *err)
{
	int n;

	n = http_origin_parse(url, &r->origin, err);
	if (n < 0)
		return n;
	if (h->opts.peer)
		(void)snprintf(r->host, sizeof(r->host), "%s", h->opts.peer);
	else if (r->origin.port == (str_eq(r->origin.scheme, "https") ? 443u : 80u))
		(void)snprintf(r->host, sizeof(r->host), "%s", r->origin.host);
	else
		(void)snprintf(r->host, sizeof(r->host), "%s:%u", r->origin.host, r->origin.port);
	return 0;
}

/* One request, one response. `trusted`: the hop is still at the first origin. */
static int perform_hop(struct http *h, const struct http_request *q, const char *url,
	const struct http_tls *tls, bool trusted, struct http_response *ret,
	struct imbrex_error *err)
{
	struct hop hop = { .http = h, .request = q, .response = ret, .err = err };
	struct connection *c = connection_take(h);
	struct curl_slist *headers = NULL;
	CURLcode code = CURLE_OK;
	int r;

	ret->document.max_len = q->document_max ? q->document_max : LIMIT_HTTP_DOCUMENT_BYTES;
	str_clear(&ret->document);
	strv_done(&ret->headers);
	ret->status = 0;
	if (!c || build_headers(h->api, q, trusted, &headers) < 0) {
		free_headers(h->api, headers);
		connection_free(h, c);
		return refuse(&hop, HTTP_TROUBLE_OTHER, fail_nomem(err));
	}
	hop.easy = c->easy;
	hop_setup(&hop, url, tls, headers);
	if (h->api->multi_add_handle(c->multi, c->easy) != CURLM_OK) {
		r = refuse(&hop, HTTP_TROUBLE_OTHER, fail_nomem(err));
	} else {
		r = hop_drive(&hop, c, &code);
		if (r == 0)
			r = hop_result(&hop, code);
		(void)h->api->multi_remove_handle(c->multi, c->easy);
	}
	if (r == 0) {
		h->api->easy_reset(c->easy); /* forget pointers to this exchange */
		connection_give(h, c);
	} else {
		connection_free(h, c);
	}
	free_headers(h->api, headers);
	return r;
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Absolute URL of `location` as seen from `base`; NULL if there is none. */
static char *resolve(const struct curl_api *api, const char *base, const char *location)
{
	CURLU *u = api->url();
	char *text = NULL, *copy = NULL;

	if (u && api->url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
		api->url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
		api->url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
		api->url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
		copy = strdup(text);
	api->free(text);
	api->url_cleanup(u);
	return copy;
}

static int follow(struct http *h, struct http_response *r, char **url, struct imbrex_error *err)
{
	const char *location = http_header(r, "Location", 0);
	struct http_origin from = r->origin;
	char from_host[sizeof(r->host)];
	enum http_host_class to_class;
	AUTO_FREE char *next = NULL;
	int n;

	if (!location)
		return fail(err, IMBREX_EFORMAT, "%s: redirect without a Location", r->host);
	next = resolve(h->api, *url, location);
	if (!next)
		return fail(err, IMBREX_EFORMAT, "%s: redirect to what is not a URL", r->host);
	memcpy(from_host, r->host, sizeof(from_host));
	n = set_origin(h, r, next, err);
	if (n < 0)
		return wrap(err, n, "%s: redirect", from_host);
	if (str_eq(from.scheme, "https") && str_eq(r->origin.scheme, "http"))
		return fail(err, IMBREX_EPERM, "%s: redirect from https to http is refused (to %s)",
			from_host, r->host);
	to_class = http_host_classify(r->origin.host);
	if (to_class >= HTTP_HOST_LOOPBACK && to_class != http_host_classify(from.host))
		return fail(err, IMBREX_EPERM,
			"%s: redirect to an address of this machine or link is refused (to %s)",
			from_host, r->host);
	free(*url);
	*url = take_ptr(next);
	return 0;
}

void http_response_done(struct http_response *r)
{
	strv_done(&r->headers);
	if (r->document.data) /* may be a token */
		explicit_bzero(r->document.data, r->document.cap);
	str_done(&r->document);
	*r = (struct http_response){ 0 };
}

const char *http_header(const struct http_response *r, const char *name, size_t index)
{
	size_t i, len = strlen(name);

	for (i = 0; i < r->headers.n; i++) {
		const char *line = r->headers.items[i];

		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		if (index--)
			continue;
		line += len + 1;
		return line + strspn(line, " \t");
	}
	return NULL;
}

static bool parse_ipv4(const char *text, enum http_host_class *ret)
{
	struct in_addr a;
	uint32_t n;

	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	n = ntohl(a.s_addr);
	*ret = HTTP_HOST_ADDRESS;
	if (n >> 24 == 127 || n == 0)
		*ret = HTTP_HOST_LOOPBACK;
	else if (n >> 16 == 0xa9fe)
		*ret = HTTP_HOST_LINK_LOCAL;
	return true;
}

static enum http_host_class classify_ipv6(const struct in6_addr *a)
{
	enum http_host_class mapped;
	char text[INET_ADDRSTRLEN];

	if (IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a))
		return HTTP_HOST_LOOPBACK;
	if (IN6_IS_ADDR_LINKLOCAL(a))
		return HTTP_HOST_LINK_LOCAL;
	if (IN6_IS_ADDR_V4MAPPED(a) && inet_ntop(AF_INET, &a->s6_addr[12], text, sizeof(text)) &&
		parse_ipv4(text, &mapped))
		return mapped;
	return HTTP_HOST_ADDRESS;
}

enum http_host_class http_host_classify(const char *host)
{
	enum http_host_class class;
	struct in6_addr a6;
	char text[64];
	size_t len = strlen(host);

	if (strcasecmp(host, "localhost") == 0 || str_ends(host, ".localhost"))
		return HTTP_HOST_LOOPBACK;
	if (parse_ipv4(host, &class))
		return class;
	if (host[0] == '[' && len > 2 && len < sizeof(text)) {
		memcpy(text, host + 1, len - 2);
		text[len - 2] = '\0';
		text[strcspn(text, "%")] = '\0'; /* zone */
		if (inet_pton(AF_INET6, text, &a6) == 1)
			return classify_ipv6(&a6);
	}
	return HTTP_HOST_NAME;
}

/* One part of a parsed URL into a fixed buffer, lower case. */
static bool url_part(const struct curl_api *api, CURLU *u, CURLUPart part, unsigned flags,
	char *ret, size_t size)
{
	char *text = NULL;
	bool fits = false;
	size_t i;

	if (api->url_get(u, part, &text, flags) == CURLUE_OK && text && strlen(text) < size) {
		for (i = 0; text[i]; i++)
			ret[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
		ret[i] = '\0';
		fits = true;
	}
	api->free(text);
	return fits;
}

static int parse_origin(const struct curl_api *api, CURLU *u, const char *url,
	struct http_origin *o, struct imbrex_error *err)
{
	char text[8];

	if (api->url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
		!url_part(api, u, CURLUPART_SCHEME, 0, o->scheme, sizeof(o->scheme)) ||
		(!str_eq(o->scheme, "http") && !str_eq(o->scheme, "https")))
		return fail(err, IMBREX_EINVAL, "not an http or https URL");
	if (!url_part(api, u, CURLUPART_HOST, 0, o->host, sizeof(o->host)) ||
		!url_part(api, u, CURLUPART_PORT, CURLU_DEFAULT_PORT, text, sizeof(text)))
		return fail(err, IMBREX_EINVAL, "URL without a usable host");
	o->port = (unsigned)strtoul(text, NULL, 10);
	return 0;
}

int http_origin_parse(const char *url, struct http_origin *ret, struct imbrex_error *err)
{
	const struct curl_api *api;
	struct http_origin o = { 0 };
	char *user = NULL;
	CURLU *u;
	int r;

	r = curl_load(&api, err);
	if (r < 0)
		return r;
	u = api->url();
	if (!u)
		return fail_nomem(err);
	r = parse_origin(api, u, url, &o, err);
	if (r == 0 && api->url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
		r = fail(err, IMBREX_EINVAL, "URL with a user name");
	api->free(user);
	api->url_cleanup(u);
	if (r == 0)
		*ret = o;
	return r;
}

bool http_origin_equal(const struct http_origin *a, const struct http_origin *b)
{
	return str_eq(a->scheme, b->scheme) && str_eq(a->host, b->host) && a->port == b->port;
}

int http_escape(struct str *to, const char *text)
{
	int r = 0;

	for (; *text && r == 0; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			strchr("-._~", c))
			r = str_putc(to, (char)c);
		else
			r = str_printf(to, "%%%02X", c);
	}
	return r;
}

int http_perform(struct http *h, const struct http_request *request, struct http_response *ret,
	struct imbrex_error *err)
{
	AUTO_FREE char *url = strdup(request->url);
	struct http_origin first;
	bool trusted = true;
	unsigned n_hops;
	int r;

	ret->trouble = HTTP_TROUBLE_OTHER;
	if (!url)
		return fail_nomem(err);
	r = set_origin(h, ret, url, err);
	if (r < 0)
		return r;
	first = ret->origin;
	for (n_hops = 0;; n_hops++) {
		bool same_host = str_eq(first.host, ret->origin.host);

		trusted = trusted && http_origin_equal(&first, &ret->origin);
		r = perform_hop(h, request, url, same_host ? request->tls : request->tls_redirect,
			trusted, ret, err);
		if (r < 0)
			return r;
		if (!is_redirect(ret->status) || request->no_redirects ||
			request->method == HTTP_POST)
			break;
		if (n_hops == LIMIT_HTTP_REDIRECTS) {
			ret->trouble = HTTP_TROUBLE_OTHER;
			return fail(err, IMBREX_ELIMIT, "%s: more than %u redirects", ret->host,
				LIMIT_HTTP_REDIRECTS);
		}
		ret->trouble = HTTP_TROUBLE_OTHER;
		r = follow(h, ret, &url, err);
		if (r < 0)
			return r;
	}
	ret->trouble = HTTP_TROUBLE_NONE;
	return 0;
}

int http_new(const struct http_options *opts, struct http **ret, struct imbrex_error *err)
{
	struct http *h;
	const struct curl_api *api;
	int r;

	r = curl_load(&api, err);
	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return fail_nomem(err);
	h->api = api;
	(void)pthread_mutex_init(&h->lock, NULL); /* the default kind cannot fail */
	if (opts)
		h->opts = *opts;
	h->opts.unix_socket = opts && opts->unix_socket ? strdup(opts->unix_socket) : NULL;
	h->opts.peer = opts && opts->peer ? strdup(opts->peer) : NULL;
	if (opts &&
		((opts->unix_socket && !h->opts.unix_socket) || (opts->peer && !h->opts.peer))) {
		http_free(h);
		return fail_nomem(err);
	}
	if (!h->opts.connect_timeout_ms)
		h->opts.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	if (!h->opts.stall_timeout_ms)
		h->opts.stall_timeout_ms = STALL_TIMEOUT_MS;
	if (!h->opts.document_timeout_ms)
		h->opts.document_timeout_ms = DOCUMENT_TIMEOUT_MS;
	*ret = h;
	return 0;
}

void http_free(struct http *h)
{
	struct connection *c;

	if (!h)
		return;
	while (h->idle) {
		c = h->idle;
		h->idle = c->next;
		connection_free(h, c);
	}
	(void)pthread_mutex_destroy(&h->lock);
	free((void *)(uintptr_t)h->opts.unix_socket);
	free((void *)(uintptr_t)h->opts.peer);
	free(h);
}
