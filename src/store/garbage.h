/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in the store and belongs to nobody: found by looking at the directories while all
 * tables are held, so that nothing that is being published can be mistaken for it.
 *
 * Where records are missing that something needs, or a table cannot be read, nothing is taken for
 * garbage that those records might name.
 */
#ifndef STORE_GARBAGE_H
#define STORE_GARBAGE_H

#include "store/finding.h"
#include "store/store.h"

struct garbage_opts {
	bool collect;        /* remove it, into the trash: needs all tables held exclusively */
	bool indexes;        /* also indexes in the run root, which are no damage */
	int64_t max_age_sec; /* of layers that nobody needs, as in struct imbrex_check_opts */
};

/* Appended to `ret`; what was removed is `repaired`. What cannot be looked at or removed is a
 * finding, too, and the rest goes on. */
int garbage_find(struct imbrex_store *s, const struct garbage_opts *opts, struct findings *ret,
	struct imbrex_error *err) MUST_CHECK;

/* A table's file has no bytes, which no writer leaves: a power cut does. */
bool table_is_emptied(const struct store_table *t, int place);

#endif
