/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can still be read of a table's file that does not parse as a whole: each element by itself.
 * Error tier: err.
 */
#ifndef STORE_SALVAGE_H
#define STORE_SALVAGE_H

#include "store/record.h"

/* What came of it. */
struct salvage {
	size_t n_records; /* that were read */
	size_t n_partial; /* of them, those that were cut and lost their last members */
	size_t n_lost;    /* stretches of the text that nothing could be made of */
};

/*
 * Add what is whole in `text` to the table (copied): records; what is no record is set aside. Of a
 * record that is cut short its whole members are kept, if they say what it stands on.
 * n_lost == 0: nothing is damaged but single elements, and the table may be written again.
 */
int table_salvage(struct table *t, const char *text, size_t len, enum record_place place,
	struct salvage *ret, struct imbrex_error *err) MUST_CHECK;

#endif
