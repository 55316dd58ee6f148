/* SPDX-License-Identifier: Apache-2.0 */
/* Names of objects: one name is on one object of a kind. The caller holds the table exclusively and
 * saves it. Error tier: err. */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

#include "imbrex/object.h"
#include "store/store.h"

/* `names` is NULL terminated. A name is taken from the object that has it. */
int names_change(const struct found *f, enum imbrex_names_change change, const char *const *names,
	struct imbrex_error *err) MUST_CHECK;
/* Takes a name away from a record, if it has it. */
int names_take(const struct found *f, const char *name, struct imbrex_error *err) MUST_CHECK;
/* Appends those of `names` (NULL terminated; NULL: none) that `to` has not yet. Leaf tier. */
int names_collect(const char *const *names, struct strv *to) MUST_CHECK;

#endif
