/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of the program: the caller's list, made whole.
 *
 * Strings are passed as they are, whatever bytes they hold; nothing is expanded or interpreted.
 * Threading: none. Errors: fills err.
 */
#ifndef RUN_ENV_H
#define RUN_ENV_H

#include "base/macros.h"
#include "base/strv.h"
#include "imbrex/error.h"

/* What a name gets if the list does not set it; NULL leaves it unset. */
struct run_env_defaults {
	const char *home;     /* NULL is "/" */
	const char *hostname; /* of the new namespace */
	const char *term;     /* only on a terminal */
};

#define RUN_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Of a name set twice the last value counts. `env` may be NULL. *ret is NULL terminated. */
int run_env_build(const char *const *env, const struct run_env_defaults *defaults, struct strv *ret,
	struct imbrex_error *err) MUST_CHECK;

/* Value of `name`, or NULL. Borrowed. */
const char *run_env_get(const struct strv *env, const char *name);

#endif
