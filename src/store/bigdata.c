/* SPDX-License-Identifier: Apache-2.0 */
/* Documents beside a record; see the header. */
#include "store/bigdata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/strv.h"
#include "json/write.h"
#include "os/atomic.h"
#include "os/fd.h"

static bool is_plain(char c)
{
	return c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

int bigdata_file_name(const char *key, char **ret, struct imbrex_error *err)
{
	size_t len = strlen(key);
	size_t plain = 0;
	AUTO_FREE char *name = NULL;

	if (!len || str_eq(key, ".") || str_eq(key, ".."))
		return fail(err, IMBREX_EINVAL, "big data key '%s' is not usable", key);
	while (is_plain(key[plain]))
		plain++;
	if (plain + 1 >= len) {
		name = strdup(key);
	} else {
		name = malloc(BASE64_ENCODED_LEN(len) + 2);
		if (name) {
			name[0] = '=';
			name[1 + base64_encode(key, len, name + 1)] = '\0';
		}
	}
	if (!name)
		return fail_nomem(err);
	if (strchr(name, '/') || strlen(name) > LIMIT_NAME_BYTES)
		return fail(err, IMBREX_EINVAL, "big data key '%s' has no file name", key);
	*ret = take_ptr(name);
	return 0;
}

/* Fields of the two kinds of records that carry sizes and digests. */
static void fields_of(const struct store_table *t, int *names, int *sizes, int *digests)
{
	*names = t->t.type == &layer_records   ? LAYER_BIG_DATA_NAMES
		 : t->t.type == &image_records ? IMAGE_BIG_DATA_NAMES
					       : CONTAINER_BIG_DATA_NAMES;
	*sizes = t->t.type == &layer_records   ? -1
		 : t->t.type == &image_records ? IMAGE_BIG_DATA_SIZES
					       : CONTAINER_BIG_DATA_SIZES;
	*digests = t->t.type == &layer_records   ? -1
		   : t->t.type == &image_records ? IMAGE_BIG_DATA_DIGESTS
						 : CONTAINER_BIG_DATA_DIGESTS;
}

static int name_in_record(
	struct store_table *t, size_t index, const struct bigdata *item, struct imbrex_error *err)
{
	AUTO_STRV list = { 0 };
	char size[32];
	char digest[HASH_TEXT_MAX + 2];
	struct hash_value value;
	int names;
	int sizes;
	int digests;
	int r;

	fields_of(t, &names, &sizes, &digests);
	if (!record_list_has(table_at(&t->t, index), names, item->key)) {
		if (record_list(table_at(&t->t, index), names, &list) < 0 ||
			strv_add(&list, item->key) < 0)
			return fail_nomem(err);
		r = record_set_list(&t->t, index, names, &list, err);
		if (r < 0)
			return r;
	}
	if (sizes < 0)
		return 0;
	(void)snprintf(size, sizeof(size), "%zu", item->len);
	r = record_set_member(&t->t, index, sizes, item->key, size, err);
	if (r < 0)
		return r;
	if (hash_bytes(HASH_SHA256, item->data, item->len, &value) < 0)
		return fail(err, IMBREX_EFAIL, "SHA-256 is not available");
	digest[0] = '"';
	(void)hash_format(&value, digest + 1);
	memcpy(digest + strlen(digest), "\"", 2);
	return record_set_member(&t->t, index, digests, item->key, digest, err);
}

int bigdata_put(struct imbrex_store *s, struct store_table *t, size_t index,
	const struct bigdata *items, size_t n, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(table_at(&t->t, index), RECORD_ID);
	AUTO_CLOSE int dirfd = -EBADF;
	size_t i;
	int r;

	(void)s;
	if (!id)
		return fail_nomem(err);
	r = mkdir_at(t->dirfd, id, 0700, err);
	if (r < 0)
		return r;
	dirfd = open_dir_at(t->dirfd, id, err);
	if (dirfd < 0)
		return dirfd;
	for (i = 0; i < n; i++) {
		AUTO_FREE char *file = NULL;

		r = bigdata_file_name(items[i].key, &file, err);
		if (r < 0)
			return r;
		r = atomic_write_at(dirfd, file, 0600, items[i].data, items[i].len,
			i + 1 < n ? ATOMIC_SYNC_FILE : ATOMIC_SYNC, NULL, err);
		if (r < 0)
			return wrap(err, r, "%s %s", t->t.type->noun, id);
		r = name_in_record(t, index, &items[i], err);
		if (r < 0)
			return r;
	}
	if (sync_dir(t->dirfd) < 0)
		return fail_errno(err, "sync '%s'", t->dir);
	return 0;
}

int bigdata_get(struct imbrex_store *s, struct store_table *t, size_t index, const char *key,
	size_t max_bytes, struct str *ret, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(table_at(&t->t, index), RECORD_ID);
	AUTO_FREE char *file = NULL;
	AUTO_CLOSE int dirfd = -EBADF;
	int names;
	int sizes;
	int digests;
	int r;

	(void)s;
	fields_of(t, &names, &sizes, &digests);
	if (!id)
		return fail_nomem(err);
	if (!record_list_has(table_at(&t->t, index), names, key))
		return fail(
			err, IMBREX_ENOENT, "%s %s has no document '%s'", t->t.type->noun, id, key);
	if (!id_is_valid(id))
		return fail(err, IMBREX_EFORMAT, "%s id '%s' is no id", t->t.type->noun, id);
	r = bigdata_file_name(key, &file, err);
	if (r < 0)
		return r;
	dirfd = open_dir_at(t->dirfd, id, err);
	if (dirfd < 0)
		return wrap(err, dirfd, "%s %s", t->t.type->noun, id);
	r = read_file_at(dirfd, file, max_bytes, ret, err);
	return r < 0 ? wrap(err, r, "%s %s: document '%s'", t->t.type->noun, id, key) : 0;
}
