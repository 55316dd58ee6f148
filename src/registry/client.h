/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One repository at its registry and its mirrors: manifests and blobs, with authorization,
 * retries, resumption and fall-back inside.
 *
 * repository_open -> (repository_manifest | repository_blob)* -> repository_free.
 * Threading: manifest and blob may be called from any number of threads at once; every call has a
 * connection of its own. Errors: err; messages name the registry and what was asked for.
 * Source: OCI distribution spec 1.1, "Pull".
 */
#ifndef REGISTRY_CLIENT_H
#define REGISTRY_CLIENT_H

#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/str.h"
#include "registry/creds.h"
#include "registry/hosts.h"
#include "registry/http.h"
#include "stream/sink.h"

struct repository;

enum tls_verify {
	TLS_VERIFY_DEFAULT = 0, /* as registries.conf says; verify if it says nothing */
	TLS_VERIFY_ON = 1,
	TLS_VERIFY_OFF = 2, /* https without verification, then http; redirects too */
};

/* Told before each new try: one line for people. From whichever thread tries. */
typedef void (*repository_note_fn)(void *userdata, const char *text);

/* What becomes of the first request, and of a manifest that is not to be had. */
enum repository_event {
	REPOSITORY_GRANTED = 1,    /* no authorization is asked for */
	REPOSITORY_AUTHENTICATING, /* text: the user; NULL: nobody by name */
	REPOSITORY_AUTHENTICATED,
	REPOSITORY_REFUSED /* text: the URL; http_status: what it answered, 400 or more */
};
/* Of manifests only, from the thread that asks for them. */
typedef void (*repository_event_fn)(
	void *userdata, enum repository_event event, long http_status, const char *text);

/* Zero means default; all borrowed for the life of the repository. */
struct repository_options {
	enum tls_verify tls_verify;
	struct creds_options creds;
	const char *cert_dir;        /* certificates of this registry; NULL: the certs.d folders */
	unsigned int n_tries;        /* of one request; 0: 5 */
	unsigned int backoff_ms;     /* before the second try, doubled each time; 0: 500 */
	unsigned int backoff_max_ms; /* also what Retry-After is cut to; 0: 60 s */
	struct http_options http;
	repository_note_fn note;
	repository_event_fn event;
	void *userdata; /* of both */
};

/* `endpoints`: at least one; taken on success. */
int repository_open(struct endpoints *endpoints, const struct repository_options *opts,
	struct repository **ret, struct imbrex_error *err) MUST_CHECK;
void repository_free(struct repository *r);
DEFINE_CLEANUP(repository, struct repository, repository_free)
#define AUTO_REPOSITORY AUTO(repository)

struct repository_document {
	struct str body;          /* owned */
	char *media_type;         /* owned; Content-Type without parameters; NULL if not sent */
	struct hash_value digest; /* sha256 of body */
};

void repository_document_done(struct repository_document *d);
#define AUTO_DOCUMENT __attribute__((cleanup(repository_document_done))) struct repository_document

/*
 * Fetch a manifest or index.
 *
 * name   tag, or text of `want`
 * want   digest the bytes must have; NULL for a tag
 * Errors ENOENT if no endpoint has it, EDIGEST if the bytes do not match `want` or what the
 *        registry announced, EPERM, ENET.
 * Limits LIMIT_MANIFEST_BYTES
 */
int repository_manifest(struct repository *r, const char *name, const struct hash_value *want,
	struct repository_document *ret, struct imbrex_error *err) MUST_CHECK;

/*
 * What the registry says is the digest of a manifest or index, without fetching it.
 *
 * ret_media_type  free(); NULL if it does not say
 * Returns 1; 0 if it says no digest, ret is untouched then
 */
int repository_digest(struct repository *r, const char *name, struct hash_value *ret,
	char **ret_media_type, struct imbrex_error *err) MUST_CHECK;

/* What the bytes of a blob are also told, in order, gaps never. May be NULL where taken. */
struct blob_observer {
	void (*data)(struct blob_observer *o, const void *buf, size_t len);
};

/*
 * Push the bytes [offset, size) of a blob into `to`. Does not finish it: digest and end are the
 * caller's to check, bytes before `offset` were pushed by the caller.
 *
 * size     exact; more or fewer bytes are an error
 * observer told of every byte pushed; NULL: none
 * Errors   EDIGEST if the registry's size differs, or what the sink returned, or as above.
 */
int repository_blob(struct repository *r, const struct hash_value *digest, uint64_t size,
	uint64_t offset, struct sink *to, struct blob_observer *observer,
	struct imbrex_error *err) MUST_CHECK;

#endif
