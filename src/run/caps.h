/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capability sets of the calling process.
 *
 * Threading: of the calling thread, which is the only one. Errors: fills err.
 */
#ifndef RUN_CAPS_H
#define RUN_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "imbrex/error.h"
#include "imbrex/run.h"

/* Bit N is capability N. */
uint64_t run_caps_set(enum imbrex_run_caps caps);

/* Remove everything that is not in `keep` from the bounding set; needs CAP_SETPCAP. */
int run_caps_bound(uint64_t keep, struct imbrex_error *err) MUST_CHECK;
/* Permitted and effective become `keep` (as far as they are held), inheritable and ambient empty.
 */
int run_caps_apply(uint64_t keep, struct imbrex_error *err) MUST_CHECK;

#endif
