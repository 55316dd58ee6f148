/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a chain that writes to a file descriptor.
 *
 * fd_sink_new -> write* -> finish (closes) -> free. One thread. Errors by err.
 */
#ifndef STREAM_FDSINK_H
#define STREAM_FDSINK_H

#include "stream/sink.h"

/*
 * Takes `fd` on success. It must block; pipes and sockets do. Nothing is synced: who needs that
 * keeps a duplicate. finish closes and reports what close reports.
 */
int fd_sink_new(int fd, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
