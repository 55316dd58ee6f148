/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of a Docker Engine: dockerd://, docker-daemon:. Also what podman's service offers in the
 * same way.
 *
 * dockerd_source_open -> outline -> as transport.h: manifest() lets the archive of the image pass
 * by once and tells the events of its layers. Error tier: err.
 */
#ifndef TRANSPORT_DOCKERD_H
#define TRANSPORT_DOCKERD_H

#include "transport/archive.h"

/* Zero means default. */
struct dockerd_options {
	const char *host; /* "unix:///…", "tcp://…"; borrowed during open; NULL: as docker finds it
			   */
	unsigned int timeout_ms;             /* longest silence; 0: ENGINE_TIMEOUT_MS */
	const struct archive_events *events; /* borrowed until manifest() returns; NULL: none */
};

/*
 * Ask the engine for an image by name or id.
 *
 * Errors EINVAL for a reference that is none; those of endpoint_find() and engine_inspect()
 */
int dockerd_source_open(const char *reference, const struct dockerd_options *opts,
	struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
