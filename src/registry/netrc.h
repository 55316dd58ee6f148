/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netrc format: words, parsed and never evaluated. Pure function. Error tier: err; no message
 * quotes the file.
 */
#ifndef REGISTRY_NETRC_H
#define REGISTRY_NETRC_H

#include <stddef.h>

#include "base/error.h"
#include "registry/creds.h"

/*
 * First `machine` that names the registry: with its port, or the host alone as curl does; for
 * docker.io any of its host names. `default` entries are passed over: they would give one site's
 * password to any registry that asks.
 *
 * text      ends with a NUL behind `len` bytes
 * ret       username and password, if the result is 1
 * Returns   1 found, 0 none; EFORMAT (with the line) for a word missing, an open quote or NUL
 * Source    netrc(5) of inetutils; quoting and comments as curl: lib/netrc.c of 7.88
 */
int netrc_find(const char *text, size_t len, const char *registry, struct credentials *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
