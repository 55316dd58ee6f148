/* SPDX-License-Identifier: Apache-2.0 */
/* The questions of the fault suite, one function each. What they find goes to problem(). */
#ifndef FAULT_MODES_H
#define FAULT_MODES_H

#include "world.h"

void test_failures(const struct world *w); /* one call fails */
void test_crash(const struct world *w);    /* the process dies */
void test_order(const struct world *w);    /* the power goes */
void test_space(const struct world *w);    /* the disk is full */
void test_races(const struct world *w);    /* others work on the same store */
void test_rootfs(const struct world *w);   /* the first two, where there is no store */

#endif
