/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two temporary directories that layers are made in before they have a name: the driver's for
 * their content, the layers' own for what lies beside. This process holds their locks, so a crash
 * leaves garbage that any opener may remove, and nobody removes it while we live. Error tier: err.
 */
#ifndef STORE_TEMPS_H
#define STORE_TEMPS_H

#include "os/tempdir.h"
#include "store/store.h"

struct store_temps {
	struct imbrex_store *s; /* borrowed */
	struct tempdir *driver; /* owned */
	struct tempdir *layers; /* owned */
};

/* Also removes what owners that died have left. EPERM if the store is read-only. */
int store_temps_open(
	struct imbrex_store *s, struct store_temps *ret, struct imbrex_error *err) MUST_CHECK;
void store_temps_close(struct store_temps *t);
#define AUTO_TEMPS __attribute__((cleanup(store_temps_close))) struct store_temps

#endif
