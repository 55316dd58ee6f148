/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image configurations: what to run, for which platform, and the diff IDs of the layers.
 * Everything in it comes from whoever made the image; nothing in it is a path, a command or a
 * name to be trusted.
 *
 *   oci_config_parse -> use -> oci_config_done
 *
 * Threading: none shared. Error tier: err.
 */
#ifndef OCI_CONFIG_H
#define OCI_CONFIG_H

#include "base/error.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/strv.h"
#include "oci/platform.h"

struct oci_history {
	char *created; /* owned; RFC 3339 as written, NULL if none; likewise the others */
	char *created_by;
	char *author;
	char *comment;
	bool empty_layer; /* this step made no layer */
};

struct oci_config {
	struct platform platform; /* fields "" if not said */
	char *created;            /* owned; RFC 3339 as written; NULL if none */
	char *author;             /* owned; NULL if none */

	/* What "config" holds; all empty or NULL if it says nothing. */
	char *user;        /* owned; "name", "1000:100", ... not resolved */
	char *working_dir; /* owned; any text */
	char *stop_signal; /* owned; "SIGTERM", "15" */
	struct strv env;   /* "NAME=value" is usual, not promised */
	struct strv entrypoint;
	struct strv cmd;
	struct strv exposed_ports; /* "80/tcp" */
	struct strv volumes;
	struct strv labels; /* key, value, key, value, ... */

	struct hash_value *diff_ids; /* owned array, base layer first */
	size_t n_diff_ids;           /* <= LIMIT_IMAGE_LAYERS */
	struct oci_history *history; /* owned array, oldest first */
	size_t n_history;
};

void oci_config_done(struct oci_config *c);
static inline void cleanup_oci_config(struct oci_config *c)
{
	oci_config_done(c);
}
#define AUTO_OCI_CONFIG __attribute__((cleanup(cleanup_oci_config))) struct oci_config

/*
 * Read an OCI or Docker image configuration; members that are not listed above are ignored.
 *
 * Errors EFORMAT with the path of what is wrong, ENOTSUP for unknown digest algorithms
 * Limits LIMIT_CONFIG_BYTES, LIMIT_IMAGE_LAYERS
 * Source OCI image-spec config.md
 */
int oci_config_parse(
	const char *text, size_t len, struct oci_config *ret, struct imbrex_error *err) MUST_CHECK;
/* EFORMAT unless there are exactly as many diff IDs as the manifest has layers. */
int oci_config_check_layers(
	const struct oci_config *c, size_t n_layers, struct imbrex_error *err) MUST_CHECK;
/* Append the document: always the same bytes for the same content, in the order of Go's encoder. */
int oci_config_write(
	const struct oci_config *c, struct str *ret, struct imbrex_error *err) MUST_CHECK;

#endif
