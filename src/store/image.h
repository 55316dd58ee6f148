/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the image table that other parts of the store make. The caller holds images. */
#ifndef STORE_IMAGE_H
#define STORE_IMAGE_H

#include "store/txn.h"

/*
 * Add an image, or give the one of that id the name and documents it lacks; saves the table.
 * The name is taken from whichever image had it.
 */
int image_put(struct imbrex_store *s, const struct txn_image *image, const char *layer,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Copy the record and documents of an image of an additional store into our own table, where its
 * names can be changed; *f is the copy then. The caller holds images exclusively, and saves.
 */
int image_adopt(struct imbrex_store *s, struct found *f, struct imbrex_error *err) MUST_CHECK;

/* Which of a record's own names a person means: as it stands, or completed. ret: free(). */
int image_own_name(struct imbrex_store *s, size_t index, const char *name, char **ret,
	struct imbrex_error *err) MUST_CHECK;

/* Full local reference of a name as podman completes it ("a" is localhost/a:latest). */
int image_complete_name(const char *name, char **ret, struct imbrex_error *err) MUST_CHECK;

#endif
