/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange: a request goes out, headers come back, the body is pushed as it arrives.
 * Knows nothing of registries; credentials are one header value that never leaves its origin.
 *
 * http_new -> (http_perform with an http_response that is done each time)* -> http_free.
 * Threading: one struct http may be used by any number of threads at once; each exchange borrows
 * a connection of the pool inside. Requests and responses belong to one thread.
 * Errors name the host, never a URL's path or query: those may carry signatures.
 */
#ifndef REGISTRY_HTTP_H
#define REGISTRY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strv.h"

struct http;

/* Zero means default. */
struct http_options {
	unsigned connect_timeout_ms;  /* 0: 30 s */
	unsigned stall_timeout_ms;    /* without one byte, or before headers end; 0: 60 s */
	unsigned document_timeout_ms; /* a whole response that goes into a document; 0: 180 s */
	unsigned transfer_timeout_ms; /* a whole exchange, whatever its size; 0: none */
	/* Every connection goes to this socket, whatever host a URL has; copied; NULL: none. */
	const char *unix_socket;
	const char *peer; /* what messages call the other side; copied; NULL: host and port */
};

/* How far TLS is trusted. All zero: verify against the system's authorities. */
struct http_tls {
	bool insecure;         /* do not verify certificate and name */
	const char *ca_pem;    /* borrowed; more authorities, PEM text; NULL: none */
	bool ca_only;          /* ca_pem in place of the system's authorities */
	const char *cert_path; /* borrowed; client certificate; NULL: none */
	const char *key_path;  /* borrowed; its key */
};

/* Scheme, host and port: what credentials are bound to. */
struct http_origin {
	char scheme[6]; /* "http" or "https" */
	char host[256]; /* lower case; IPv6 in brackets */
	unsigned port;  /* 1 to 65535, the scheme's default filled in */
};

enum http_host_class {
	HTTP_HOST_NAME = 1,       /* a DNS name */
	HTTP_HOST_ADDRESS = 2,    /* an IP address of another kind than the next two */
	HTTP_HOST_LOOPBACK = 3,   /* localhost, 127.0.0.0/8, ::1 */
	HTTP_HOST_LINK_LOCAL = 4, /* 169.254.0.0/16 (metadata services), fe80::/10 */
};

enum http_method {
	HTTP_GET = 0,
	HTTP_HEAD = 1,
	HTTP_POST = 2, /* of `form`; never follows a redirect */
};

struct http_response;

/*
 * Body bytes of a response with status 2xx, split anywhere, `len` > 0. `head` has status, headers
 * and content length. A negative result ends the exchange and is what http_perform() returns.
 */
typedef int (*http_body_fn)(void *userdata, const struct http_response *head, const void *buf,
	size_t len, struct imbrex_error *err);

struct http_request {
	enum http_method method;
	const char *url;                     /* http or https, no user information */
	const char *const *headers;          /* "Name: value" lines, NULL terminated; NULL: none */
	const char *authorization;           /* value of that header; secret; NULL: none */
	const char *form;                    /* POST body, form encoded; secret */
	const struct http_tls *tls;          /* for the host of `url`; NULL: all default */
	const struct http_tls *tls_redirect; /* for other hosts; NULL: all default */
	bool no_redirects;                   /* give back 3xx responses as they are */
	http_body_fn body;                   /* NULL: into response.document */
	void *userdata;                      /* of `body` */
	size_t document_max;                 /* 0: LIMIT_HTTP_DOCUMENT_BYTES */
};

/* What went wrong below HTTP, so that the caller can decide whether to try again. */
enum http_trouble {
	HTTP_TROUBLE_NONE = 0,    /* there is a response, whatever its status */
	HTTP_TROUBLE_CONNECT = 1, /* no connection: name, address, refused, timeout */
	HTTP_TROUBLE_TLS = 2,     /* no TLS session, or a certificate that is not accepted */
	HTTP_TROUBLE_LOST = 3,    /* the connection broke or stalled; a new one may do better */
	HTTP_TROUBLE_BODY = 4,    /* request.body refused */
	HTTP_TROUBLE_OTHER = 5,   /* nothing that another try would change */
};

struct http_response {
	enum http_trouble trouble; /* of a failed http_perform() */
	long status;               /* 0: none came */
	struct strv headers;       /* of the last response, lines without their end */
	bool has_content_length;
	uint64_t content_length; /* valid if has_content_length */
	struct str document;     /* body, if request.body is NULL or the status is not 2xx */
	char host[272]; /* "host:port" that sent it: another after a redirect; or options.peer */
	struct http_origin origin; /* same */
};

int http_new(
	const struct http_options *opts, struct http **ret, struct imbrex_error *err) MUST_CHECK;
void http_free(struct http *h);
DEFINE_CLEANUP(http, struct http, http_free)
#define AUTO_HTTP AUTO(http)

void http_response_done(struct http_response *r);
static inline void cleanup_http_response(struct http_response *r)
{
	http_response_done(r);
}
#define AUTO_RESPONSE __attribute__((cleanup(cleanup_http_response))) struct http_response

/*
 * Send `request` and receive the answer, through redirects.
 *
 * ret    zero or done before; filled on failure too (trouble, and what came of the response)
 * Redirects: at most LIMIT_HTTP_REDIRECTS; never from https to http, never to an address of this
 *        machine or link from a host that is not one; Authorization stays with its origin.
 * Errors ENET for the network, EFORMAT for what is not acceptable HTTP (content codings),
 *        ELIMIT for headers or documents beyond their limit, or what request.body returned.
 *        A status of 400 and above is not an error here.
 * Limits LIMIT_HTTP_HEADER_BYTES; a document of status 2xx beyond document_max is ELIMIT, of any
 *        other status it is cut.
 * Source RFC 9110; proxies from the environment as libcurl does.
 */
int http_perform(struct http *h, const struct http_request *request, struct http_response *ret,
	struct imbrex_error *err) MUST_CHECK;

/* Value of the `index`th header of that name (any case), or NULL. Borrowed from `r`. */
const char *http_header(const struct http_response *r, const char *name, size_t index);

/* EINVAL unless `url` is http or https with a host and without user information. */
int http_origin_parse(
	const char *url, struct http_origin *ret, struct imbrex_error *err) MUST_CHECK;
bool http_origin_equal(const struct http_origin *a, const struct http_origin *b);
/* `host` as in struct http_origin. */
enum http_host_class http_host_classify(const char *host);

/* Append `text` percent-encoded for a query or form. Leaf: 0 or -errno. */
int http_escape(struct str *to, const char *text) MUST_CHECK;

#endif
