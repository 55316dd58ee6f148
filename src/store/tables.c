/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three tables between memory and disk: brought up to date when their change stamps or times
 * have moved, saved together, each file whole; see store.h for who may call when.
 */
#include "store/tables.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/atomic.h"
#include "os/fd.h"
#include "store/index_file.h"
#include "store/salvage.h"

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool stat_place(const struct table_place *p, struct stat *ret)
{
	return p->file && p->dirfd >= 0 &&
	       fstatat(p->dirfd, p->file, ret, AT_SYMLINK_NOFOLLOW) == 0;
}

static void file_time(const struct table_place *p, struct timespec *ret)
{
	struct stat st;

	*ret = stat_place(p, &st) ? st.st_mtim : (struct timespec){ 0 };
}

/* ---- the index ------------------------------------------------------------------------- */

/* What state the table is in: that of the files that were lent, or of the names just saved. False
 * if no index of it is kept. */
static bool stamp_table(struct store_table *t, bool lent, struct index_stamp *ret)
{
	struct stat st[N_PLACES] = { 0 };
	uint64_t bytes = 0;
	int place;

	static_assert(N_PLACES == INDEX_FILES, "one stamp a file");
	if (!t->index_name)
		return false;
	for (place = 0; place < N_PLACES; place++) {
		int fd = t->t.texts[place].fd;

		if (lent && fd >= 0 && fstat(fd, &st[place]) < 0)
			return false;
		if (!lent && !stat_place(&t->places[place], &st[place]))
			st[place] = (struct stat){ 0 };
		bytes += (uint64_t)st[place].st_size;
	}
	if (bytes < t->index_min_bytes || index_stamp_init(ret, &t->token) < 0)
		return false;
	for (place = 0; place < N_PLACES; place++)
		index_stamp_file(ret, place, &st[place]);
	return true;
}

static bool load_index(struct store_table *t, const struct index_stamp *stamp)
{
	AUTO_FREE char *path = format_text(INDEX_DIR "/%s", t->index_name);

	if (!path || index_file_load(t->index_dirfd, path, t->t.type->noun, stamp, &t->t.index,
			     &t->t.checksum) < 0)
		return false;
	t->t.proven = false;
	return true;
}

/* What an index does not tell: damage, which keeps writers off, and elements that are no records,
 * which are written back. */
static bool is_unusual(const struct store_table *t)
{
	int place;

	for (place = 0; place < N_PLACES; place++) {
		if (t->damage[place].why || t->t.aside[place].n)
			return true;
	}
	return false;
}

/* For the next command. Whatever goes wrong here, it parses. */
static void keep_index(struct store_table *t, const struct index_stamp *stamp)
{
	const struct index_counts *c = &t->t.index.c;

	if (t->index_read_only || !t->t.proven || t->t.odd.n || t->t.failure || is_unusual(t))
		return;
	/* Removed records leave holes. */
	if (c->n_removed > c->n_entries / 4 + 16)
		return;
	(void)!index_file_save(
		t->index_dirfd, t->index_name, t->t.type->noun, stamp, &t->t.index, t->t.saved_at);
}

static int name_index(
	struct store_table *t, const struct table_home *home, struct imbrex_error *err)
{
	struct stat st;

	if (home->run_fd < 0 || fstat(t->dirfd, &st) < 0)
		return 0;
	/* Several stores may share a run root: a directory is known by what it is. */
	t->index_name = format_text("%s-%llx-%llx", t->dir, (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	if (!t->index_name)
		return fail_nomem(err);
	t->index_dirfd = home->run_fd;
	t->index_read_only = home->run_read_only;
	return 0;
}

void store_table_distrust(struct store_table *t)
{
	t->loaded = false;
	t->parse_next = true;
}

/* ---- loading --------------------------------------------------------------------------- */

static int lend_file(struct store_table *t, enum record_place place, struct imbrex_error *err)
{
	struct table_place *p = &t->places[place];
	struct stat st;
	int fd;
	int r;

	if (!p->file || p->dirfd < 0)
		return 0;
	fd = open_file_at(p->dirfd, p->file, &st, err);
	if (fd == IMBREX_ENOENT)
		return 0;
	if (fd < 0)
		return wrap(err, fd, "%s", t->dir);
	/* Before the text, so that a change in between is noticed at the next hold. */
	p->mtime = st.st_mtim;
	r = table_lend(&t->t, fd, (size_t)st.st_size, place, err);
	return r < 0 ? wrap(err, r, "%s/%s", t->dir, p->file) : 0;
}

const struct table_damage *table_damage(const struct store_table *t, const char **ret_file)
{
	int place;

	for (place = 0; place < N_PLACES; place++) {
		if (!t->damage[place].why)
			continue;
		if (ret_file)
			*ret_file = t->places[place].file;
		return &t->damage[place];
	}
	return NULL;
}

int table_check_whole(const struct store_table *t, struct imbrex_error *err)
{
	const char *file = NULL;
	const struct table_damage *damage = table_damage(t, &file);
	int r;

	if (!damage)
		return 0;
	r = fail(err, IMBREX_EFORMAT, "%s/%s: %s", t->dir, file, damage->why);
	return hint(err, r,
		"the file is damaged; nothing was changed. 'check --repair' keeps a copy of it and "
		"saves the %zu record%s that can be read",
		damage->n_records, damage->n_records == 1 ? "" : "s");
}

static void forget_damage(struct store_table *t)
{
	int place;

	for (place = 0; place < N_PLACES; place++) {
		free(t->damage[place].why);
		t->damage[place] = (struct table_damage){ 0 };
	}
}

/* The file does not parse: take what is whole in it. One bad record takes nobody else down. */
static int load_damaged(struct store_table *t, enum record_place place,
	const struct imbrex_error *why, struct imbrex_error *err)
{
	struct table_place *p = &t->places[place];
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	struct salvage saved;
	ptrdiff_t i;
	int r;

	for (i = table_next(&t->t, -1); i >= 0; i = table_next(&t->t, i)) {
		if (table_at(&t->t, (size_t)i)->place == place)
			table_remove(&t->t, (size_t)i);
	}
	r = read_file_at(p->dirfd, p->file, LIMIT_RECORDS_BYTES, &text, err);
	if (r == 0)
		r = table_salvage(&t->t, str_text(&text), text.len, place, &saved, err);
	if (r < 0)
		return wrap(err, r, "%s", t->dir);
	if (!saved.n_lost)
		return 0;
	t->damage[place] = (struct table_damage){ .why = strdup(why->message),
		.n_records = saved.n_records,
		.n_partial = saved.n_partial };
	return t->damage[place].why ? 0 : fail_nomem(err);
}

static int parse_file(struct store_table *t, enum record_place place, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r;

	r = table_parse_lent(&t->t, place, &why);
	if (r == IMBREX_EFORMAT || r == IMBREX_ELIMIT)
		return load_damaged(t, place, &why, err);
	if (r < 0 && err)
		*err = why;
	return r < 0 ? wrap(err, r, "%s/%s", t->dir, t->places[place].file) : 0;
}

static int reload(struct store_table *t, struct imbrex_error *err)
{
	struct index_stamp stamp;
	bool stamped;
	int place;
	int r = 0;

	table_done(&t->t);
	strv_done(&t->dropped);
	forget_damage(t);
	t->loaded = false;
	for (place = 0; r == 0 && place < N_PLACES; place++) {
		t->dirty[place] = false;
		t->places[place].mtime = (struct timespec){ 0 };
		r = lend_file(t, (enum record_place)place, err);
	}
	stamped = r == 0 && stamp_table(t, /* lent= */ true, &stamp);
	if (!stamped || t->parse_next || !load_index(t, &stamp)) {
		for (place = 0; r == 0 && place < N_PLACES; place++)
			r = parse_file(t, (enum record_place)place, err);
		if (r == 0 && stamped)
			keep_index(t, &stamp);
	}
	t->loaded = r == 0;
	t->parse_next = false;
	return r;
}

int store_table_refresh(struct store_table *t, struct imbrex_error *err)
{
	struct lock_token token = { .len = 0 };
	bool changed = !t->loaded;
	struct timespec mtime;
	int place;
	int r;

	if (file_lock_is_held(&t->lock)) {
		r = lock_token_read(&t->lock, &token, err);
		if (r < 0)
			return r;
	}
	for (place = 0; place < N_PLACES; place++) {
		file_time(&t->places[place], &mtime);
		changed = changed || t->dirty[place] || !same_time(&mtime, &t->places[place].mtime);
	}
	r = 0;
	if (changed || !lock_token_equal(&token, &t->token)) {
		t->token = token;
		r = reload(t, err);
	}
	/* Whoever may change the table, or remove what nothing in it names, must be sure of it. */
	if (r == 0 && file_lock_is_held(&t->lock) && t->lock.mode == LOCK_EXCLUSIVE)
		r = table_prove(&t->t, err);
	return r;
}

/* Up to three tables are saved at once. */
#define SAVES_MAX (4 * N_PLACES)

struct save {
	struct store_table *t;
	enum record_place place;
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
static int save_begin(struct saves *saves, struct store_table *t, enum record_place place,
	struct imbrex_error *err)
{
	const struct table_place *p = &t->places[place];
	struct save *save;
	int r;

	if (!t->dirty[place])
		return 0;
	r = table_check(&t->t, err);
	if (r < 0)
		return wrap(err, r, "%s", t->dir);
	r = table_check_whole(t, err);
	if (r < 0)
		return r;
	assert(saves->n < SAVES_MAX);
	save = &saves->items[saves->n++];
	*save = (struct save){ .t = t, .place = place, .file = ATOMIC_FILE_INIT };
	r = atomic_file_open(&save->file, p->dirfd, p->file, err);
	if (r < 0)
		return wrap(err, r, "%s", t->dir);
	r = table_write(&t->t, place, save->file.fd, place != PLACE_VOLATILE);
	if (r == -EOVERFLOW)
		return fail(err, IMBREX_ELIMIT, "%s/%s would pass the limit of %u bytes", t->dir,
			p->file, LIMIT_RECORDS_BYTES);
	if (r < 0)
		return wrap(err, fail_code(err, r, "write '%s'", p->file), "%s", t->dir);
	return 0;
}

static int sync_contents(struct saves *saves, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; i < saves->n; i++) {
		struct save *save = &saves->items[i];

		if (save->place != PLACE_VOLATILE && fdatasync(save->file.fd) < 0)
			return fail_errno(err, "sync '%s/%s'", save->t->dir, save->t->file);
	}
	return 0;
}

/* Names in the order given. Where the file system keeps the order of renames by itself (a journal
 * of all metadata), the last directory's sync carries the ones before. */
static int save_names(struct imbrex_store *s, struct saves *saves, struct imbrex_error *err)
{
	int last = -EBADF;
	size_t i;
	int r;

	for (i = 0; i < saves->n; i++) {
		struct save *save = &saves->items[i];
		struct store_table *t = save->t;

		r = atomic_file_commit(&save->file, 0600, ATOMIC_VOLATILE, &save->st, err);
		if (r < 0)
			return wrap(err, r, "%s", t->dir);
		t->places[save->place].mtime = save->st.st_mtim;
		t->dirty[save->place] = false;
		if (save->place == PLACE_VOLATILE)
			continue;
		last = t->places[save->place].dirfd;
		if (!s->ordered && sync_dir(last) < 0)
			return fail_errno(err, "sync '%s'", t->dir);
	}
	if (last >= 0 && s->ordered && sync_dir(last) < 0)
		return fail_errno(err, "sync the tables' directories");
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

static bool is_dirty(const struct store_table *t)
{
	int place;

	for (place = 0; place < N_PLACES; place++) {
		if (t->dirty[place])
			return true;
	}
	return false;
}

int store_save_all(struct imbrex_store *s, struct store_table *const *tables, size_t n,
	struct imbrex_error *err)
{
	AUTO_SAVES saves = { .n = 0 };
	struct index_stamp stamp;
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		struct store_table *t = tables[i];
		int place;

		if (!is_dirty(t))
			continue;
		r = lock_token_write(&t->lock, &t->token, err);
		if (r == 0 && t->image_lock.path)
			r = lock_token_write(&t->image_lock, NULL, err);
		for (place = 0; r == 0 && place < N_PLACES; place++)
			r = save_begin(&saves, t, (enum record_place)place, err);
		if (r < 0)
			return r;
	}
	r = sync_contents(&saves, err);
	if (r == 0)
		r = save_names(s, &saves, err);
	for (i = 0; r == 0 && i < saves.n; i++) {
		/* Once a table, when the last of its files has its name. */
		if (i + 1 < saves.n && saves.items[i + 1].t == saves.items[i].t)
			continue;
		if (stamp_table(saves.items[i].t, /* lent= */ false, &stamp))
			keep_index(saves.items[i].t, &stamp);
	}
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

void store_table_init(struct store_table *t, const struct record_type *type, const char *file,
	const char *volatile_file)
{
	int place;

	*t = (struct store_table){
		.file = file,
		.dirfd = -EBADF,
		.lock = FILE_LOCK_INIT,
		.image_lock = FILE_LOCK_INIT,
		.index_dirfd = -EBADF,
		.index_min_bytes = STORE_INDEX_MIN_BYTES,
	};
	table_init(&t->t, type);
	for (place = 0; place < N_PLACES; place++)
		t->places[place].dirfd = -EBADF;
	t->places[PLACE_STABLE].file = file;
	t->places[PLACE_VOLATILE].file = volatile_file;
}

/* A dead store without lock files has no writers either; one that is somebody else's is read
 * without a lock if we may not open what its writers lock. */
static int open_lock(struct file_lock *l, const struct table_home *home, const char *path,
	enum lock_rank rank, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r = file_lock_open(l, home->fd, path, rank, home->read_only, &why);

	if (r < 0 && home->read_only && (r == IMBREX_ENOENT || r == IMBREX_EPERM))
		return 0;
	if (r < 0 && err)
		*err = why;
	return r;
}

int store_table_open(struct store_table *t, const struct table_home *home, const char *kind,
	const char *lock_name, enum lock_rank rank, struct imbrex_error *err)
{
	AUTO_FREE char *lock_path = NULL;
	int r;

	t->dir = format_text("%s-%s", home->driver, kind);
	if (!t->dir)
		return fail_nomem(err);
	if (!home->read_only) {
		r = mkdirs_at(home->fd, t->dir, 0700, err);
		if (r < 0)
			return r;
	}
	t->dirfd = openat(home->fd, t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (t->dirfd < 0) {
		if (errno == ENOENT && home->read_only)
			return 0;
		return fail_errno(err, "open '%s/%s'", home->path, t->dir);
	}
	t->places[PLACE_STABLE].dirfd = t->dirfd;
	t->places[PLACE_VOLATILE].dirfd = t->dirfd;
	r = name_index(t, home, err);
	if (r < 0)
		return r;
	lock_path = format_text("%s/%s", t->dir, lock_name);
	if (!lock_path)
		return fail_nomem(err);
	return open_lock(&t->lock, home, lock_path, rank, err);
}

/* Open (make) the directory of the table's name in another root; -EBADF: it is not there. */
static int open_dir_in(const struct store_table *t, const struct table_home *home, int *ret_fd,
	struct imbrex_error *err)
{
	int r;

	*ret_fd = -EBADF;
	if (home->fd < 0)
		return 0;
	r = home->read_only ? 0 : mkdirs_at(home->fd, t->dir, 0700, err);
	if (r < 0)
		return r;
	r = openat(home->fd, t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (r < 0 && !(errno == ENOENT && home->read_only))
		return fail_errno(err, "open '%s/%s'", home->path, t->dir);
	*ret_fd = r;
	return 0;
}

int store_table_add_place(struct store_table *t, const struct table_home *home,
	enum record_place place, const char *lock_name, struct imbrex_error *err)
{
	struct table_place *p = &t->places[place];
	AUTO_FREE char *lock_path = NULL;
	int r;

	r = open_dir_in(t, home, &p->dirfd, err);
	if (r < 0)
		return r;
	if (!p->file)
		p->file = t->file;
	if (!lock_name || p->dirfd < 0)
		return 0;
	lock_path = format_text("%s/%s", t->dir, lock_name);
	if (!lock_path)
		return fail_nomem(err);
	return open_lock(&t->image_lock, home, lock_path, LOCK_LAYERS_IMAGESTORE, err);
}

int store_table_move_lock(struct store_table *t, const struct table_home *home,
	const char *lock_name, enum lock_rank rank, struct imbrex_error *err)
{
	AUTO_FREE char *lock_path = format_text("%s/%s", t->dir, lock_name);

	if (!lock_path)
		return fail_nomem(err);
	file_lock_done(&t->lock);
	t->lock = (struct file_lock)FILE_LOCK_INIT;
	return home->fd < 0 ? 0 : open_lock(&t->lock, home, lock_path, rank, err);
}

void store_table_close(struct store_table *t)
{
	int place;

	for (place = 0; place < N_PLACES; place++) {
		if (t->places[place].dirfd != t->dirfd)
			t->places[place].dirfd = close_fd(t->places[place].dirfd);
	}
	file_lock_done(&t->image_lock);
	file_lock_done(&t->lock);
	table_done(&t->t);
	strv_done(&t->dropped);
	forget_damage(t);
	t->dirfd = close_fd(t->dirfd);
	free(t->index_name);
	free(t->dir);
}
