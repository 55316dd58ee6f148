/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoints.json: which layers are mounted where and how often, shared by all processes until the
 * next boot. The caller holds layers, exclusively to change anything.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "json/write.h"
#include "os/atomic.h"
#include "os/fd.h"
#include "store/tables.h"

void store_mounts_forget(struct imbrex_store *s)
{
	size_t i;

	for (i = 0; i < s->n_mounts; i++) {
		free(s->mounts[i].id);
		free(s->mounts[i].path);
	}
	free(s->mounts);
	s->mounts = NULL;
	s->n_mounts = 0;
	map_free(take_ptr(s->mounts_by_id));
}

static int add_mount(struct imbrex_store *s, char *id, char *path, int count)
{
	AUTO_FREE char *owned_id = id;
	AUTO_FREE char *owned_path = path;
	struct mount_record *mounts;

	if (!id || !path)
		return -ENOMEM;
	/* Room doubles whenever the number is a power of two. */
	if (!(s->n_mounts & (s->n_mounts - 1))) {
		mounts = reallocarray(s->mounts, s->n_mounts * 2 + 1, sizeof(*mounts));
		if (!mounts)
			return -ENOMEM;
		s->mounts = mounts;
	}
	/* Of two entries of one layer the first counts. */
	if (s->mounts_by_id && map_add(s->mounts_by_id, id, strlen(id),
				       (void *)(uintptr_t)(s->n_mounts + 1)) == -ENOMEM)
		return -ENOMEM;
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
	store_mounts_forget(s);
	if (s->runfd < 0)
		return 0;
	r = read_file_at(s->runfd, file, LIMIT_RECORDS_BYTES, &text, err);
	if (r == IMBREX_ENOENT || (r == 0 && !text.len))
		return 0;
	if (r < 0)
		return r;
	s->mounts_by_id = map_new();
	if (!s->mounts_by_id)
		return fail_nomem(err);
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
	void *found;
	size_t i;

	if (s->mounts_by_id) {
		if (!map_get(s->mounts_by_id, id, strlen(id), &found))
			return NULL;
		return &s->mounts[(uintptr_t)found - 1];
	}
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
		map_free(take_ptr(s->mounts_by_id)); /* places have changed */
	} else if (r == 0 && count > 0) {
		if (add_mount(s, take_ptr(own_id), take_ptr(own_path), count) < 0)
			r = fail_nomem(err);
	}
	if (r == 0)
		r = save_mounts(s, err);
	file_lock_release(&s->mounts_lock);
	return r;
}
