/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing list of owned strings, NULL terminated once non-empty.
 * Leaf tier: 0 or -ENOMEM.
 */
#ifndef BASE_STRV_H
#define BASE_STRV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct strv {
	char **items; /* owned array of owned strings; NULL while empty */
	size_t n;
	size_t cap;
};

void strv_done(struct strv *v);
static inline void cleanup_strv(struct strv *v)
{
	strv_done(v);
}
#define AUTO_STRV __attribute__((cleanup(cleanup_strv))) struct strv

int strv_add(struct strv *v, const char *text) MUST_CHECK;
int strv_addf(struct strv *v, const char *fmt, ...) MUST_CHECK PRINTF_LIKE(2, 3);
/* Takes `text` (malloc'd; may be NULL, which reports -ENOMEM) in every case. */
int strv_take(struct strv *v, char *text) MUST_CHECK;
int strv_insert(struct strv *v, size_t index, const char *text) MUST_CHECK;
int strv_copy(struct strv *to, const struct strv *from) MUST_CHECK;
bool strv_has(const struct strv *v, const char *text);
/* Index of `text`, or -1. */
ptrdiff_t strv_find(const struct strv *v, const char *text);
void strv_remove(struct strv *v, size_t index);

#endif
