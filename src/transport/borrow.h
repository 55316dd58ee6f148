/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a chain that goes on in a sink of somebody else: write and finish pass on, free does
 * not. For stages that a source puts in front of the sink that blob() was given.
 *
 * borrow_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef TRANSPORT_BORROW_H
#define TRANSPORT_BORROW_H

#include "stream/sink.h"

/* `to` must outlive the result. */
int borrow_sink_new(struct sink *to, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
