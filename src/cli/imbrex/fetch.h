/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images from elsewhere, for every verb that may fetch one: the options, and the call with
 * progress.
 *
 * Threading: none while a call lasts. Errors: err.
 */
#ifndef CLI_IMBREX_FETCH_H
#define CLI_IMBREX_FETCH_H

#include <stdbool.h>

#include "cli/cli.h"

struct fetch_args {
	const char *platform, *creds, *authfile, *cert_dir;
	unsigned int jobs;
	unsigned int engine_timeout; /* seconds */
	int tls_verify;
	bool no_sync;
};

/* Rows of an option table, for a verb's struct with a `struct fetch_args` member. */
#define FETCH_OPTS(type, member)                                                          \
	{ "platform", 0, OPT_TEXT, offsetof(type, member.platform), "OS/ARCH[/VARIANT]",  \
		"choose from an image for several platforms" },                           \
		{ "jobs", 0, OPT_NUMBER, offsetof(type, member.jobs), "N",                \
			"layers fetched at a time" },                                     \
		{ "tls-verify", 0, OPT_SWITCH, offsetof(type, member.tls_verify), "BOOL", \
			"require HTTPS and a valid certificate" },                        \
		{ "creds", 0, OPT_TEXT, offsetof(type, member.creds), "USER:PASSWORD",    \
			"credentials for the registry" },                                 \
		{ "authfile", 0, OPT_TEXT, offsetof(type, member.authfile), "FILE",       \
			"read credentials from this file" },                              \
		{ "cert-dir", 0, OPT_TEXT, offsetof(type, member.cert_dir), "DIR",        \
			"certificates and keys for the registry" },                       \
		{ "engine-timeout", 0, OPT_NUMBER, offsetof(type, member.engine_timeout), \
			"SECONDS", "how long a Docker Engine may be silent" },            \
	{                                                                                 \
		"no-sync", 0, OPT_FLAG, offsetof(type, member.no_sync), NULL,             \
			"do not wait for the disk: a power cut may lose the image"        \
	}

/* Import with progress on stderr. name: NULL for the source's. ret_id: free(). */
int fetch_image(struct cli *c, struct imbrex_store *s, const char *source, const char *name,
	const struct fetch_args *args, char **ret_id, struct imbrex_error *err) MUST_CHECK;

/* True if the text says where an image is to be had: a prefix such as "oci:", or a path. */
bool fetch_is_source(const char *text);

#endif
