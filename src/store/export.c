/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer does to another one: as changes, as a number, as a tar stream.
 *
 * Records are looked at under the lock, bytes are read under none: so a layer may go while it is
 * read. Whether it did is looked at again afterwards, because its files go one by one.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "format/tar/writer.h"
#include "store/content.h"
#include "store/layer.h"
#include "store/maps.h"
#include "stream/compress.h"
#include "stream/detect.h"
#include "stream/fdsink.h"
#include "stream/queue.h"

/* Of STREAM_BLOCK_BYTES, between reading and compressing. */
#define QUEUE_BLOCKS 4
/* What gzip(1) and peers do without being told. */
#define GZIP_LEVEL 6
/* Any number above one gives the same bytes, see compress.h. */
#define ZSTD_THREADS 2

/* One layer of a question. */
struct side {
	char *id;      /* owned; NULL: nothing */
	char *created; /* owned; tells it from a later layer of the same id */
	struct id_maps_copy maps;
};

struct question {
	struct side of, from;
	bool from_parent;
	enum compression compression; /* as the layer came */
	int split;                    /* owned; its tar-split file; -EBADF: none, or of no use */
};
#define QUESTION_INIT            \
	{                        \
		.split = -EBADF, \
	}

static void side_done(struct side *side)
{
	free(side->id);
	free(side->created);
	id_maps_copy_done(&side->maps);
}

static void question_done(struct question *q)
{
	side_done(&q->of);
	side_done(&q->from);
	(void)close_fd(q->split);
}
#define AUTO_QUESTION __attribute__((cleanup(question_done))) struct question

/* A layer, or that of a container. */
static int find_layer(
	struct imbrex_store *s, const char *name, struct found *ret, struct imbrex_error *err)
{
	struct imbrex_error ignored;
	struct json_span layer;
	struct found c;
	int r;

	r = store_find(s, &layer_records, name, ret, err);
	if (r != IMBREX_ENOENT || store_find(s, &container_records, name, &c, &ignored) < 0)
		return r;
	layer = record_plain(found_record(&c), CONTAINER_LAYER);
	return store_get(s, &layer_records, layer.at, layer.len, ret) ? 0 : r;
}

static int side_set(struct side *side, const struct found *f, struct imbrex_error *err)
{
	const struct record *rec = found_record(f);

	side->id = record_text(rec, LAYER_ID);
	side->created = record_text(rec, LAYER_CREATED);
	if (!side->id || !side->created || maps_of_layer(rec, &side->maps) < 0)
		return fail_nomem(err);
	if (record_flag(rec, LAYER_FLAGS, "incomplete"))
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer %s is incomplete: whoever makes it is not done", side->id);
	return 0;
}

/* What there is to know, under the lock. `from` NULL or "": the parent. */
static int ask(struct imbrex_store *s, const char *of, const char *from, struct question *q,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found layer, parent, other;
	struct imbrex_error ignored;
	bool has_parent;
	int r;

	r = store_hold(s, HOLD_LAYERS | HOLD_CONTAINERS, &hold, err);
	if (r == 0)
		r = find_layer(s, of, &layer, err);
	if (r == 0)
		r = side_set(&q->of, &layer, err);
	if (r < 0)
		return r;
	q->compression = (enum compression)record_int(
		found_record(&layer), LAYER_COMPRESSION, COMPRESSION_NONE);
	has_parent = layer_parent(s, &layer, &parent);
	if (!has_parent && record_plain(found_record(&layer), LAYER_PARENT).len)
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"the parent of layer %s is not in the store", q->of.id);
	if (from && *from) {
		r = find_layer(s, from, &other, err);
		if (r == 0)
			r = side_set(&q->from, &other, err);
	} else if (has_parent) {
		r = side_set(&q->from, &parent, err);
	}
	if (r < 0)
		return r;
	q->from_parent = q->from.id ? record_is(found_record(&layer), LAYER_PARENT, q->from.id)
				    : !has_parent;
	if (q->from_parent)
		q->split = layer_split_open(layer.t, q->of.id, &ignored);
	return 0;
}

static int side_check(struct imbrex_store *s, const struct side *side, struct imbrex_error *err)
{
	struct found f;

	if (!side->id || (store_get(s, &layer_records, side->id, strlen(side->id), &f) &&
				 record_is(found_record(&f), LAYER_CREATED, side->created)))
		return 0;
	return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
		"layer %s was removed while it was read", side->id);
}

/* Were all layers of the question there to the end? No layer goes before those that stand on it. */
static int check_still_there(
	struct imbrex_store *s, const struct question *q, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r == 0)
		r = side_check(s, &q->of, err);
	return r < 0 ? r : side_check(s, &q->from, err);
}

/* ---- changes ----------------------------------------------------------------------------- */

struct collected {
	struct imbrex_change *items; /* owned */
	size_t n, cap;
};

PUBLIC void imbrex_changes_free(struct imbrex_change *changes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(changes[i].path);
	free(changes);
}

static int collect(void *ctx, const struct driver_change *change, struct imbrex_error *err)
{
	static const enum imbrex_change_kind kinds[] = {
		[CHANGE_MODIFY] = IMBREX_CHANGE_MODIFY,
		[CHANGE_ADD] = IMBREX_CHANGE_ADD,
		[CHANGE_DELETE] = IMBREX_CHANGE_DELETE,
	};
	struct collected *c = ctx;

	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		struct imbrex_change *items = reallocarray(c->items, cap, sizeof(*items));

		if (!items)
			return fail_nomem(err);
		c->items = items;
		c->cap = cap;
	}
	c->items[c->n].kind = kinds[change->kind];
	c->items[c->n].path = format_text("/%s", change->path);
	return c->items[c->n++].path ? 0 : fail_nomem(err);
}

PUBLIC int imbrex_layer_changes(struct imbrex_store *s, const char *layer, const char *from,
	struct imbrex_change **ret, size_t *ret_n, struct imbrex_error *err)
{
	AUTO_QUESTION q = QUESTION_INIT;
	struct collected c = { NULL, 0, 0 };
	int r;

	r = ask(s, layer, from, &q, err);
	if (r == 0)
		r = s->driver->ops->changes(s->driver, q.of.id, &q.of.maps.maps, q.from.id,
			&q.from.maps.maps, collect, &c, err);
	if (r == 0)
		r = check_still_there(s, &q, err);
	if (r < 0) {
		imbrex_changes_free(c.items, c.n);
		return r;
	}
	*ret = c.items;
	*ret_n = c.n;
	return 0;
}

PUBLIC int imbrex_layer_diff_size(struct imbrex_store *s, const char *layer, const char *from,
	int64_t *ret, struct imbrex_error *err)
{
	AUTO_QUESTION q = QUESTION_INIT;
	int64_t size;
	int r;

	r = ask(s, layer, from, &q, err);
	if (r == 0)
		r = s->driver->ops->diff_size(s->driver, q.of.id, q.from.id, &size, err);
	if (r == 0)
		r = check_still_there(s, &q, err);
	if (r == 0)
		*ret = size;
	return r;
}

/* ---- a tar stream ------------------------------------------------------------------------ */

/* Takes `next` on success. */
static int pack_sink_new(
	enum compression how, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	if (how == COMPRESSION_GZIP)
		return gzip_sink_new(GZIP_LEVEL, next, ret, err);
	if (how == COMPRESSION_ZSTD)
		return zstd_compress_sink_new(0, ZSTD_THREADS, next, ret, err);
	return fail(err, IMBREX_ENOTSUP, "imbrex does not write %s, only gzip and zstd",
		compression_name(how));
}

/* A chain that ends in a duplicate of `fd`, which stays the caller's. */
static int output_new(int fd, enum compression how, struct sink **ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *file = NULL;
	AUTO_SINK struct sink *packed = NULL;
	AUTO_CLOSE int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int r;

	if (copy < 0)
		return fail_errno(err, "open the output again");
	r = fd_sink_new(copy, &file, err);
	if (r < 0)
		return r;
	copy = -EBADF;
	if (how == COMPRESSION_NONE) {
		*ret = take_ptr(file);
		return 0;
	}
	r = pack_sink_new(how, file, &packed, err);
	if (r < 0)
		return r;
	file = NULL;
	r = queue_sink_new(QUEUE_BLOCKS, packed, ret, err);
	if (r == 0)
		packed = NULL;
	return r;
}

static int write_entries(
	struct imbrex_store *s, const struct question *q, struct sink *to, struct imbrex_error *err)
{
	AUTO_SINK struct sink *out = to;
	AUTO_ENTRY_SINK struct entry_sink *tar = NULL;
	int r;

	r = tar_writer_new(out, NULL, &tar, err);
	if (r < 0)
		return r;
	out = NULL;
	return s->driver->ops->diff(
		s->driver, q->of.id, &q->of.maps.maps, q->from.id, &q->from.maps.maps, tar, err);
}

PUBLIC int imbrex_layer_diff(struct imbrex_store *s, const char *layer, const char *from,
	enum imbrex_compression compression, int fd, struct imbrex_error *err)
{
	AUTO_QUESTION q = QUESTION_INIT;
	struct sink *out;
	int r;

	r = ask(s, layer, from, &q, err);
	if (r < 0)
		return r;
	if (compression != IMBREX_COMPRESSION_RECORDED)
		q.compression = (enum compression)compression;
	r = output_new(fd, q.compression, &out, err);
	if (r == 0)
		r = q.split >= 0 ? layer_assemble_split(s, q.of.id, q.split, out, err)
				 : write_entries(s, &q, out, err);
	if (r < 0)
		return r;
	return check_still_there(s, &q, err);
}
