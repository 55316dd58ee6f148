/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments without repetitions, and the object of their answers. */
#include "cli/storage/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "cli/storage/text.h"

int answers_init(struct answers *a, char *const *keys, size_t n)
{
	AUTO_MAP *seen = map_new();
	size_t i;
	int r;

	a->items = calloc(n + 1, sizeof(*a->items));
	if (!a->items || !seen)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		r = map_add(seen, keys[i], strlen(keys[i]), NULL);
		if (r == -EEXIST)
			continue;
		if (r < 0)
			return r;
		a->items[a->n++].key = keys[i];
	}
	return 0;
}

void answers_done(struct answers *a)
{
	size_t i;

	for (i = 0; i < a->n; i++) {
		free(a->items[i].text);
		imbrex_strings_free(a->items[i].list);
	}
	free(a->items);
}

static int compare(const void *a, const void *b)
{
	const struct answer *const *x = a;
	const struct answer *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

int answers_print_json(
	FILE *f, const struct answers *a, void (*value)(FILE *f, const struct answer *answer))
{
	AUTO_FREE const struct answer **sorted = calloc(a->n + 1, sizeof(*sorted));
	size_t i;

	if (!sorted)
		return -ENOMEM;
	for (i = 0; i < a->n; i++)
		sorted[i] = &a->items[i];
	qsort(sorted, a->n, sizeof(*sorted), compare);
	(void)fputc('{', f);
	for (i = 0; i < a->n; i++) {
		if (i)
			(void)fputc(',', f);
		text_json(f, sorted[i]->key);
		(void)fputc(':', f);
		value(f, sorted[i]);
	}
	(void)fputs("}\n", f);
	return 0;
}
