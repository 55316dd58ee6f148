/* SPDX-License-Identifier: Apache-2.0 */
/* Problems of a store for people and for programs. Errors: leaf tier. */
#ifndef CLI_IMBREX_PROBLEMS_H
#define CLI_IMBREX_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "imbrex/imbrex.h"

size_t problems_left(const struct imbrex_problem *problems, size_t n);
/* By object; behind an arrow what repair did, or (mended false) would do. */
int problems_print(const struct imbrex_problem *problems, size_t n, bool mended) MUST_CHECK;
void problems_print_json(const struct imbrex_problem *problems, size_t n);

#endif
