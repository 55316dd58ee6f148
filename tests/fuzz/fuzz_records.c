/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers.json and its siblings: any bytes as a table. What was accepted is written back and read
 * again as the same records; every field can be read, changed and dropped without harm to the
 * others. The first byte chooses the kind of record.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/maps.h"
#include "store/record.h"
#include "store/salvage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX   (64u * 1024 * 1024)
#define RECORD_MAX 8 /* changed in each input: time for more inputs */

static void must(bool holds)
{
	if (!holds)
		abort();
}

static int parse(struct table *t, const char *text, size_t len, enum record_place place)
{
	struct imbrex_error err = { 0 };
	char *copy = malloc(len + 1);
	int r;

	must(copy);
	memcpy(copy, text, len);
	copy[len] = '\0';
	r = table_parse(t, copy, len, place, &err);
	must(r == 0 || (r < 0 && err.message[0]));
	return r;
}

static void read_fields(struct table *t, size_t index)
{
	const struct record *r = table_at(t, index);
	struct json_span id = record_plain(r, RECORD_ID);
	int f;

	for (f = 0; f < t->type->n_fields; f++) {
		struct json_span raw = record_raw(r, f);
		AUTO_FREE char *text = record_text(r, f);
		AUTO_FREE struct imbrex_id_map *map = NULL;
		AUTO_STRV list = { 0 };
		size_t n_map;
		size_t i;

		must(text && raw.len <= r->len);
		must(map_read(r, f, &map, &n_map) == 0 && n_map <= LIMIT_ID_MAP_EXTENTS);
		for (i = 0; i < n_map; i++)
			must(map[i].count > 0);
		(void)record_int(r, f, -1);
		(void)record_flag(r, f, "incomplete");
		must(record_list(r, f, &list) == 0);
		for (i = 0; i < list.n && i < 4; i++)
			must(record_list_has(r, f, list.items[i]));
		(void)record_member(r, f, "manifest");
	}
	if (id.len) {
		ptrdiff_t at = table_find_id(t, id.at, id.len);

		must(at >= 0 && (size_t)at <= index);
		must(record_same(table_at(t, at), RECORD_ID, r, RECORD_ID));
	}
}

static void change_fields(struct table *t, size_t index)
{
	AUTO_FREE char *before = record_text(table_at(t, index), 2);
	AUTO_FREE char *after = NULL;
	int last = t->type->n_fields - 1;

	must(before);
	must(record_set_member(t, index, last, "k<", "{\"x\":1}", NULL) == 0);
	must(record_member(table_at(t, index), last, "k<").len == 7);
	must(record_set_member(t, index, last, "k<", NULL, NULL) == 0);
	must(record_set_text(t, index, 3, "a\"\n\xff", NULL) == 0);
	must(record_set(t, index, 3, NULL, NULL) == 0);
	must(record_raw(table_at(t, index), 3).len == 0);
	after = record_text(table_at(t, index), 2);
	must(after && strcmp(before, after) == 0);
}

/* Written and read again, it is the same table. */
static void round_trip(struct table *t, enum record_place place)
{
	AUTO_STR once = { .max_len = TEXT_MAX };
	AUTO_STR twice = { .max_len = TEXT_MAX };
	struct table again;
	size_t n = 0;
	ptrdiff_t i;

	for (i = table_next(t, -1); i >= 0; i = table_next(t, i))
		n += table_at(t, (size_t)i)->place == place;
	must(table_format(t, place, &once) == 0);
	table_init(&again, t->type);
	must(parse(&again, str_text(&once), once.len, place) == 0);
	must(table_count(&again) == n && again.odd.n == 0);
	must(table_format(&again, place, &twice) == 0);
	must(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	table_done(&again);
}

/* What could be read of any bytes is a table that parses, but for elements that are no records. */
static void salvage(const struct record_type *type, const char *text, size_t size)
{
	struct salvage got;
	struct table t;

	table_init(&t, type);
	must(table_salvage(&t, text, size, PLACE_STABLE, &got, NULL) == 0);
	must(table_count(&t) == got.n_records && got.n_partial <= got.n_records);
	if (!t.aside[PLACE_STABLE].n) {
		strv_done(&t.odd);
		round_trip(&t, PLACE_STABLE);
	}
	table_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct record_type *const types[] = { &layer_records, &image_records,
		&container_records };
	const char *text = (const char *)data + 1;
	struct table t;
	size_t i;

	if (size < 1)
		return 0;
	size--;
	salvage(types[data[0] % 3], text, size);
	table_init(&t, types[data[0] % 3]);
	if (parse(&t, text, size / 2, PLACE_STABLE) == 0)
		(void)parse(&t, text + size / 2, size - size / 2, PLACE_VOLATILE);
	table_done(&t);
	table_init(&t, types[data[0] % 3]);
	if (parse(&t, text, size, PLACE_STABLE) == 0) {
		round_trip(&t, PLACE_STABLE);
		(void)parse(&t, text, size, PLACE_VOLATILE);
		round_trip(&t, PLACE_VOLATILE);
		for (i = 0; i < table_slots(&t) && i < RECORD_MAX; i++) {
			read_fields(&t, i);
			change_fields(&t, i);
		}
		round_trip(&t, PLACE_STABLE);
		while (table_count(&t) > 0)
			table_remove(&t, (size_t)table_prev(&t, (ptrdiff_t)table_slots(&t)));
		round_trip(&t, PLACE_STABLE);
	}
	table_done(&t);
	return 0;
}
