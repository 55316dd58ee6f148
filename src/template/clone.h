/* SPDX-License-Identifier: Apache-2.0 */
/* Containers, for the rest of this module. Errors: err. */
#ifndef TEMPLATE_CLONE_H
#define TEMPLATE_CLONE_H

#include "template/store.h"

/* The dataset of a container that is there; ENOENT. */
int clone_find(struct imbrex_templates *t, const char *name, struct zfs_name *ret,
	struct imbrex_error *err) MUST_CHECK;

/* Zero means default. */
struct clone_opts {
	bool replace;    /* destroy one of that name first */
	bool no_setuid;  /* set-user-ID programs in it are none */
	bool no_devices; /* devices in it cannot be opened */
};
int clone_create(struct imbrex_templates *t, const char *key, const char *name,
	const struct clone_opts *opts, struct imbrex_error *err) MUST_CHECK;

#endif
