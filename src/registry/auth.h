/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authorization for requests to registries: answers a 401 by Basic or Bearer, and remembers the
 * answer per origin and repository until it expires.
 *
 * auth_new -> (auth_header | auth_answer)* -> auth_free.
 * Threading: any number of threads; a token that several miss at once is fetched once.
 * Errors: err; no message holds a secret. Credentials are looked up when a server asks, not before.
 * Source: distribution spec, token authentication and OAuth2 of the registry documentation;
 * docs/formats/registry.md says what is refused.
 */
#ifndef REGISTRY_AUTH_H
#define REGISTRY_AUTH_H

#include <stdbool.h>

#include "base/error.h"
#include "registry/creds.h"
#include "registry/http.h"

struct auth;

/* Who asks for what; all borrowed. */
struct auth_target {
	struct http_origin origin;           /* of the registry */
	const char *registry;                /* name credentials are kept under: "docker.io" */
	const char *repository;              /* path at that registry */
	const struct http_tls *tls;          /* for the registry's own host */
	const struct http_tls *tls_redirect; /* for a token server elsewhere */
};

int auth_new(struct http *http, const struct creds_options *creds, struct auth **ret,
	struct imbrex_error *err) MUST_CHECK; /* borrows both */
void auth_free(struct auth *a);
DEFINE_CLEANUP(auth, struct auth, auth_free)
#define AUTO_AUTH AUTO(auth) struct auth

/* What is known by now: *ret_header is a fresh Authorization value, or NULL if nothing is. */
int auth_header(struct auth *a, const struct auth_target *t, char **ret_header,
	struct imbrex_error *err) MUST_CHECK;

/*
 * A request got 401: find the Authorization value that the server wants.
 *
 * challenge      the response with status 401
 * refused        the value that was sent and not accepted; NULL: none was
 * ret_header     a fresh value; wipe before free
 * ret_retry      set on failure: another try may help (network trouble at the token server)
 * Errors EPERM if there are no credentials or they are not accepted, or the challenge points to a
 *        place that must not be trusted; ENOTSUP for another scheme.
 */
int auth_answer(struct auth *a, const struct auth_target *t, const struct http_response *challenge,
	const char *refused, char **ret_header, bool *ret_retry,
	struct imbrex_error *err) MUST_CHECK;

/* May a registry at `registry` send us to this token server? EPERM or EINVAL with the reason. */
int auth_check_realm(
	const struct http_origin *registry, const char *realm, struct imbrex_error *err) MUST_CHECK;

/* Overwrite and free a secret text; NULL is fine. */
void wipe_text(char *text);

#endif
