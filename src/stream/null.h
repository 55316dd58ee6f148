/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a chain whose result lies in its stages: discards every byte.
 *
 * null_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_NULL_H
#define STREAM_NULL_H

#include "stream/sink.h"

int null_sink_new(struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
