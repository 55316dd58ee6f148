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
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/str.h"
#include "json/write.h"
#include "os/beneath.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/garbage.h"
#include "store/layer.h"

/* Longer than any pull takes. */
#define ORPHAN_LAYER_AGE_SEC (24 * 60 * 60)
#define PARTIAL_BLOB_AGE_SEC (7 * 24 * 60 * 60)
#define PARTIAL_DIR          "imbrex/partial"

/* The status of a strv_add, said in err. */
static int added(int r, struct imbrex_error *err)
{
	return r < 0 ? fail_nomem(err) : 0;
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

/* Directories that feature probes of a killed process left beside the layers. */
static bool is_probe(const char *name)
{
	return str_after(name, "compat") || str_after(name, "opaque-bug-check") ||
	       str_after(name, "metacopy-check") || str_after(name, "volatile-check");
}

static int driver_orphans(
	struct imbrex_store *s, bool collect, struct strv *ret, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	size_t i;
	int r;

	r = s->driver->ops->list(s->driver, &names, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		const char *name = names.items[i];

		if (table_find_id(&s->layers.t, name, strlen(name)) >= 0 ||
			!(id_is_valid(name) || is_probe(name)))
			continue;
		if (collect)
			r = store_trash_layer(s, name, err);
		if (r == 0)
			r = added(strv_addf(ret, "directory %s/%s: no layer record names it",
					  s->driver->ops->name, name),
				err);
	}
	return r;
}

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

static int table_orphans(struct imbrex_store *s, struct store_table *t, bool collect,
	struct strv *ret, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	char id[ID_HEX_LEN + 1];
	size_t i;
	int r;

	r = list_names(t->dirfd, ".", &names, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		const char *name = names.items[i];
		bool leftover = str_after(name, ".tmp-") != NULL;

		/* Temporary files of atomic writes: whoever makes them holds this table. */
		if (!leftover &&
			!(owner_of(t, name, id) && table_find_id(&t->t, id, ID_HEX_LEN) < 0))
			continue;
		if (collect)
			r = store_trash_dir(s, t, name, err);
		if (r == 0)
			r = added(strv_addf(ret, "%s %s/%s: %s", leftover ? "file" : "entry",
					  t->dir, name,
					  leftover ? "left by a writer that died"
						   : "no record names it"),
				err);
	}
	return r;
}

static bool is_old(const struct timespec *t, int64_t age_sec)
{
	struct timespec now;

	now_realtime(&now);
	return now.tv_sec - t->tv_sec > age_sec;
}

/* A layer without image, container, name or child, for a day: of a pull, a creation or a removal
 * that was cut short. */
static bool is_abandoned(struct imbrex_store *s, const struct record *rec, const char *id)
{
	struct json_span created = record_plain(rec, LAYER_CREATED);
	struct timespec when;

	return !record_raw(rec, LAYER_NAMES).len &&
	       json_time_parse(created.at, created.len, &when) == 0 &&
	       is_old(&when, ORPHAN_LAYER_AGE_SEC) && !layer_has_children(s, id) &&
	       !layer_is_used(s, id) && !store_mount_find(s, id);
}

static int abandoned_layers(
	struct imbrex_store *s, bool collect, struct strv *ret, struct imbrex_error *err)
{
	struct table *t = &s->layers.t;
	bool found;
	ptrdiff_t i;
	int r = 0;

	do {
		found = false;
		for (i = table_prev(t, (ptrdiff_t)table_slots(t)); r == 0 && i >= 0;
			i = table_prev(t, i)) {
			AUTO_FREE char *id = record_text(table_at(t, (size_t)i), LAYER_ID);

			if (!id)
				return fail_nomem(err);
			if (!is_abandoned(s, table_at(t, (size_t)i), id))
				continue;
			r = added(
				strv_addf(ret, "layer %s: no image needs it and no container", id),
				err);
			if (r == 0 && collect) {
				r = layer_drop(s, id, err);
				found = true;
			}
		}
	} while (r == 0 && found); /* parents of what was dropped */
	return r;
}

static int partial_blobs(
	struct imbrex_store *s, bool collect, struct strv *ret, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	AUTO_CLOSE int dirfd =
		openat(s->graphfd, PARTIAL_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	size_t i;
	int r;

	if (dirfd < 0)
		return 0;
	r = list_names(dirfd, ".", &names, err);
	for (i = 0; r == 0 && i < names.n; i++) {
		if (fstatat(dirfd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode) || !is_old(&st.st_mtim, PARTIAL_BLOB_AGE_SEC))
			continue;
		if (collect && unlinkat(dirfd, names.items[i], 0) < 0 && errno != ENOENT)
			return fail_errno(err, "remove '" PARTIAL_DIR "/%s'", names.items[i]);
		r = added(strv_addf(ret,
				  "file " PARTIAL_DIR "/%s: part of a download "
				  "that nobody went on with for a week",
				  names.items[i]),
			err);
	}
	return r;
}

/* Dead writers' temporary directories; those of live ones are locked. */
static int dead_tempdirs(
	struct imbrex_store *s, bool collect, struct strv *ret, struct imbrex_error *err)
{
	AUTO_FREE char *layers_tmp = format_text("%s/tmp", s->layers.dir);
	char driver_root[NAME_MAX];
	const char *roots[2] = { driver_root, layers_tmp };
	AUTO_STRV before = { 0 };
	AUTO_STRV after = { 0 };
	size_t i;
	size_t k;
	int r = 0;

	if (!layers_tmp)
		return fail_nomem(err);
	driver_temp_root(s->driver, driver_root, sizeof(driver_root));
	for (i = 0; r == 0 && collect && i < ARRAY_LEN(roots); i++) {
		strv_done(&before);
		strv_done(&after);
		r = list_names(s->graphfd, roots[i], &before, err);
		if (r == 0)
			r = tempdir_recover(s->graphfd, roots[i], err);
		if (r == 0)
			r = list_names(s->graphfd, roots[i], &after, err);
		for (k = 0; r == 0 && k < before.n; k++) {
			if (str_after(before.items[k], "temp-dir-") &&
				!strv_has(&after, before.items[k]))
				r = added(strv_addf(ret,
						  "directory %s/%s: its owner "
						  "died",
						  roots[i], before.items[k]),
					err);
		}
	}
	return r;
}

int garbage_find(struct imbrex_store *s, bool collect, struct strv *ret, struct imbrex_error *err)
{
	int r;

	r = store_mounts_load(s, err);
	if (r == 0)
		r = dead_tempdirs(s, collect, ret, err);
	if (r == 0)
		r = abandoned_layers(s, collect, ret, err);
	if (r == 0 && collect)
		r = store_save(s, &s->layers, err);
	if (r == 0)
		r = driver_orphans(s, collect, ret, err);
	if (r == 0)
		r = table_orphans(s, &s->layers, collect, ret, err);
	if (r == 0)
		r = table_orphans(s, &s->images, collect, ret, err);
	if (r == 0)
		r = table_orphans(s, &s->containers, collect, ret, err);
	return r < 0 ? r : partial_blobs(s, collect, ret, err);
}

PUBLIC int imbrex_gc(struct imbrex_store *s, bool dry_run, char ***ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV lines = { 0 };
	char **taken;
	int r;

	r = store_hold(s, dry_run ? HOLD_READ_ALL : HOLD_WRITE_ALL, &hold, err);
	if (r == 0)
		r = garbage_find(s, !dry_run, &lines, err);
	if (r < 0)
		return r;
	taken = strings_take(&lines);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}
