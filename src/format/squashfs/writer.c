/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink: data goes to libsquashfs's block processor as it arrives, metadata into a tree in
 * memory; finish() writes the tables behind the data and the super block before it.
 *
 *   [super block] [compressor options] [data and fragments] [inodes] [directories] [fragment table]
 *   [export table] [ids] [xattrs]
 *
 * State: IDLE -begin-> (FILE -data*-> | other) -end-> IDLE -finish-> done.
 */
#include "format/squashfs/writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/limits.h"
#include "base/str.h"
#include "format/squashfs/node.h"

#define BACKLOG_PER_WORKER 10
#define DEVICE_BLOCK_BYTES 4096

struct writer {
	struct entry_sink base;
	const struct squashfs_api *api;
	struct squashfs_options opts;
	struct file_bridge file;
	struct node_tree tree;
	sqfs_super_t super;
	/* Owned; of data, of metadata that is stored as it is, and to read back. */
	sqfs_compressor_t *cmp, *null, *unpack;
	sqfs_block_writer_t *blocks;       /* owned */
	sqfs_frag_table_t *fragments;      /* owned */
	sqfs_block_processor_t *processor; /* owned */
	sqfs_id_table_t *ids;              /* owned */
	sqfs_xattr_writer_t *xattrs;       /* owned */
	struct node *open;                 /* a file between begin() and end(); NULL: none */
	uint64_t left;                     /* bytes it still gets */
	bool busy;                         /* between begin() and end() */
	bool finished;                     /* the processor is */
};

static int failed(struct writer *w, int r, const char *what, struct imbrex_error *err)
{
	return file_bridge_fail(err, &w->file, r, false, what);
}

/* ---- entries --------------------------------------------------------------------------- */

static uint32_t clamp_time(int64_t sec)
{
	if (sec < 0)
		return 0;
	return sec > UINT32_MAX ? UINT32_MAX : (uint32_t)sec;
}

static int set_ids(
	struct writer *w, struct node *n, const struct entry *e, struct imbrex_error *err)
{
	uint32_t uid = e->uid, gid = e->gid;
	int r;

	if (w->opts.all_root)
		uid = gid = 0;
	if (w->opts.has_uid)
		uid = w->opts.uid;
	if (w->opts.has_gid)
		gid = w->opts.gid;
	r = w->api->id_table_id_to_index(w->ids, uid, &n->uid_index);
	if (r == 0)
		r = w->api->id_table_id_to_index(w->ids, gid, &n->gid_index);
	if (r == SQFS_ERROR_OVERFLOW)
		return fail(err, IMBREX_ELIMIT, "squashfs: more than 65536 different owners");
	return r ? failed(w, r, "keep an owner", err) : 0;
}

static bool has_class(const char *name)
{
	return str_after(name, "user.") || str_after(name, "trusted.") ||
	       str_after(name, "security.");
}

static int set_xattrs(
	struct writer *w, struct node *n, const struct entry *e, struct imbrex_error *err)
{
	size_t i, known = 0;
	int r;

	for (i = 0; i < e->n_xattrs; i++)
		known += has_class(e->xattrs[i].name);
	if (!known || w->opts.without_xattrs)
		return 0;
	r = w->api->xattr_writer_begin(w->xattrs, 0);
	for (i = 0; r == 0 && i < e->n_xattrs; i++) {
		const struct entry_xattr *x = &e->xattrs[i];

		if (has_class(x->name))
			r = w->api->xattr_writer_add(w->xattrs, x->name, x->value, x->value_len);
	}
	if (r == 0)
		r = w->api->xattr_writer_end(w->xattrs, &n->xattrs);
	return r ? failed(w, r, "keep extended attributes", err) : 0;
}

static int begin_file(struct writer *w, struct node *n, struct imbrex_error *err)
{
	sqfs_u32 flags = (w->opts.no_data ? SQFS_BLK_DONT_COMPRESS : 0u) |
			 (w->opts.without_fragments ? SQFS_BLK_DONT_FRAGMENT : 0u) |
			 (w->opts.without_duplicates ? SQFS_BLK_DONT_DEDUPLICATE : 0u);
	int r = w->api->block_processor_begin_file(w->processor, &n->inode, NULL, flags);

	return r ? failed(w, r, "begin a file", err) : 0;
}

static int set_link(
	struct writer *w, struct node *n, const struct entry *e, struct imbrex_error *err)
{
	struct node *target = node_tree_find(&w->tree, e->link);

	if (!target || target->type == ENTRY_DIR || target == n)
		return fail(err, IMBREX_EFORMAT, "squashfs: hard link '%s' to '%s', which is %s",
			e->path, e->link, target ? "no file" : "not there");
	n->target = target->type == ENTRY_HARDLINK ? target->target : target;
	n->target->n_links++;
	return 0;
}

static int set_node(
	struct writer *w, struct node *n, const struct entry *e, struct imbrex_error *err)
{
	int r;

	n->type = e->type;
	if (e->type == ENTRY_HARDLINK)
		return set_link(w, n, e, err);
	n->mode = e->mode & 07777;
	n->mtime_sec = w->opts.has_all_time ? w->opts.all_time_sec : clamp_time(e->mtime_sec);
	/* Minor numbers have 20 bits, eight of them below the major's. */
	n->device = (e->dev_minor & 0xff) | (e->dev_major & 0xfff) << 8 |
		    (e->dev_minor & 0xfff00) << 12;
	if (n->mtime_sec > w->tree.newest_sec)
		w->tree.newest_sec = n->mtime_sec;
	if (e->type == ENTRY_SYMLINK) {
		n->link = strdup(e->link);
		if (!n->link)
			return fail_nomem(err);
	}
	r = set_ids(w, n, e, err);
	if (r == 0)
		r = set_xattrs(w, n, e, err);
	if (r == 0 && e->type == ENTRY_FILE)
		r = begin_file(w, n, err);
	return r;
}

static int writer_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct writer *w = (struct writer *)s;
	struct node *n;
	bool is_new;
	int r;

	assert(!w->busy);
	if (e->type == ENTRY_WHITEOUT || e->type == ENTRY_OPAQUE)
		return fail(
			err, IMBREX_EINVAL, "squashfs: '%s': an image holds no whiteouts", e->path);
	r = node_tree_add(&w->tree, e->path, &n, &is_new, err);
	if (r < 0)
		return r;
	if (!is_new && (n->type != ENTRY_DIR || e->type != ENTRY_DIR))
		return fail(err, IMBREX_EFORMAT, "squashfs: '%s' comes twice", e->path);
	r = set_node(w, n, e, err);
	if (r < 0)
		return r;
	w->busy = true;
	w->open = e->type == ENTRY_FILE ? n : NULL;
	w->left = e->type == ENTRY_FILE ? e->size_bytes : 0;
	return 0;
}

static int writer_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct writer *w = (struct writer *)s;
	int r;

	assert(w->open && len <= w->left);
	w->left -= len;
	r = w->api->block_processor_append(w->processor, buf, len);
	return r ? wrap(err, failed(w, r, "write data", err), "'%s'", w->open->name) : 0;
}

static int writer_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct writer *w = (struct writer *)s;
	int r = 0;

	assert(w->busy && w->left == 0);
	if (w->open)
		r = w->api->block_processor_end_file(w->processor);
	if (r)
		r = wrap(err, failed(w, r, "write data", err), "'%s'", w->open->name);
	w->open = NULL;
	w->busy = false;
	return r;
}

/* ---- the end --------------------------------------------------------------------------- */

static int write_tables(struct writer *w, sqfs_dir_writer_t *dirs, struct imbrex_error *err)
{
	sqfs_file_t *file = &w->file.base;
	sqfs_compressor_t *cmp = w->opts.no_inodes ? w->null : w->cmp;
	int r;

	r = w->api->frag_table_write(
		w->fragments, file, &w->super, w->opts.no_fragments ? w->null : w->cmp);
	if (r == 0 && !w->opts.without_exports)
		r = w->api->dir_writer_write_export_table(
			dirs, file, cmp, w->tree.root->number, w->tree.root->ref, &w->super);
	if (r == 0)
		r = w->api->id_table_write(w->ids, file, &w->super,
			w->opts.no_ids || w->opts.no_inodes ? w->null : w->cmp);
	if (r == 0)
		r = w->api->xattr_writer_flush(
			w->xattrs, file, &w->super, w->opts.no_xattr_blocks ? w->null : w->cmp);
	return r ? failed(w, r, "write tables", err) : 0;
}

static int write_super(struct writer *w, struct imbrex_error *err)
{
	sqfs_file_t *file = &w->file.base;
	uint64_t size = file->get_size(file);
	int r;

	w->super.bytes_used = size;
	w->super.modification_time =
		w->opts.has_image_time ? w->opts.image_time_sec : w->tree.newest_sec;
	if (w->opts.no_inodes)
		w->super.flags |= SQFS_FLAG_UNCOMPRESSED_INODES;
	if (w->opts.no_data)
		w->super.flags |= SQFS_FLAG_UNCOMPRESSED_DATA;
	if (w->opts.no_data && w->opts.no_fragments)
		w->super.flags |= SQFS_FLAG_UNCOMPRESSED_FRAGMENTS;
	if (w->opts.no_xattr_blocks)
		w->super.flags |= SQFS_FLAG_UNCOMPRESSED_XATTRS;
	if (w->opts.no_ids || w->opts.no_inodes)
		w->super.flags |= SQFS_FLAG_UNCOMPRESSED_IDS;
	if (w->opts.without_fragments)
		w->super.flags |= SQFS_FLAG_NO_FRAGMENTS;
	if (w->opts.without_duplicates)
		w->super.flags |= SQFS_FLAG_NO_DUPLICATES;
	r = w->api->super_write(&w->super, file);
	if (r == 0 && !w->opts.no_padding && size % DEVICE_BLOCK_BYTES)
		r = file->truncate(
			file, (size / DEVICE_BLOCK_BYTES + 1) * (uint64_t)DEVICE_BLOCK_BYTES);
	return r ? failed(w, r, "write the super block", err) : 0;
}

/* Directories that nobody named have no time yet. */
static void set_implicit_times(struct writer *w)
{
	struct node *n;

	for (n = w->tree.nodes; n && w->opts.has_all_time; n = n->next) {
		n->mtime_sec = w->opts.all_time_sec;
		w->tree.newest_sec = w->opts.all_time_sec;
	}
}

static int writer_finish(struct entry_sink *s, struct imbrex_error *err)
{
	struct writer *w = (struct writer *)s;
	AUTO_SQFS sqfs_dir_writer_t *dirs = NULL;
	int r;

	assert(!w->busy);
	w->finished = true;
	r = w->api->block_processor_finish(w->processor);
	if (r)
		return failed(w, r, "write data", err);
	set_implicit_times(w);
	r = inodes_write(&w->tree, &w->file, w->opts.no_inodes ? w->null : w->cmp,
		!w->opts.without_exports, &w->super, &dirs, err);
	if (r == 0)
		r = write_tables(w, dirs, err);
	return r < 0 ? r : write_super(w, err);
}

static void writer_free(struct entry_sink *s)
{
	struct writer *w = (struct writer *)s;

	/* libsquashfs 1.2 forgets blocks in flight when it is not let finish. */
	if (w->processor && !w->finished) {
		(void)w->api->block_processor_end_file(w->processor);
		(void)w->api->block_processor_finish(w->processor);
	}
	/* The processor may change inodes until it is gone. */
	sqfs_destroy(w->processor);
	node_tree_done(&w->tree);
	sqfs_destroy(w->xattrs);
	sqfs_destroy(w->ids);
	sqfs_destroy(w->fragments);
	sqfs_destroy(w->blocks);
	sqfs_destroy(w->null);
	sqfs_destroy(w->unpack);
	sqfs_destroy(w->cmp);
	free(w);
}

static const struct entry_sink_ops writer_ops = {
	.begin = writer_begin,
	.data = writer_data,
	.end = writer_end,
	.finish = writer_finish,
	.free = writer_free,
};

/* ---- the beginning --------------------------------------------------------------------- */

static int configure(
	struct writer *w, sqfs_u16 flags, sqfs_compressor_t **ret, struct imbrex_error *err)
{
	const struct squashfs_options *o = &w->opts;
	sqfs_compressor_config_t config;
	int r;

	r = w->api->compressor_config_init(&config, (SQFS_COMPRESSOR)o->compressor, o->block_bytes,
		(sqfs_u16)(flags | (flags ? 0 : o->flags)));
	if (r == 0 && o->level && o->compressor != SQUASHFS_LZ4)
		config.level = o->level;
	if (r == 0 && o->window_bits && o->compressor == SQUASHFS_GZIP)
		config.opt.gzip.window_size = (sqfs_u16)o->window_bits;
	if (r == 0 && o->dictionary_bytes && o->compressor == SQUASHFS_XZ)
		config.opt.xz.dict_size = o->dictionary_bytes;
	if (r == 0)
		r = compressor_new(w->api, &config, ret);
	return r ? fail(err, IMBREX_EINVAL, "squashfs: compressor %s refuses its options",
			   squashfs_compressor_name(o->compressor))
		 : 0;
}

static int make_objects(struct writer *w, struct imbrex_error *err)
{
	w->blocks = w->api->block_writer_create(&w->file.base, DEVICE_BLOCK_BYTES, 0);
	w->fragments = w->api->frag_table_create(0);
	w->ids = w->api->id_table_create(0);
	w->xattrs = w->api->xattr_writer_create(0);
	if (!w->blocks || !w->fragments || !w->ids || !w->xattrs)
		return fail_nomem(err);
	/* Directories that no entry names belong to index 0. */
	return set_ids(w, w->tree.root, &(struct entry){ .path = "." }, err);
}

static int start_processor(struct writer *w, struct imbrex_error *err)
{
	unsigned int workers = w->opts.processors ? w->opts.processors : 1;
	const sqfs_block_processor_desc_t desc = {
		.size = sizeof(desc),
		.max_block_size = w->opts.block_bytes,
		.num_workers = workers,
		.max_backlog = workers * BACKLOG_PER_WORKER,
		.cmp = w->opts.no_data && w->opts.no_fragments ? w->null : w->cmp,
		.wr = w->blocks,
		.tbl = w->fragments,
		.file = &w->file.base,
		.uncmp = w->unpack,
	};
	int r = w->api->block_processor_create_ex(&desc, &w->processor);

	return r ? failed(w, r, "start the compressor", err) : 0;
}

static int start(struct writer *w, struct imbrex_error *err)
{
	int r;

	r = configure(w, 0, &w->cmp, err);
	if (r == 0)
		r = configure(w, SQFS_COMP_FLAG_UNCOMPRESS, &w->unpack, err);
	if (r < 0)
		return r;
	if (compressor_new_null(w->cmp, &w->null) != 0)
		return fail_nomem(err);
	r = w->api->super_init(
		&w->super, w->opts.block_bytes, 0, (SQFS_COMPRESSOR)w->opts.compressor);
	if (r == 0)
		r = w->api->super_write(&w->super, &w->file.base);
	if (r == 0)
		r = w->cmp->write_options(w->cmp, &w->file.base);
	if (r < 0)
		return failed(w, r, "write the super block", err);
	if (r > 0)
		w->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
	r = make_objects(w, err);
	return r < 0 ? r : start_processor(w, err);
}

int squashfs_writer_new(struct squashfs_file *file, const struct squashfs_options *opts,
	struct entry_sink **ret, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *s = NULL;
	const struct squashfs_api *api;
	struct writer *w;
	int r;

	r = squashfs_load(&api, err);
	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return fail_nomem(err);
	w->base.ops = &writer_ops;
	s = &w->base;
	w->api = api;
	w->opts = *opts;
	file_bridge_init(&w->file, file);
	r = node_tree_init(&w->tree, api, err);
	if (r == 0)
		r = start(w, err);
	if (r < 0)
		return r;
	*ret = take_ptr(s);
	return 0;
}
