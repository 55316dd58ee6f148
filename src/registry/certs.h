/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.d: certificates for one registry, beside those of the system.
 *
 * certs_load -> use -> certs_done. Plain values. Error tier: err.
 * Source: containers-certs.d(5).
 */
#ifndef REGISTRY_CERTS_H
#define REGISTRY_CERTS_H

#include "base/error.h"
#include "base/str.h"

struct certs {
	struct str ca_pem; /* owned; all *.crt one after another; empty: none */
	char *cert_path;   /* owned; client certificate *.cert; NULL: none */
	char *key_path;    /* owned; its *.key */
};

void certs_done(struct certs *c);
#define AUTO_CERTS __attribute__((cleanup(certs_done))) struct certs

/*
 * Read the first of the folders <dir>/<registry> that exists, for dir in
 * ~/.config/containers/certs.d, /etc/containers/certs.d, /etc/docker/certs.d.
 *
 * only      read this folder itself instead; it must exist; NULL: the above
 * registry  "host" or "host:port"
 * Errors    ENOENT for a *.cert without its *.key or the reverse
 * Limits    LIMIT_CONF_FILES, LIMIT_CONF_BYTES all *.crt together
 */
int certs_load(const char *only, const char *registry, struct certs *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
