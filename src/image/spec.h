/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a user names another store: "[DRIVER@GRAPHROOT+RUNROOT:OPTION,…]REFERENCE", of which all but
 * the graph root may be missing, as podman and skopeo take it behind "containers-storage:".
 * Threading: none of its own. Error tier: err.
 */
#ifndef IMAGE_SPEC_H
#define IMAGE_SPEC_H

#include <stdbool.h>

#include "base/error.h"
#include "base/strv.h"

struct store_spec {
	char *driver, *graphroot, *runroot; /* owned; NULL: not said */
	struct strv options;
	const char *reference; /* what stands behind it; borrowed */
};
void store_spec_done(struct store_spec *s);
#define AUTO_STORE_SPEC __attribute__((cleanup(store_spec_done))) struct store_spec

/* Does it name a store, or a reference in the caller's own? */
bool store_spec_is_explicit(const char *where);
/*
 * Into a zeroed *ret, which is to be done with after a failure, too. Without brackets all of it is
 * the reference.
 * Errors EINVAL without ']', or for a root that is no absolute path.
 */
int store_spec_parse(
	const char *where, struct store_spec *ret, struct imbrex_error *err) MUST_CHECK;

#endif
