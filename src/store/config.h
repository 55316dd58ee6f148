/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the store lies and how its driver is set up: storage.conf, its drop-ins, its environment,
 * and the defaults for root and for unprivileged users, read the way podman reads them.
 *
 * storage_config_load -> use -> storage_config_done. Threading: none shared. Error tier: err.
 * Source: containers-storage.conf(5); the search order is in docs/formats/storage-conf.md.
 */
#ifndef STORE_CONFIG_H
#define STORE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strv.h"
#include "os/idmap.h"

struct storage_config {
	char *graphroot; /* owned; absolute */
	char *runroot;   /* owned; absolute */
	char *driver;    /* owned; "" = choose by what is there */
	struct strv driver_priority;
	struct strv driver_options; /* "[driver.]key=value" in the order of the documentation */
	char *imagestore;           /* owned; absolute; "" = none */
	bool transient_store;
	bool disable_volatile;
	char *auto_user;           /* owned; "root-auto-userns-user"; "" = not set */
	uint32_t auto_min_ids;     /* "auto-userns-min-size"; 0 = not set */
	uint32_t auto_max_ids;     /* "auto-userns-max-size"; 0 = not set */
	struct id_maps_copy remap; /* of layers on nothing: "remap-uids" and its like */
	struct strv pull_options;  /* "key=value", sorted */
	struct strv sources;       /* files that were read, in order, for `info` */
};

struct storage_config_request {
	const char *graphroot; /* from the command line; NULL: configured */
	const char *runroot;
	const char *driver;
	const char *config_file;
	const char *const *options; /* NULL terminated; NULL: configured ones */
	const char *imagestore;     /* NULL: configured; "": none */
	bool transient_store;       /* whatever is configured */
	bool all_options;           /* also those of drivers that are not in use */
	bool rootless;              /* per-user defaults */
	uid_t uid;                  /* the user's id outside of any user namespace */
};

void storage_config_done(struct storage_config *c);

struct imbrex_store_opts;
/* What a caller's options (NULL: none) ask for; borrows their texts. */
void storage_config_request_from(
	const struct imbrex_store_opts *opts, struct storage_config_request *ret);

/*
 * Errors ENOENT  a file named by the caller or by CONTAINERS_STORAGE_CONF does not exist
 *        EFORMAT file, line, column and key of what is not understood
 */
int storage_config_load(const struct storage_config_request *request, struct storage_config *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
