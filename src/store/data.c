/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents beside a record ("big data"), as callers read and set them. Bytes move while no
 * lock is held: a document is opened under the lock and read after it, and is written into a
 * temporary file before it.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "os/atomic.h"
#include "os/fd.h"
#include "store/bigdata.h"
#include "store/layer.h"
#include "store/object.h"

static int check_key(const char *key, struct imbrex_error *err)
{
	if (*key)
		return 0;
	return fail_reason(
		err, IMBREX_EINVAL, IMBREX_REASON_BAD_DATA_NAME, "a big data item needs a name");
}

PUBLIC int imbrex_data_list(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	char ***ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV keys = { 0 };
	struct object o;
	char **taken;
	int r;

	r = store_hold(s, object_hold_bits(kind, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kind, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r < 0)
		return r;
	if (bigdata_list(&o.at, &keys) < 0)
		return fail_nomem(err);
	taken = strings_take(&keys);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}

/* The open file of an item. */
static int open_item(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	int r;

	r = check_key(key, err);
	if (r == 0)
		r = store_hold(s, object_hold_bits(kind, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kind, OBJECT_CONTAINERS_FIRST, &o, err);
	return r < 0 ? r : bigdata_open(&o.at, key, err);
}

PUBLIC int imbrex_data_get(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, char **ret, size_t *ret_len, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_DATA_ITEM_BYTES);
	AUTO_CLOSE int fd = open_item(s, kind, name, key, err);
	char *taken;
	size_t len;
	int r;

	if (fd < 0)
		return fd;
	r = read_to_end(fd, &text);
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT, "document '%s' is larger than %u bytes", key,
			LIMIT_DATA_ITEM_BYTES);
	if (r < 0)
		return fail_code(err, r, "read document '%s'", key);
	len = text.len;
	taken = str_take(&text);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	*ret_len = len;
	return 0;
}

/* What the record says of an item; IMBREX_ENOENT with `reason` if it says nothing and knows no
 * such item, and 1 if the file must be asked. */
static int recorded(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, int reason, struct bigdata_facts *ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	int r;

	r = check_key(key, err);
	if (r == 0)
		r = store_hold(s, object_hold_bits(kind, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kind, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r < 0)
		return r;
	if (!bigdata_facts(&o.at, key, ret))
		return fail_reason(err, IMBREX_ENOENT, reason, "%s '%s' has no document '%s'",
			object_type(kind)->noun, name, key);
	return 0;
}

PUBLIC int imbrex_data_size(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, int64_t *ret, struct imbrex_error *err)
{
	struct bigdata_facts facts;
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	r = recorded(s, kind, name, key, IMBREX_REASON_SIZE_UNKNOWN, &facts, err);
	if (r < 0)
		return r;
	if (facts.size < 0) {
		fd = open_item(s, kind, name, key, err);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return fail_errno(err, "look at document '%s'", key);
		facts.size = st.st_size;
	}
	*ret = facts.size;
	return 0;
}

PUBLIC int imbrex_data_digest(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, char **ret, struct imbrex_error *err)
{
	struct bigdata_facts facts;
	AUTO_FREE char *data = NULL;
	char *text;
	size_t len;
	int r;

	r = recorded(s, kind, name, key, IMBREX_REASON_DIGEST_UNKNOWN, &facts, err);
	if (r < 0)
		return r;
	if (!hash_is_set(&facts.digest)) {
		r = imbrex_data_get(s, kind, name, key, &data, &len, err);
		if (r < 0)
			return r;
		if (hash_bytes(HASH_SHA256, data, len, &facts.digest) < 0)
			return fail(err, IMBREX_EFAIL, "SHA-256 is not available");
	}
	text = strdup(hash_format(&facts.digest, (char[HASH_TEXT_MAX]){ 0 }));
	if (!text)
		return fail_nomem(err);
	*ret = text;
	return 0;
}

/* ---- setting ----------------------------------------------------------------------------- */

/* A document on its way into the directory of its object. */
struct arrival {
	char *id;  /* owned; of the object */
	int dirfd; /* owned; of the object's documents */
	struct atomic_file file;
};

static void arrival_done(struct arrival *a)
{
	atomic_file_abort(&a->file);
	a->dirfd = close_fd(a->dirfd);
	free(take_ptr(a->id));
}
#define AUTO_ARRIVAL __attribute__((cleanup(arrival_done))) struct arrival

/* The directory, made under the shared lock: removal, which takes it away, is exclusive. */
static int arrive(struct imbrex_store *s, enum imbrex_kind kind, const char *name, const char *key,
	struct arrival *a, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *file = NULL;
	struct found f;
	int r;

	r = bigdata_file_name(key, &file, err);
	if (r == 0)
		r = store_hold(s, object_hold_bits(kind, false), &hold, err);
	if (r == 0)
		r = object_find_own(s, name, kind, &f, err);
	if (r < 0)
		return r;
	a->id = record_text(found_record(&f), RECORD_ID);
	if (!a->id)
		return fail_nomem(err);
	r = bigdata_open_dir(&f, &a->dirfd, err);
	return r < 0 ? r : atomic_file_open(&a->file, a->dirfd, file, err);
}

static bool is_same_dir(int fd, int dirfd, const char *name)
{
	struct stat one;
	struct stat other;

	return fstat(fd, &one) == 0 && fstatat(dirfd, name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/*
 * File and record cannot change at once. What the record says of a document that is to be replaced
 * is taken back first: then it is unknown for a moment, and asked of the file, but never wrong.
 */
static int take_back(struct imbrex_store *s, const struct found *f, const char *key,
	const struct hash_value *digest, struct imbrex_error *err)
{
	struct bigdata_facts old;
	int r;

	if (!bigdata_facts(f, key, &old) || (old.size < 0 && !hash_is_set(&old.digest)) ||
		hash_equal(&old.digest, digest))
		return 0;
	r = bigdata_forget(f, key, err);
	if (r < 0)
		return r;
	object_changed(f);
	return store_save(s, f->t, err);
}

static int publish(struct imbrex_store *s, enum imbrex_kind kind, struct arrival *a,
	const struct bigdata *item, const struct hash_value *digest, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	r = store_hold(s, object_hold_bits(kind, true), &hold, err);
	if (r == 0)
		r = object_find_own(s, a->id, kind, &f, err);
	if (r < 0)
		return r;
	if (!is_same_dir(a->dirfd, f.t->dirfd, a->id))
		return fail(err, IMBREX_EBUSY, "%s %s was replaced meanwhile",
			object_type(kind)->noun, a->id);
	r = take_back(s, &f, item->key, digest, err);
	if (r < 0)
		return r;
	/* The bytes are on disk; the names may share the sync of the table's, see store_save(). */
	r = atomic_file_commit(
		&a->file, 0600, s->ordered ? ATOMIC_VOLATILE : ATOMIC_SYNC, NULL, err);
	if (r == 0 && !s->ordered && sync_dir(f.t->dirfd) < 0)
		r = fail_errno(err, "sync '%s'", f.t->dir);
	if (r == 0)
		r = bigdata_record(&f, item->key, item->len, digest, err);
	if (r < 0)
		return r;
	object_changed(&f);
	return store_save(s, f.t, err);
}

PUBLIC int imbrex_data_set(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, const void *data, size_t len, struct imbrex_error *err)
{
	const struct bigdata item = { .key = key, .data = data, .len = len };
	AUTO_ARRIVAL a = { .dirfd = -EBADF, .file = ATOMIC_FILE_INIT };
	struct hash_value digest;
	int r;

	r = check_key(key, err);
	if (r < 0)
		return r;
	if (s->read_only)
		return store_fail_read_only(s, err);
	if (len > LIMIT_DATA_ITEM_BYTES)
		return fail(err, IMBREX_ELIMIT, "document '%s' is larger than %u bytes", key,
			LIMIT_DATA_ITEM_BYTES);
	if (hash_bytes(HASH_SHA256, data, len, &digest) < 0)
		return fail(err, IMBREX_EFAIL, "SHA-256 is not available");
	r = arrive(s, kind, name, key, &a, err);
	if (r == 0)
		r = atomic_file_write(&a.file, data, len, err);
	if (r == 0 && fdatasync(a.file.fd) < 0)
		r = fail_errno(err, "sync document '%s'", key);
	if (r == 0)
		r = publish(s, kind, &a, &item, &digest, err);
	return r < 0 ? wrap(err, r, "document '%s'", key) : 0;
}
