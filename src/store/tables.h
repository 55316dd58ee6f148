/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What opening and holding a store need of its tables and its book of mounts, and nobody else.
 * Error tier: err.
 */
#ifndef STORE_TABLES_H
#define STORE_TABLES_H

#include "store/store.h"

void store_table_init(struct store_table *t, const struct record_type *type, const char *file,
	const char *volatile_file);
/* The root that a table's directory lies in. */
struct table_home {
	int fd;             /* borrowed for the life of the table */
	const char *path;   /* for messages */
	const char *driver; /* "overlay" */
	bool read_only;     /* nothing is made; what is missing is empty */
	int run_fd;         /* borrowed likewise: where indexes are kept; negative: nowhere */
	bool run_read_only; /* those that are there are used */
};
/* A place of the table in another root, with or without a lock of its own there. */
int store_table_add_place(struct store_table *t, const struct table_home *home,
	enum record_place place, const char *lock_name, struct imbrex_error *err) MUST_CHECK;
/* The table's lock is the one in `home`, not the one beside its files. */
int store_table_move_lock(struct store_table *t, const struct table_home *home,
	const char *lock_name, enum lock_rank rank, struct imbrex_error *err) MUST_CHECK;
/* Name directory and lock of a table ("layers", "layers.lock"), making them unless read-only. */
int store_table_open(struct store_table *t, const struct table_home *home, const char *kind,
	const char *lock_name, enum lock_rank rank, struct imbrex_error *err) MUST_CHECK;
/* At the next hold, read every record and believe no index. */
void store_table_distrust(struct store_table *t);
void store_table_close(struct store_table *t);
/* Read the files again if they are not what is in memory. The caller holds the lock, if any. */
int store_table_refresh(struct store_table *t, struct imbrex_error *err) MUST_CHECK;
void store_mounts_forget(struct imbrex_store *s);

/* The additional stores that the driver's options name. Needs our own tables to be open. */
int store_additional_open(struct imbrex_store *s, struct imbrex_error *err) MUST_CHECK;
void store_additional_close(struct imbrex_store *s);

#endif
