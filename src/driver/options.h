/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver options as storage.conf and the command line give them: "[driver.]key=value".
 * Threading: no state. Errors: err; messages quote the option.
 * Source: docs/formats/storage-conf.md.
 */
#ifndef DRIVER_OPTIONS_H
#define DRIVER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "imbrex/error.h"

#define DRIVER_OPTION_KEY_BYTES 64

struct driver_option {
	char key[DRIVER_OPTION_KEY_BYTES]; /* lower case, without the driver's name */
	const char *value;                 /* borrowed from the text */
};

/*
 * 1: the option is for `driver` (or for every driver) and *ret is set; 0: for another one.
 * Errors EINVAL if it has no '=' or names a driver that nobody knows.
 */
int option_split(const char *text, const char *driver, struct driver_option *ret,
	struct imbrex_error *err) MUST_CHECK;

/* 1 t T TRUE true True, 0 f F FALSE false False. `name` is for the message. */
int option_bool(
	const char *name, const char *value, bool *ret, struct imbrex_error *err) MUST_CHECK;

/*
 * A number of bytes: "10G", "1.5 gib", "100". Suffixes k m g t p, of powers of 1,024, in either
 * case, with or without "b" or "ib". `name` is for the message.
 * Source docker/go-units, RAMInBytes
 */
int option_bytes(
	const char *name, const char *value, uint64_t *ret, struct imbrex_error *err) MUST_CHECK;

#endif
