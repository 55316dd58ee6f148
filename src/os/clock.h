/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wall time and the identity of this boot.
 *
 * Threading: safe. Errors: leaf tier (0 or -errno) where no name is known, err otherwise.
 */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* The one place wall time enters; tests replace it. Cannot fail on Linux. */
void now_realtime(struct timespec *ret);
/* Nanoseconds since 1970; 0 before it. */
uint64_t now_realtime_ns(void);
/* Nanoseconds of a clock that never jumps: for durations. */
uint64_t now_monotonic_ns(void);
/* Wait, through signals. */
void wait_ms(unsigned int ms);

/* 36 characters and NUL: changes with every boot. Source: Documentation/admin-guide/sysctl/
 * kernel.rst, random. */
#define BOOT_ID_LEN 36
int read_boot_id(char ret[BOOT_ID_LEN + 1], struct imbrex_error *err) MUST_CHECK;

#endif
