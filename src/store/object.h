/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object of any kind, found by name: what the verbs that take layers, images and containers
 * alike begin with. The caller holds the tables of all kinds it asks for. Error tier: err.
 */
#ifndef STORE_OBJECT_H
#define STORE_OBJECT_H

#include "imbrex/object.h"
#include "store/store.h"

struct object {
	enum imbrex_kind kind;
	struct found at;
};

/* Which kind counts if a name fits several; containers/storage has both orders. */
enum object_order {
	OBJECT_CONTAINERS_FIRST, /* container, image, layer */
	OBJECT_LAYERS_FIRST      /* layer, image, container */
};

/* What store_hold() needs to look at these kinds, or to change them. */
unsigned int object_hold_bits(unsigned int kinds, bool write);
const struct record_type *object_type(enum imbrex_kind kind);

/*
 * By id, name or unique beginning of an id; a container also by its layer.
 * Errors ENOENT with the reason of the kind, NOT_ANY if several were asked for; EINVAL if it is the
 *        beginning of several ids
 */
int object_find(struct imbrex_store *s, const char *name, unsigned int kinds,
	enum object_order order, struct object *ret, struct imbrex_error *err) MUST_CHECK;
/* The same for one kind whose own tables are to be changed: EPERM in an additional store. */
int object_find_own(struct imbrex_store *s, const char *name, enum imbrex_kind kind,
	struct found *ret, struct imbrex_error *err) MUST_CHECK;

/* What was found is to be written when its table is saved. */
static inline void object_changed(const struct found *f)
{
	f->t->dirty[found_record(f)->place] = true;
}

/*
 * Can an id become a file name of the store? Peers take any id that a caller gives, so 64 digits
 * are not asked for; but it is one component, means nothing else in any directory of the store, and
 * leaves room for suffixes.
 */
bool object_id_is_safe(const char *id);
/* EINVAL if an id that a caller gave is not. */
int object_check_id(
	const struct record_type *type, const char *id, struct imbrex_error *err) MUST_CHECK;
/* EEXIST (reasons ID_IN_USE, NAME_IN_USE) if a record of the kind has the id, or one of the names
 * (NULL terminated; NULL: none). */
int object_check_free(struct store_table *t, const char *id, const char *const *names,
	struct imbrex_error *err) MUST_CHECK;

#endif
