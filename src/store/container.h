/* SPDX-License-Identifier: Apache-2.0 */
/* What removal of images and the mount calls need of containers. The caller holds the tables. */
#ifndef STORE_CONTAINER_H
#define STORE_CONTAINER_H

#include "store/store.h"

/* The container whose writable layer it is. */
bool container_by_layer(struct imbrex_store *s, const char *layer, struct found *ret);
/* Record out of the table and layer into the trash, unmounted if `force`; the caller saves both. */
int container_drop(
	struct imbrex_store *s, size_t index, bool force, struct imbrex_error *err) MUST_CHECK;
/* Whatever mounts a layer still has, really or in the books: gone. */
int container_unmount_layer(
	struct imbrex_store *s, const char *layer, struct imbrex_error *err) MUST_CHECK;

#endif
