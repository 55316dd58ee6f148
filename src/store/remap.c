/* SPDX-License-Identifier: Apache-2.0 */
/* From the words of storage.conf to an identity map; see the header. */
#include "store/remap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/maps.h"

/* The ranges of one kind of ids. */
struct ranges {
	struct imbrex_id_map *items; /* owned */
	size_t n;
};

static void ranges_done(struct ranges *r)
{
	free(r->items);
}
#define AUTO_RANGES __attribute__((cleanup(ranges_done))) struct ranges

static int add(struct ranges *r, const uint32_t number[3])
{
	struct imbrex_id_map *items = reallocarray(r->items, r->n + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	r->items = items;
	items[r->n++] = (struct imbrex_id_map){
		.inside = number[0], .outside = number[1], .count = number[2]
	};
	return 0;
}

/* Numbers in threes, with whatever is no digit between them. */
static int add_words(struct ranges *r, const char *key, const char *words, struct imbrex_error *err)
{
	uint32_t number[3] = { 0 };
	const char *p = words;
	size_t n = 0;

	while (*p) {
		char *end;
		unsigned long long value;

		if (*p < '0' || *p > '9') {
			p++;
			continue;
		}
		errno = 0;
		value = strtoull(p, &end, 10);
		if (errno || value > UINT32_MAX)
			break;
		number[n++ % 3] = (uint32_t)value;
		if (n % 3 == 0 && add(r, number) < 0)
			return fail_nomem(err);
		p = end;
	}
	if (*p || n % 3)
		return fail(err, IMBREX_EINVAL,
			"storage.conf: %s: '%.200s' is not made of threes of numbers, "
			"INSIDE:OUTSIDE:SIZE",
			key, words);
	return 0;
}

/* Subordinate ids first, then the ranges in words. */
static int collect(struct ranges *r, const char *owner, bool groups, const char *words,
	struct imbrex_error *err)
{
	int e = owner ? imbrex_subids_map(owner, groups, &r->items, &r->n, err) : 0;

	if (e < 0)
		return wrap(err, e, "storage.conf: %s", groups ? "remap-group" : "remap-user");
	return words ? add_words(r, groups ? "remap-gids" : "remap-uids", words, err) : 0;
}

int remap_maps(const struct remap *words, struct id_maps_copy *ret, struct imbrex_error *err)
{
	AUTO_RANGES uids = { 0 };
	AUTO_RANGES gids = { 0 };
	struct id_maps maps;
	int r;

	r = collect(&uids, words->user ? words->user : words->group, false, words->uids, err);
	if (r == 0)
		r = collect(
			&gids, words->group ? words->group : words->user, true, words->gids, err);
	maps = (struct id_maps){
		.uids = uids.items, .n_uids = uids.n, .gids = gids.items, .n_gids = gids.n
	};
	if (r == 0) {
		r = maps_check(&maps, err);
		if (r < 0)
			r = wrap(err, r, "storage.conf: remap-uids, remap-gids");
	}
	if (r == 0 && id_maps_copy(&maps, ret) < 0)
		r = fail_nomem(err);
	return r;
}
