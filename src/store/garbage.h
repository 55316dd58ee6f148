/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in the store and belongs to nobody: found by looking at the directories while all
 * tables are held, so that nothing that is being published can be mistaken for it.
 */
#ifndef STORE_GARBAGE_H
#define STORE_GARBAGE_H

#include "store/store.h"

/*
 * One line a finding, appended to `ret`. With `collect` each is also removed (into the trash);
 * that needs all tables held exclusively.
 */
int garbage_find(struct imbrex_store *s, bool collect, struct strv *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
