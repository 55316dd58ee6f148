/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store object: where its files are, its locks, its tables in memory, and the one way to read
 * and change them: hold, look, change, save, release.
 *
 * Lock order: graph -> layers -> images -> containers; mountpoints inside layers; released in
 * reverse. store_hold() takes what is asked for in that order and brings the tables up to date.
 * Nothing is remembered across holds except what the change stamps prove to be current.
 *
 * Invariants (with src/store/txn.c):
 * (1) A layer directory without a record is garbage; gc may remove it while holding layers.
 * (2) A record marked incomplete is a crashed writer's: readers skip it, the next writer removes
 * it. (3) A table's file is replaced whole, after the change stamp was written, before release. (4)
 * The trash (things renamed out of sight) is unlinked after the locks are released.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "driver/driver.h"
#include "imbrex/imbrex.h"
#include "os/lock.h"
#include "os/tempdir.h"
#include "store/config.h"
#include "store/record.h"

/* One file of a table. */
struct table_place {
	const char *file;      /* "volatile-layers.json"; NULL: the table has no such place */
	int dirfd;             /* owned unless it is the table's own; where the file is */
	struct timespec mtime; /* of the file as loaded; zero: no such file */
};

/* A file that does not parse as a whole. Its table is good for reading what could be saved. */
struct table_damage {
	char *why;        /* owned; where parsing ended; NULL: it is whole */
	size_t n_records; /* that could be read */
	size_t n_partial; /* of them, those that lost members */
};

/* One of layers.json (stable and volatile), images.json, containers.json, with its lock. */
struct store_table {
	struct table t;
	const char *file; /* "layers.json" */
	char *dir;        /* owned; relative to graphroot: "overlay-layers" */
	int dirfd;        /* owned; -EBADF if the directory does not exist (read-only) */
	struct table_place places[N_PLACES];
	struct file_lock lock;
	struct file_lock image_lock; /* of the second root; taken after `lock`; path NULL: none */
	struct lock_token token;     /* of what is in memory */
	bool loaded;
	bool dirty[N_PLACES];
	struct table_damage damage[N_PLACES];
	struct strv dropped; /* ids whose records were removed: their files go after the save */
	char *index_name;    /* owned; below INDEX_DIR of the run root; NULL: no index is kept */
	int index_dirfd;     /* borrowed: the run root */
	bool index_read_only;
	bool parse_next;          /* believe no index when the table is loaded next */
	uint64_t index_min_bytes; /* smaller tables are parsed: STORE_INDEX_MIN_BYTES */
};

/* Parsing less than this takes as long as finding out whether an index is good. */
#ifndef STORE_INDEX_MIN_BYTES
#define STORE_INDEX_MIN_BYTES (128u * 1024)
#endif

/* A store that is only read: another graph root that has images, and layers for ours to stand on.
 * Nothing of it is ever written, lock files included. The first one may be our own graph root,
 * whose images are not added to any more once a second root takes them (first_root), but removed.
 */
struct additional_store {
	char *root; /* owned; absolute */
	int fd;     /* owned; the root */
	struct store_table layers;
	struct store_table images;
};

/* Where a record is. Good until the locks are released or records of that table are removed. */
struct found {
	struct store_table *t;
	size_t index;   /* number in t */
	size_t store;   /* 0 our own, else an additional one */
	bool read_only; /* it cannot be changed */
};

struct mount_record {
	char *id;   /* owned */
	char *path; /* owned */
	int count;  /* > 0 */
};

struct imbrex_store {
	struct storage_config config;
	int graphfd;
	int runfd;
	int imagefd; /* second root, which takes images and their layers; -EBADF: none */
	struct driver *driver;
	pthread_mutex_t reading;       /* around the driver's open_file(): one thread at a time */
	pthread_mutex_t reading_layer; /* one layer at a time, where changing it is dear */
	bool rootless;
	bool single_id;
	bool read_only;
	bool on_read_only_fs; /* nobody asked for read_only: the file system is so */
	bool ordered; /* the file system makes renames durable in the order they were made */
	struct file_lock graph_lock;
	struct file_lock mounts_lock;
	struct store_table layers;
	struct store_table images;
	struct store_table containers;
	struct additional_store
		*additional; /* owned array; in the order in which they are searched */
	size_t n_additional;
	bool has_first_root;         /* additional[0] is our own graph root */
	char *run_layers_dir;        /* owned; "overlay-layers" below runroot */
	struct mount_record *mounts; /* owned; valid while layers are held */
	size_t n_mounts;
	struct map *mounts_by_id;     /* owned; of indexes + 1 in mounts; NULL: walk */
	struct tempdir *driver_trash; /* lazily made; finished by release */
	struct tempdir *image_trash;  /* the driver's in the second root */
	struct tempdir *layers_trash;
	struct tempdir *documents_trash; /* of images, in the second root */
	struct tempdir *run_trash;       /* of directories below the run root */
	char *damage;                    /* owned; what imbrex_store_damage() last said */
};

/* Images of our own graph root under a second root for images; NULL: there is no second root, or
 * the store is only read. Held as images are. */
static inline struct store_table *store_first_root(struct imbrex_store *s)
{
	return s->has_first_root && !s->read_only ? &s->additional[0].images : NULL;
}

enum hold_bits {
	HOLD_GRAPH = 1 << 0,
	HOLD_LAYERS = 1 << 1,   /* shared; also of additional stores */
	HOLD_LAYERS_W = 1 << 2, /* exclusive; of additional stores shared */
	HOLD_IMAGES = 1 << 3,
	HOLD_IMAGES_W = 1 << 4,
	HOLD_CONTAINERS = 1 << 5,
	HOLD_CONTAINERS_W = 1 << 6,
	HOLD_DAMAGED = 1 << 7, /* also if a table is damaged: nothing of that table will be saved */
	HOLD_READ_ALL = HOLD_LAYERS | HOLD_IMAGES | HOLD_CONTAINERS,
	HOLD_WRITE_ALL = HOLD_LAYERS_W | HOLD_IMAGES_W | HOLD_CONTAINERS_W,
};

/* Locks held, released at the end of the scope: AUTO_HOLD h = HOLD_NONE; store_hold(s, …, &h). */
struct store_hold {
	struct imbrex_store *s; /* NULL: nothing is held */
	unsigned int bits;
};
#define HOLD_NONE \
	{         \
		0 \
	}

/* The damage of one of the table's files, and which file; NULL if all are whole. */
const struct table_damage *table_damage(const struct store_table *t, const char **ret_file);
/* EFORMAT: what a damaged table says to its writer. 0 if it is whole. */
int table_check_whole(const struct store_table *t, struct imbrex_error *err) MUST_CHECK;

/* EPERM: what a store says to its writer when read_only is set. */
int store_fail_read_only(const struct imbrex_store *s, struct imbrex_error *err);
int store_hold(struct imbrex_store *s, unsigned int bits, struct store_hold *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Release, then unlink the trash. Unsaved changes are forgotten (the tables reload). */
void store_release(struct store_hold *h);
#define AUTO_HOLD __attribute__((cleanup(store_release))) struct store_hold

/* Write what is dirty of one table: stamp, stable file (synced), volatile file. */
int store_save(struct imbrex_store *s, struct store_table *t, struct imbrex_error *err) MUST_CHECK;
/* The same for several, in the order in which their new states may be seen after a crash. */
int store_save_all(struct imbrex_store *s, struct store_table *const *tables, size_t n,
	struct imbrex_error *err) MUST_CHECK;
/* What publishing layers renamed is on disk, or will be no later than the next saved table. */
int store_sync_layers(struct imbrex_store *s, struct imbrex_error *err) MUST_CHECK;

/*
 * A record was removed from the table in memory: what belongs to it is thrown away when the table
 * has been saved, so that no crash and no full disk leaves a record without its content.
 */
int store_drop(struct store_table *t, const char *id, struct imbrex_error *err) MUST_CHECK;

/* Throw something away when the locks are released. The caller holds the lock that protects it,
 * and no record names it. */
int store_trash_layer(struct imbrex_store *s, const char *id, struct imbrex_error *err) MUST_CHECK;
int store_trash_dir(struct imbrex_store *s, struct store_table *t, const char *name,
	struct imbrex_error *err) MUST_CHECK;

/* mountpoints.json; the caller holds layers (exclusively to change). */
struct mount_record *store_mount_find(struct imbrex_store *s, const char *id);
/* Is something mounted where the book says, as far as this mount namespace shows? Where nothing is
 * ever mounted: does the path fit the layer? */
bool store_mount_is_real(const struct imbrex_store *s, const struct mount_record *m);
int store_mounts_load(struct imbrex_store *s, struct imbrex_error *err) MUST_CHECK;
/* EBUSY if what the book (NULL: has nothing) calls mounted is so in another mount namespace only.
 */
int store_mount_check_here(
	struct imbrex_store *s, const struct mount_record *m, struct imbrex_error *err) MUST_CHECK;
/* Set the count of a layer (0 drops it) and save. */
int store_mount_set(struct imbrex_store *s, const char *id, const char *path, int count,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Lookup. A kind is named by its record type (&layer_records, …); its tables are our own and then
 * those of the additional stores, in order. The caller holds the kind's lock.
 */

/* The n-th table of a kind, 0 being our own; NULL past the last. */
struct store_table *store_tables(struct imbrex_store *s, const struct record_type *type, size_t n);
/* By full id. */
bool store_get(struct imbrex_store *s, const struct record_type *type, const char *id, size_t len,
	struct found *ret);
/*
 * By id, name or unique beginning of an id, as it stands.
 * Errors ENOENT, and EINVAL for the beginning of several ids; both with the noun and the reason
 *        LAYER_UNKNOWN, IMAGE_UNKNOWN or CONTAINER_UNKNOWN.
 */
int store_find(struct imbrex_store *s, const struct record_type *type, const char *name,
	struct found *ret, struct imbrex_error *err) MUST_CHECK;
/* As store_find() for images, with names completed as podman does. */
int store_find_image(struct imbrex_store *s, const char *name, struct found *ret,
	struct imbrex_error *err) MUST_CHECK;
/* All records of a kind: for (more = store_first(s, type, &f); more; more = store_next(s, &f)). */
bool store_first(struct imbrex_store *s, const struct record_type *type, struct found *ret);
bool store_next(struct imbrex_store *s, struct found *f);
size_t store_count(struct imbrex_store *s, const struct record_type *type);
/* A store that comes earlier has a record of the same id: this one does not count. */
bool store_is_shadowed(struct imbrex_store *s, const struct found *f);
/* EPERM (reason READ_ONLY) if what was found cannot be changed here. */
int store_check_own(const struct found *f, struct imbrex_error *err) MUST_CHECK;

static inline struct record *found_record(const struct found *f)
{
	return table_at(&f->t->t, f->index);
}

/* The root that new layers go into: those of images into the second one, if there is one. */
static inline int store_layers_root(const struct imbrex_store *s, bool image)
{
	return image && s->imagefd >= 0 ? s->imagefd : s->graphfd;
}

/* "2026-11-20T18:49:11.50329627Z", now. */
#define STORE_TIME_MAX 40
void store_now(char ret[STORE_TIME_MAX]);

#endif
