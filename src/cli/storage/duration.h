/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of time as Go writes them: "24h", "1h30m", "1.5s", "0". Threading: none. Errors: err. */
#ifndef CLI_STORAGE_DURATION_H
#define CLI_STORAGE_DURATION_H

#include <stdint.h>

#include "base/macros.h"
#include "imbrex/error.h"

/*
 * Units ns, us (µs), ms, s, m, h; a sign in front. *ret in nanoseconds.
 * Errors EINVAL, in Go's words.
 * Source: Go time.ParseDuration
 */
int duration_parse(const char *text, int64_t *ret_ns, struct imbrex_error *err) MUST_CHECK;

#endif
