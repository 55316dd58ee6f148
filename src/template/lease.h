/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who makes a dataset: a lock that ends with its owner, and a text that says who that was.
 *
 * All locks of a store are bytes of one file in its directory, one a dataset, so that they need no
 * files of their own. Whoever gets the lock of a dataset that is under construction knows that its
 * owner died; the text, in a property of the dataset, tells ours from those of other programs,
 * which take no locks, and is a second opinion should somebody have removed the file.
 *
 * Threading: any thread; a lock belongs to its descriptor. Errors: err.
 */
#ifndef TEMPLATE_LEASE_H
#define TEMPLATE_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* On every dataset that we make, from its first moment, and kept. */
#define LEASE_PROPERTY "imbrex:lease"
/* 36 of the boot id, two numbers, two colons, NUL. */
#define LEASE_TEXT_BYTES 96

struct lease {
	char boot[37]; /* identity of the boot, as the kernel writes it */
	uint32_t pid;
	uint64_t start_ticks; /* of the process, since the boot */
};

/* Of this process. */
int lease_mine(char ret[LEASE_TEXT_BYTES], struct imbrex_error *err) MUST_CHECK;
/* "BOOT:PID:START", nothing else. */
bool lease_parse(const char *text, size_t len, struct lease *ret);
/* Does the owner run, as far as this process can see? */
bool lease_is_alive(const struct lease *l);

/*
 * The lock of a dataset: `name` is what lies below the store's dataset (".layers/ab…").
 *
 * dirfd    of the store
 * wait     until its owner releases it or ends; else 0 is returned
 * ret_fd   owned; closing it releases the lock
 * Returns  1 if it was got
 */
int lease_lock(
	int dirfd, const char *name, bool wait, int *ret_fd, struct imbrex_error *err) MUST_CHECK;

#endif
