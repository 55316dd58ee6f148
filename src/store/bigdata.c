/* SPDX-License-Identifier: Apache-2.0 */
/* Documents beside a record; see the header. */
#include "store/bigdata.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/strv.h"
#include "json/scan.h"
#include "oci/digest.h"
#include "os/atomic.h"
#include "os/fd.h"
#include "store/object.h"

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

/* Fields of the kinds of records; layers have neither sizes nor digests. */
static void fields_of(const struct record_type *type, int *names, int *sizes, int *digests)
{
	*names = type == &layer_records   ? (int)LAYER_BIG_DATA_NAMES
		 : type == &image_records ? (int)IMAGE_BIG_DATA_NAMES
					  : (int)CONTAINER_BIG_DATA_NAMES;
	*sizes = type == &layer_records   ? -1
		 : type == &image_records ? (int)IMAGE_BIG_DATA_SIZES
					  : (int)CONTAINER_BIG_DATA_SIZES;
	*digests = type == &layer_records   ? -1
		   : type == &image_records ? (int)IMAGE_BIG_DATA_DIGESTS
					    : (int)CONTAINER_BIG_DATA_DIGESTS;
}

bool bigdata_key_is_manifest(const char *key, size_t len)
{
	static const char prefix[] = "manifest";

	return len >= sizeof(prefix) - 1 && memcmp(key, prefix, sizeof(prefix) - 1) == 0;
}

int bigdata_list(const struct found *f, struct strv *ret)
{
	int names;
	int sizes;
	int digests;

	fields_of(f->t->t.type, &names, &sizes, &digests);
	return record_list(found_record(f), names, ret);
}

bool bigdata_facts(const struct found *f, const char *key, struct bigdata_facts *ret)
{
	const struct record *rec = found_record(f);
	struct json_span text;
	struct json_scan s;
	int names;
	int sizes;
	int digests;

	fields_of(f->t->t.type, &names, &sizes, &digests);
	*ret = (struct bigdata_facts){ .size = -1 };
	if (!record_list_has(rec, names, key))
		return false;
	if (sizes < 0)
		return true;
	text = record_member(rec, sizes, key);
	json_scan_init(&s, text.at, text.len);
	if (text.len && json_scan_int64(&s, &ret->size, NULL) < 0)
		ret->size = -1;
	text = record_member(rec, digests, key);
	if (text.len > 2 && digest_parse(text.at + 1, text.len - 2, &ret->digest, NULL) < 0)
		ret->digest = (struct hash_value){ 0 };
	return true;
}

/* ---- setting --------------------------------------------------------------------------- */

static int name_key(const struct found *f, int field, const char *key, struct imbrex_error *err)
{
	AUTO_STRV list = { 0 };

	if (record_list_has(found_record(f), field, key))
		return 0;
	if (record_list(found_record(f), field, &list) < 0 || strv_add(&list, key) < 0)
		return fail_nomem(err);
	return record_set_list(&f->t->t, f->index, field, &list, err);
}

int bigdata_record(const struct found *f, const char *key, size_t len,
	const struct hash_value *digest, struct imbrex_error *err)
{
	char text[HASH_TEXT_MAX];
	char quoted[HASH_TEXT_MAX + 2];
	char size[32];
	int names;
	int sizes;
	int digests;
	int r;

	fields_of(f->t->t.type, &names, &sizes, &digests);
	r = name_key(f, names, key, err);
	if (r < 0 || sizes < 0)
		return r;
	(void)snprintf(size, sizeof(size), "%zu", len);
	r = record_set_member(&f->t->t, f->index, sizes, key, size, err);
	if (r < 0)
		return r;
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", hash_format(digest, text));
	r = record_set_member(&f->t->t, f->index, digests, key, quoted, err);
	/* The first manifest names an image that nothing else names. */
	if (r == 0 && f->t->t.type == &image_records && bigdata_key_is_manifest(key, strlen(key)) &&
		!record_raw(found_record(f), IMAGE_DIGEST).len)
		r = record_set_text(&f->t->t, f->index, IMAGE_DIGEST, text, err);
	return r;
}

int bigdata_forget(const struct found *f, const char *key, struct imbrex_error *err)
{
	int names;
	int sizes;
	int digests;
	int r;

	fields_of(f->t->t.type, &names, &sizes, &digests);
	if (sizes < 0)
		return 0;
	r = record_set_member(&f->t->t, f->index, sizes, key, NULL, err);
	return r < 0 ? r : record_set_member(&f->t->t, f->index, digests, key, NULL, err);
}

int bigdata_open_dir(const struct found *f, int *ret_fd, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(found_record(f), RECORD_ID);
	int r;

	if (!id)
		return fail_nomem(err);
	r = object_check_id(f->t->t.type, id, err);
	if (r == 0)
		r = mkdir_at(f->t->dirfd, id, 0700, err);
	if (r == 0)
		r = open_dir_at(f->t->dirfd, id, err);
	if (r < 0)
		return wrap(err, r, "%s", f->t->dir);
	*ret_fd = r;
	return 0;
}

int bigdata_put(struct imbrex_store *s, struct store_table *t, size_t index,
	const struct bigdata *items, size_t n, struct imbrex_error *err)
{
	const struct found f = { .t = t, .index = index };
	AUTO_CLOSE int dirfd = -EBADF;
	struct hash_value digest;
	size_t i;
	int r;

	(void)s;
	r = bigdata_open_dir(&f, &dirfd, err);
	for (i = 0; r == 0 && i < n; i++) {
		AUTO_FREE char *file = NULL;

		r = bigdata_file_name(items[i].key, &file, err);
		if (r < 0)
			return r;
		r = atomic_write_at(dirfd, file, 0600, items[i].data, items[i].len,
			i + 1 < n ? ATOMIC_SYNC_FILE : ATOMIC_SYNC, NULL, err);
		if (r < 0)
			return wrap(err, r, "documents of the %s", t->t.type->noun);
		if (hash_bytes(HASH_SHA256, items[i].data, items[i].len, &digest) < 0)
			return fail(err, IMBREX_EFAIL, "SHA-256 is not available");
		r = bigdata_record(&f, items[i].key, items[i].len, &digest, err);
	}
	if (r == 0 && sync_dir(t->dirfd) < 0)
		r = fail_errno(err, "sync '%s'", t->dir);
	return r;
}

/* ---- reading --------------------------------------------------------------------------- */

int bigdata_open(const struct found *f, const char *key, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(found_record(f), RECORD_ID);
	const char *noun = f->t->t.type->noun;
	struct bigdata_facts facts;
	AUTO_FREE char *file = NULL;
	AUTO_CLOSE int dirfd = -EBADF;
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	if (!id)
		return fail_nomem(err);
	if (!bigdata_facts(f, key, &facts))
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_DATA_UNKNOWN,
			"%s %s has no document '%s'", noun, id, key);
	if (!object_id_is_safe(id))
		return fail(err, IMBREX_EFORMAT, "%s id '%s' is no id", noun, id);
	r = bigdata_file_name(key, &file, err);
	if (r < 0)
		return r;
	dirfd = open_dir_at(f->t->dirfd, id, err);
	if (dirfd < 0)
		return wrap(err, dirfd, "%s %s", noun, id);
	fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(err, "%s %s: document '%s': open '%s'", noun, id, key, file);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "%s %s: document '%s' is no regular file", noun,
			id, key);
	return take_fd(fd);
}

int bigdata_get(struct imbrex_store *s, struct store_table *t, size_t index, const char *key,
	size_t max_bytes, struct str *ret, struct imbrex_error *err)
{
	const struct found f = { .t = t, .index = index };
	AUTO_STR text = STR_INIT(max_bytes);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	(void)s;
	fd = bigdata_open(&f, key, err);
	if (fd < 0)
		return fd;
	r = read_to_end(fd, &text);
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT,
			"document '%s' is larger than the limit of %zu bytes", key, max_bytes);
	if (r < 0)
		return fail_code(err, r, "read document '%s'", key);
	if (str_append(ret, str_text(&text), text.len) < 0)
		return fail_nomem(err);
	return 0;
}
