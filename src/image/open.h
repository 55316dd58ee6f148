/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All sources of images: those of transport/open.h, and other stores of this machine.
 *
 * podman:// is the store that podman would use here, read in place; if it cannot be read (rights, a
 * driver that is not known), podman's service is asked on its socket, and where there is none, the
 * program. CONTAINER_HOST means a service in the first place, as it does to podman.
 *
 * Threading: no state. Error tier: err.
 */
#ifndef IMAGE_OPEN_H
#define IMAGE_OPEN_H

#include "image/storage.h"
#include "transport/open.h"

/* The step that an event of a registry is to those who follow an image's way. */
enum imbrex_rootfs_step step_of_event(enum repository_event event);

/*
 * to  the store that the image is for; borrowed for the life of the source; NULL: none
 * For the rest see source_open().
 */
int image_source_open(const struct locator *l, const struct source_opts *opts,
	struct imbrex_store *to, struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
