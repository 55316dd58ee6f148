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

/* Do manifests go by this key ("manifest", "manifest-sha256:…")? Their digests name the image. */
bool bigdata_key_is_manifest(const char *key, size_t len);

/* Keys, in the order in which they were first set, appended. Leaf tier. */
int bigdata_list(const struct found *f, struct strv *ret) MUST_CHECK;

/* What a record says of a document. Layers' records say neither. */
struct bigdata_facts {
	int64_t size;             /* -1: nothing */
	struct hash_value digest; /* not set: nothing */
};
/* False if the record has no such document. */
bool bigdata_facts(const struct found *f, const char *key, struct bigdata_facts *ret);
/* A document was put in place: key, size and digest go into the record, and an image without a
 * digest gets that of its first manifest. */
int bigdata_record(const struct found *f, const char *key, size_t len,
	const struct hash_value *digest, struct imbrex_error *err) MUST_CHECK;
/* The record no longer says how large a document is and what its digest is. */
int bigdata_forget(const struct found *f, const char *key, struct imbrex_error *err) MUST_CHECK;
/* The directory of an object's documents, made if absent. ret_fd: the caller's. */
int bigdata_open_dir(const struct found *f, int *ret_fd, struct imbrex_error *err) MUST_CHECK;

/*
 * Write documents below "<dir>/<id>/" (made 0700) and name them, their sizes and digests in the
 * record at `index`. Files first, record in memory after; the caller saves the table.
 */
int bigdata_put(struct imbrex_store *s, struct store_table *t, size_t index,
	const struct bigdata *items, size_t n, struct imbrex_error *err) MUST_CHECK;

/* One opened for reading: fd, or ENOENT (DATA_UNKNOWN) if the record does not name it. */
int bigdata_open(const struct found *f, const char *key, struct imbrex_error *err) MUST_CHECK;
/* Read one whole; errors as those of bigdata_open(). */
int bigdata_get(struct imbrex_store *s, struct store_table *t, size_t index, const char *key,
	size_t max_bytes, struct str *ret, struct imbrex_error *err) MUST_CHECK;

#endif
