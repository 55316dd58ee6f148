/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the groups of the conformance suite share: one driver, at one place, told on the command
 * line. Every test has a graph root of its own, as far as the driver has: a driver whose layers lie
 * outside of it (datasets) gets them removed one by one after each test.
 *
 * Includes all that a group needs, in the order that cmocka wants.
 */
#ifndef DRIVER_CONFORMANCE_H
#define DRIVER_CONFORMANCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include "tree_text.h"

extern const char *driver_name;
/* The kernel stacks the layers of this driver; the others copy or clone what is below. */
bool driver_stacks(void);

int conformance_setup(void **state);
int conformance_teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, conformance_setup, conformance_teardown)

/* The tree of layer `id` as text; mounts and unmounts it. */
void layer_text(struct fixture *f, const char *id, unsigned int flags, struct str *out);
void assert_layer(struct fixture *f, const char *id, const char *want);
/* The same, with the times of directories. */
void assert_layers_equal(struct fixture *f, const char *have_id, const char *want_id);
/* Mount read-write, and open the root. */
int open_mounted(struct fixture *f, const char *id, char **ret_path);

#define FILE(p, m, t)                                                           \
	{                                                                       \
		.path = p, .type = ENTRY_FILE, .mode = m, .text = t, .mtime = 7 \
	}
#define DIR_(p, m)                                                  \
	{                                                           \
		.path = p, .type = ENTRY_DIR, .mode = m, .mtime = 7 \
	}

/* "base", and "child" on it, which changes it in every way that a file system knows. */
void make_changed_layers(struct fixture *f);

/* Each runs its group, and returns how many tests failed. */
int test_content(void);
int test_layers(void);
int test_differences(void);
int test_deaths(void);
int test_limits(void);

#endif
