/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a store, holding its locks, throwing away; see the header for the invariants and the
 * order of locks.
 *
 *   closed ──store_open──▶ open ──store_hold──▶ held ──store_save──▶ held ──store_release──▶ open
 *
 * In `held`, the tables whose bits were asked for are current. In `open`, they are what was last
 * seen, good for nothing but the comparison of stamps at the next hold.
 */
#include "store/store.h"

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

#include "base/str.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/object.h"
#include "store/rootless.h"
#include "store/tables.h"

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

/* ---- trash ----------------------------------------------------------------------------- */

/* Names move within one root only. */
static int remove_content(struct imbrex_store *s, int rootfd, struct tempdir **trash,
	const char *id, struct imbrex_error *err)
{
	char root[NAME_MAX];
	int r;

	driver_temp_root(s->driver, root, sizeof(root));
	r = *trash ? 0 : tempdir_new(rootfd, root, trash, err);
	return r < 0 ? r : s->driver->ops->remove(s->driver, id, *trash, err);
}

/* A directory or file beside the records; absent is success. */
static int remove_beside(struct imbrex_store *s, int rootfd, struct tempdir **trash, int dirfd,
	const char *name, struct imbrex_error *err)
{
	AUTO_FREE char *root = format_text("%s/tmp", s->layers.dir);
	int r;

	if (!root)
		return fail_nomem(err);
	r = *trash ? 0 : tempdir_new(rootfd, root, trash, err);
	if (r == 0)
		r = tempdir_stage_deletion(*trash, dirfd, name, err);
	return r == IMBREX_ENOENT ? 0 : r;
}

/* What callers keep with an object below the run root. */
static int remove_run_dir(struct imbrex_store *s, const struct store_table *t, const char *name,
	struct imbrex_error *err)
{
	AUTO_CLOSE int dirfd = -EBADF;

	if (s->runfd < 0)
		return 0;
	dirfd = openat(s->runfd, t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dirfd < 0 || !exists_at(dirfd, name))
		return 0;
	return remove_beside(s, s->runfd, &s->run_trash, dirfd, name, err);
}

int store_trash_layer(struct imbrex_store *s, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *split = format_text("%s.tar-split.gz", id);
	int r;

	if (!split)
		return fail_nomem(err);
	r = remove_content(s, s->graphfd, &s->driver_trash, id, err);
	if (r == 0 && s->imagefd >= 0)
		r = remove_content(s, s->imagefd, &s->image_trash, id, err);
	if (r == 0)
		r = remove_beside(s, s->graphfd, &s->layers_trash, s->layers.dirfd, split, err);
	if (r == 0)
		r = remove_beside(s, s->graphfd, &s->layers_trash, s->layers.dirfd, id, err);
	return r;
}

int store_trash_dir(
	struct imbrex_store *s, struct store_table *t, const char *name, struct imbrex_error *err)
{
	bool second = t == &s->images && s->imagefd >= 0;
	int r;

	r = remove_beside(s, second ? s->imagefd : s->graphfd,
		second ? &s->documents_trash : &s->layers_trash, t->dirfd, name, err);
	return r < 0 ? r : remove_run_dir(s, t, name, err);
}

static void drop_trash(struct imbrex_store *s)
{
	char root[NAME_MAX];

	tempdir_free(take_ptr(s->layers_trash));
	tempdir_free(take_ptr(s->documents_trash));
	tempdir_free(take_ptr(s->run_trash));
	if (!s->driver_trash)
		return;
	tempdir_free(take_ptr(s->driver_trash));
	tempdir_free(take_ptr(s->image_trash));
	/* Releases that do not know this directory take it for a layer: not there when not in use.
	 */
	driver_temp_root(s->driver, root, sizeof(root));
	(void)unlinkat(s->graphfd, root, AT_REMOVEDIR);
	if (s->imagefd >= 0)
		(void)unlinkat(s->imagefd, root, AT_REMOVEDIR);
}

/* ---- holding --------------------------------------------------------------------------- */

/* Invariant (2): what a crashed writer left is removed before anything else is written. */
static int drop_incomplete(struct imbrex_store *s, struct imbrex_error *err)
{
	struct table *t = &s->layers.t;
	bool dropped = false;
	ptrdiff_t i;
	int r;

	for (i = table_has_incomplete(t) ? table_next(t, -1) : -1; i >= 0; i = table_next(t, i)) {
		AUTO_FREE char *id = NULL;

		if (!record_flag(table_at(t, (size_t)i), LAYER_FLAGS, "incomplete"))
			continue;
		id = record_text(table_at(t, (size_t)i), LAYER_ID);
		if (!id)
			return fail_nomem(err);
		r = object_id_is_safe(id) ? store_trash_layer(s, id, err) : 0;
		if (r < 0)
			return wrap(err, r, "remove incomplete layer %s", id);
		s->layers.dirty[table_at(t, (size_t)i)->place] = true;
		table_remove(t, (size_t)i);
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
	if (t->image_lock.path) {
		r = file_lock_acquire(&t->image_lock, mode, err);
		if (r < 0)
			return r;
	}
	return store_table_refresh(t, err);
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

static int hold_additional(struct imbrex_store *s, const struct record_type *type, bool write,
	struct imbrex_error *err)
{
	struct store_table *t;
	size_t n;
	int r = 0;

	for (n = 1; r == 0 && (t = store_tables(s, type, n)); n++) {
		r = hold_table(
			t, write && t == store_first_root(s) ? LOCK_EXCLUSIVE : LOCK_SHARED, err);
		if (r < 0)
			r = wrap(err, r, "additional image store '%s'", s->additional[n - 1].root);
	}
	return r;
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
	if (r == 0 && (bits & HOLD_LAYERS_W) && !table_damage(&s->layers, NULL))
		r = drop_incomplete(s, err);
	if (r == 0 && (bits & (HOLD_LAYERS | HOLD_LAYERS_W)))
		r = hold_additional(s, &layer_records, false, err);
	if (r == 0 && (bits & (HOLD_IMAGES | HOLD_IMAGES_W)))
		r = hold_table(
			&s->images, bits & HOLD_IMAGES_W ? LOCK_EXCLUSIVE : LOCK_SHARED, err);
	if (r == 0 && (bits & (HOLD_IMAGES | HOLD_IMAGES_W)))
		r = hold_additional(s, &image_records, bits & HOLD_IMAGES_W, err);
	if (r == 0 && (bits & (HOLD_CONTAINERS | HOLD_CONTAINERS_W)))
		r = hold_table(&s->containers,
			bits & HOLD_CONTAINERS_W ? LOCK_EXCLUSIVE : LOCK_SHARED, err);
	return r;
}

/* What is going to be saved must have been read whole. */
static int check_whole(struct imbrex_store *s, unsigned int bits, struct imbrex_error *err)
{
	int r = 0;

	if (bits & HOLD_LAYERS_W)
		r = table_check_whole(&s->layers, err);
	if (r == 0 && (bits & HOLD_IMAGES_W))
		r = table_check_whole(&s->images, err);
	if (r == 0 && (bits & HOLD_CONTAINERS_W))
		r = table_check_whole(&s->containers, err);
	return r;
}

/* Who is going to remove something must be sure that nobody names it, in the tables that are only
 * read, too. What is not held, or not from an index, is proven. */
static int prove_all(struct imbrex_store *s, struct imbrex_error *err)
{
	int r = table_prove(&s->layers.t, err);

	if (r == 0)
		r = table_prove(&s->images.t, err);
	if (r == 0 && store_first_root(s))
		r = table_prove(&store_first_root(s)->t, err);
	return r < 0 ? r : table_prove(&s->containers.t, err);
}

int store_hold(
	struct imbrex_store *s, unsigned int bits, struct store_hold *ret, struct imbrex_error *err)
{
	int r;

	*ret = (struct store_hold){ .s = s, .bits = bits };
	r = hold_all(s, bits, err);
	if (r == 0 && (bits & HOLD_WRITE_ALL))
		r = prove_all(s, err);
	if (r == 0 && !(bits & HOLD_DAMAGED))
		r = check_whole(s, bits, err);
	if (r < 0)
		store_release(ret);
	return r;
}

void store_release(struct store_hold *h)
{
	struct imbrex_store *s = h->s;
	size_t i;

	if (!s)
		return;
	file_lock_release(&s->containers.lock);
	for (i = s->n_additional; i-- > 0;)
		file_lock_release(&s->additional[i].images.lock);
	file_lock_release(&s->images.lock);
	for (i = s->n_additional; i-- > 0;)
		file_lock_release(&s->additional[i].layers.lock);
	file_lock_release(&s->layers.image_lock);
	file_lock_release(&s->layers.lock);
	file_lock_release(&s->graph_lock);
	h->s = NULL;
	drop_trash(s);
}

/* ---- opening --------------------------------------------------------------------------- */

/* ext4 and xfs journal all metadata in one order; btrfs and others promise it per file only. */
static bool keeps_order(const struct imbrex_store *s)
{
	struct stat first;
	struct stat second;
	struct statfs st;

	/* No file system knows of the order in another one. */
	if (s->imagefd >= 0 && (fstat(s->graphfd, &first) < 0 || fstat(s->imagefd, &second) < 0 ||
				       first.st_dev != second.st_dev))
		return false;
	return fstatfs(s->graphfd, &st) == 0 &&
	       (st.f_type == EXT4_SUPER_MAGIC || st.f_type == XFS_SUPER_MAGIC);
}

#define ROOT_HINT "use --root and --runroot, or run as the store's owner"

static bool is_on_read_only_fs(const char *path)
{
	struct statvfs st;

	return statvfs(path, &st) == 0 && st.f_flag & ST_RDONLY;
}

/* The second root, if one is configured. */
static int open_imagestore(struct imbrex_store *s, struct imbrex_error *err)
{
	int r;

	if (!*s->config.imagestore)
		return 0;
	if (!s->read_only) {
		r = mkdirs_at(AT_FDCWD, s->config.imagestore, 0700, err);
		if (r < 0)
			return r;
	}
	r = open_root_dir_at(AT_FDCWD, s->config.imagestore, err);
	if (r == IMBREX_ENOENT && s->read_only)
		return 0;
	if (r < 0)
		return r;
	s->imagefd = r;
	return 0;
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
	r = open_imagestore(s, err);
	if (r < 0)
		return r;
	s->ordered = keeps_order(s);
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
		.imagestore = s->imagefd >= 0 ? s->config.imagestore : NULL,
		.options = &s->config.driver_options,
		.rootless = s->rootless,
		.single_id = s->single_id,
		.read_only = s->read_only,
		.ordered = s->ordered,
	};

	return driver_open(s->config.driver, &s->config.driver_priority, &config, &s->driver, err);
}

/* Containers and their layers are in the run root: gone at the next boot, lock included. The lock
 * of layers stays, because that of images' layers may be somebody's additional store. */
static int open_transient(struct imbrex_store *s, struct imbrex_error *err)
{
	const struct table_home home = { .fd = s->runfd,
		.path = s->config.runroot,
		.driver = s->driver->ops->name,
		.read_only = s->read_only };
	int r;

	r = store_table_add_place(&s->layers, &home, PLACE_VOLATILE, NULL, err);
	if (r == 0)
		r = store_table_add_place(&s->containers, &home, PLACE_VOLATILE, NULL, err);
	if (r == 0)
		r = store_table_move_lock(
			&s->containers, &home, "containers.lock", LOCK_CONTAINERS, err);
	return r;
}

static int open_tables(struct imbrex_store *s, struct imbrex_error *err)
{
	AUTO_FREE char *mounts_lock = NULL;
	const char *name = s->driver->ops->name;
	const struct table_home home = { .fd = s->graphfd,
		.path = s->config.graphroot,
		.driver = name,
		.read_only = s->read_only,
		.run_fd = s->runfd,
		.run_read_only = s->read_only };
	const struct table_home image_home = { .fd = s->imagefd,
		.path = s->config.imagestore,
		.driver = name,
		.read_only = s->read_only };
	int r;

	r = store_table_open(&s->layers, &home, "layers", "layers.lock", LOCK_LAYERS, err);
	if (r == 0 && s->imagefd >= 0)
		r = store_table_add_place(
			&s->layers, &image_home, PLACE_IMAGESTORE, "layers.lock", err);
	if (r == 0)
		r = store_table_open(&s->images, s->imagefd >= 0 ? &image_home : &home, "images",
			"images.lock", LOCK_IMAGES, err);
	if (r == 0)
		r = store_table_open(&s->containers, &home, "containers", "containers.lock",
			LOCK_CONTAINERS, err);
	if (r == 0 && s->config.transient_store)
		r = open_transient(s, err);
	if (r == 0)
		r = store_additional_open(s, err);
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

/* Whoever takes layers exclusively drops what a dead writer left; a damaged table is left alone. */
static int recover(struct imbrex_store *s, struct imbrex_error *err)
{
	struct store_hold hold = HOLD_NONE;
	bool incomplete;
	int r;

	if (s->read_only)
		return 0;
	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	incomplete = table_has_incomplete(&s->layers.t) && table_check_whole(&s->layers, NULL) == 0;
	store_release(&hold);
	if (!incomplete)
		return 0;
	r = store_hold(s, HOLD_LAYERS_W, &hold, err);
	store_release(&hold);
	return r;
}

static int open_store(
	struct imbrex_store *s, const struct imbrex_store_opts *opts, struct imbrex_error *err)
{
	struct storage_config_request request;
	struct store_hold hold = HOLD_NONE;
	struct rootless_facts facts;
	int r;

	rootless_facts_read(&facts);
	s->rootless = facts.rootless;
	s->single_id = facts.rootless && facts.n_ids <= 1;
	storage_config_request_from(opts, &request);
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
	return r == 0 && opts->recover ? recover(s, err) : r;
}

PUBLIC int imbrex_store_open(
	const struct imbrex_store_opts *opts, struct imbrex_store **ret, struct imbrex_error *err)
{
	static const struct imbrex_store_opts none = { 0 };
	struct imbrex_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return fail_nomem(err);
	(void)pthread_mutex_init(&s->reading, NULL);
	(void)pthread_mutex_init(&s->reading_layer, NULL);
	s->graphfd = -EBADF;
	s->runfd = -EBADF;
	s->imagefd = -EBADF;
	s->graph_lock.fd = -EBADF;
	s->mounts_lock.fd = -EBADF;
	store_table_init(&s->layers, &layer_records, "layers.json", "volatile-layers.json");
	store_table_init(&s->images, &image_records, "images.json", NULL);
	store_table_init(
		&s->containers, &container_records, "containers.json", "volatile-containers.json");
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
	store_mounts_forget(s);
	free(s->damage);
	store_additional_close(s);
	store_table_close(&s->containers);
	store_table_close(&s->images);
	store_table_close(&s->layers);
	file_lock_done(&s->mounts_lock);
	file_lock_done(&s->graph_lock);
	driver_close(s->driver);
	free(s->run_layers_dir);
	s->runfd = close_fd(s->runfd);
	s->imagefd = close_fd(s->imagefd);
	s->graphfd = close_fd(s->graphfd);
	storage_config_done(&s->config);
	(void)pthread_mutex_destroy(&s->reading_layer);
	(void)pthread_mutex_destroy(&s->reading);
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

PUBLIC const char *imbrex_store_damage(struct imbrex_store *s)
{
	const struct store_table *const tables[] = { &s->layers, &s->images, &s->containers };
	const struct table_damage *damage;
	const char *file;
	size_t i;

	for (i = 0; i < ARRAY_LEN(tables); i++) {
		damage = table_damage(tables[i], &file);
		if (!damage)
			continue;
		free(s->damage);
		s->damage = format_text("%s/%s: %s", tables[i]->dir, file, damage->why);
		return s->damage;
	}
	return NULL;
}

PUBLIC bool imbrex_store_mounts_last(const struct imbrex_store *s)
{
	return s->driver->ops->in_place;
}

PUBLIC const char *imbrex_store_driver(const struct imbrex_store *s)
{
	return s->driver->ops->name;
}
