/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All transports: from a locator to its source. To add one, add a kind to locator.h and a line to
 * the table in open.c.
 *
 * Threading: no state. Error tier: err.
 */
#ifndef TRANSPORT_OPEN_H
#define TRANSPORT_OPEN_H

#include "transport/archive.h"
#include "transport/docker.h"
#include "transport/locator.h"

/* Zero means default. */
struct source_opts {
	struct docker_options docker; /* short_names is set from the locator */
	/* Borrowed until manifest() has returned; NULL: none. */
	const struct archive_events *events;
	unsigned int engine_timeout_ms; /* longest silence of a Docker Engine */
};

/*
 * opts  may be NULL; what opts->docker points to must outlive the source
 */
int source_open(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
