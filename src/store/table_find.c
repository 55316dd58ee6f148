/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records by key: through the tables of the index, each answer proven by the record itself
 * (invariant (1) of table.c). Finding that the index lied parses the table on the way; then the
 * search begins anew, in the index that the parser made.
 */
#include "store/table_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* So many records that do not carry a key, and still are said to, prove the index wrong. */
#define STRANGERS_MAX 256

ptrdiff_t table_find_after(
	struct table *t, enum index_key kind, const char *key, size_t len, ptrdiff_t after)
{
	struct index_walk walk;
	unsigned int n_strangers = 0;
	ptrdiff_t found = -1;
	uint32_t number;

	if (!len)
		return -1;
	index_seek(&t->index, kind, key, len, &walk);
	while (index_step(&t->index, &walk, &number)) {
		bool proven = t->proven;

		if ((ptrdiff_t)number <= after || (found >= 0 && (ptrdiff_t)number >= found))
			continue;
		if (record_carries(table_at(t, number), kind, key, len))
			found = number;
		else if (!t->proven && ++n_strangers > STRANGERS_MAX)
			table_distrust(t);
		/* Parsed on the way: the walk was one through the old index. */
		if (t->proven != proven)
			return table_find_after(t, kind, key, len, after);
	}
	return found;
}

ptrdiff_t table_find(struct table *t, enum index_key kind, const char *key, size_t len)
{
	return table_find_after(t, kind, key, len, -1);
}

ptrdiff_t table_find_id(struct table *t, const char *id, size_t len)
{
	return table_find(t, KEY_ID, id, len);
}

ptrdiff_t table_find_name(struct table *t, const char *name)
{
	return table_find(t, KEY_NAME, name, strlen(name));
}

static int by_number(const void *a, const void *b)
{
	size_t x = *(const size_t *)a;
	size_t y = *(const size_t *)b;

	return (x > y) - (x < y);
}

int table_find_all(struct table *t, enum index_key kind, const char *key, size_t len, size_t **ret,
	size_t *ret_n)
{
	AUTO_FREE size_t *all = NULL;
	struct index_walk walk;
	uint32_t number;
	size_t cap = 0;
	size_t n = 0;
	size_t i;
	size_t k;

	/* Any failure to get at one of them shows before the walk. */
	if (table_find(t, kind, key, len) < 0)
		walk = (struct index_walk){ 0 };
	else
		index_seek(&t->index, kind, key, len, &walk);
	while (index_step(&t->index, &walk, &number)) {
		bool proven = t->proven;
		bool carries = record_carries(table_at(t, number), kind, key, len);

		if (t->proven != proven)
			return table_find_all(t, kind, key, len, ret, ret_n);
		if (!carries)
			continue;
		if (n == cap) {
			size_t *more = reallocarray(all, cap * 2 + 16, sizeof(*all));

			if (!more)
				return -ENOMEM;
			all = more;
			cap = cap * 2 + 16;
		}
		all[n++] = number;
	}
	if (n)
		qsort(all, n, sizeof(*all), by_number);
	/* One record may carry a key by two fields. */
	for (i = 0, k = 0; i < n; i++) {
		if (!i || all[i] != all[i - 1])
			all[k++] = all[i];
	}
	*ret = take_ptr(all);
	*ret_n = k;
	return 0;
}

static bool begins_with(struct table *t, size_t number, const char *prefix, size_t len)
{
	struct json_span id = record_plain(table_at(t, number), RECORD_ID);

	return id.len >= len && memcmp(id.at, prefix, len) == 0;
}

ptrdiff_t table_find_prefix(struct table *t, const char *prefix)
{
	char digits[17] = "0000000000000000";
	size_t len = strlen(prefix);
	bool proven = t->proven;
	ptrdiff_t found = -1;
	uint64_t head = 0;
	uint64_t mask;
	bool is_hex;
	ptrdiff_t i;

	if (!len)
		return -1;
	memcpy(digits, prefix, MIN(len, (size_t)16));
	is_hex = index_head(digits, 16, &head);
	mask = len >= 16 ? UINT64_MAX : ~(UINT64_MAX >> (4 * len));
	for (i = table_next(t, -1); i >= 0; i = table_next(t, i)) {
		const struct index_entry *e = &t->index.entries[i];

		if (!(e->flags & INDEX_ODD_ID) && (!is_hex || (e->head & mask) != head))
			continue;
		if (!begins_with(t, (size_t)i, prefix, len))
			continue;
		if (t->proven != proven)
			return table_find_prefix(t, prefix);
		if (found >= 0)
			return -2;
		found = i;
	}
	return t->proven != proven ? table_find_prefix(t, prefix) : found;
}

ptrdiff_t table_guess_parent(const struct table *t, size_t number)
{
	uint32_t parent = number < t->index.c.n_entries ? t->index.entries[number].parent : 0;

	if (!parent || parent > t->index.c.n_entries || !t->index.entries[parent - 1].len)
		return -1;
	return (ptrdiff_t)parent - 1;
}

bool table_is_orphan(const struct table *t, size_t number)
{
	return number < t->index.c.n_entries && (t->index.entries[number].flags & INDEX_ORPHAN);
}

int64_t table_layer_size(const struct table *t, size_t number)
{
	return number < t->index.c.n_entries ? t->index.entries[number].size : 0;
}

bool table_has_incomplete(const struct table *t)
{
	return t->index.c.n_incomplete > 0;
}
