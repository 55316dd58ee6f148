/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arrays of an index; see the header. Arrays that came with a mapped file are changed in the
 * map, which is private, and move to the heap when they outgrow it.
 *
 * Invariants, of an index that was made here: (1) every slot that is in use leads into a ring;
 * (2) every node is in one ring or in the list of unused ones; (3) n_used < n_slots. Of one that
 * was mapped nothing is sure but the sizes of the arrays.
 */
#include "store/index.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hex.h"

#define SLOT_FREE    0
#define SLOT_EMPTIED UINT32_MAX
/* Nodes and entries are numbered by 32 bits, less the marks. */
#define NUMBER_MAX (UINT32_MAX - 2)
#define FIRST_CAP  64
/* With a seed that nobody knows and a quarter of the slots free, runs stay far below this. */
#define PROBES_MAX 4096

void index_init(struct index *x)
{
	*x = (struct index){ 0 };
}

static bool in_map(const struct index *x, const void *p)
{
	return x->map && (const char *)p >= x->map && (const char *)p < x->map + x->map_bytes;
}

static void drop_array(struct index *x, void *p)
{
	if (!in_map(x, p))
		free(p);
}

void index_done(struct index *x)
{
	drop_array(x, x->entries);
	drop_array(x, x->nodes);
	drop_array(x, x->slots);
	if (x->map)
		(void)munmap(x->map, x->map_bytes);
	index_init(x);
}

/* Room for one more of n items; returns the array, which may have moved, or NULL. */
static void *make_room(struct index *x, void *items, uint32_t n, uint32_t *cap, size_t item_bytes)
{
	uint32_t more = *cap ? *cap * 2 : FIRST_CAP;
	void *moved;

	if (n < *cap)
		return items;
	if (more <= *cap || n >= NUMBER_MAX)
		return NULL;
	if (in_map(x, items)) {
		moved = reallocarray(NULL, more, item_bytes);
		if (moved)
			memcpy(moved, items, n * item_bytes);
	} else {
		moved = reallocarray(items, more, item_bytes);
	}
	if (moved)
		*cap = more;
	return moved;
}

int index_reserve(struct index *x, uint32_t n)
{
	uint32_t n_slots = FIRST_CAP;

	if (x->c.n_slots || x->entries || n >= NUMBER_MAX / 8)
		return 0;
	/* Four keys a record: half of the slots stay free. */
	while (n_slots / 6 < n)
		n_slots *= 2;
	x->entries = reallocarray(NULL, n, sizeof(*x->entries));
	x->nodes = reallocarray(NULL, n, 4 * sizeof(*x->nodes));
	x->slots = calloc(n_slots, sizeof(*x->slots));
	x->cap_entries = x->entries ? n : 0;
	x->cap_nodes = x->nodes ? 4 * n : 0;
	x->c.n_slots = x->slots ? n_slots : 0;
	if (!x->entries || !x->nodes || !x->slots)
		return -ENOMEM;
	return random_bytes(&x->c.seed, sizeof(x->c.seed)) < 0 ? -ENOMEM : 0;
}

int index_add(struct index *x, const struct index_entry *e)
{
	void *entries = make_room(x, x->entries, x->c.n_entries, &x->cap_entries, sizeof(*e));

	if (!entries)
		return -ENOMEM;
	x->entries = entries;
	x->entries[x->c.n_entries++] = *e;
	if (e->flags & INDEX_INCOMPLETE)
		x->c.n_incomplete++;
	return 0;
}

void index_remove(struct index *x, uint32_t number)
{
	struct index_entry *e = &x->entries[number];

	if ((e->flags & INDEX_INCOMPLETE) && x->c.n_incomplete)
		x->c.n_incomplete--;
	e->len = 0;
	x->c.n_removed++;
}

/* ---- keys ------------------------------------------------------------------------------ */

#define MIX 0x9e3779b97f4a7c15ull

static inline uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * MIX;
	return h ^ h >> 32;
}

/* The high and the low half of the product of two words that nobody knows without the seed. */
static inline uint64_t mix_two(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_key(const struct index *x, enum index_key kind, const char *key, size_t len)
{
	uint64_t h = mix(x->c.seed, (uint64_t)kind << 32 ^ len);
	uint64_t words[2];

	for (; len >= sizeof(words); key += sizeof(words), len -= sizeof(words)) {
		memcpy(words, key, sizeof(words));
		h = mix_two(words[0] ^ h, words[1] ^ x->c.seed ^ MIX);
	}
	words[0] = 0;
	words[1] = 0;
	memcpy(words, key, len);
	h = mix_two(words[0] ^ h, words[1] ^ x->c.seed ^ MIX);
	return (uint32_t)(h ^ h >> 29);
}

/* The slot of a hash, NULL if it has none; *ret_room (may be NULL) is where it could go. */
static struct index_slot *find_slot(
	const struct index *x, uint32_t hash, struct index_slot **ret_room)
{
	struct index_slot *room = NULL;
	struct index_slot *found = NULL;
	uint32_t i;

	for (i = 0; !found && i < MIN(x->c.n_slots, PROBES_MAX); i++) {
		struct index_slot *slot = &x->slots[(hash + i) & (x->c.n_slots - 1)];

		if (!room && (slot->last == SLOT_FREE || slot->last == SLOT_EMPTIED))
			room = slot;
		if (slot->last == SLOT_FREE)
			break;
		if (slot->hash == hash && slot->last != SLOT_EMPTIED)
			found = slot;
	}
	if (ret_room)
		*ret_room = room;
	return found;
}

/* More slots, or the same number without the emptied ones. */
static int rehash(struct index *x)
{
	struct index_slot *old = x->slots;
	uint32_t n_old = x->c.n_slots;
	uint32_t n_live = 0;
	uint32_t n_slots = FIRST_CAP;
	struct index_slot *room;
	uint32_t i;

	for (i = 0; i < n_old; i++)
		n_live += old[i].last != SLOT_FREE && old[i].last != SLOT_EMPTIED;
	while (n_slots / 2 < n_live + INDEX_PENDING)
		n_slots *= 2;
	x->slots = calloc(n_slots, sizeof(*x->slots));
	if (!x->slots) {
		x->slots = old;
		return -ENOMEM;
	}
	x->c.n_slots = n_slots;
	x->c.n_used = n_live;
	for (i = 0; i < n_old; i++) {
		if (old[i].last == SLOT_FREE || old[i].last == SLOT_EMPTIED)
			continue;
		/* Two slots of one hash are in damaged files only: the second goes. */
		if (!find_slot(x, old[i].hash, &room) && room)
			*room = old[i];
	}
	drop_array(x, old);
	return 0;
}

static int new_node(struct index *x, uint32_t number, uint32_t *ret)
{
	uint32_t at = x->c.free_node;
	void *nodes;

	if (at && at <= x->c.n_nodes) {
		at--;
		x->c.free_node = x->nodes[at].next;
	} else {
		nodes = make_room(x, x->nodes, x->c.n_nodes, &x->cap_nodes, sizeof(*x->nodes));
		if (!nodes)
			return -ENOMEM;
		x->nodes = nodes;
		at = x->c.n_nodes++;
	}
	x->nodes[at] = (struct index_node){ .record = number, .next = at };
	*ret = at;
	return 0;
}

/* The node of a record into the ring of its hash. */
static void close_ring(struct index *x, uint32_t hash, uint32_t node)
{
	struct index_slot *room = NULL;
	struct index_slot *slot = find_slot(x, hash, &room);
	uint32_t last = slot ? slot->last - 1 : 0;

	if (slot && last < x->c.n_nodes) {
		x->nodes[node].next = x->nodes[last].next;
		x->nodes[last].next = node;
		slot->last = node + 1;
		return;
	}
	slot = slot ? slot : room;
	if (!slot)
		return; /* a damaged count of used slots */
	x->c.n_used += slot->last == SLOT_FREE;
	*slot = (struct index_slot){ .hash = hash, .last = node + 1 };
}

void index_settle(struct index *x)
{
	uint32_t i;

	for (i = 0; i < x->n_pending; i++)
		close_ring(x, x->pending[i].hash, x->pending[i].node);
	x->n_pending = 0;
}

int index_link(struct index *x, enum index_key kind, const char *key, size_t len, uint32_t number)
{
	uint32_t hash;
	uint32_t node;
	int r;

	if (!x->c.n_slots && random_bytes(&x->c.seed, sizeof(x->c.seed)) < 0)
		return -ENOMEM;
	if (x->n_pending == INDEX_PENDING)
		index_settle(x);
	if (x->c.n_used + INDEX_PENDING >= x->c.n_slots - x->c.n_slots / 4) {
		index_settle(x);
		r = rehash(x);
		if (r < 0)
			return r;
	}
	r = new_node(x, number, &node);
	if (r < 0)
		return r;
	hash = hash_key(x, kind, key, len);
	/* The slot is far away: fetched while the next record is parsed. */
	__builtin_prefetch(&x->slots[hash & (x->c.n_slots - 1)], 1);
	x->pending[x->n_pending++] = (struct index_pending){ .hash = hash, .node = node };
	return 0;
}

void index_unlink(
	struct index *x, enum index_key kind, const char *key, size_t len, uint32_t number)
{
	struct index_slot *slot;
	uint32_t before;
	uint32_t left;
	uint32_t at;

	index_settle(x);
	slot = find_slot(x, hash_key(x, kind, key, len), NULL);
	if (!slot || slot->last - 1 >= x->c.n_nodes)
		return;
	before = slot->last - 1;
	for (left = x->c.n_nodes; left; left--, before = at) {
		at = x->nodes[before].next;
		if (at >= x->c.n_nodes)
			return;
		if (x->nodes[at].record == number)
			break;
		if (at == slot->last - 1)
			return;
	}
	if (!left)
		return;
	if (at == before)
		slot->last = SLOT_EMPTIED;
	else if (slot->last - 1 == at)
		slot->last = before + 1;
	x->nodes[before].next = x->nodes[at].next;
	x->nodes[at] = (struct index_node){ .record = UINT32_MAX, .next = x->c.free_node };
	x->c.free_node = at + 1;
}

void index_seek(
	struct index *x, enum index_key kind, const char *key, size_t len, struct index_walk *ret)
{
	struct index_slot *slot;

	index_settle(x);
	slot = find_slot(x, hash_key(x, kind, key, len), NULL);
	*ret = (struct index_walk){ 0 };
	if (!slot || slot->last - 1 >= x->c.n_nodes)
		return;
	ret->last = slot->last - 1;
	ret->at = ret->last;
	ret->left = x->c.n_nodes;
}

bool index_step(const struct index *x, struct index_walk *w, uint32_t *ret_number)
{
	while (w->left) {
		uint32_t number;

		w->at = x->nodes[w->at].next;
		w->left--;
		if (w->at >= x->c.n_nodes) {
			w->left = 0;
			break;
		}
		if (w->at == w->last)
			w->left = 0;
		number = x->nodes[w->at].record;
		if (number < x->c.n_entries && x->entries[number].len) {
			*ret_number = number;
			return true;
		}
	}
	return false;
}

/* ---- numbers --------------------------------------------------------------------------- */

bool index_head(const char *id, size_t len, uint64_t *ret)
{
	/* One more than the value of a digit. */
	static const uint8_t digits[256] = { ['0'] = 1,
		['1'] = 2,
		['2'] = 3,
		['3'] = 4,
		['4'] = 5,
		['5'] = 6,
		['6'] = 7,
		['7'] = 8,
		['8'] = 9,
		['9'] = 10,
		['a'] = 11,
		['b'] = 12,
		['c'] = 13,
		['d'] = 14,
		['e'] = 15,
		['f'] = 16 };
	uint64_t head = 0;
	bool all = true;
	int i;

	if (len < 16)
		return false;
	for (i = 0; i < 16; i++) {
		uint8_t digit = digits[(unsigned char)id[i]];

		all = all && digit;
		head = head << 4 | (uint8_t)(digit - 1);
	}
	*ret = head;
	return all;
}

/* Four lanes, so that the multiplications overlap; all items are multiples of 8 bytes. */
uint64_t index_sum(uint64_t h, const void *data, size_t bytes)
{
	const char *p = data;
	uint64_t lanes[4] = { h, h + 1, h + 2, h + 3 };
	uint64_t words[4];
	uint64_t word;
	int i;

	for (; bytes >= sizeof(words); p += sizeof(words), bytes -= sizeof(words)) {
		memcpy(words, p, sizeof(words));
		for (i = 0; i < 4; i++)
			lanes[i] = mix(lanes[i], words[i]);
	}
	for (; bytes >= sizeof(word); p += sizeof(word), bytes -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		lanes[0] = mix(lanes[0], word);
	}
	assert(bytes == 0);
	for (i = 1; i < 4; i++)
		lanes[0] = mix(lanes[0], lanes[i]);
	return lanes[0];
}

uint64_t index_checksum(const struct index *x)
{
	uint64_t h = index_sum(0, &x->c, sizeof(x->c));
	uint32_t i;

	for (i = 0; i < x->c.n_entries; i += INDEX_SUM_ENTRIES)
		h = index_sum(h, x->entries + i,
			MIN(x->c.n_entries - i, INDEX_SUM_ENTRIES) * sizeof(*x->entries));
	h = index_sum(h, x->nodes, x->c.n_nodes * sizeof(*x->nodes));
	return index_sum(h, x->slots, x->c.n_slots * sizeof(*x->slots));
}
