/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the Docker Engine of the caller is: what the docker program would talk to.
 *
 * endpoint_find | endpoint_parse -> use -> endpoint_done. Plain values. Threading: reads the
 * environment and files, no state. Error tier: err; messages name the variable, file or context.
 */
#ifndef TRANSPORT_ENDPOINT_H
#define TRANSPORT_ENDPOINT_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

struct endpoint {
	char *text;        /* owned; for messages: "unix:///var/run/docker.sock" */
	char *socket_path; /* owned; NULL: by TCP */
	char *url;         /* owned; "http://localhost", "https://host:2376"; no slash at its end */
	bool insecure;     /* TLS without looking at the certificate */
	struct str ca_pem; /* owned; the only authorities trusted; empty: those of the system */
	char *cert_path;   /* owned; client certificate; NULL: none */
	char *key_path;    /* owned; its key */
};

void endpoint_done(struct endpoint *e);
#define AUTO_ENDPOINT __attribute__((cleanup(endpoint_done))) struct endpoint

/*
 * DOCKER_HOST (with DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH); else the context that
 * DOCKER_CONTEXT or currentContext of config.json names; else unix:///var/run/docker.sock.
 * Nothing is connected yet.
 *
 * Errors EINVAL for a host or context that makes no sense, ENOENT for a context or certificate
 *        that is not there, ENOTSUP for ssh://, npipe:// and fd://, EFORMAT for a damaged file
 * Limits LIMIT_CONF_BYTES a file
 * Source docs.docker.com, "Use the Docker command line", environment variables and contexts
 */
int endpoint_find(struct endpoint *ret, struct imbrex_error *err) MUST_CHECK;
/* "unix:///path" or "tcp://host[:port]" without TLS. */
int endpoint_parse(const char *host, struct endpoint *ret, struct imbrex_error *err) MUST_CHECK;

#endif
