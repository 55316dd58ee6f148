/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which user name and password, or identity token, belong to a registry: found where podman,
 * docker and curl keep them. Files are read, never evaluated, never written.
 *
 * creds_find -> use -> credentials_done (which wipes). No state; any thread. Error tier: err;
 * no message ever holds a secret.
 */
#ifndef REGISTRY_CREDS_H
#define REGISTRY_CREDS_H

#include "base/error.h"

struct credentials {
	char *username;       /* owned; NULL if there is only a token */
	char *password;       /* owned; NULL if there is only a token */
	char *identity_token; /* owned; OAuth2 refresh token; NULL if none */
	char *found_in;       /* owned; for messages: "/root/.docker/config.json" */
};

void credentials_done(struct credentials *c);
#define AUTO_CREDENTIALS __attribute__((cleanup(credentials_done))) struct credentials

typedef void (*creds_note_fn)(void *userdata, const char *text);

/* Zero means default. All borrowed. */
struct creds_options {
	const char *username; /* given by the caller: nothing else is looked at */
	const char *password; /* of username; NULL: "" */
	const char *authfile; /* the only file to look at (podman --authfile); must exist */
	creds_note_fn note;   /* told of files that others may read; NULL: nobody */
	void *userdata;
};

/*
 * Look in this order and take the first entry that fits; the most specific key of a file wins
 * ("host/ns/repo", "host/ns", "host"):
 *   options.username; options.authfile; $REGISTRY_AUTH_FILE;
 *   $XDG_RUNTIME_DIR/containers/auth.json or /run/containers/<uid>/auth.json;
 *   ~/.config/containers/auth.json; $DOCKER_CONFIG/config.json or ~/.docker/config.json (with
 *   credHelpers and credsStore in each); $NETRC or ~/.netrc by host name.
 *
 * registry    "quay.io", "127.0.0.1:5000", "docker.io"
 * repository  path without domain and tag
 * ret         written if the result is 1
 * Returns     1 found, 0 none
 * Errors      EPERM for a file that others may write, EFORMAT for a malformed one, ENOENT for an
 *             authfile that was named but is not there; EFAIL for a helper that failed.
 * Limits      LIMIT_CONF_BYTES a file, LIMIT_CREDENTIAL_BYTES a helper's answer.
 * Source      containers-auth.json(5); docker config.json; docker-credential-helpers protocol;
 *             netrc of curl.
 */
int creds_find(const struct creds_options *opts, const char *registry, const char *repository,
	struct credentials *ret, struct imbrex_error *err) MUST_CHECK;

#endif
