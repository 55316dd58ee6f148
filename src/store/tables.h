/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What opening and holding a store need of its tables and its book of mounts, and nobody else.
 * Error tier: err.
 */
#ifndef STORE_TABLES_H
#define STORE_TABLES_H

#include "store/store.h"

/* Name directory and lock of a table ("layers", "layers.lock"), making them if the store is ours
 * to write. */
void store_table_init(struct store_table *t, const struct record_type *type, const char *file,
	const char *volatile_file);
int store_table_open(struct imbrex_store *s, struct store_table *t, const char *kind,
	const char *lock_name, enum lock_rank rank, struct imbrex_error *err) MUST_CHECK;
void store_table_close(struct store_table *t);
/* Read the files again if they are not what is in memory. The caller holds the lock, if any. */
int store_table_refresh(struct store_table *t, struct imbrex_error *err) MUST_CHECK;
void store_mounts_forget(struct imbrex_store *s);

#endif
