/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What table.c and table_find.c share. Threading and tier as record.h.
 */
#ifndef STORE_TABLE_WORK_H
#define STORE_TABLE_WORK_H

#include "store/record.h"

/*
 * The index lied, or somebody writes to the files that we hold: parse the table, unless its index
 * is proven. Failures are kept for table_check().
 */
void table_distrust(struct table *t);

#endif
