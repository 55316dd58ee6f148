/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver options as storage.conf and the command line give them: "[driver.]key=value".
 * Threading: no state. Errors: err; messages quote the option.
 * Source: docs/formats/storage-conf.md.
 */
#ifndef DRIVER_OPTIONS_H
#define DRIVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/strv.h"
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

/* Words between commas, appended; empty ones are none. */
int option_words(
	const char *name, const char *value, struct strv *ret, struct imbrex_error *err) MUST_CHECK;
/* The same of absolute paths. */
int option_paths(
	const char *name, const char *value, struct strv *ret, struct imbrex_error *err) MUST_CHECK;

/*
 * Tables of keys: what a driver can be told, or what can be said of one layer. `set` gets the place
 * at `offset` of what is filled, and a name for its messages: "vfs.imagestore", or "size".
 */
struct option_key {
	const char *key;
	int (*set)(void *at, const char *name, const char *value, struct imbrex_error *err);
	size_t offset;
};
struct option_table {
	const char *driver;
	bool of_layer; /* else of the whole driver */
	const struct option_key *keys;
	size_t n_keys;
};
int option_set_bool(void *at, const char *name, const char *value, struct imbrex_error *err);
int option_set_bytes(void *at, const char *name, const char *value, struct imbrex_error *err);
int option_set_words(void *at, const char *name, const char *value, struct imbrex_error *err);
int option_set_paths(void *at, const char *name, const char *value, struct imbrex_error *err);

/* Those of `options` (NULL: none) that are for the driver, in order, into `to`. EINVAL for a key
 * that is not in the table. */
int option_table_read(const struct option_table *t, const struct strv *options, void *to,
	struct imbrex_error *err) MUST_CHECK;

#endif
