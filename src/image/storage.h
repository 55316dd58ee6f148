/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of another store on this machine, podman's above all: podman://, containers-storage:.
 *
 * storage_source_open -> as transport.h. Documents are the other store's, byte for byte. blob()
 * gives layers unpacked, put together from their files. Error tier: err.
 */
#ifndef IMAGE_STORAGE_H
#define IMAGE_STORAGE_H

#include "store/store.h"
#include "transport/transport.h"

struct apply_content;

/*
 * where  "REF", "@ID", "REF@ID", each with "[DRIVER@GRAPHROOT+RUNROOT:OPTION,…]" before it or, for
 *        the store that podman would use here, without
 * to     the store that the image is for; borrowed; NULL: none
 *
 * Errors EINVAL for a text that is none; ENOENT without such a store or image; EPERM, ENOTSUP for a
 *        store that cannot be read
 */
int storage_source_open(const char *where, struct imbrex_store *to, struct source **ret,
	struct imbrex_error *err) MUST_CHECK;

/* The image is in the very store that it is for: its id there, else NULL. Borrowed. */
const char *storage_source_same(struct source *s);
/* After manifest(): where the files of layer `i` lie. Borrowed from `s`. */
const struct apply_content *storage_source_content(struct source *s, size_t i);

#endif
