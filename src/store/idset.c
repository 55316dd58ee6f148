/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ids; see the header. */
#include "store/idset.h"

#include <stdlib.h>
#include <string.h>

void id_set_done(struct id_set *s)
{
	free(s->ranges);
	*s = (struct id_set){ 0 };
}

/* Replaces ranges [from, to) by up to two others. */
static int splice(struct id_set *s, size_t from, size_t to, const struct id_range *with, size_t n)
{
	struct id_range *ranges = s->ranges;

	if (s->n - (to - from) + n > s->n) {
		ranges = reallocarray(s->ranges, s->n + n, sizeof(*ranges));
		if (!ranges)
			return -ENOMEM;
		s->ranges = ranges;
	}
	if (s->n > to)
		memmove(&ranges[from + n], &ranges[to], (s->n - to) * sizeof(*ranges));
	if (n)
		memcpy(&ranges[from], with, n * sizeof(*ranges));
	s->n = s->n - (to - from) + n;
	return 0;
}

int id_set_add(struct id_set *s, uint64_t start, uint64_t count)
{
	struct id_range merged = { .start = start, .end = start + count };
	size_t from;
	size_t to;

	if (!count)
		return 0;
	for (from = 0; from < s->n && s->ranges[from].end < start; from++)
		;
	for (to = from; to < s->n && s->ranges[to].start <= merged.end; to++) {
		merged.start = MIN(merged.start, s->ranges[to].start);
		merged.end = MAX(merged.end, s->ranges[to].end);
	}
	return splice(s, from, to, &merged, 1);
}

int id_set_remove(struct id_set *s, uint64_t start, uint64_t count)
{
	const uint64_t end = start + count;
	struct id_range left[2];
	size_t n = 0;
	size_t from;
	size_t to;

	for (from = 0; from < s->n && s->ranges[from].end <= start; from++)
		;
	for (to = from; to < s->n && s->ranges[to].start < end; to++)
		;
	if (from == to)
		return 0;
	if (s->ranges[from].start < start)
		left[n++] = (struct id_range){ s->ranges[from].start, start };
	if (s->ranges[to - 1].end > end)
		left[n++] = (struct id_range){ end, s->ranges[to - 1].end };
	return splice(s, from, to, left, n);
}

uint64_t id_set_size(const struct id_set *s)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < s->n; i++)
		size += s->ranges[i].end - s->ranges[i].start;
	return size;
}

int id_set_cut(struct id_set *s, uint64_t n)
{
	size_t i;

	for (i = 0; i < s->n && n; i++) {
		uint64_t len = s->ranges[i].end - s->ranges[i].start;

		if (len > n)
			s->ranges[i].end = s->ranges[i].start + n;
		n -= MIN(len, n);
	}
	s->n = i;
	return n ? -ENOENT : 0;
}
