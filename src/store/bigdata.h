/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Big data: the documents kept beside a record, one file each, named after their key.
 * The caller holds the table's lock. Error tier: err.
 */
#ifndef STORE_BIGDATA_H
#define STORE_BIGDATA_H

#include "base/hash.h"
#include "store/store.h"

/*
 * File name of a key: the key itself if it is made of digits, lower-case letters and dots, else
 * "=" and its base64. One oddity of containers/storage is kept, because the files are shared: a key
 * whose only other character is its last one is used as it is.
 *
 * Errors EINVAL for an empty key, "." and "..", and for one whose name would hold a slash.
 */
int bigdata_file_name(const char *key, char **ret, struct imbrex_error *err) MUST_CHECK;

/* One document to be stored. */
struct bigdata {
	const char *key;
	const void *data;
	size_t len;
};

/*
 * Write documents below "<dir>/<id>/" (made 0700) and name them, their sizes and digests in the
 * record at `index`. Files first, record in memory after; the caller saves the table.
 */
int bigdata_put(struct imbrex_store *s, struct store_table *t, size_t index,
	const struct bigdata *items, size_t n, struct imbrex_error *err) MUST_CHECK;

/* Read one whole; ENOENT if the record does not name it. */
int bigdata_get(struct imbrex_store *s, struct store_table *t, size_t index, const char *key,
	size_t max_bytes, struct str *ret, struct imbrex_error *err) MUST_CHECK;

#endif
