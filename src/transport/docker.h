/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images at a registry: docker://.
 *
 * docker_source_open -> as transport.h. Error tier: err.
 */
#ifndef TRANSPORT_DOCKER_H
#define TRANSPORT_DOCKER_H

#include "registry/client.h"
#include "transport/transport.h"

/* Zero means default. Pointers are borrowed for the life of the source. */
struct docker_options {
	struct repository_options repository; /* TLS, credentials, tries, notes */
};

/*
 * Prepare to pull `reference` ("alpine", "quay.io/a/b:1", "host:5000/x@sha256:..."; no scheme).
 * Nothing is sent yet.
 *
 * Errors EINVAL for a reference that is none
 */
int docker_source_open(const char *reference, const struct docker_options *opts,
	struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
