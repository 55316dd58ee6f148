/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a path below a driver's directory back to the layer it belongs to: the words of a path, and
 * what drivers that keep whole trees or upper directories have in common.
 * Threading: no state. Errors: err.
 */
#ifndef DRIVER_WHERE_H
#define DRIVER_WHERE_H

#include "driver/driver.h"

/* Take the first component off *path into `word`; false at the end, or if it does not fit. */
bool path_word(const char **path, char *word, size_t size);

/* Fill `ret`; role is static text. */
int place_set(struct driver_place *ret, const char *id, const char *role, const char *inside,
	struct imbrex_error *err) MUST_CHECK;

/* 1: `inside` ("/etc/passwd") exists below the directory; 0: not. Links on the way are not
 * followed. */
int tree_holds(int rootfd, const char *inside, struct imbrex_error *err) MUST_CHECK;

#endif
