/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of different layers that hold the same bytes come to share their blocks.
 *
 * Candidates are files of one size, and of one hash where the method has one. Whether two are equal
 * in truth the kernel decides: it compares them and shares their blocks while nobody can write to
 * either (FIDEDUPERANGE). So nothing of a layer changes, no lock is held, and a layer that is in
 * use, or goes meanwhile, does no harm.
 *
 * Source: ioctl_fideduperange(2).
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/strv.h"
#include "driver/pathset.h"
#include "driver/treewalk.h"
#include "format/tarsplit/crc64.h"
#include "imbrex/imbrex.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "store/store.h"
#include "stream/digest.h"

/* What btrfs takes in one call at most. */
#define RANGE_BYTES (16u * 1024u * 1024u)
/* Different contents of one size and hash to try a file against. Each costs one look of the kernel
 * at their first blocks; only the method without a hash ever meets more than one. */
#define ORIGINALS_MAX 64

struct candidate {
	uint64_t size_bytes;
	struct hash_value hash; /* of all its bytes; zero: not needed */
	size_t layer;           /* index in `layers` */
	char *path;             /* owned; in the layer's tree */
};

struct dedup {
	struct imbrex_store *s;
	enum imbrex_dedup_method method;
	struct strv layers;      /* ids */
	struct candidate *files; /* owned */
	size_t n, cap;
	struct pathset *seen; /* owned; inodes */
	char *buf;            /* owned; STREAM_BLOCK_BYTES */
	int64_t bytes;
};

static void dedup_done(struct dedup *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		free(d->files[i].path);
	free(d->files);
	strv_done(&d->layers);
	pathset_free(d->seen);
	free(d->buf);
}
#define AUTO_DEDUP __attribute__((cleanup(dedup_done))) struct dedup

/* ---- candidates -------------------------------------------------------------------------- */

static int list_layers(struct dedup *d, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	bool more;
	int r;

	r = store_hold(d->s, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	for (more = store_first(d->s, &layer_records, &f); more; more = store_next(d->s, &f)) {
		if (f.read_only || record_flag(found_record(&f), LAYER_FLAGS, "incomplete"))
			continue;
		if (strv_take(&d->layers, record_text(found_record(&f), LAYER_ID)) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* An inode with several names is looked at once. */
static int add_file(
	struct dedup *d, size_t layer, const struct tree_item *item, struct imbrex_error *err)
{
	const uint64_t key[2] = { item->st.st_dev, item->st.st_ino };
	struct candidate *files = d->files;
	size_t cap = d->cap ? d->cap * 2 : 1024;

	if (!S_ISREG(item->st.st_mode) || !item->st.st_size ||
		pathset_has(d->seen, key, sizeof(key)))
		return 0;
	if (pathset_add(d->seen, key, sizeof(key)) < 0)
		return fail_nomem(err);
	if (d->n == d->cap) {
		files = reallocarray(d->files, cap, sizeof(*files));
		if (!files)
			return fail_nomem(err);
		d->files = files;
		d->cap = cap;
	}
	files[d->n] = (struct candidate){
		.size_bytes = (uint64_t)item->st.st_size, .layer = layer, .path = strdup(item->path)
	};
	return files[d->n++].path ? 0 : fail_nomem(err);
}

static int open_tree(struct dedup *d, size_t layer, struct imbrex_error *err)
{
	int fd, r;

	r = d->s->driver->ops->open_tree(d->s->driver, d->layers.items[layer], &fd, err);
	return r < 0 ? r : fd;
}

static int add_layer(struct dedup *d, size_t layer, struct imbrex_error *err)
{
	AUTO_CLOSE int tree = open_tree(d, layer, err);
	AUTO_TREE_WALK *w = NULL;
	struct tree_item item;
	int r;

	if (tree < 0)
		return tree == IMBREX_ENOENT ? 0 : tree;
	r = tree_walk_new(tree, &w, err);
	if (r < 0)
		return r;
	while ((r = tree_walk_next(w, &item, err)) > 0) {
		r = add_file(d, layer, &item, err);
		if (r < 0)
			return r;
	}
	return r;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->size_bytes > y->size_bytes) - (x->size_bytes < y->size_bytes);
}

static int compare_hashes(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return memcmp(x->hash.bytes, y->hash.bytes, sizeof(x->hash.bytes));
}

/* ---- hashes ------------------------------------------------------------------------------ */

/* fd, or -ENOENT for what has vanished or is not what it was. */
static int open_file(struct dedup *d, const struct candidate *c)
{
	struct imbrex_error ignored;
	AUTO_CLOSE int tree = open_tree(d, c->layer, &ignored);
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;

	if (tree < 0)
		return -ENOENT;
	fd = open_beneath(
		tree, c->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, BENEATH_NO_SYMLINKS);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		(uint64_t)st.st_size != c->size_bytes)
		return -ENOENT;
	return take_fd(fd);
}

static int hash_sha256(struct dedup *d, int fd, struct candidate *c, struct imbrex_error *err)
{
	AUTO_HASHER *h = NULL;
	size_t len;
	int r;

	r = hasher_new(HASH_SHA256, &h, err);
	do {
		if (r == 0 && read_all(fd, d->buf, STREAM_BLOCK_BYTES, &len) < 0)
			return fail(err, IMBREX_EIO, "layer %s: read '%s'",
				d->layers.items[c->layer], c->path);
		if (r == 0)
			r = hasher_update(h, d->buf, len, err);
	} while (r == 0 && len == STREAM_BLOCK_BYTES);
	return r < 0 ? r : hasher_final(h, &c->hash, err);
}

static int hash_crc(struct dedup *d, int fd, struct candidate *c, struct imbrex_error *err)
{
	uint64_t crc = 0;
	size_t len;

	do {
		if (read_all(fd, d->buf, STREAM_BLOCK_BYTES, &len) < 0)
			return fail(err, IMBREX_EIO, "layer %s: read '%s'",
				d->layers.items[c->layer], c->path);
		crc = crc64_iso(crc, d->buf, len);
	} while (len == STREAM_BLOCK_BYTES);
	memcpy(c->hash.bytes, &crc, sizeof(crc));
	return 0;
}

/* What cannot be read any more has the hash of nothing else, and no blocks to share. */
static int hash_group(struct dedup *d, struct candidate *c, size_t n, struct imbrex_error *err)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++) {
		AUTO_CLOSE int fd = open_file(d, &c[i]);

		if (fd >= 0)
			r = d->method == IMBREX_DEDUP_SHA256 ? hash_sha256(d, fd, &c[i], err)
							     : hash_crc(d, fd, &c[i], err);
	}
	if (r == 0)
		qsort(c, n, sizeof(*c), compare_hashes);
	return r;
}

/* ---- sharing ----------------------------------------------------------------------------- */

/* Bytes shared; 0 if the contents differ; -errno. */
static int64_t share(int from, int to, uint64_t size)
{
	AUTO_FREE struct file_dedupe_range *ask = calloc(1, sizeof(*ask) + sizeof(ask->info[0]));
	uint64_t at = 0;

	if (!ask)
		return -ENOMEM;
	while (at < size) {
		*ask = (struct file_dedupe_range){
			.src_offset = at, .src_length = MIN(size - at, RANGE_BYTES), .dest_count = 1
		};
		ask->info[0] = (struct file_dedupe_range_info){ .dest_fd = to, .dest_offset = at };
		if (ioctl(from, FIDEDUPERANGE, ask) < 0)
			return -errno;
		if (ask->info[0].status < 0)
			return ask->info[0].status;
		if (ask->info[0].status == FILE_DEDUPE_RANGE_DIFFERS || !ask->info[0].bytes_deduped)
			break;
		at += ask->info[0].bytes_deduped;
	}
	return (int64_t)at;
}

/*
 * Share the file (taken) with the first original that it equals; else it is one itself. Files that
 * cannot be shared for reasons of their own stay as they are: marked as not to be shared, on other
 * file systems.
 */
static int share_one(struct dedup *d, int *originals, size_t *n, int file, uint64_t size,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = file;
	int64_t shared = 0;
	size_t i;

	for (i = 0; shared == 0 && i < *n; i++) {
		shared = share(originals[i], fd, size);
		if (shared == -EOPNOTSUPP || shared == -ENOTTY)
			return fail(err, IMBREX_ENOTSUP,
				"the file system of '%s' cannot share blocks between files",
				d->s->config.graphroot);
	}
	if (shared > 0)
		d->bytes += shared;
	else if (shared == 0 && *n < ORIGINALS_MAX)
		originals[(*n)++] = take_fd(fd);
	return 0;
}

/* Files of one size and hash. */
static int share_group(struct dedup *d, struct candidate *c, size_t n, struct imbrex_error *err)
{
	int originals[ORIGINALS_MAX];
	size_t i, n_originals = 0;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++) {
		int fd = open_file(d, &c[i]);

		if (fd >= 0)
			r = share_one(d, originals, &n_originals, fd, c[i].size_bytes, err);
	}
	while (n_originals)
		(void)close_fd(originals[--n_originals]);
	return r;
}

static int share_hashes(struct dedup *d, struct candidate *c, size_t n, struct imbrex_error *err)
{
	size_t i, end;
	int r;

	r = d->method == IMBREX_DEDUP_SIZE ? 0 : hash_group(d, c, n, err);
	for (i = 0; r == 0 && i < n; i = end) {
		end = i + 1;
		while (end < n && compare_hashes(&c[i], &c[end]) == 0)
			end++;
		if (end - i > 1)
			r = share_group(d, c + i, end - i, err);
	}
	return r;
}

static int share_sizes(struct dedup *d, struct imbrex_error *err)
{
	size_t i, end;
	int r = 0;

	if (d->n > 1)
		qsort(d->files, d->n, sizeof(*d->files), compare_sizes);
	for (i = 0; r == 0 && i < d->n; i = end) {
		end = i + 1;
		while (end < d->n && d->files[i].size_bytes == d->files[end].size_bytes)
			end++;
		if (end - i > 1)
			r = share_hashes(d, d->files + i, end - i, err);
	}
	return r;
}

PUBLIC int imbrex_dedup(struct imbrex_store *s, enum imbrex_dedup_method method, int64_t *ret_bytes,
	struct imbrex_error *err)
{
	AUTO_DEDUP d = { .s = s, .method = method };
	size_t i;
	int r;

	if (s->read_only)
		return store_fail_read_only(s, err);
	d.seen = pathset_new();
	d.buf = malloc(STREAM_BLOCK_BYTES);
	if (!d.seen || !d.buf)
		return fail_nomem(err);
	r = list_layers(&d, err);
	for (i = 0; r == 0 && i < d.layers.n; i++)
		r = add_layer(&d, i, err);
	if (r == 0)
		r = share_sizes(&d, err);
	if (r == 0)
		*ret_bytes = d.bytes;
	return r;
}
