/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credential helpers: programs docker-credential-<name> that keep secrets elsewhere.
 * No state; any thread; the caller waits for the program. Error tier: err; no message quotes what
 * the program printed.
 */
#ifndef REGISTRY_HELPER_H
#define REGISTRY_HELPER_H

#include "base/error.h"
#include "registry/creds.h"

/*
 * Run `docker-credential-<name> get` with the registry on its stdin. The program is looked for in
 * the absolute folders of $PATH and gets this process's environment.
 *
 * name      letters, digits, '_' and '-', at most 64
 * Returns   1 found, 0 the helper knows none
 * Errors    EINVAL for a name that is not allowed, ENOENT if there is no such program, EFAIL if it
 *           fails, EFORMAT if it prints something else, ELIMIT beyond LIMIT_CREDENTIAL_BYTES
 * Source    github.com/docker/docker-credential-helpers, "Development": protocol of `get`
 */
int helper_get(const char *name, const char *registry, struct credentials *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
