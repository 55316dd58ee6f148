/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing over 64-bit hashes; 0 marks a free slot. At most half of the slots are used. */
#include "driver/pathset.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

struct pathset {
	uint64_t *slots; /* owned; n_slots is a power of two */
	size_t n_slots;
	size_t n;
	uint64_t seed;
};

static uint64_t hash_key(const struct pathset *s, const void *key, size_t len)
{
	const unsigned char *p = key;
	uint64_t h = s->seed;
	size_t i;

	for (i = 0; i < len; i++) {
		h = (h ^ p[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h ? h : 1;
}

static uint64_t *find_slot(uint64_t *slots, size_t n_slots, uint64_t h)
{
	size_t i = h & (n_slots - 1);

	while (slots[i] && slots[i] != h)
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static int grow(struct pathset *s)
{
	size_t i, n_slots = s->n_slots * 2;
	uint64_t *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (i = 0; i < s->n_slots; i++)
		if (s->slots[i])
			*find_slot(slots, n_slots, s->slots[i]) = s->slots[i];
	free(s->slots);
	s->slots = slots;
	s->n_slots = n_slots;
	return 0;
}

struct pathset *pathset_new(void)
{
	struct pathset *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->n_slots = 256;
	s->slots = calloc(s->n_slots, sizeof(*s->slots));
	if (!s->slots || getrandom(&s->seed, sizeof(s->seed), 0) != sizeof(s->seed)) {
		pathset_free(s);
		return NULL;
	}
	return s;
}

void pathset_free(struct pathset *s)
{
	if (!s)
		return;
	free(s->slots);
	free(s);
}

int pathset_add(struct pathset *s, const void *key, size_t len)
{
	uint64_t h = hash_key(s, key, len);
	uint64_t *slot;
	int r;

	if (s->n >= s->n_slots / 2) {
		r = grow(s);
		if (r < 0)
			return r;
	}
	slot = find_slot(s->slots, s->n_slots, h);
	if (!*slot)
		s->n++;
	*slot = h;
	return 0;
}

bool pathset_has(const struct pathset *s, const void *key, size_t len)
{
	return *find_slot(s->slots, s->n_slots, hash_key(s, key, len)) != 0;
}
