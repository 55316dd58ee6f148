/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index that anybody may have written, over a table of layers. What is found by a key carries
 * it; walks end; and whatever the index says, records can be removed and added, and the table
 * written, without harm to memory.
 *
 * The first byte chooses: with bit 0 the checksum is put right, so that the lies are believed as
 * far as they can be; with bit 1 head and sizes are put right, too, so that mutations reach the
 * arrays. Behind it lies the file, without its stamp.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/index_file.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_RECORDS 8
#define TEXT_MAX  (1024u * 1024)
#define HEAD_MIN  88 /* the head without its stamp; see docs/formats/index.md */
#define STAMP_AT  88

static void must(bool holds)
{
	if (!holds)
		abort();
}

static const char layers[] =
	"[{\"id\":\"0000000000000000000000000000000000000000000000000000000000000000\"},"
	"{\"id\":\"1111111111111111111111111111111111111111111111111111111111111111\","
	"\"parent\":\"0000000000000000000000000000000000000000000000000000000000000000\"},"
	"{\"id\":\"2222222222222222222222222222222222222222222222222222222222222222\","
	"\"parent\":\"1111111111111111111111111111111111111111111111111111111111111111\","
	"\"names\":[\"two\",\"zwei\"]},"
	"{\"id\":\"odd\",\"diff-digest\":\"sha256:33\",\"diff-size\":3},"
	"{\"id\":\"4\",\"parent\":\"odd\",\"flags\":{\"incomplete\":true}},"
	"{\"id\":\"odd\"}]";

static const char *const keys[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"1111111111111111111111111111111111111111111111111111111111111111",
	"2222222222222222222222222222222222222222222222222222222222222222", "odd", "4", "two",
	"sha256:33", "none"
};

static void lend(struct table *t)
{
	const size_t len = sizeof(layers) - 1;
	int fd = memfd_create("layers", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, layers, len) == (ssize_t)len);
	table_init(t, &layer_records);
	must(table_lend(t, fd, len, PLACE_STABLE, NULL) == 0);
}

static void ask(struct table *t)
{
	AUTO_FREE size_t *all = NULL;
	ptrdiff_t at;
	size_t n;
	size_t i;
	int kind;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const size_t len = strlen(keys[i]);

		for (kind = KEY_ID; kind <= KEY_IMAGE; kind++) {
			at = table_find(t, (enum index_key)kind, keys[i], len);
			must(at < 0 || record_carries(table_at(t, (size_t)at), (enum index_key)kind,
					       keys[i], len));
		}
		(void)table_guess_id(t, keys[i], len);
		at = table_find_prefix(t, keys[i]);
		must(at < 0 || (size_t)at < table_slots(t));
	}
	must(table_find_all(t, KEY_PARENT, keys[0], strlen(keys[0]), &all, &n) == 0);
	for (i = 0; i < MIN(table_slots(t), (size_t)64); i++) {
		(void)table_guess_parent(t, i);
		(void)table_layer_size(t, i);
		(void)table_is_orphan(t, i);
	}
}

static void change(struct table *t)
{
	static const char fresh[] = "{\"id\":\"5\",\"parent\":\"4\",\"names\":[\"two\"]}";
	AUTO_STR text = { .max_len = TEXT_MAX };
	ptrdiff_t at;
	int n = 0;
	int fd;

	must(table_prove(t, NULL) == 0);
	ask(t);
	for (at = table_next(t, -1); at >= 0 && n < N_RECORDS; at = table_next(t, at), n++) {
		if (n % 3 == 0)
			table_remove(t, (size_t)at);
		else if (n % 3 == 1)
			(void)!record_set_text(t, (size_t)at, LAYER_DIFF_DIGEST, "none", NULL);
	}
	for (n = 0; n < 3; n++) {
		if (table_append(t, fresh, sizeof(fresh) - 1, PLACE_STABLE, NULL) == 0)
			ask(t);
	}
	fd = memfd_create("new", MFD_CLOEXEC);
	must(fd >= 0);
	(void)!table_write(t, PLACE_STABLE, fd, false);
	(void)close(fd);
	(void)!table_format(t, PLACE_STABLE, &text);
}

/* The head of an honest index, with the counts cut to what is there. */
static void put_right(uint8_t *file, size_t size, const struct index *x)
{
	struct index_counts c;
	uint32_t caps[2];
	uint64_t bytes = size;
	size_t rest;

	memcpy(&c, file + 48, sizeof(c));
	rest = size - 320;
	caps[0] = (uint32_t)(rest / 4 / sizeof(struct index_entry));
	rest -= caps[0] * sizeof(struct index_entry);
	for (c.n_slots = 1; c.n_slots * 2 * sizeof(struct index_slot) <= rest / 2; c.n_slots *= 2)
		;
	rest -= c.n_slots * sizeof(struct index_slot);
	caps[1] = (uint32_t)(rest / sizeof(struct index_node));
	c.n_entries %= caps[0] + 1;
	c.n_nodes %= caps[1] + 1;
	c.seed = x->c.seed;
	memcpy(file + 24, &bytes, sizeof(bytes));
	memcpy(file + 40, caps, sizeof(caps));
	memcpy(file + 48, &c, sizeof(c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct index_stamp stamp;
	struct table honest;
	struct table t;
	uint64_t sum;
	size_t len;
	char *map;

	if (size < 1 + HEAD_MIN + 64 || size > TEXT_MAX)
		return 0;
	len = (size - 1 + sizeof(stamp)) & ~(size_t)7;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(map != MAP_FAILED);
	memcpy(map, data + 1, STAMP_AT);
	memcpy(map + STAMP_AT, &stamp, sizeof(stamp));
	memcpy(map + STAMP_AT + sizeof(stamp), data + 1 + STAMP_AT, len - STAMP_AT - sizeof(stamp));
	lend(&honest);
	must(table_parse_lent(&honest, PLACE_STABLE, NULL) == 0);
	if (data[0] & 2)
		put_right((uint8_t *)map, len, &honest.index);
	lend(&t);
	if (index_adopt(map, len, "layer", &stamp, &t.index, &sum) == 0) {
		t.checksum = data[0] & 1 ? index_checksum(&t.index) : sum;
		t.proven = false;
		ask(&t);
		change(&t);
	}
	table_done(&t);
	table_done(&honest);
	return 0;
}
