/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images at a registry: docker://.
 *
 * docker_source_open -> as transport.h. Error tier: err.
 */
#ifndef TRANSPORT_DOCKER_H
#define TRANSPORT_DOCKER_H

#include <stdbool.h>
#include <stdint.h>

#include "registry/client.h"
#include "transport/transport.h"

/* Zero means default. Pointers are borrowed for the life of the source. */
struct docker_options {
	struct repository_options repository; /* TLS, credentials, tries, notes */
	const char *registries_conf;          /* read this file only; NULL: those of the system */
	/*
	 * Resolve a name without a domain by aliases and search registries, as `podman pull x`
	 * does; false: it is at docker.io, as `podman pull docker://x` has it.
	 */
	bool short_names;
	/* Directory that keeps parts of large blobs from run to run; borrowed; <= 0: none are. */
	int partial_dirfd;
	uint64_t partial_min_bytes; /* of a blob worth keeping; 0: 32 MiB */
};

/*
 * Prepare to pull `reference` ("alpine", "quay.io/a/b:1", "host:5000/x@sha256:..."; no scheme).
 * Reads registries.conf and certs.d; nothing is sent yet.
 *
 * Errors EINVAL for a reference that is none or a short name that cannot be resolved, EPERM for a
 *        blocked registry
 */
int docker_source_open(const char *reference, const struct docker_options *opts,
	struct source **ret, struct imbrex_error *err) MUST_CHECK;

/*
 * The digest of the manifest that manifest() would fetch, on the registry's word: an index is
 * fetched, what it points to is only asked after. In place of manifest().
 */
int docker_source_digest(struct source *s, const struct platform *want, struct hash_value *ret,
	struct imbrex_error *err) MUST_CHECK;

/* The bytes of a blob proved wrong behind the sink: keep no part of it. */
void docker_source_forget_partial(struct source *s, const struct oci_descriptor *d);

#endif
