/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a store, holding its locks, loading and saving its tables; see the header for the
 * invariants and the order of locks.
 *
 *   closed ──store_open──▶ open ──store_hold──▶ held ──store_save──▶ held ──store_release──▶ open
 *
 * In `held`, the tables whose bits were asked for are current. In `open`, they are what was last
 * seen, good for nothing but the comparison of stamps at the next hold.
 */
#include "store/store.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "json/write.h"
#include "oci/reference.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/rootless.h"

void store_now(char ret[STORE_TIME_MAX])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	now_realtime(&ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	n = strftime(ret, STORE_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (ts.tv_nsec) {
		(void)snprintf(ret + n, STORE_TIME_MAX - n, ".%09ld", ts.tv_nsec);
		n = strlen(ret);
		while (ret[n - 1] == '0')
			n--;
	}
	(void)snprintf(ret + n, STORE_TIME_MAX - n, "Z");
}

/* ---- tables ---------------------------------------------------------------------------- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void file_time(const struct store_table *t, const char *file, struct timespec *ret)
{
	struct stat st;

	*ret = (struct timespec){ 0 };
	if (file && t->dirfd >= 0 && fstatat(t->dirfd, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
		*ret = st.st_mtim;
}

static int load_file(struct store_table *t, bool is_volatile, struct imbrex_error *err)
{
	const char *file = is_volatile ? t->volatile_file : t->file;
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	size_t len;
	char *taken;
	int r;

	if (!file || t->dirfd < 0)
		return 0;
	/* Before the text, so that a change in between is noticed at the next hold. */
	file_time(t, file, &t->mtime[is_volatile]);
	r = read_file_at(t->dirfd, file, LIMIT_RECORDS_BYTES, &text, err);
	if (r == IMBREX_ENOENT)
		return 0;
	if (r < 0)
		return wrap(err, r, "%s", t->dir);
	len = text.len;
	taken = str_take(&text);
	if (!taken)
		return fail_nomem(err);
	r = table_parse(&t->t, taken, len, is_volatile, err);
	if (r < 0) {
		r = wrap(err, r, "%s/%s", t->dir, file);
		return hint(err, r,
			"the file is damaged; nothing was changed. A copy with the "
			"damage removed by hand can take its place");
	}
	return 0;
}

static int reload(struct store_table *t, struct imbrex_error *err)
{
	int r;

	table_done(&t->t);
	strv_done(&t->dropped);
	t->loaded = false;
	t->dirty[0] = false;
	t->dirty[1] = false;
	memset(t->mtime, 0, sizeof(t->mtime));
	r = load_file(t, false, err);
	if (r < 0)
		return r;
	r = load_file(t, true, err);
	if (r < 0)
		return r;
	t->loaded = true;
	return 0;
}

static int refresh(struct store_table *t, struct imbrex_error *err)
{
	struct lock_token token = { .len = 0 };
	struct timespec mtime[2];
	int r;

	if (file_lock_is_held(&t->lock)) {
		r = lock_token_read(&t->lock, &token, err);
		if (r < 0)
			return r;
	}
	file_time(t, t->file, &mtime[0]);
	file_time(t, t->volatile_file, &mtime[1]);
	if (t->loaded && !t->dirty[0] && !t->dirty[1] && lock_token_equal(&token, &t->token) &&
		same_time(&mtime[0], &t->mtime[0]) && same_time(&mtime[1], &t->mtime[1]))
		return 0;
	r = reload(t, err);
	if (r < 0)
		return r;
	t->token = token;
	return 0;
}

/* Up to three tables of two files each are saved at once. */
#define SAVES_MAX 6

struct save {
	struct store_table *t;
	bool is_volatile;
	struct atomic_file file;
	struct stat st;
};

struct saves {
	struct save items[SAVES_MAX];
	size_t n;
};

static void saves_abort(struct saves *saves)
{
	size_t i;

	for (i = 0; i < saves->n; i++)
		atomic_file_abort(&saves->items[i].file);
}
#define AUTO_SAVES __attribute__((cleanup(saves_abort))) struct saves

/* The new text into its temporary file, on its way to the disk, but waited for later. */
static int save_begin(
	struct saves *saves, struct store_table *t, bool is_volatile, struct imbrex_error *err)
{
	const char *file = is_volatile ? t->volatile_file : t->file;
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	struct save *save;
	char *room;
	int r;

	if (!t->dirty[is_volatile])
		return 0;
	if (str_reserve(&text, table_text_len(&t->t), &room) < 0 ||
		table_format(&t->t, is_volatile, &text) < 0)
		return fail(err, IMBREX_ELIMIT, "%s/%s would pass the limit of %u bytes", t->dir,
			file, LIMIT_RECORDS_BYTES);
	assert(saves->n < SAVES_MAX);
	save = &saves->items[saves->n++];
	*save = (struct save){ .t = t, .is_volatile = is_volatile, .file = ATOMIC_FILE_INIT };
	r = atomic_file_open(&save->file, t->dirfd, file, err);
	if (r == 0)
		r = atomic_file_write(&save->file, text.data, text.len, err);
	if (r < 0)
		return wrap(err, r, "%s", t->dir);
	/* A hint only: fdatasync below is what counts, and it finds less to do. */
	if (!is_volatile)
		(void)sync_file_range(save->file.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return 0;
}

static int sync_contents(struct saves *saves, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; i < saves->n; i++) {
		struct save *save = &saves->items[i];

		if (!save->is_volatile && fdatasync(save->file.fd) < 0)
			return fail_errno(err, "sync '%s/%s'", save->t->dir, save->t->file);
	}
	return 0;
}

/* Names in the order given. Where the file system keeps the order of renames by itself (a journal
 * of all metadata), the last directory's sync carries the ones before. */
static int save_names(struct imbrex_store *s, struct saves *saves, struct imbrex_error *err)
{
	struct store_table *last = NULL;
	size_t i;
	int r;

	for (i = 0; i < saves->n; i++) {
		struct save *save = &saves->items[i];
		struct store_table *t = save->t;

		r = atomic_file_commit(&save->file, 0600, ATOMIC_VOLATILE, &save->st, err);
		if (r < 0)
			return wrap(err, r, "%s", t->dir);
		t->mtime[save->is_volatile] = save->st.st_mtim;
		t->dirty[save->is_volatile] = false;
		if (save->is_volatile)
			continue;
		last = t;
		if (!s->ordered && sync_dir(t->dirfd) < 0)
			return fail_errno(err, "sync '%s'", t->dir);
	}
	if (last && s->ordered && sync_dir(last->dirfd) < 0)
		return fail_errno(err, "sync '%s'", last->dir);
	return 0;
}

int store_drop(struct store_table *t, const char *id, struct imbrex_error *err)
{
	return strv_add(&t->dropped, id) < 0 ? fail_nomem(err) : 0;
}

/* Nobody names these any more. What cannot be moved away now is garbage, which gc finds. */
static void trash_dropped(struct imbrex_store *s, struct store_table *t)
{
	size_t i;

	for (i = 0; i < t->dropped.n; i++) {
		const char *id = t->dropped.items[i];

		if (t == &s->layers)
			(void)!store_trash_layer(s, id, NULL);
		else
			(void)!store_trash_dir(s, t, id, NULL);
	}
	strv_done(&t->dropped);
}

int store_save_all(struct imbrex_store *s, struct store_table *const *tables, size_t n,
	struct imbrex_error *err)
{
	AUTO_SAVES saves = { .n = 0 };
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		struct store_table *t = tables[i];

		if (!t->dirty[0] && !t->dirty[1])
			continue;
		r = lock_token_write(&t->lock, &t->token, err);
		if (r == 0)
			r = save_begin(&saves, t, false, err);
		if (r == 0)
			r = save_begin(&saves, t, true, err);
		if (r < 0)
			return r;
	}
	r = sync_contents(&saves, err);
	if (r == 0)
		r = save_names(s, &saves, err);
	for (i = 0; r == 0 && i < n; i++)
		trash_dropped(s, tables[i]);
	return r;
}

int store_save(struct imbrex_store *s, struct store_table *t, struct imbrex_error *err)
{
	return store_save_all(s, &t, 1, err);
}

int store_sync_layers(struct imbrex_store *s, struct imbrex_error *err)
{
	int r;

	if (s->ordered)
		return 0;
	r = s->driver->ops->sync_homes(s->driver, err);
	if (r == 0 && sync_dir(s->layers.dirfd) < 0)
		r = fail_errno(err, "sync '%s'", s->layers.dir);
	return r;
}

static int table_open(struct imbrex_store *s, struct store_table *t, const char *kind,
	const char *lock_name, enum lock_rank rank, struct imbrex_error *err)
{
	AUTO_FREE char *lock_path = NULL;
	int r;

	t->dir = format_text("%s-%s", s->driver->ops->name, kind);
	if (!t->dir)
		return fail_nomem(err);
	if (!s->read_only) {
		r = mkdirs_at(s->graphfd, t->dir, 0700, err);
		if (r < 0)
			return r;
	}
	t->dirfd = openat(s->graphfd, t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (t->dirfd < 0) {
		if (errno == ENOENT && s->read_only)
			return 0;
		return fail_errno(err, "open '%s/%s'", s->config.graphroot, t->dir);
	}
	lock_path = format_text("%s/%s", t->dir, lock_name);
	if (!lock_path)
		return fail_nomem(err);
	r = file_lock_open(&t->lock, s->graphfd, lock_path, rank, s->read_only, err);
	if (r < 0 && s->read_only && (r == IMBREX_ENOENT || (err && err->errnum == EROFS)))
		return 0; /* a dead store without lock files has no writers either */
	return r;
}

static void table_close(struct store_table *t)
{
	file_lock_done(&t->lock);
	table_done(&t->t);
	strv_done(&t->dropped);
	t->dirfd = close_fd(t->dirfd);
	free(t->dir);
}

/* ---- mountpoints.json ------------------------------------------------------------------ */

static void forget_mounts(struct imbrex_store *s)
{
	size_t i;

	for (i = 0; i < s->n_mounts; i++) {
		free(s->mounts[i].id);
		free(s->mounts[i].path);
	}
	free(s->mounts);
	s->mounts = NULL;
	s->n_mounts = 0;
}

static int add_mount(struct imbrex_store *s, char *id, char *path, int count)
{
	AUTO_FREE char *owned_id = id;
	AUTO_FREE char *owned_path = path;
	struct mount_record *mounts;

	if (!id || !path)
		return -ENOMEM;
	mounts = reallocarray(s->mounts, s->n_mounts + 1, sizeof(*mounts));
	if (!mounts)
		return -ENOMEM;
	s->mounts = mounts;
	s->mounts[s->n_mounts++] = (struct mount_record){
		.id = take_ptr(owned_id), .path = take_ptr(owned_path), .count = count
	};
	return 0;
}

static int parse_mount(struct imbrex_store *s, struct json_scan *scan, struct imbrex_error *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *path = NULL;
	int64_t count = 0;
	struct json_span key;
	char **text;
	int r;

	r = json_scan_object_begin(scan, err);
	while (r >= 0 && (r = json_scan_object_next(scan, &key, err)) > 0) {
		text = json_key_is_folded(key, "id")     ? &id
		       : json_key_is_folded(key, "path") ? &path
							 : NULL;
		if (text) {
			free(take_ptr(*text));
			r = json_scan_text(scan, text, err);
		} else if (json_key_is_folded(key, "count")) {
			r = json_scan_int64(scan, &count, err);
		}
	}
	if (r < 0)
		return r;
	if (!id || !path || !*path || count <= 0 || count > INT32_MAX)
		return 0;
	if (add_mount(s, take_ptr(id), take_ptr(path), (int)count) < 0)
		return fail_nomem(err);
	return 0;
}

int store_mounts_load(struct imbrex_store *s, struct imbrex_error *err)
{
	AUTO_FREE char *file = format_text("%s/mountpoints.json", s->run_layers_dir);
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	struct json_scan scan;
	int r;

	if (!file)
		return fail_nomem(err);
	forget_mounts(s);
	if (s->runfd < 0)
		return 0;
	r = read_file_at(s->runfd, file, LIMIT_RECORDS_BYTES, &text, err);
	if (r == IMBREX_ENOENT || (r == 0 && !text.len))
		return 0;
	if (r < 0)
		return r;
	json_scan_init(&scan, text.data, text.len);
	r = json_scan_null(&scan, err);
	if (r == 0)
		r = json_scan_array_begin(&scan, err);
	else if (r > 0)
		return 0;
	while (r >= 0 && (r = json_scan_array_next(&scan, err)) > 0)
		r = parse_mount(s, &scan, err);
	return r < 0 ? wrap(err, r, "%s", file) : 0;
}

struct mount_record *store_mount_find(struct imbrex_store *s, const char *id)
{
	size_t i;

	for (i = 0; i < s->n_mounts; i++) {
		if (str_eq(s->mounts[i].id, id))
			return &s->mounts[i];
	}
	return NULL;
}

static int format_mounts(const struct imbrex_store *s, struct str *text)
{
	size_t i;
	int r;

	r = str_putc(text, '[');
	for (i = 0; r == 0 && i < s->n_mounts; i++) {
		r = str_puts(text, i ? ",{\"id\":" : "{\"id\":");
		if (r == 0)
			r = json_write_text(text, s->mounts[i].id);
		if (r == 0)
			r = str_puts(text, ",\"path\":");
		if (r == 0)
			r = json_write_text(text, s->mounts[i].path);
		if (r == 0)
			r = str_printf(text, ",\"count\":%d}", s->mounts[i].count);
	}
	return r < 0 ? r : str_putc(text, ']');
}

static int save_mounts(struct imbrex_store *s, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	AUTO_CLOSE int dirfd = -EBADF;
	int r;

	if (format_mounts(s, &text) < 0)
		return fail_nomem(err);
	dirfd = open_dir_at(s->runfd, s->run_layers_dir, err);
	if (dirfd < 0)
		return dirfd;
	r = lock_token_write(&s->mounts_lock, NULL, err);
	if (r < 0)
		return r;
	/* What a reboot loses need not survive a power cut. */
	return atomic_write_at(
		dirfd, "mountpoints.json", 0600, text.data, text.len, ATOMIC_VOLATILE, NULL, err);
}

int store_mount_set(struct imbrex_store *s, const char *id, const char *path, int count,
	struct imbrex_error *err)
{
	/* Both may lie in what is loaded anew. */
	AUTO_FREE char *own_id = strdup(id);
	AUTO_FREE char *own_path = strdup(path);
	struct mount_record *m;
	int r;

	if (!own_id || !own_path)
		return fail_nomem(err);
	r = file_lock_acquire(&s->mounts_lock, LOCK_EXCLUSIVE, err);
	if (r < 0)
		return r;
	r = store_mounts_load(s, err);
	m = store_mount_find(s, own_id);
	if (r == 0 && m && count > 0) {
		free(m->path);
		m->path = take_ptr(own_path);
		m->count = count;
	} else if (r == 0 && m) {
		free(m->id);
		free(m->path);
		memmove(m, m + 1, (size_t)(s->mounts + s->n_mounts - (m + 1)) * sizeof(*m));
		s->n_mounts--;
	} else if (r == 0 && count > 0) {
		if (add_mount(s, take_ptr(own_id), take_ptr(own_path), count) < 0)
			r = fail_nomem(err);
	}
	if (r == 0)
		r = save_mounts(s, err);
	file_lock_release(&s->mounts_lock);
	return r;
}

/* ---- trash ----------------------------------------------------------------------------- */

static int driver_trash(struct imbrex_store *s, struct imbrex_error *err)
{
	char root[NAME_MAX];

	if (s->driver_trash)
		return 0;
	driver_temp_root(s->driver, root, sizeof(root));
	return tempdir_new(s->graphfd, root, &s->driver_trash, err);
}

static int layers_trash(struct imbrex_store *s, struct imbrex_error *err)
{
	AUTO_FREE char *root = format_text("%s/tmp", s->layers.dir);

	if (!root)
		return fail_nomem(err);
	return s->layers_trash ? 0 : tempdir_new(s->graphfd, root, &s->layers_trash, err);
}

int store_trash_layer(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *split = format_text("%s.tar-split.gz", id);
	int r;

	if (!split)
		return fail_nomem(err);
	r = driver_trash(s, err);
	if (r < 0)
		return r;
	r = s->driver->ops->remove(s->driver, id, s->driver_trash, err);
	if (r < 0)
		return r;
	r = layers_trash(s, err);
	if (r < 0)
		return r;
	r = tempdir_stage_deletion(s->layers_trash, s->layers.dirfd, split, err);
	if (r < 0 && r != IMBREX_ENOENT)
		return r;
	r = tempdir_stage_deletion(s->layers_trash, s->layers.dirfd, id, err);
	return r == IMBREX_ENOENT ? 0 : r;
}

int store_trash_dir(
	struct imbrex_store *s, struct store_table *t, const char *name, struct imbrex_error *err)
{
	int r;

	r = layers_trash(s, err);
	if (r < 0)
		return r;
	r = tempdir_stage_deletion(s->layers_trash, t->dirfd, name, err);
	return r == IMBREX_ENOENT ? 0 : r;
}

static void drop_trash(struct imbrex_store *s)
{
	char root[NAME_MAX];

	tempdir_free(take_ptr(s->layers_trash));
	if (!s->driver_trash)
		return;
	tempdir_free(take_ptr(s->driver_trash));
	/* Releases that do not know this directory take it for a layer: not there when not in use.
	 */
	driver_temp_root(s->driver, root, sizeof(root));
	(void)unlinkat(s->graphfd, root, AT_REMOVEDIR);
}

/* ---- holding --------------------------------------------------------------------------- */

/* Invariant (2): what a crashed writer left is removed before anything else is written. */
static int drop_incomplete(struct imbrex_store *s, struct imbrex_error *err)
{
	struct table *t = &s->layers.t;
	bool dropped = false;
	size_t i = 0;
	int r;

	while (i < t->n) {
		AUTO_FREE char *id = NULL;

		if (!record_flag(&t->records[i], LAYER_FLAGS, "incomplete")) {
			i++;
			continue;
		}
		id = record_text(&t->records[i], LAYER_ID);
		if (!id)
			return fail_nomem(err);
		r = id_is_valid(id) ? store_trash_layer(s, id, err) : 0;
		if (r < 0)
			return wrap(err, r, "remove incomplete layer %s", id);
		s->layers.dirty[t->records[i].is_volatile] = true;
		table_remove(t, i);
		dropped = true;
	}
	return dropped ? store_save(s, &s->layers, err) : 0;
}

static int hold_table(struct store_table *t, enum lock_mode mode, struct imbrex_error *err)
{
	int r;

	if (t->lock.path) {
		r = file_lock_acquire(&t->lock, mode, err);
		if (r < 0)
			return r;
	}
	return refresh(t, err);
}

int store_fail_read_only(const struct imbrex_store *s, struct imbrex_error *err)
{
	int r;

	if (!s->on_read_only_fs)
		return fail(err, IMBREX_EPERM, "the store at %s was opened read-only",
			s->config.graphroot);
	r = fail(err, IMBREX_EPERM, "the store at %s is on a read-only file system",
		s->config.graphroot);
	return hint(err, r, "mount it read-write, or name another store with --root");
}

static int hold_all(struct imbrex_store *s, unsigned int bits, struct imbrex_error *err)
{
	int r = 0;

	if (s->read_only && (bits & HOLD_WRITE_ALL))
		return store_fail_read_only(s, err);
	if ((bits & HOLD_GRAPH) && s->graph_lock.path)
		r = file_lock_acquire(&s->graph_lock, LOCK_EXCLUSIVE, err);
	if (r == 0 && (bits & (HOLD_LAYERS | HOLD_LAYERS_W)))
		r = hold_table(
			&s->layers, bits & HOLD_LAYERS_W ? LOCK_EXCLUSIVE : LOCK_SHARED, err);
	if (r == 0 && (bits & HOLD_LAYERS_W))
		r = drop_incomplete(s, err);
	if (r == 0 && (bits & (HOLD_IMAGES | HOLD_IMAGES_W)))
		r = hold_table(
			&s->images, bits & HOLD_IMAGES_W ? LOCK_EXCLUSIVE : LOCK_SHARED, err);
	if (r == 0 && (bits & (HOLD_CONTAINERS | HOLD_CONTAINERS_W)))
		r = hold_table(&s->containers,
			bits & HOLD_CONTAINERS_W ? LOCK_EXCLUSIVE : LOCK_SHARED, err);
	return r;
}

int store_hold(
	struct imbrex_store *s, unsigned int bits, struct store_hold *ret, struct imbrex_error *err)
{
	int r;

	*ret = (struct store_hold){ .s = s, .bits = bits };
	r = hold_all(s, bits, err);
	if (r < 0)
		store_release(ret);
	return r;
}

void store_release(struct store_hold *h)
{
	struct imbrex_store *s = h->s;

	if (!s)
		return;
	file_lock_release(&s->containers.lock);
	file_lock_release(&s->images.lock);
	file_lock_release(&s->layers.lock);
	file_lock_release(&s->graph_lock);
	h->s = NULL;
	drop_trash(s);
}

/* ---- finding --------------------------------------------------------------------------- */

int store_find(struct imbrex_store *s, struct store_table *t, const char *name, size_t *ret_index,
	struct imbrex_error *err)
{
	ptrdiff_t i;

	(void)s;
	i = table_find_id(&t->t, name, strlen(name));
	if (i < 0)
		i = table_find_name(&t->t, name);
	if (i < 0 && !strchr(name, ' '))
		i = table_find_prefix(&t->t, name);
	if (i == -2)
		return fail(err, IMBREX_EINVAL, "%s id '%s' is the beginning of several ids",
			t->t.type->noun, name);
	if (i < 0)
		return fail(
			err, IMBREX_ENOENT, "%s '%s' is not in the store", t->t.type->noun, name);
	*ret_index = (size_t)i;
	return 0;
}

/* The ways a person may have shortened a name, most literal first. */
static int completed_names(const char *name, struct strv *ret)
{
	AUTO_REFERENCE local = { 0 };
	AUTO_REFERENCE hub = { 0 };
	int r;

	r = strv_add(ret, name);
	if (r == 0 && reference_parse_local(name, &local, NULL) == 0 &&
		reference_default_tag(&local, NULL) == 0)
		r = strv_take(ret, reference_text(&local));
	if (r == 0 && reference_parse(name, &hub, NULL) == 0 &&
		reference_default_tag(&hub, NULL) == 0)
		r = strv_take(ret, reference_text(&hub));
	return r;
}

int store_find_image(
	struct imbrex_store *s, const char *name, size_t *ret_index, struct imbrex_error *err)
{
	struct table *t = &s->images.t;
	AUTO_STRV names = { 0 };
	AUTO_FREE char *suffix = NULL;
	ptrdiff_t i;
	size_t k;

	i = table_find_id(t, name, strlen(name));
	if (i >= 0) {
		*ret_index = (size_t)i;
		return 0;
	}
	if (completed_names(name, &names) < 0)
		return fail_nomem(err);
	for (k = 0; k < names.n; k++) {
		i = table_find_name(t, names.items[k]);
		if (i >= 0) {
			*ret_index = (size_t)i;
			return 0;
		}
	}
	/* "x" also means any registry's ".../x:latest", if there is one image of that name. */
	suffix =
		format_text("/%s%s", name, strchr(name, ':') || strchr(name, '@') ? "" : ":latest");
	if (!suffix)
		return fail_nomem(err);
	for (k = 0; k < t->n; k++) {
		AUTO_STRV own = { 0 };
		size_t j;

		if (record_list(&t->records[k], IMAGE_NAMES, &own) < 0)
			return fail_nomem(err);
		for (j = 0; j < own.n; j++) {
			if (!str_ends(own.items[j], suffix))
				continue;
			if (i >= 0 && (size_t)i != k)
				return fail(err, IMBREX_EINVAL,
					"image name '%s' fits several images", name);
			i = (ptrdiff_t)k;
		}
	}
	if (i >= 0) {
		*ret_index = (size_t)i;
		return 0;
	}
	return store_find(s, &s->images, name, ret_index, err);
}

/* ---- opening --------------------------------------------------------------------------- */

/* ext4 and xfs journal all metadata in one order; btrfs and others promise it per file only. */
static bool keeps_order(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 &&
	       (st.f_type == EXT4_SUPER_MAGIC || st.f_type == XFS_SUPER_MAGIC);
}

#define ROOT_HINT "use --root and --runroot, or run as the store's owner"

static bool is_on_read_only_fs(const char *path)
{
	struct statvfs st;

	return statvfs(path, &st) == 0 && st.f_flag & ST_RDONLY;
}

static int open_roots(struct imbrex_store *s, struct imbrex_error *err)
{
	int r;

	if (!s->read_only) {
		r = mkdirs_at(AT_FDCWD, s->config.runroot, 0700, err);
		if (r == 0)
			r = mkdirs_at(AT_FDCWD, s->config.graphroot, 0700, err);
		if (r == IMBREX_EPERM)
			return hint(err, r, ROOT_HINT);
		if (r < 0)
			return r;
	}
	s->graphfd = open_root_dir_at(AT_FDCWD, s->config.graphroot, err);
	if (s->graphfd == IMBREX_EPERM)
		return hint(err, s->graphfd, ROOT_HINT);
	if (s->graphfd < 0)
		return s->graphfd;
	s->ordered = keeps_order(s->graphfd);
	s->runfd = open(s->config.runroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->runfd < 0 && !(s->read_only && errno == ENOENT))
		return fail_errno(err, "open '%s'", s->config.runroot);
	return 0;
}

static int open_graph_locks(struct imbrex_store *s, struct imbrex_error *err)
{
	struct file_lock userns = FILE_LOCK_INIT;
	int r;

	r = file_lock_open(&s->graph_lock, s->graphfd, "storage.lock", LOCK_GRAPH, false, err);
	if (r < 0)
		return r;
	/* Peers expect it to exist. */
	r = file_lock_open(&userns, s->graphfd, "userns.lock", LOCK_USERNS, false, err);
	file_lock_done(&userns);
	return r;
}

static int open_driver(struct imbrex_store *s, struct imbrex_error *err)
{
	const struct driver_config config = {
		.graphroot = s->config.graphroot,
		.runroot = s->config.runroot,
		.options = &s->config.driver_options,
		.rootless = s->rootless,
		.single_id = s->single_id,
		.read_only = s->read_only,
		.ordered = s->ordered,
	};

	return driver_open(s->config.driver, &s->config.driver_priority, &config, &s->driver, err);
}

static int open_tables(struct imbrex_store *s, struct imbrex_error *err)
{
	AUTO_FREE char *mounts_lock = NULL;
	const char *name = s->driver->ops->name;
	int r;

	r = table_open(s, &s->layers, "layers", "layers.lock", LOCK_LAYERS, err);
	if (r == 0)
		r = table_open(s, &s->images, "images", "images.lock", LOCK_IMAGES, err);
	if (r == 0)
		r = table_open(
			s, &s->containers, "containers", "containers.lock", LOCK_CONTAINERS, err);
	if (r < 0)
		return r;
	s->run_layers_dir = format_text("%s-layers", name);
	mounts_lock = format_text("%s-layers/mountpoints.lock", name);
	if (!s->run_layers_dir || !mounts_lock)
		return fail_nomem(err);
	if (s->read_only)
		return 0;
	return file_lock_open(&s->mounts_lock, s->runfd, mounts_lock, LOCK_MOUNTPOINTS, false, err);
}

static int open_store(
	struct imbrex_store *s, const struct imbrex_store_opts *opts, struct imbrex_error *err)
{
	struct storage_config_request request = {
		.graphroot = opts->graphroot,
		.runroot = opts->runroot,
		.driver = opts->driver,
		.config_file = opts->config_file,
		.options = opts->storage_opts,
	};
	struct store_hold hold = HOLD_NONE;
	struct rootless_facts facts;
	int r;

	rootless_facts_read(&facts);
	s->rootless = facts.rootless;
	s->single_id = facts.rootless && facts.n_ids <= 1;
	request.rootless = facts.rootless;
	request.uid = facts.uid;
	r = storage_config_load(&request, &s->config, err);
	if (r < 0)
		return r;
	s->on_read_only_fs = !s->read_only && is_on_read_only_fs(s->config.graphroot);
	s->read_only = s->read_only || s->on_read_only_fs;
	r = open_roots(s, err);
	if (r < 0)
		return r;
	if (!s->read_only) {
		r = open_graph_locks(s, err);
		if (r < 0)
			return r;
		/* Drivers make their homes and probe the kernel: one process at a time. */
		r = store_hold(s, HOLD_GRAPH, &hold, err);
		if (r < 0)
			return r;
	}
	r = open_driver(s, err);
	if (r == 0)
		r = open_tables(s, err);
	if (hold.s)
		file_lock_release(&s->graph_lock);
	return r;
}

PUBLIC int imbrex_store_open(
	const struct imbrex_store_opts *opts, struct imbrex_store **ret, struct imbrex_error *err)
{
	static const struct imbrex_store_opts none = { 0 };
	struct imbrex_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return fail_nomem(err);
	s->graphfd = -EBADF;
	s->runfd = -EBADF;
	s->graph_lock.fd = -EBADF;
	s->mounts_lock.fd = -EBADF;
	s->layers = (struct store_table){ .file = "layers.json",
		.volatile_file = "volatile-layers.json",
		.dirfd = -EBADF,
		.lock = FILE_LOCK_INIT };
	s->images = (struct store_table){
		.file = "images.json", .dirfd = -EBADF, .lock = FILE_LOCK_INIT
	};
	s->containers = (struct store_table){ .file = "containers.json",
		.volatile_file = "volatile-containers.json",
		.dirfd = -EBADF,
		.lock = FILE_LOCK_INIT };
	table_init(&s->layers.t, &layer_records);
	table_init(&s->images.t, &image_records);
	table_init(&s->containers.t, &container_records);
	if (!opts)
		opts = &none;
	s->read_only = opts->read_only;
	r = open_store(s, opts, err);
	if (r < 0) {
		imbrex_store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

PUBLIC void imbrex_store_close(struct imbrex_store *s)
{
	if (!s)
		return;
	forget_mounts(s);
	table_close(&s->containers);
	table_close(&s->images);
	table_close(&s->layers);
	file_lock_done(&s->mounts_lock);
	file_lock_done(&s->graph_lock);
	driver_close(s->driver);
	free(s->run_layers_dir);
	s->runfd = close_fd(s->runfd);
	s->graphfd = close_fd(s->graphfd);
	storage_config_done(&s->config);
	free(s);
}

PUBLIC const char *imbrex_store_graphroot(const struct imbrex_store *s)
{
	return s->config.graphroot;
}

PUBLIC const char *imbrex_store_runroot(const struct imbrex_store *s)
{
	return s->config.runroot;
}

PUBLIC const char *imbrex_store_driver(const struct imbrex_store *s)
{
	return s->driver->ops->name;
}
