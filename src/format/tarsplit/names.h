/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of clean names in one tar-split stream: a name twice makes the stream useless, because
 * content is found by name. new -> add* -> free. Error tier: err.
 */
#ifndef FORMAT_TARSPLIT_NAMES_H
#define FORMAT_TARSPLIT_NAMES_H

#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

struct tarsplit_names;

int tarsplit_names_new(struct tarsplit_names **ret, struct imbrex_error *err) MUST_CHECK;
void tarsplit_names_free(struct tarsplit_names *n);
DEFINE_CLEANUP(tarsplit_names, struct tarsplit_names, tarsplit_names_free)
#define AUTO_TARSPLIT_NAMES AUTO(tarsplit_names) struct tarsplit_names

/*
 * Add path.Clean(name) of Go: the same but leading "/" and ".." are kept, "" is ".".
 * Errors EFORMAT if it is there already.
 */
int tarsplit_names_add(struct tarsplit_names *n, const char *name, size_t len,
	struct imbrex_error *err) MUST_CHECK;

#endif
