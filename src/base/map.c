/* SPDX-License-Identifier: Apache-2.0 */
/* Chained hash map with a per-map seed (FNV-1a over seed and key, finalised); see the header. */
#include "base/map.h"

#include <stdint.h>
#include <string.h>

#include "base/hex.h"

struct node {
	struct node *next;
	void *value; /* borrowed */
	uint64_t hash;
	size_t key_len;
	char key[];
};

struct map {
	struct node **buckets; /* owned; n_buckets is a power of two */
	size_t n_buckets;
	size_t n;
	uint64_t seed;
};

static uint64_t hash_key(const struct map *m, const char *key, size_t len)
{
	uint64_t h = m->seed;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ (unsigned char)key[i]) * 0x100000001b3ull;
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

struct map *map_new(void)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->n_buckets = 64;
	m->buckets = calloc(m->n_buckets, sizeof(*m->buckets));
	if (!m->buckets || random_bytes(&m->seed, sizeof(m->seed)) < 0) {
		map_free(m);
		return NULL;
	}
	return m;
}

void map_free(struct map *m)
{
	size_t i;

	if (!m)
		return;
	for (i = 0; m->buckets && i < m->n_buckets; i++) {
		struct node *node = m->buckets[i];

		while (node) {
			struct node *next = node->next;

			free(node);
			node = next;
		}
	}
	free(m->buckets);
	free(m);
}

static struct node **find(const struct map *m, const char *key, size_t len, uint64_t hash)
{
	struct node **at = &m->buckets[hash & (m->n_buckets - 1)];

	while (*at && ((*at)->hash != hash || (*at)->key_len != len ||
			      (len && memcmp((*at)->key, key, len) != 0)))
		at = &(*at)->next;
	return at;
}

static int grow(struct map *m)
{
	size_t n_buckets = m->n_buckets * 4;
	struct node **buckets;
	size_t i;

	if (m->n < m->n_buckets)
		return 0;
	buckets = calloc(n_buckets, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	for (i = 0; i < m->n_buckets; i++) {
		struct node *node = m->buckets[i];

		while (node) {
			struct node *next = node->next;
			struct node **to = &buckets[node->hash & (n_buckets - 1)];

			node->next = *to;
			*to = node;
			node = next;
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->n_buckets = n_buckets;
	return 0;
}

static int put(struct map *m, const char *key, size_t key_len, void *value, bool replace)
{
	uint64_t hash = hash_key(m, key, key_len);
	struct node **at;
	struct node *node;
	int r;

	r = grow(m);
	if (r < 0)
		return r;
	at = find(m, key, key_len, hash);
	if (*at) {
		if (!replace)
			return -EEXIST;
		(*at)->value = value;
		return 0;
	}
	node = malloc(sizeof(*node) + key_len);
	if (!node)
		return -ENOMEM;
	node->next = NULL;
	node->value = value;
	node->hash = hash;
	node->key_len = key_len;
	if (key_len)
		memcpy(node->key, key, key_len);
	*at = node;
	m->n++;
	return 0;
}

int map_add(struct map *m, const char *key, size_t key_len, void *value)
{
	return put(m, key, key_len, value, false);
}

int map_set(struct map *m, const char *key, size_t key_len, void *value)
{
	return put(m, key, key_len, value, true);
}

bool map_get(const struct map *m, const char *key, size_t key_len, void **ret_value)
{
	struct node *node = *find(m, key, key_len, hash_key(m, key, key_len));

	if (node && ret_value)
		*ret_value = node->value;
	return node != NULL;
}

void map_remove(struct map *m, const char *key, size_t key_len)
{
	struct node **at = find(m, key, key_len, hash_key(m, key, key_len));
	struct node *node = *at;

	if (!node)
		return;
	*at = node->next;
	free(node);
	m->n--;
}

size_t map_count(const struct map *m)
{
	return m->n;
}
