/* SPDX-License-Identifier: Apache-2.0 */
/* From a file descriptor into a chain. Threading: the caller's thread drives. Errors by err. */
#ifndef STREAM_PUMP_H
#define STREAM_PUMP_H

#include <stdint.h>

#include "stream/sink.h"

/*
 * Read `fd` from its position and write to `to`, until end of file or `max_bytes` (UINT64_MAX: to
 * end of file). Fewer bytes than max_bytes is no error. Does not finish `to`.
 *
 * Errors of read, or whatever `to` returned.
 */
int pump_fd(int fd, struct sink *to, uint64_t max_bytes, struct imbrex_error *err) MUST_CHECK;

#endif
