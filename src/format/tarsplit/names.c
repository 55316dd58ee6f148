/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in one growing buffer, found by an open hash table of (hash, place): no allocation per
 * name. The hash is seeded per set, so that names from outside cannot be chosen to collide.
 */
#include "format/tarsplit/names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/str.h"

#define FIRST_SLOTS 1024u

struct slot {
	uint64_t hash;
	uint64_t start; /* of the name in text, plus 1; 0: the slot is free */
	size_t len;
};

struct tarsplit_names {
	struct slot *slots; /* owned; n_slots is a power of two, at most half of it in use */
	size_t n_slots;
	size_t n;
	uint64_t seed;
	struct str text;
	struct str clean; /* scratch */
};

static uint64_t hash_name(uint64_t seed, const char *name, size_t len)
{
	uint64_t h = seed ^ len * 0x9e3779b97f4a7c15ull;
	uint64_t word;

	for (; len >= sizeof(word); name += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, name, sizeof(word));
		h = (h ^ word) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, name, len);
	h = (h ^ word) * 0xff51afd7ed558ccdull;
	h = (h ^ h >> 33 ^ seed) * 0xc4ceb9fe1a85ec53ull;
	return h ^ h >> 29;
}

static bool is_dotdot(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

/* Drop the last component of `clean`, which begins behind `floor` bytes; false if there is none. */
static bool pop(struct str *clean, size_t floor)
{
	size_t at = clean->len;

	while (at > floor && clean->data[at - 1] != '/')
		at--;
	if (clean->len == floor || is_dotdot(clean->data + at, clean->len - at))
		return false;
	clean->len = at > floor ? at - 1 : floor;
	return true;
}

static int clean_name(struct str *clean, const char *name, size_t len)
{
	size_t floor = len && name[0] == '/' ? 1 : 0;
	const char *end = name + len;
	char *room;
	int r;

	str_clear(clean);
	r = str_reserve(clean, len + 1, &room);
	if (r < 0)
		return r;
	if (floor)
		clean->data[clean->len++] = '/';
	while (name < end) {
		const char *slash = memchr(name, '/', (size_t)(end - name));
		size_t part = (size_t)((slash ? slash : end) - name);
		bool drop = !part || (part == 1 && name[0] == '.');

		if (!drop && is_dotdot(name, part))
			drop = pop(clean, floor) || floor;
		if (!drop) {
			if (clean->len > floor)
				clean->data[clean->len++] = '/';
			memcpy(clean->data + clean->len, name, part);
			clean->len += part;
		}
		name += part + (slash != NULL);
	}
	if (!clean->len)
		clean->data[clean->len++] = '.';
	return 0;
}

static struct slot *find(
	const struct tarsplit_names *n, uint64_t hash, const char *name, size_t len)
{
	size_t i = hash & (n->n_slots - 1);

	for (;; i = (i + 1) & (n->n_slots - 1)) {
		struct slot *slot = &n->slots[i];

		if (!slot->start)
			return slot;
		if (slot->hash == hash && slot->len == len &&
			memcmp(n->text.data + slot->start - 1, name, len) == 0)
			return slot;
	}
}

static int grow(struct tarsplit_names *n)
{
	struct tarsplit_names wider = { .n_slots = n->n_slots * 2 };
	size_t i;
	size_t k;

	if (n->n < n->n_slots / 2)
		return 0;
	wider.slots = calloc(wider.n_slots, sizeof(*wider.slots));
	if (!wider.slots)
		return -ENOMEM;
	for (i = 0; i < n->n_slots; i++) {
		if (!n->slots[i].start)
			continue;
		k = n->slots[i].hash & (wider.n_slots - 1);
		while (wider.slots[k].start)
			k = (k + 1) & (wider.n_slots - 1);
		wider.slots[k] = n->slots[i];
	}
	free(n->slots);
	n->slots = wider.slots;
	n->n_slots = wider.n_slots;
	return 0;
}

int tarsplit_names_new(struct tarsplit_names **ret, struct imbrex_error *err)
{
	AUTO_TARSPLIT_NAMES *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return fail_nomem(err);
	n->text = (struct str)STR_INIT(SIZE_MAX / 4);
	n->clean = (struct str)STR_INIT(SIZE_MAX / 4);
	n->n_slots = FIRST_SLOTS;
	n->slots = calloc(n->n_slots, sizeof(*n->slots));
	if (!n->slots)
		return fail_nomem(err);
	r = random_bytes(&n->seed, sizeof(n->seed));
	if (r < 0)
		return fail_code(err, r, "random bytes");
	*ret = take_ptr(n);
	return 0;
}

void tarsplit_names_free(struct tarsplit_names *n)
{
	if (!n)
		return;
	free(n->slots);
	str_done(&n->text);
	str_done(&n->clean);
	free(n);
}

int tarsplit_names_add(
	struct tarsplit_names *n, const char *name, size_t len, struct imbrex_error *err)
{
	struct slot *slot;
	uint64_t hash;

	if (clean_name(&n->clean, name, len) < 0 || grow(n) < 0)
		return fail_nomem(err);
	hash = hash_name(n->seed, n->clean.data, n->clean.len);
	slot = find(n, hash, n->clean.data, n->clean.len);
	if (slot->start)
		return fail(err, IMBREX_EFORMAT, "tar entry '%.256s' occurs twice", name);
	slot->hash = hash;
	slot->len = n->clean.len;
	slot->start = n->text.len + 1;
	n->n++;
	if (str_append(&n->text, n->clean.data, n->clean.len) < 0) {
		slot->start = 0;
		return fail_nomem(err);
	}
	return 0;
}
