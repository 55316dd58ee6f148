/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of owned strings; see the header. */
#include "base/strv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void strv_done(struct strv *v)
{
	size_t i;

	for (i = 0; i < v->n; i++)
		free(v->items[i]);
	free(v->items);
	*v = (struct strv){ 0 };
}

static int grow(struct strv *v)
{
	size_t cap = v->cap ? v->cap * 2 : 8;
	char **items;

	if (v->n + 1 < v->cap)
		return 0;
	items = reallocarray(v->items, cap, sizeof(*items));
	if (!items)
		return -ENOMEM;
	v->items = items;
	v->cap = cap;
	return 0;
}

int strv_take(struct strv *v, char *text)
{
	AUTO_FREE char *owned = text;
	int r;

	if (!owned)
		return -ENOMEM;
	r = grow(v);
	if (r < 0)
		return r;
	v->items[v->n++] = take_ptr(owned);
	v->items[v->n] = NULL;
	return 0;
}

int strv_add(struct strv *v, const char *text)
{
	return strv_take(v, strdup(text));
}

int strv_addf(struct strv *v, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return n < 0 ? -ENOMEM : strv_take(v, text);
}

int strv_insert(struct strv *v, size_t index, const char *text)
{
	char *moved;
	int r;

	r = strv_add(v, text);
	if (r < 0)
		return r;
	moved = v->items[v->n - 1];
	memmove(v->items + index + 1, v->items + index, (v->n - 1 - index) * sizeof(*v->items));
	v->items[index] = moved;
	return 0;
}

int strv_copy(struct strv *to, const struct strv *from)
{
	AUTO_STRV fresh = { 0 };
	size_t i;
	int r;

	for (i = 0; i < from->n; i++) {
		r = strv_add(&fresh, from->items[i]);
		if (r < 0)
			return r;
	}
	strv_done(to);
	*to = fresh;
	fresh = (struct strv){ 0 };
	return 0;
}

ptrdiff_t strv_find(const struct strv *v, const char *text)
{
	size_t i;

	for (i = 0; i < v->n; i++) {
		if (strcmp(v->items[i], text) == 0)
			return (ptrdiff_t)i;
	}
	return -1;
}

bool strv_has(const struct strv *v, const char *text)
{
	return strv_find(v, text) >= 0;
}

void strv_remove(struct strv *v, size_t index)
{
	free(v->items[index]);
	memmove(v->items + index, v->items + index + 1, (v->n - index) * sizeof(*v->items));
	v->n--;
}
