/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each record of a table lies in its files, and which records carry a key: an id, a name, a
 * parent, a digest. It is made while a table is parsed, and can be kept in a file beside the store
 * (store/index_file.h) so that the next command need not parse. Nothing here knows JSON.
 *
 * Three arrays. Entries: one a record, in the order of the files; its place is the record's number.
 * Nodes: one for each key of each record. Slots: an open hash table; a slot holds the hash of a key
 * and the last node of a ring of those who carry it, in order of arrival. Keys of one hash share a
 * ring.
 *
 * Everything is a hint: whoever follows one looks at the record itself and compares. The arrays may
 * lie in a file that somebody damaged, so every number is checked where it is used and every walk
 * ends.
 *
 * index_init -> (add, link, unlink, seek, step)* -> index_done. Threading: none of its own. Leaf
 * tier: 0 or -ENOMEM.
 * Format: docs/formats/index.md
 */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

enum index_key {
	KEY_ID = 1,
	KEY_NAME,
	KEY_PARENT,
	KEY_DIFF_DIGEST,
	KEY_COMPRESSED_DIGEST,
	KEY_TOC_DIGEST,
	KEY_LAYER, /* of an image, mapped ones too; of a container */
	KEY_IMAGE  /* of a container */
};

enum index_flags {
	INDEX_ODD_ID = 1 << 0,     /* does not begin with 16 hex digits: `head` says nothing */
	INDEX_INCOMPLETE = 1 << 1, /* the layer's writer has not finished */
	INDEX_ORPHAN = 1 << 2      /* has a parent that was not seen before it */
};

struct index_entry {
	uint32_t at;     /* offset of the record's text in its file */
	uint32_t len;    /* bytes of text; 0: the record was removed */
	uint32_t parent; /* number of the layer below + 1; 0: none, or not known */
	uint8_t place;   /* enum record_place */
	uint8_t flags;   /* enum index_flags */
	uint16_t spare;  /* 0 */
	int64_t size;    /* bytes of a layer; 0 if not recorded */
	uint64_t head;   /* the first 16 digits of the id as a number */
};
static_assert(sizeof(struct index_entry) == 32, "part of the file's format");

struct index_node {
	uint32_t record;
	uint32_t next; /* node; of an unused one: the next unused + 1 */
};

struct index_slot {
	uint32_t hash;
	uint32_t last; /* node + 1; 0: never used; UINT32_MAX: all who carried it are gone */
};

struct index_counts {
	uint64_t seed; /* of the hash: keys from outside cannot be chosen to collide */
	uint32_t n_entries;
	uint32_t n_nodes;
	uint32_t n_slots;   /* a power of two, or 0 */
	uint32_t n_used;    /* slots that were ever used */
	uint32_t free_node; /* first unused node + 1 */
	uint32_t n_removed;
	uint32_t n_incomplete;
	uint32_t spare; /* 0 */
};
static_assert(sizeof(struct index_counts) == 40, "part of the file's format");

/* So many rings are closed together, when their slots have come from far memory. */
#define INDEX_PENDING 16
struct index_pending {
	uint32_t hash;
	uint32_t node;
};

struct index {
	struct index_counts c;
	struct index_entry *entries; /* owned, unless in the map; so are the others */
	struct index_node *nodes;
	struct index_slot *slots;
	uint32_t cap_entries;
	uint32_t cap_nodes;
	struct index_pending pending[INDEX_PENDING]; /* nodes that are not in their rings yet */
	uint32_t n_pending;
	char *map; /* owned: the mapped file that the arrays came from; NULL: none */
	size_t map_bytes;
};

void index_init(struct index *x);
void index_done(struct index *x);

/* Room for about n records, of an index that is still empty. */
int index_reserve(struct index *x, uint32_t n) MUST_CHECK;
int index_add(struct index *x, const struct index_entry *e) MUST_CHECK;
int index_link(struct index *x, enum index_key kind, const char *key, size_t len,
	uint32_t number) MUST_CHECK;
/* Nothing to do if it is not there. */
void index_unlink(
	struct index *x, enum index_key kind, const char *key, size_t len, uint32_t number);
/* The record is gone. Its keys were unlinked. */
void index_remove(struct index *x, uint32_t number);

/* Finish what index_link() has put off. The other functions here do so by themselves; whoever looks
 * into the arrays does it first. */
void index_settle(struct index *x);
/* Those who may carry a key: index_seek(), then index_step() until it is false. */
struct index_walk {
	uint32_t at;
	uint32_t last;
	uint32_t left; /* steps: a ring that was damaged ends too */
};
void index_seek(
	struct index *x, enum index_key kind, const char *key, size_t len, struct index_walk *ret);
bool index_step(const struct index *x, struct index_walk *w, uint32_t *ret_number);

/* The first 16 digits of an id; false if it does not begin so. */
bool index_head(const char *id, size_t len, uint64_t *ret);
/* Of all that counts, whatever the capacities: of the counts, of the entries in pieces of
 * INDEX_SUM_ENTRIES, of the nodes, of the slots. Finds accidents, not forgers. */
uint64_t index_checksum(const struct index *x);
#define INDEX_SUM_ENTRIES 512u
/* Go on with a sum; whole words only. */
uint64_t index_sum(uint64_t sum, const void *data, size_t bytes);

#endif
