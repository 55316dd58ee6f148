/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an image to entries: one directory after the other, each listed whole before those in it.
 *
 * Directories that wait are kept as paths and references. Each inode is met once: a directory that
 * is met twice is a loop or a bomb, and damage; anything else is a hard link. So the work is
 * bounded by the size of the image, but for holes, which the limit on bytes bounds.
 */
#include "format/squashfs/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/strv.h"
#include "format/squashfs/image.h"
#include "format/squashfs/unpacker.h"

struct waiting {
	char *path; /* owned; "" for the root */
	uint64_t ref;
};

struct walk {
	struct image image;
	struct entry_sink *to; /* borrowed */
	struct unpacker *unpacker;
	struct waiting *waiting; /* owned; the next one last */
	size_t n_waiting, max_waiting;
	struct map *seen;  /* reference of an inode -> its first path, in `paths` */
	struct strv paths; /* owned */
	struct str path;   /* of the current entry */
	struct image_inode inode;
	uint8_t *fragment; /* owned; the fragment block that was unpacked last */
	size_t fragment_len;
	uint32_t fragment_index; /* of it; UINT32_MAX: none */
	size_t n_entries;
	uint64_t n_bytes;
};

static void walk_done(struct walk *w)
{
	while (w->n_waiting > 0)
		free(w->waiting[--w->n_waiting].path);
	free(w->waiting);
	free(w->fragment);
	str_done(&w->path);
	strv_done(&w->paths);
	map_free(w->seen);
	unpacker_free(w->unpacker);
	image_done(&w->image);
}

/* ---- content --------------------------------------------------------------------------- */

static int push_unpacked(struct walk *w, struct imbrex_error *err)
{
	const uint8_t *bytes;
	size_t len;
	int r = unpacker_get(w->unpacker, &bytes, &len, err);

	return r > 0 ? w->to->ops->data(w->to, bytes, len, err) : r;
}

static int push_blocks(struct walk *w, struct imbrex_error *err)
{
	uint32_t block_bytes = w->image.super.block_size;
	struct packed_block b = { .offset = w->inode.blocks_start };
	uint64_t left = w->inode.size_bytes;
	uint32_t i;
	int r = 0;

	for (i = 0; r == 0 && i < w->inode.n_blocks; i++) {
		r = image_block_size(&w->image, &b.size, err);
		if (r == 0 && unpacker_is_full(w->unpacker))
			r = push_unpacked(w, err);
		if (r < 0)
			return r;
		b.out_size = (uint32_t)MIN(left, (uint64_t)block_bytes);
		r = unpacker_put(w->unpacker, &b, err);
		left -= b.out_size;
		if (__builtin_add_overflow(b.offset, SQFS_ON_DISK_BLOCK_SIZE(b.size), &b.offset))
			return fail(err, IMBREX_EFORMAT, "squashfs: a data block lies nowhere");
	}
	for (i = 0; r == 0 && i < w->inode.n_blocks; i++) {
		const uint8_t *bytes;
		size_t len;

		r = unpacker_get(w->unpacker, &bytes, &len, err);
		if (r <= 0)
			return r;
		r = w->to->ops->data(w->to, bytes, len, err);
	}
	return r;
}

static int load_fragment(struct walk *w, uint32_t index, struct imbrex_error *err)
{
	uint32_t block_bytes = w->image.super.block_size;
	sqfs_compressor_t *cmp = w->image.cmp;
	struct image_fragment f;
	AUTO_FREE uint8_t *packed = NULL;
	uint32_t size;
	int r;

	if (w->fragment_index == index)
		return 0;
	w->fragment_index = UINT32_MAX;
	r = image_fragment(&w->image, index, &f, err);
	if (r < 0)
		return r;
	size = SQFS_ON_DISK_BLOCK_SIZE(f.size);
	if (size == 0 || size > block_bytes)
		return fail(err, IMBREX_EFORMAT, "squashfs: a fragment of %u bytes", size);
	packed = malloc(size);
	if (!w->fragment)
		w->fragment = malloc(block_bytes);
	if (!packed || !w->fragment)
		return fail_nomem(err);
	r = w->image.file.base.read_at(&w->image.file.base, f.start, packed, size);
	if (r)
		return file_bridge_fail(err, &w->image.file, r, true, "read a fragment");
	if (SQFS_IS_BLOCK_COMPRESSED(f.size)) {
		r = cmp->do_block(cmp, packed, size, w->fragment, block_bytes);
		if (r <= 0)
			return squashfs_fail(
				err, r ? r : SQFS_ERROR_COMPRESSOR, true, "unpack a fragment");
		size = (uint32_t)r;
	} else {
		memcpy(w->fragment, packed, size);
	}
	w->fragment_len = size;
	w->fragment_index = index;
	return 0;
}

static int push_fragment(struct walk *w, struct imbrex_error *err)
{
	size_t len = (size_t)(w->inode.size_bytes % w->image.super.block_size);
	size_t at = w->inode.fragment_offset;
	int r;

	if (w->inode.fragment == UINT32_MAX || len == 0)
		return 0;
	r = load_fragment(w, w->inode.fragment, err);
	if (r < 0)
		return r;
	if (at > w->fragment_len || len > w->fragment_len - at)
		return fail(err, IMBREX_EFORMAT, "squashfs: a file ends outside of its fragment");
	return w->to->ops->data(w->to, w->fragment + at, len, err);
}

static int push_content(struct walk *w, struct imbrex_error *err)
{
	int r;

	w->n_bytes += w->inode.size_bytes;
	if (w->n_bytes > LIMIT_LAYER_BYTES)
		return fail(err, IMBREX_ELIMIT, "squashfs: more than %llu bytes of content",
			LIMIT_LAYER_BYTES);
	r = push_blocks(w, err);
	return r < 0 ? r : push_fragment(w, err);
}

/* ---- entries --------------------------------------------------------------------------- */

static int wait_for(struct walk *w, const char *path, uint64_t ref, struct imbrex_error *err)
{
	struct waiting *more;
	size_t max;

	if (w->n_waiting == w->max_waiting) {
		max = w->max_waiting ? 2 * w->max_waiting : 64;
		more = reallocarray(w->waiting, max, sizeof(*more));
		if (!more)
			return fail_nomem(err);
		w->waiting = more;
		w->max_waiting = max;
	}
	w->waiting[w->n_waiting] = (struct waiting){ .path = strdup(path), .ref = ref };
	if (!w->waiting[w->n_waiting].path)
		return fail_nomem(err);
	w->n_waiting++;
	return 0;
}

/* 1 and the first path of this inode; 0: it is new. */
static int find_first(struct walk *w, uint64_t ref, const char **ret, struct imbrex_error *err)
{
	void *first;
	int r;

	if (map_get(w->seen, (const char *)&ref, sizeof(ref), &first)) {
		*ret = first;
		return 1;
	}
	r = strv_add(&w->paths, str_text(&w->path));
	if (r == 0)
		r = map_add(
			w->seen, (const char *)&ref, sizeof(ref), w->paths.items[w->paths.n - 1]);
	return r < 0 ? fail_nomem(err) : 0;
}

static void fill_entry(struct walk *w, struct entry *ret)
{
	const struct image_inode *i = &w->inode;

	*ret = (struct entry){
		.path = str_text(&w->path),
		.type = i->type,
		.mode = i->mode,
		.uid = i->uid,
		.gid = i->gid,
		.dev_major = (i->device >> 8) & 0xfff,
		.dev_minor = (i->device & 0xff) | ((i->device >> 12) & 0xfff00),
		.size_bytes = i->type == ENTRY_FILE ? i->size_bytes : 0,
		.mtime_sec = i->mtime_sec,
		.atime_sec = i->mtime_sec,
		.link = i->type == ENTRY_SYMLINK ? i->link : NULL,
	};
}

static int push_inode(struct walk *w, const char *first, struct imbrex_error *err)
{
	struct entry e;
	int r = 0;

	if (++w->n_entries > LIMIT_LAYER_ENTRIES)
		return fail(
			err, IMBREX_ELIMIT, "squashfs: more than %u entries", LIMIT_LAYER_ENTRIES);
	fill_entry(w, &e);
	if (first) {
		e.type = ENTRY_HARDLINK;
		e.link = first;
		e.size_bytes = 0;
	} else {
		r = image_xattrs(&w->image, w->inode.xattrs, &e, err);
	}
	if (r == 0)
		r = w->to->ops->begin(w->to, &e, err);
	if (r == 0 && e.type == ENTRY_FILE)
		r = push_content(w, err);
	return r < 0 ? r : w->to->ops->end(w->to, err);
}

/* The basic type of an inode, of which the extended one differs by a constant. */
static unsigned int basic_kind(const struct image_inode *i)
{
	switch (i->type) {
	case ENTRY_DIR:
		return SQFS_INODE_DIR;
	case ENTRY_FILE:
		return SQFS_INODE_FILE;
	case ENTRY_SYMLINK:
		return SQFS_INODE_SLINK;
	case ENTRY_BLOCK:
		return SQFS_INODE_BDEV;
	case ENTRY_CHAR:
		return SQFS_INODE_CDEV;
	case ENTRY_FIFO:
		return SQFS_INODE_FIFO;
	default:
		return SQFS_INODE_SOCKET;
	}
}

static int push_listed(struct walk *w, const struct image_listing *l, struct imbrex_error *err)
{
	const char *first = NULL;
	bool is_dir;
	int r;

	r = image_inode(&w->image, l->ref, &w->inode, err);
	if (r < 0)
		return r;
	if (l->kind != basic_kind(&w->inode))
		return fail(err, IMBREX_EFORMAT,
			"squashfs: a directory and an inode disagree about what it is");
	if (w->inode.type == 0)
		return 0;
	is_dir = w->inode.type == ENTRY_DIR;
	if (is_dir || w->inode.n_links > 1) {
		r = find_first(w, l->ref, &first, err);
		if (r < 0)
			return r;
	}
	if (is_dir && first)
		return fail(err, IMBREX_EFORMAT, "squashfs: the directory is also '%s'", first);
	r = push_inode(w, first, err);
	return r == 0 && is_dir ? wait_for(w, str_text(&w->path), l->ref, err) : r;
}

static int set_path(struct walk *w, const char *dir, const char *name, struct imbrex_error *err)
{
	int r;

	str_clear(&w->path);
	r = str_printf(&w->path, "%s%s%s", dir, *dir ? "/" : "", name);
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT, "squashfs: a path longer than %d bytes",
			LIMIT_PATH_BYTES);
	return r < 0 ? fail_nomem(err) : 0;
}

static int push_directory(struct walk *w, const struct waiting *dir, struct imbrex_error *err)
{
	struct image_listing l;
	int r;

	r = image_inode(&w->image, dir->ref, &w->inode, err);
	if (r < 0)
		return r;
	image_listing_begin(&w->image, &w->inode, &l);
	while ((r = image_listing_next(&w->image, &l, err)) > 0) {
		r = set_path(w, dir->path, l.name, err);
		if (r == 0)
			r = push_listed(w, &l, err);
		if (r < 0)
			return wrap(err, r, "'%s'", str_text(&w->path));
	}
	return r < 0 ? wrap(err, r, "'/%s'", dir->path) : 0;
}

static int push_root(struct walk *w, struct imbrex_error *err)
{
	const char *first;
	uint64_t ref = w->image.super.root_inode_ref;
	int r;

	r = image_inode(&w->image, ref, &w->inode, err);
	if (r < 0)
		return r;
	if (w->inode.type != ENTRY_DIR)
		return fail(err, IMBREX_EFORMAT, "squashfs: its root is no directory");
	r = set_path(w, "", ".", err);
	if (r == 0)
		r = find_first(w, ref, &first, err);
	if (r == 0)
		r = push_inode(w, NULL, err);
	return r < 0 ? r : wait_for(w, "", ref, err);
}

static int walk_image(struct walk *w, struct imbrex_error *err)
{
	int r = push_root(w, err);

	while (r == 0 && w->n_waiting > 0) {
		struct waiting dir = w->waiting[--w->n_waiting];

		r = push_directory(w, &dir, err);
		free(dir.path);
	}
	return r;
}

bool squashfs_is_image(const void *buf, size_t len)
{
	return len >= SQUASHFS_MAGIC_BYTES && memcmp(buf, "hsqs", SQUASHFS_MAGIC_BYTES) == 0;
}

int squashfs_read(struct squashfs_file *file, unsigned int n_threads, struct entry_sink *to,
	struct imbrex_error *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return fail_nomem(err);
	w->to = to;
	w->path = (struct str)STR_INIT(LIMIT_PATH_BYTES);
	w->fragment_index = UINT32_MAX;
	w->seen = map_new();
	r = image_open(&w->image, file, err);
	if (r == 0 && !w->seen)
		r = fail_nomem(err);
	if (r == 0)
		r = unpacker_new(w->image.api, &w->image.file, &w->image.config, n_threads,
			&w->unpacker, err);
	if (r == 0)
		r = walk_image(w, err);
	if (r == 0)
		r = to->ops->finish(to, err);
	walk_done(w);
	free(w);
	return r;
}
