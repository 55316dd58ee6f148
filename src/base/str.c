/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte strings; see the header. Growth doubles, and stops at the maximum. */
#include "base/str.h"

#include <stdio.h>

void str_done(struct str *s)
{
	free(s->data);
	s->data = NULL;
	s->len = 0;
	s->cap = 0;
}

int str_reserve(struct str *s, size_t len, char **ret)
{
	size_t need;
	size_t cap = s->cap ? s->cap : 64;
	char *data;

	if (len > s->max_len || s->len > s->max_len - len)
		return -EFBIG;
	if (__builtin_add_overflow(s->len + len, (size_t)1, &need))
		return -EFBIG;
	if (need > s->cap) {
		while (cap < need) {
			if (__builtin_mul_overflow(cap, (size_t)2, &cap))
				return -EFBIG;
		}
		data = realloc(s->data, cap);
		if (!data)
			return -ENOMEM;
		s->data = data;
		s->cap = cap;
	}
	*ret = s->data + s->len;
	return 0;
}

int str_append(struct str *s, const void *data, size_t len)
{
	char *at;
	int r;

	r = str_reserve(s, len, &at);
	if (r < 0)
		return r;
	if (len)
		memcpy(at, data, len);
	s->len += len;
	s->data[s->len] = '\0';
	return 0;
}

int str_puts(struct str *s, const char *text)
{
	return str_append(s, text, strlen(text));
}

int str_putc(struct str *s, char c)
{
	return str_append(s, &c, 1);
}

int str_vprintf(struct str *s, const char *fmt, va_list ap)
{
	va_list again;
	char *at;
	int n;
	int r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;
	r = str_reserve(s, (size_t)n, &at);
	if (r < 0)
		return r;
	(void)vsnprintf(at, (size_t)n + 1, fmt, ap);
	s->len += (size_t)n;
	return 0;
}

int str_printf(struct str *s, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = str_vprintf(s, fmt, ap);
	va_end(ap);
	return r;
}

void str_clear(struct str *s)
{
	s->len = 0;
	if (s->data)
		s->data[0] = '\0';
}

char *str_take(struct str *s)
{
	char *data = s->data ? s->data : calloc(1, 1);

	s->data = NULL;
	s->len = 0;
	s->cap = 0;
	return data;
}

char *format_text(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : text;
}

const char *str_after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t len = strlen(s);
	size_t suffix_len = strlen(suffix);

	return len >= suffix_len && strcmp(s + len - suffix_len, suffix) == 0;
}
