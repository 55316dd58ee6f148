/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bare word means: an integer, a float, a time. Pure functions of NUL terminated text.
 * Format: TOML 1.0.0, sections Integer, Float, Offset Date-Time and the three after it
 */
#ifndef TOML_WORD_H
#define TOML_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

/* 0 and *ret, -EINVAL if the text is no integer, -ERANGE if it does not fit. */
int toml_parse_integer(const char *text, int64_t *ret) MUST_CHECK;
bool toml_is_float(const char *text);
/* Shapes only: whoever needs a time parses it. */
bool toml_is_time(const char *text);

#endif
