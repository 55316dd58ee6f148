/* SPDX-License-Identifier: Apache-2.0 */
/* Files of other layers; see the header. */
#include "store/substitute.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "driver/content.h"
#include "format/tarsplit/crc64.h"
#include "format/tarsplit/reader.h"
#include "os/fd.h"
#include "store/content.h"
#include "stream/gzip.h"
#include "stream/pump.h"

/* More are a lost disk, not damaged files. */
#define SUBSTITUTES_MAX 256

struct search {
	struct substitutes *subs;
	const struct strv *names; /* of damaged files; while the own tar-split is read */
	int rootfd;               /* of the layer that is looked at */
	char *buf;                /* owned; STREAM_BLOCK_BYTES */
};

void substitutes_done(struct substitutes *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		free(s->items[i].name);
		(void)close_fd(s->items[i].fd);
	}
	free(s->items);
	*s = (struct substitutes){ 0 };
}

static int read_lines(int split, const struct tarsplit_events *events)
{
	AUTO_SINK struct sink *lines = NULL;
	AUTO_SINK struct sink *chain = NULL;

	if (tarsplit_reader_new(events, &lines, NULL) < 0 ||
		gunzip_sink_new(lines, &chain, NULL) < 0)
		return -ENOMEM;
	lines = NULL;
	if (pump_fd(split, chain, UINT64_MAX, NULL) < 0)
		return 0; /* what was read before is good */
	(void)!sink_finish(chain, NULL);
	return 0;
}

/* The own tar-split file: what the damaged files ought to be. */
static int note_wanted(void *ctx, const struct tarsplit_file *file, struct imbrex_error *err)
{
	struct search *s = ctx;
	struct substitute *items;

	if (!strv_has(s->names, file->name))
		return 0;
	items = reallocarray(s->subs->items, s->subs->n + 1, sizeof(*items));
	if (!items)
		return fail_nomem(err);
	s->subs->items = items;
	items[s->subs->n] = (struct substitute){ .name = strdup(file->name),
		.size_bytes = file->size_bytes,
		.crc = file->crc,
		.fd = -EBADF };
	return items[s->subs->n++].name ? 0 : fail_nomem(err);
}

/* Is this file of the other layer what is wanted? */
static void try_file(struct search *s, struct substitute *want, const char *name, size_t name_len)
{
	AUTO_CLOSE int fd = -EBADF;
	uint64_t crc = 0, left = want->size_bytes;
	struct stat st;
	size_t n;

	if (want->fd >= 0)
		return;
	fd = content_open(s->rootfd, name, name_len);
	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size != want->size_bytes)
		return;
	while (left) {
		if (read_all(fd, s->buf, (size_t)MIN(left, (uint64_t)STREAM_BLOCK_BYTES), &n) < 0 ||
			!n)
			return;
		crc = crc64_iso(crc, s->buf, n);
		left -= n;
	}
	if (crc == want->crc)
		want->fd = take_fd(fd);
}

static int try_line(void *ctx, const struct tarsplit_file *file, struct imbrex_error *err)
{
	struct search *s = ctx;
	size_t i;

	for (i = 0; file->size_bytes && i < s->subs->n; i++) {
		struct substitute *want = &s->subs->items[i];

		if (want->size_bytes == file->size_bytes && want->crc == file->crc)
			try_file(s, want, file->name, file->name_len);
	}
	return 0;
}

static bool all_found(const struct substitutes *subs)
{
	size_t i;

	for (i = 0; i < subs->n; i++) {
		if (subs->items[i].fd < 0)
			return false;
	}
	return true;
}

static int search_layer(struct imbrex_store *store, struct search *s, const char *id)
{
	const struct tarsplit_events events = { .ctx = s, .file = try_line };
	AUTO_CLOSE int split = layer_split_open(&store->layers, id, NULL);
	struct driver *d = store->driver;
	struct driver_tree tree;
	size_t i;
	int r = 0;

	if (d->ops->tree_open(d, id, &tree, NULL) < 0)
		return 0;
	s->rootfd = tree.fd;
	for (i = 0; i < s->subs->n; i++)
		try_file(s, &s->subs->items[i], s->subs->items[i].name,
			strlen(s->subs->items[i].name));
	if (split >= 0 && !all_found(s->subs))
		r = read_lines(split, &events);
	d->ops->tree_close(d, &tree);
	return r;
}

static int list_layers(struct imbrex_store *s, struct strv *ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	bool more;
	int r;

	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	for (more = store_first(s, &layer_records, &f); more; more = store_next(s, &f)) {
		AUTO_FREE char *id = record_text(found_record(&f), LAYER_ID);

		if (!id || strv_add(ret, id) < 0)
			return fail_nomem(err);
	}
	return 0;
}

static int search_layers(
	struct imbrex_store *store, struct search *s, const char *id, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };
	size_t i;
	int r;

	r = list_layers(store, &ids, err);
	for (i = 0; r == 0 && i < ids.n && !all_found(s->subs); i++) {
		if (!str_eq(ids.items[i], id) && search_layer(store, s, ids.items[i]) < 0)
			r = fail_nomem(err);
	}
	return r;
}

int substitutes_find(struct imbrex_store *store, const char *id, const struct reread *read,
	struct substitutes *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int split = layer_split_open(&store->layers, id, NULL);
	AUTO_FREE char *buf = malloc(STREAM_BLOCK_BYTES);
	AUTO_STRV names = { 0 };
	struct search s = { .subs = ret, .names = &names, .buf = buf };
	const struct tarsplit_events events = { .ctx = &s, .file = note_wanted };
	int r;

	if (!buf || strv_copy(&names, &read->damaged) < 0)
		return fail_nomem(err);
	while (names.n < read->damaged.n + read->missing.n) {
		if (strv_add(&names, read->missing.items[names.n - read->damaged.n]) < 0)
			return fail_nomem(err);
	}
	if (!names.n)
		return 1;
	if (names.n > SUBSTITUTES_MAX || split < 0)
		return 0;
	if (read_lines(split, &events) < 0)
		return fail_nomem(err);
	r = search_layers(store, &s, id, err);
	return r < 0 ? r : all_found(ret) && ret->n == names.n;
}

int substitutes_open(const struct substitutes *s, int rootfd, const char *name, size_t name_len,
	struct imbrex_error *err)
{
	char path[FD_PATH_BYTES];
	size_t i;
	int fd;

	for (i = 0; i < s->n; i++) {
		if (!str_eq(s->items[i].name, name))
			continue;
		fd_path(s->items[i].fd, path);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? fail_errno(err, "open a copy of '%.256s'", name) : fd;
	}
	fd = content_open(rootfd, name, name_len);
	return fd < 0 ? fail_code(err, fd, "open '%.256s'", name) : fd;
}

int substitutes_assemble(
	int split, tarsplit_open_fn open, void *ctx, struct sink *to, struct imbrex_error *err)
{
	AUTO_SINK struct sink *end = to;
	AUTO_SINK struct sink *lines = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = tarsplit_assemble_sink_new(open, ctx, end, &lines, err);
	if (r < 0)
		return r;
	end = NULL;
	r = gunzip_sink_new(lines, &chain, err);
	if (r < 0)
		return r;
	lines = NULL;
	r = pump_fd(split, chain, UINT64_MAX, err);
	return r < 0 ? r : sink_finish(chain, err);
}
