/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer in the making that comes alone: empty, filled from one stream, or a copy of another one
 * under a different id map.
 *
 * Where the driver makes an empty layer in no time and no owner is to be changed:
 *	(locks) new_layer_create -> new_layer_record -> save
 * Else, since nothing is copied while a lock is held:
 *	(no lock) new_layer_stage -> (locks) look again -> new_layer_publish -> new_layer_record ->
 *	save
 * Done without publish is abort. Error tier: err, unless a line says leaf.
 */
#ifndef STORE_NEWLAYER_H
#define STORE_NEWLAYER_H

#include "store/fill.h"
#include "store/maps.h"
#include "store/temps.h"

struct new_layer {
	char *id;                       /* owned */
	char *parent;                   /* owned; what the record says; "": none */
	char *below;                    /* owned; what it stands on: parent or template; "": none */
	struct id_maps_copy below_maps; /* of what it stands on */
	struct id_maps_copy maps;       /* of its own record; empty: ids as on the host */
	const char *const *names;       /* NULL terminated; borrowed; NULL: none */
	const char *metadata;           /* borrowed; NULL: none */
	const char *label;              /* borrowed; SELinux mount label; NULL or "": none */
	const char *const *storage_opts; /* "size=10G"; NULL terminated; borrowed; NULL: none */
	int fd;                          /* what it is filled from; borrowed; -EBADF: it is empty */
	bool from_template;              /* a copy of `below` under other maps, with its facts */
	bool image;                      /* read only once made: goes where images are kept */
	bool is_volatile;                /* need not survive a crash: its content is not synced */
	enum record_place place;         /* of its record */
	struct driver_stage *stage;      /* owned; NULL: not staged */
	struct layer_facts facts;        /* owned; of what it was filled from */
	char split[TEMPDIR_NAME_BYTES];  /* staged tar-split; "": none */
};

/* Empty, on nothing. */
#define NEW_LAYER_INIT       \
	{                    \
		.fd = -EBADF \
	}
void new_layer_done(struct new_layer *l);
#define AUTO_NEW_LAYER __attribute__((cleanup(new_layer_done))) struct new_layer

/* Id `wanted`; a random one for NULL and "". */
int new_layer_set_id(struct new_layer *l, const char *wanted, struct imbrex_error *err) MUST_CHECK;
/* It stands on a layer (NULL: on nothing). */
int new_layer_set_parent(
	struct new_layer *l, const struct found *parent, struct imbrex_error *err) MUST_CHECK;
/* It is a copy of a layer of our own, beside it. */
int new_layer_set_template(
	struct new_layer *l, const struct found *original, struct imbrex_error *err) MUST_CHECK;
/* Its maps: what is asked for, the host's ids winning; else `fallback`, or, if it stands on
 * nothing, what storage.conf says. A record says nothing of maps that the driver applies when it
 * mounts. */
int new_layer_set_maps(struct imbrex_store *s, struct new_layer *l,
	const struct imbrex_id_maps *asked, const struct id_maps *fallback,
	struct imbrex_error *err) MUST_CHECK;
/* Can the driver show a tree under these maps without changing an owner on disk? */
bool store_shifts(struct imbrex_store *s, const struct id_maps *maps);

/* Owners below are not those that it must show. */
bool new_layer_changes_owners(const struct new_layer *l);
/* Nothing is copied, filled or changed: it can be made while locks are held. */
bool new_layer_is_quick(const struct imbrex_store *s, const struct new_layer *l);
int new_layer_create(
	struct imbrex_store *s, const struct new_layer *l, struct imbrex_error *err) MUST_CHECK;
/* All of it, on disk unless volatile. `on`: what it stands on, if that is staged too; else NULL. */
int new_layer_stage(struct store_temps *temps, struct new_layer *l, const struct new_layer *on,
	struct imbrex_error *err) MUST_CHECK;
/* EBUSY if what it stands on has changed since. */
int new_layer_publish(
	struct store_temps *temps, struct new_layer *l, struct imbrex_error *err) MUST_CHECK;
/* Its record, at the end of the table, which the caller saves. */
int new_layer_record(
	struct imbrex_store *s, const struct new_layer *l, struct imbrex_error *err) MUST_CHECK;

#endif
