/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The temporary directories that layers are made in before they have a name: the driver's for their
 * content, one in each root of the store, and the layers' own for what lies beside. This process
 * holds their locks, so a crash leaves garbage that any opener may remove, and nobody removes it
 * while we live. Error tier: err.
 */
#ifndef STORE_TEMPS_H
#define STORE_TEMPS_H

#include "os/tempdir.h"
#include "store/store.h"

struct store_temps {
	struct imbrex_store *s; /* borrowed */
	struct tempdir *driver; /* owned */
	struct tempdir *image;  /* owned; the driver's in the second root; NULL: there is none */
	struct tempdir *layers; /* owned */
};

/* The driver's for a layer of an image, or of a container. */
static inline struct tempdir *store_temps_driver(const struct store_temps *t, bool image)
{
	return image && t->image ? t->image : t->driver;
}

/* Also removes what owners that died have left. EPERM if the store is read-only. */
int store_temps_open(
	struct imbrex_store *s, struct store_temps *ret, struct imbrex_error *err) MUST_CHECK;
void store_temps_close(struct store_temps *t);
#define AUTO_TEMPS __attribute__((cleanup(store_temps_close))) struct store_temps

#endif
