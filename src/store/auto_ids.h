/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User namespaces of their own for containers: how many ids an image needs, and a range of the
 * host's that no other container has. Error tier: err.
 */
#ifndef STORE_AUTO_IDS_H
#define STORE_AUTO_IDS_H

#include "imbrex/idmap.h"
#include "os/idmap.h"
#include "store/store.h"

/*
 * Ids that a container on `image` (id; "": none) needs: what its layers and its passwd files name,
 * or what was asked for. Mounts the image for the time; no lock is held.
 * Errors EINVAL if that is more than the configuration allows
 */
int auto_ids_size(struct imbrex_store *s, const struct imbrex_auto_ids *how, const char *image,
	uint32_t *ret, struct imbrex_error *err) MUST_CHECK;
/*
 * The lowest `size` subordinate ids that no container has. The caller holds userns.lock and
 * containers until its own is recorded.
 * Errors ELIMIT (NOT_ENOUGH_IDS)
 */
int auto_ids_pick(struct imbrex_store *s, const struct imbrex_auto_ids *how, uint32_t size,
	struct id_maps_copy *ret, struct imbrex_error *err) MUST_CHECK;

/* One more than the highest id in the text of a passwd or group file, 0 if there is none. The ids
 * of "nobody" do not count. Leaf: no errors, lines of another form are passed over. */
uint32_t ids_of_passwd(const char *text, size_t len);
uint32_t ids_of_group(const char *text, size_t len);

#endif
