/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte string with a maximum given at init. Always NUL terminated once non-empty.
 * init -> append* -> (take | done). Leaf tier: returns 0 or -errno (-ENOMEM, -EFBIG at the
 * maximum).
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/macros.h"

struct str {
	char *data;     /* owned; NULL while empty */
	size_t len;     /* bytes, without the NUL */
	size_t cap;     /* allocated bytes */
	size_t max_len; /* largest len allowed */
};

#define STR_INIT(max)            \
	{                        \
		.max_len = (max) \
	}

void str_done(struct str *s);
static inline void cleanup_str(struct str *s)
{
	str_done(s);
}
#define AUTO_STR __attribute__((cleanup(cleanup_str))) struct str

int str_append(struct str *s, const void *data, size_t len) MUST_CHECK;
int str_puts(struct str *s, const char *text) MUST_CHECK;
int str_putc(struct str *s, char c) MUST_CHECK;
int str_printf(struct str *s, const char *fmt, ...) MUST_CHECK PRINTF_LIKE(2, 3);
int str_vprintf(struct str *s, const char *fmt, va_list ap) MUST_CHECK PRINTF_LIKE(2, 0);
/* Make room for `len` more bytes and return where they go; commit with s->len += n. */
int str_reserve(struct str *s, size_t len, char **ret) MUST_CHECK;
void str_clear(struct str *s);
/* Hand the buffer to the caller (free()); "" is allocated for an empty string; NULL on no memory.
 */
char *str_take(struct str *s) MUST_CHECK;
/* The text, "" if empty. Borrowed. */
static inline const char *str_text(const struct str *s)
{
	return s->data ? s->data : "";
}

/* printf into a fresh allocation; NULL on no memory. */
char *format_text(const char *fmt, ...) MUST_CHECK PRINTF_LIKE(1, 2);

static inline bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}
/* The rest of `s` after `prefix`, or NULL if it does not begin so. */
const char *str_after(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

#endif
