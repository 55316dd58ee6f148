/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for damage: what the parts of check share.
 *
 *   check.c          the order of things
 *   check_records.c  records against each other and against directories, tables held shared
 *   check_layer.c    one layer's record and directory
 *   check_content.c  bytes against digests and inodes against entries, nothing held
 *   gc.c             what belongs to nobody
 *   repair.h         what is done about it
 *
 * Error tier: err. What is damaged is a finding; an error means that looking itself failed.
 */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "base/hash.h"
#include "base/strv.h"
#include "os/idmap.h"
#include "store/finding.h"
#include "store/store.h"

/* A layer to be read when the locks are gone. */
struct pending_layer {
	char *id;     /* owned */
	size_t store; /* as in struct found */
	bool read_only;
	struct hash_value diff_id;
	int64_t diff_bytes;       /* -1: not recorded */
	struct id_maps_copy maps; /* of its record */
	struct strv below;        /* ids of the layers below, topmost first; see knows_below */
	bool knows_below;         /* all of them came as tars, and `below` names them */
};

/* A document whose digest is known. */
struct pending_document {
	struct store_table *t;
	char *id;                 /* owned */
	char *key;                /* owned */
	struct hash_value digest; /* that the key or the record says */
	bool read_only;
};

struct check {
	struct imbrex_store *s;
	const struct imbrex_check_opts *opts;
	struct findings found;
	struct pending_layer *layers; /* owned */
	size_t n_layers;
	struct pending_document *documents; /* owned */
	size_t n_documents;
};

void check_done(struct check *c);
#define AUTO_CHECK __attribute__((cleanup(check_done))) struct check

/*
 * All of it, read only: records and directories, and unless opts->quick content. `only` (ids of
 * layers; NULL: all) limits which layers' content is read. Findings are added to c->found.
 */
int check_all(struct check *c, const struct strv *only, struct imbrex_error *err) MUST_CHECK;

/* check_records.c; the caller holds all tables. */
int check_records(struct check *c, struct imbrex_error *err) MUST_CHECK;
int check_documents_of(struct check *c, const struct found *f, const char *id,
	struct imbrex_error *err) MUST_CHECK;
/* "file overlay-layers/layers.json": a place of the table, for messages. ret: free(). */
char *table_file(const struct store_table *t, int place) MUST_CHECK;

/* check_layer.c; likewise. */
int check_layer(struct check *c, const struct found *f, struct imbrex_error *err) MUST_CHECK;
/* Can an id become a file name? */
bool check_id_is_usable(const char *id);

/* check_content.c; the caller holds nothing. */
int check_content(struct check *c, const struct strv *only, struct imbrex_error *err) MUST_CHECK;
/* One layer into `found`. 1: it is whole; 0: it is not. */
int check_layer_content(struct imbrex_store *s, const struct pending_layer *l,
	struct findings *found, struct imbrex_error *err) MUST_CHECK;

#endif
