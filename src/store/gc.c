/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage: layer directories without a record, documents of images and containers that are gone,
 * temporary files of writers that died, parts of downloads that nobody came back for, and layers
 * that a crash left without an image or a container.
 *
 * A layer without an image may belong to a pull that runs right now in another program (podman
 * records layers first, the image last), so only old ones are taken.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/map.h"
#include "base/str.h"
#include "json/write.h"
#include "os/beneath.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/lock.h"
#include "store/garbage.h"
#include "store/index_file.h"
#include "store/layer.h"

/* Longer than any pull takes. */
#define ORPHAN_LAYER_AGE_SEC (24 * 60 * 60)
#define PARTIAL_BLOB_AGE_SEC (7 * 24 * 60 * 60)
#define PARTIAL_DIR          "imbrex/partial"
#define LOCK_PREFIX          "lock-"
#define TEMP_PREFIX          "temp-dir-"

struct garbage {
	struct imbrex_store *s;
	const struct garbage_opts *opts;
	struct findings *found;
	struct map *needed; /* owned; ids of layers that an image, container, name or mount needs */
	bool is_broken;     /* something needs a layer that no record names */
};

/* ---- findings -------------------------------------------------------------------------- */

/*
 * One that has been dealt with: r is what came of removing it (0 if nothing was tried).
 * Only a failure to tell it ends the search.
 */
static int PRINTF_LIKE(6, 7) tell(struct garbage *g, const struct finding *what, int r,
	const struct imbrex_error *why, struct imbrex_error *err, const char *fmt, ...)
{
	AUTO_STR text = STR_INIT(4096);
	struct imbrex_problem *p;
	va_list ap;
	int e;

	if (r == IMBREX_ENOMEM)
		return fail_nomem(err);
	va_start(ap, fmt);
	e = str_vprintf(&text, fmt, ap);
	va_end(ap);
	if (e < 0)
		return fail_nomem(err);
	e = findings_add(g->found, what, err, "%s", str_text(&text));
	if (e < 0)
		return e;
	p = &g->found->items[g->found->n - 1];
	if (r < 0)
		return problem_set_action(p, err, "cannot be removed: %s", why->message);
	p->repaired = g->opts->collect;
	return problem_set_action(p, err, g->opts->collect ? "removed" : "remove it");
}

static struct finding leftover(const char *object)
{
	return (struct finding){ .kind = IMBREX_PROBLEM_LEFTOVER, .object = object };
}

/* Something could not be looked at. */
static int tell_unseen(struct garbage *g, const char *object, const struct imbrex_error *why,
	struct imbrex_error *err)
{
	const struct finding what = leftover(object);

	return findings_add(g->found, &what, err, "cannot be looked at: %s", why->message);
}

/* Names in a directory, "." and ".." left out; a missing directory is an empty one. */
static int list_names(int dirfd, const char *path, struct strv *ret, struct imbrex_error *err)
{
	struct dirent *entry;
	DIR *d;
	int fd;
	int r = 0;

	fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail_errno(err, "open '%s'", path);
	d = fdopendir(fd);
	if (!d) {
		(void)close_fd(fd);
		return fail_nomem(err);
	}
	while (r == 0 && (entry = readdir(d))) {
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
			r = strv_add(ret, entry->d_name);
	}
	(void)closedir(d);
	return r < 0 ? fail_nomem(err) : 0;
}

bool table_is_emptied(const struct store_table *t, int place)
{
	const struct table_place *p = &t->places[place];
	struct stat st;

	return p->file && p->dirfd >= 0 && place != PLACE_VOLATILE &&
	       fstatat(p->dirfd, p->file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == 0;
}

/* Its records are not all that there were. */
static bool is_suspect(const struct store_table *t)
{
	int place;

	for (place = 0; place < N_PLACES; place++) {
		if (t->damage[place].why || table_is_emptied(t, place))
			return true;
	}
	return false;
}

/* ---- who needs what -------------------------------------------------------------------- */

static int need_chain(struct garbage *g, struct json_span top)
{
	struct json_span next = top;
	struct layer_walk w;

	for (layer_walk(g->s, top, &w); w.more; layer_walk_next(g->s, &w)) {
		struct json_span id = record_plain(found_record(&w.at), LAYER_ID);

		if (map_set(g->needed, id.at, id.len, g) < 0)
			return -ENOMEM;
		next = record_plain(found_record(&w.at), LAYER_PARENT);
	}
	if (next.len && map_set(g->needed, next.at, next.len, g) < 0)
		return -ENOMEM;
	g->is_broken = g->is_broken || (next.len && !w.endless);
	return 0;
}

static int need_tops(struct garbage *g, const struct record_type *type, int field)
{
	struct found f;
	bool more;
	size_t i;
	int r = 0;

	for (more = store_first(g->s, type, &f); r == 0 && more; more = store_next(g->s, &f)) {
		AUTO_STRV mapped = { 0 };

		r = need_chain(g, record_plain(found_record(&f), field));
		if (r == 0 && type == &image_records)
			r = record_list(found_record(&f), IMAGE_MAPPED_LAYERS, &mapped);
		for (i = 0; r == 0 && i < mapped.n; i++)
			r = need_chain(g, (struct json_span){ .at = mapped.items[i],
						  .len = strlen(mapped.items[i]) });
	}
	return r;
}

/* Somebody gave it a name, or works in it. */
static int need_layers(struct garbage *g)
{
	struct table *t = &g->s->layers.t;
	bool suspect = is_suspect(&g->s->containers);
	ptrdiff_t i;
	int r = 0;

	for (i = table_next(t, -1); r == 0 && i >= 0; i = table_next(t, i)) {
		const struct record *rec = table_at(t, (size_t)i);
		struct json_span id = record_plain(rec, LAYER_ID);
		AUTO_FREE char *text = record_text(rec, LAYER_ID);

		if (!text)
			return -ENOMEM;
		/* What a lost record of a container may have named has no digest. */
		if (record_raw(rec, LAYER_NAMES).len || store_mount_find(g->s, text) ||
			(suspect && !record_raw(rec, LAYER_DIFF_DIGEST).len))
			r = need_chain(g, id);
	}
	return r;
}

static int find_needed(struct garbage *g, struct imbrex_error *err)
{
	int r;

	g->needed = map_new();
	if (!g->needed)
		return fail_nomem(err);
	r = need_tops(g, &image_records, IMAGE_LAYER);
	if (r == 0)
		r = need_tops(g, &container_records, CONTAINER_LAYER);
	if (r == 0)
		r = need_layers(g);
	return r < 0 ? fail_nomem(err) : 0;
}

/* ---- layers ---------------------------------------------------------------------------- */

static bool is_older(const struct timespec *t, int64_t age_sec)
{
	struct timespec now;

	now_realtime(&now);
	return now.tv_sec - t->tv_sec > age_sec;
}

static bool is_of_age(const struct garbage *g, const struct record *rec)
{
	struct json_span created = record_plain(rec, LAYER_CREATED);
	int64_t age = g->opts->max_age_sec ? g->opts->max_age_sec : ORPHAN_LAYER_AGE_SEC;
	struct timespec when;

	if (age < 0)
		return true;
	/* Nobody knows how old it is: it may be young. */
	return json_time_parse(created.at, created.len, &when) == 0 && is_older(&when, age);
}

/* A child that nobody needs either, but that stays, keeps it. */
static bool is_abandoned(struct garbage *g, const struct record *rec, const struct map *going)
{
	struct json_span id = record_plain(rec, LAYER_ID);
	struct table *t = &g->s->layers.t;
	ptrdiff_t i;

	if (!id.len || map_get(g->needed, id.at, id.len, NULL) ||
		map_get(going, id.at, id.len, NULL) || !is_of_age(g, rec))
		return false;
	for (i = table_next(t, -1); i >= 0; i = table_next(t, i)) {
		struct record *child = table_at(t, (size_t)i);
		struct json_span own = record_plain(child, LAYER_ID);

		if (record_same(child, LAYER_PARENT, rec, LAYER_ID) &&
			!map_get(going, own.at, own.len, NULL))
			return false;
	}
	return true;
}

static int abandon(struct garbage *g, size_t number, struct map *going, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(table_at(&g->s->layers.t, number), LAYER_ID);
	const struct finding what = {
		.kind = IMBREX_PROBLEM_LAYER_UNREFERENCED, .type = &layer_records, .id = id
	};
	struct imbrex_error why = { 0 };
	int r = 0;

	if (!id || map_set(going, id, strlen(id), g) < 0)
		return fail_nomem(err);
	if (g->opts->collect)
		r = layer_drop(g->s, id, &why);
	return tell(g, &what, r, &why, err, "no image needs it and no container");
}

static int abandoned_layers(struct garbage *g, struct imbrex_error *err)
{
	struct table *t = &g->s->layers.t;
	AUTO_MAP *going = map_new();
	bool found = true;
	ptrdiff_t i;
	int r = 0;

	if (!going)
		return fail_nomem(err);
	/* From the end: parents come before their children. Again for those that do not. */
	while (r == 0 && found) {
		found = false;
		for (i = table_prev(t, (ptrdiff_t)table_slots(t)); r == 0 && i >= 0;
			i = table_prev(t, i)) {
			if (!is_abandoned(g, table_at(t, (size_t)i), going))
				continue;
			r = abandon(g, (size_t)i, going, err);
			found = true;
		}
	}
	/* With records in memory that are not those on disk, nothing more may be taken for garbage.
	 */
	return r < 0 || !g->opts->collect ? r : store_save(g->s, &g->s->layers, err);
}

/* Directories that feature probes of a killed process left beside the layers. */
static bool is_probe(const char *name)
{
	return str_after(name, "compat") || str_after(name, "opaque-bug-check") ||
	       str_after(name, "metacopy-check") || str_after(name, "volatile-check");
}

static int driver_orphan(struct garbage *g, const char *name, struct imbrex_error *err)
{
	AUTO_FREE char *object = format_text("directory %s/%s", g->s->driver->ops->name, name);
	struct finding what = leftover(object);
	struct imbrex_error why = { 0 };
	int r = 0;

	if (!object)
		return fail_nomem(err);
	if (g->opts->collect)
		r = store_trash_layer(g->s, name, &why);
	if (is_probe(name))
		return tell(g, &what, r, &why, err, "left by a probe of the kernel that died");
	what.kind = IMBREX_PROBLEM_LAYER_UNACCOUNTED;
	what.type = &layer_records;
	what.id = name;
	return tell(g, &what, r, &why, err, "directory %s/%s: no record names it",
		g->s->driver->ops->name, name);
}

static int driver_orphans(struct garbage *g, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	struct imbrex_error why = { 0 };
	bool keep = g->is_broken || is_suspect(&g->s->layers);
	size_t i;
	int r;

	r = g->s->driver->ops->list(g->s->driver, &names, &why);
	if (r < 0)
		return tell_unseen(g, g->s->driver->ops->name, &why, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		const char *name = names.items[i];

		if (is_probe(name) ||
			(!keep && id_is_valid(name) &&
				table_find_id(&g->s->layers.t, name, strlen(name)) < 0))
			r = driver_orphan(g, name, err);
	}
	return r;
}

static int take_driver_garbage(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	struct garbage *g = ctx;
	AUTO_FREE char *object = format_text("file %s", p->path);
	const struct finding what = leftover(object);

	return object ? tell(g, &what, 0, NULL, err, "%s", p->text) : fail_nomem(err);
}

/* ---- beside the tables ----------------------------------------------------------------- */

/* Id of the record that an entry of a table's directory belongs to; false if to none ever. */
static bool owner_of(const struct store_table *t, const char *name, char id[ID_HEX_LEN + 1])
{
	size_t len = strlen(name);

	if (t->t.type == &layer_records && str_ends(name, ".tar-split.gz"))
		len -= strlen(".tar-split.gz");
	if (len != ID_HEX_LEN)
		return false;
	memcpy(id, name, len);
	id[len] = '\0';
	return id_is_valid(id);
}

/* Documents of an image whose record is lost, and that a container needs: it can be made again. */
static bool is_needed_image(struct garbage *g, const struct store_table *t, const char *id)
{
	struct table *containers = &g->s->containers.t;
	ptrdiff_t i;

	if (t != &g->s->images && t != store_first_root(g->s))
		return false;
	for (i = table_next(containers, -1); i >= 0; i = table_next(containers, i)) {
		if (record_is(table_at(containers, (size_t)i), CONTAINER_IMAGE, id))
			return true;
	}
	return false;
}

static int table_orphan(struct garbage *g, struct store_table *t, const char *name, bool temporary,
	struct imbrex_error *err)
{
	AUTO_FREE char *object =
		format_text("%s %s/%s", temporary ? "file" : "entry", t->dir, name);
	const struct finding what = leftover(object);
	struct imbrex_error why = { 0 };
	int r = 0;

	if (!object)
		return fail_nomem(err);
	if (g->opts->collect)
		r = store_trash_dir(g->s, t, name, &why);
	return tell(g, &what, r, &why, err,
		temporary ? "left by a writer that died" : "no record names it");
}

static int table_orphans(struct garbage *g, struct store_table *t, struct imbrex_error *err)
{
	bool keep = is_suspect(t) || (t == &g->s->layers && g->is_broken);
	AUTO_STRV names = { 0 };
	struct imbrex_error why = { 0 };
	char id[ID_HEX_LEN + 1];
	size_t i;
	int r;

	r = list_names(t->dirfd, ".", &names, &why);
	if (r < 0)
		return tell_unseen(g, t->dir, &why, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		const char *name = names.items[i];
		/* Of atomic writes: whoever makes them holds this table. */
		bool temporary = str_after(name, ".tmp-") != NULL;

		if (temporary || (!keep && owner_of(t, name, id) &&
					 table_find_id(&t->t, id, ID_HEX_LEN) < 0 &&
					 !is_needed_image(g, t, id)))
			r = table_orphan(g, t, name, temporary, err);
	}
	return r;
}

/* ---- temporary directories and downloads ----------------------------------------------- */

static int partial_blobs(struct garbage *g, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	AUTO_CLOSE int dirfd =
		openat(g->s->graphfd, PARTIAL_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct imbrex_error why = { 0 };
	struct stat st;
	size_t i;
	int r;

	if (dirfd < 0)
		return 0;
	r = list_names(dirfd, ".", &names, &why);
	if (r < 0)
		return tell_unseen(g, "directory " PARTIAL_DIR, &why, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		AUTO_FREE char *object = format_text("file " PARTIAL_DIR "/%s", names.items[i]);
		const struct finding what = leftover(object);
		int e = 0;

		if (!object)
			return fail_nomem(err);
		if (fstatat(dirfd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode) || !is_older(&st.st_mtim, PARTIAL_BLOB_AGE_SEC))
			continue;
		if (g->opts->collect && unlinkat(dirfd, names.items[i], 0) < 0 && errno != ENOENT)
			e = fail_errno(&why, "remove it");
		r = tell(g, &what, e, &why, err,
			"part of a download that nobody went on with for a week");
	}
	return r;
}

/* Whoever makes a pair makes the lock, then takes it: for so long it is nobody's. */
#define LOCK_AGE_SEC 60

/* What is left of a pair that nobody has locked. */
static bool is_left(int dirfd, const char *id, int lock_fd)
{
	AUTO_FREE char *dir = format_text(TEMP_PREFIX "%s", id);
	struct stat st;

	if (dir && fstatat(dirfd, dir, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	return lock_fd >= 0 && fstat(lock_fd, &st) == 0 && st.st_nlink > 0 &&
	       is_older(&st.st_mtim, LOCK_AGE_SEC);
}

/* 1: its owner is dead; 0: lives, or is about to, or was done since its name was read; negative
 * with `why`. */
static int is_dead(int dirfd, const char *id, struct imbrex_error *why)
{
	AUTO_FREE char *lock = format_text(LOCK_PREFIX "%s", id);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (!lock)
		return fail_nomem(why);
	fd = openat(dirfd, lock, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return fail_errno(why, "open lock file '%s'", lock);
	r = fd < 0 ? 0 : fd_lock(fd, LOCK_EXCLUSIVE, /* wait= */ false);
	if (r == -EAGAIN)
		return 0;
	/* The directory goes before the lock does. */
	return r < 0 ? fail_code(why, r, "lock '%s'", lock) : is_left(dirfd, id, fd);
}

/* Removed under the lock that its owner would hold. */
static int drop_pair(int dirfd, const char *id, struct imbrex_error *why)
{
	AUTO_FREE char *lock = format_text(LOCK_PREFIX "%s", id);
	AUTO_FREE char *dir = format_text(TEMP_PREFIX "%s", id);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (!lock || !dir)
		return fail_nomem(why);
	fd = openat(dirfd, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		0600);
	if (fd < 0)
		return fail_errno(why, "open lock file '%s'", lock);
	r = fd_lock(fd, LOCK_EXCLUSIVE, /* wait= */ false);
	if (r < 0)
		return fail_code(why, r, "lock '%s'", lock);
	r = remove_tree_at(dirfd, dir, why);
	if (r == 0 && unlinkat(dirfd, lock, 0) < 0 && errno != ENOENT)
		r = fail_errno(why, "remove '%s'", lock);
	return r;
}

static int dead_tempdir(
	struct garbage *g, int dirfd, const char *root, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *object = format_text("directory %s/" TEMP_PREFIX "%s", root, id);
	const struct finding what = leftover(object);
	struct imbrex_error why = { 0 };
	int r;

	if (!object)
		return fail_nomem(err);
	r = is_dead(dirfd, id, &why);
	if (r < 0)
		return tell_unseen(g, object, &why, err);
	if (r == 0)
		return 0;
	r = g->opts->collect ? drop_pair(dirfd, id, &why) : 0;
	return tell(g, &what, r, &why, err, "its owner died");
}

/* Each pair once, by whichever of its two names is there. */
static int dead_in_root(struct garbage *g, const char *root, struct imbrex_error *err)
{
	AUTO_CLOSE int dirfd =
		openat(g->s->graphfd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_STRV names = { 0 };
	AUTO_STRV ids = { 0 };
	struct imbrex_error why = { 0 };
	size_t i;
	int r = 0;

	if (dirfd < 0 && errno == ENOENT)
		return 0;
	if (dirfd < 0)
		r = fail_errno(&why, "open directory '%s'", root);
	if (r == 0)
		r = list_names(dirfd, ".", &names, &why);
	if (r < 0)
		return tell_unseen(g, root, &why, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		const char *id = str_after(names.items[i], LOCK_PREFIX);

		if (!id)
			id = str_after(names.items[i], TEMP_PREFIX);
		if (!id || !*id || strv_has(&ids, id))
			continue;
		if (strv_add(&ids, id) < 0)
			return fail_nomem(err);
		r = dead_tempdir(g, dirfd, root, id, err);
	}
	return r;
}

static int dead_tempdirs(struct garbage *g, struct imbrex_error *err)
{
	AUTO_FREE char *layers_tmp = format_text("%s/tmp", g->s->layers.dir);
	char driver_root[NAME_MAX];
	int r;

	if (!layers_tmp)
		return fail_nomem(err);
	driver_temp_root(g->s->driver, driver_root, sizeof(driver_root));
	r = dead_in_root(g, driver_root, err);
	return r < 0 ? r : dead_in_root(g, layers_tmp, err);
}

/* ---- indexes --------------------------------------------------------------------------- */

static int own_indexes(struct imbrex_store *s, struct strv *ret)
{
	const struct record_type *const types[] = { &layer_records, &image_records,
		&container_records };
	struct store_table *t;
	size_t i, n;
	int r = 0;

	for (i = 0; i < ARRAY_LEN(types); i++) {
		for (n = 0; r == 0 && (t = store_tables(s, types[i], n)); n++) {
			if (t->index_name)
				r = strv_add(ret, t->index_name);
		}
	}
	return r;
}

static int stray_indexes(struct garbage *g, struct imbrex_error *err)
{
	AUTO_STRV own = { 0 };
	AUTO_STRV names = { 0 };
	size_t i;
	int r;

	if (!g->opts->indexes || g->s->runfd < 0)
		return 0;
	if (own_indexes(g->s, &own) < 0 || index_file_strays(g->s->runfd, &own, &names) < 0)
		return fail_nomem(err);
	for (i = 0, r = 0; r == 0 && i < names.n; i++) {
		AUTO_FREE char *object = format_text("file " INDEX_DIR "/%s", names.items[i]);
		const struct finding what = leftover(object);
		struct imbrex_error why = { 0 };
		int e = 0;

		if (!object)
			return fail_nomem(err);
		if (g->opts->collect)
			e = index_file_remove(g->s->runfd, names.items[i]);
		if (e < 0)
			e = fail_code(&why, e, "remove it");
		r = tell(g, &what, e, &why, err, "an index in the run root that no table needs");
	}
	return r;
}

/* ---- all of it ------------------------------------------------------------------------- */

static int find_all(struct garbage *g, struct imbrex_error *err)
{
	struct imbrex_store *s = g->s;
	struct imbrex_error why = { 0 };
	int r;

	r = dead_tempdirs(g, err);
	if (r == 0 && !is_suspect(&s->layers) && !is_suspect(&s->images) &&
		!(s->has_first_root && is_suspect(&s->additional[0].images)))
		r = abandoned_layers(g, err);
	if (r == 0)
		r = driver_orphans(g, err);
	if (r == 0 && s->driver->ops->garbage(
			      s->driver, g->opts->collect, take_driver_garbage, g, &why) < 0)
		r = tell_unseen(g, s->driver->ops->name, &why, err);
	if (r == 0)
		r = table_orphans(g, &s->layers, err);
	if (r == 0)
		r = table_orphans(g, &s->images, err);
	if (r == 0)
		r = table_orphans(g, &s->containers, err);
	if (r == 0 && store_first_root(s))
		r = table_orphans(g, store_first_root(s), err);
	if (r == 0)
		r = partial_blobs(g, err);
	return r < 0 ? r : stray_indexes(g, err);
}

int garbage_find(struct imbrex_store *s, const struct garbage_opts *opts, struct findings *ret,
	struct imbrex_error *err)
{
	struct garbage g = { .s = s, .opts = opts, .found = ret };
	int r;

	/* Mounts that cannot be read are told by check; without them nothing is known unused. */
	if (store_mounts_load(s, NULL) < 0)
		g.is_broken = true;
	r = find_needed(&g, err);
	if (r == 0)
		r = find_all(&g, err);
	map_free(g.needed);
	return r;
}

static int lines_of(const struct findings *found, struct strv *ret)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < found->n; i++) {
		const struct imbrex_problem *p = &found->items[i];

		if (str_after(p->action, "cannot") || !*p->action)
			r = strv_addf(ret, "%s: %s%s%s", p->object, p->text, *p->action ? "; " : "",
				p->action);
		else
			r = strv_addf(ret, "%s: %s", p->object, p->text);
	}
	return r;
}

PUBLIC int imbrex_gc(struct imbrex_store *s, bool dry_run, char ***ret, struct imbrex_error *err)
{
	const struct garbage_opts opts = { .collect = !dry_run, .indexes = true };
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FINDINGS found = { 0 };
	AUTO_STRV lines = { 0 };
	char **taken;
	int r;

	/* Who opens a store tries the kernel beside the layers, under the graph lock. */
	r = store_hold(s, HOLD_GRAPH | (dry_run ? HOLD_READ_ALL : HOLD_WRITE_ALL), &hold, err);
	if (r == 0)
		r = garbage_find(s, &opts, &found, err);
	if (r < 0)
		return r;
	taken = lines_of(&found, &lines) < 0 ? NULL : strings_take(&lines);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}
