/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registries.conf: what a short name stands for, and where a repository is really asked for.
 *
 * registries_load | (registries_new -> registries_read*) -> use -> registries_free.
 * Immutable once read: may then be used by many threads. Error tier: err; messages name file,
 * line and column.
 * Source: containers-registries.conf(5) and containers-registries.conf.d(5), version 2.
 */
#ifndef REGISTRY_REGISTRIES_H
#define REGISTRY_REGISTRIES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "oci/reference.h"
#include "registry/hosts.h"

struct registries;

int registries_new(struct registries **ret, struct imbrex_error *err) MUST_CHECK;
void registries_free(struct registries *r);
DEFINE_CLEANUP(registries, struct registries, registries_free)
#define AUTO_REGISTRIES AUTO(registries)

/* Add one file's settings; a later file's win over those of earlier ones. `name`: for messages. */
int registries_read(struct registries *r, const char *name, const char *text, size_t len,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Read the files in force: $CONTAINERS_REGISTRIES_CONF, else ~/.config/containers/registries.conf,
 * else /etc/containers/registries.conf; then the *.conf of /etc/containers/registries.conf.d and
 * of ~/.config/containers/registries.conf.d; then the aliases that podman recorded.
 *
 * only  this file and nothing else; it must exist; NULL: the above
 */
int registries_load(const char *only, struct registries **ret, struct imbrex_error *err) MUST_CHECK;

/* Fully qualified references, in the order to try. */
struct candidates {
	struct reference *items; /* owned */
	size_t n;
};

void candidates_done(struct candidates *c);
#define AUTO_CANDIDATES __attribute__((cleanup(candidates_done))) struct candidates

/*
 * What the user's `text` may mean. A name with a domain means itself; a short name means its
 * alias, else one candidate for each unqualified-search registry.
 *
 * Errors EINVAL for what is no reference; for a short name with no candidate, and in enforcing
 *        mode with several (the message lists them; nobody is asked).
 */
int registries_resolve(const struct registries *r, const char *text, struct candidates *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Append the endpoints of a repository: mirrors that serve this kind of reference, then the
 * location itself. EPERM if it is blocked.
 */
int registries_endpoints(const struct registries *r, const struct reference *ref,
	struct endpoints *ret, struct imbrex_error *err) MUST_CHECK;

#endif
