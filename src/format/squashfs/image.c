/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding on top of libsquashfs's reader of metadata blocks, which holds every read to the bounds
 * of its table. Its own readers of whole tables and inodes allocate what a count in the image
 * claims; these do not.
 *
 * Source: Linux Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h (6.1).
 */
#include "format/squashfs/image.h"

#include <endian.h>
#include <string.h>

#include "format/squashfs/options.h"

#define METADATA_BYTES 8192u

static int damaged(struct image *m, int r, const char *what, struct imbrex_error *err)
{
	return file_bridge_fail(err, &m->file, r, true, what);
}

/* ---- opening --------------------------------------------------------------------------- */

static int check_super(struct image *m, struct imbrex_error *err)
{
	const sqfs_super_t *s = &m->super;

	if (!squashfs_compressor_name(s->compression_id))
		return fail(err, IMBREX_ENOTSUP, "squashfs: compressor %u is not known",
			s->compression_id);
	if (s->bytes_used > m->file.file->size_bytes)
		return fail(err, IMBREX_EFORMAT,
			"squashfs: the image is cut off: it has %llu bytes of %llu",
			(unsigned long long)m->file.file->size_bytes,
			(unsigned long long)s->bytes_used);
	if (s->inode_table_start >= s->directory_table_start ||
		s->directory_table_start > s->bytes_used)
		return fail(err, IMBREX_EFORMAT, "squashfs: its tables are out of order");
	return 0;
}

static int open_xattrs(struct image *m, struct imbrex_error *err)
{
	struct {
		uint64_t start;
		uint32_t n;
		uint32_t unused;
	} header;
	int r;

	if (m->super.flags & SQFS_FLAG_NO_XATTRS || m->super.xattr_id_table_start == UINT64_MAX)
		return 0;
	r = m->file.base.read_at(
		&m->file.base, m->super.xattr_id_table_start, &header, sizeof(header));
	if (r)
		return damaged(m, r, "read the table of attributes", err);
	m->xattr_pairs_start = le64toh(header.start);
	m->n_xattr_ids = le32toh(header.n);
	return 0;
}

static int open_tables(struct image *m, struct imbrex_error *err)
{
	sqfs_file_t *file = &m->file.base;
	uint64_t end = m->super.bytes_used;

	m->inodes = m->api->meta_reader_create(
		file, m->cmp, m->super.inode_table_start, m->super.directory_table_start);
	m->listings = m->api->meta_reader_create(file, m->cmp, m->super.directory_table_start, end);
	m->tables = m->api->meta_reader_create(file, m->cmp, sizeof(m->super), end);
	m->pairs = m->api->meta_reader_create(file, m->cmp, sizeof(m->super), end);
	if (!m->inodes || !m->listings || !m->tables || !m->pairs)
		return fail_nomem(err);
	return open_xattrs(m, err);
}

int image_open(struct image *m, struct squashfs_file *file, struct imbrex_error *err)
{
	int r;

	memset(m, 0, sizeof(*m));
	m->xattr_text = (struct str)STR_INIT(
		LIMIT_XATTRS_PER_ENTRY * (LIMIT_XATTR_NAME_BYTES + 1 + LIMIT_XATTR_VALUE_BYTES));
	r = squashfs_load(&m->api, err);
	if (r < 0)
		return r;
	file_bridge_init(&m->file, file);
	if (file->size_bytes < sizeof(m->super))
		return fail(err, IMBREX_EFORMAT, "squashfs: the file is too short for an image");
	r = m->api->super_read(&m->super, &m->file.base);
	if (r)
		return damaged(m, r, "read the super block", err);
	r = check_super(m, err);
	if (r < 0)
		return r;
	r = m->api->compressor_config_init(&m->config, (SQFS_COMPRESSOR)m->super.compression_id,
		m->super.block_size, SQFS_COMP_FLAG_UNCOMPRESS);
	if (r == 0)
		r = compressor_new(m->api, &m->config, &m->cmp);
	if (r)
		return fail(err, IMBREX_ENOTSUP, "squashfs: no decompressor for %s",
			squashfs_compressor_name(m->super.compression_id));
	return open_tables(m, err);
}

void image_done(struct image *m)
{
	sqfs_destroy(m->pairs);
	sqfs_destroy(m->tables);
	sqfs_destroy(m->listings);
	sqfs_destroy(m->inodes);
	sqfs_destroy(m->cmp);
	str_done(&m->xattr_text);
}

/* ---- tables by index ------------------------------------------------------------------- */

/* Entry `index` of a table whose metadata blocks are listed at `pointers`. */
static int table_entry(struct image *m, uint64_t pointers, uint32_t index, void *ret, size_t len,
	const char *what, struct imbrex_error *err)
{
	uint32_t per_block = METADATA_BYTES / (uint32_t)len;
	uint64_t block, at;
	int r;

	if (__builtin_add_overflow(pointers, (uint64_t)(index / per_block) * 8, &at))
		return damaged(m, SQFS_ERROR_OUT_OF_BOUNDS, what, err);
	r = m->file.base.read_at(&m->file.base, at, &block, sizeof(block));
	if (r == 0)
		r = m->api->meta_reader_seek(m->tables, le64toh(block), (index % per_block) * len);
	if (r == 0)
		r = m->api->meta_reader_read(m->tables, ret, len);
	return r ? damaged(m, r, what, err) : 0;
}

static int read_id(struct image *m, uint16_t index, uint32_t *ret, struct imbrex_error *err)
{
	uint32_t id;
	int r;

	if (index >= m->super.id_count)
		return fail(
			err, IMBREX_EFORMAT, "squashfs: owner %u of %u", index, m->super.id_count);
	r = table_entry(m, m->super.id_table_start, index, &id, sizeof(id), "read owners", err);
	*ret = le32toh(id);
	return r;
}

int image_fragment(
	struct image *m, uint32_t index, struct image_fragment *ret, struct imbrex_error *err)
{
	sqfs_fragment_t f;
	int r;

	if (index >= m->super.fragment_entry_count)
		return fail(err, IMBREX_EFORMAT, "squashfs: fragment %u of %u", index,
			m->super.fragment_entry_count);
	r = table_entry(
		m, m->super.fragment_table_start, index, &f, sizeof(f), "read fragments", err);
	if (r < 0)
		return r;
	ret->start = le64toh(f.start_offset);
	ret->size = le32toh(f.size);
	return 0;
}

/* ---- inodes ---------------------------------------------------------------------------- */

static int read_inode_bytes(struct image *m, void *buf, size_t len, struct imbrex_error *err)
{
	int r = m->api->meta_reader_read(m->inodes, buf, len);

	return r ? damaged(m, r, "read an inode", err) : 0;
}

static int set_file(struct image *m, struct image_inode *i, struct imbrex_error *err)
{
	uint64_t n = i->size_bytes / m->super.block_size;

	if (i->size_bytes > LIMIT_LAYER_BYTES)
		return fail(err, IMBREX_ELIMIT, "squashfs: a file of %llu bytes, more than %llu",
			(unsigned long long)i->size_bytes, LIMIT_LAYER_BYTES);
	if (i->fragment == UINT32_MAX && i->size_bytes % m->super.block_size)
		n++;
	i->type = ENTRY_FILE;
	i->n_blocks = (uint32_t)n;
	return 0;
}

static int read_file(struct image *m, struct image_inode *i, struct imbrex_error *err)
{
	sqfs_inode_file_t f;
	int r = read_inode_bytes(m, &f, sizeof(f), err);

	if (r < 0)
		return r;
	i->blocks_start = le32toh(f.blocks_start);
	i->fragment = le32toh(f.fragment_index);
	i->fragment_offset = le32toh(f.fragment_offset);
	i->size_bytes = le32toh(f.file_size);
	return set_file(m, i, err);
}

static int read_file_ext(struct image *m, struct image_inode *i, struct imbrex_error *err)
{
	sqfs_inode_file_ext_t f;
	int r = read_inode_bytes(m, &f, sizeof(f), err);

	if (r < 0)
		return r;
	i->blocks_start = le64toh(f.blocks_start);
	i->fragment = le32toh(f.fragment_idx);
	i->fragment_offset = le32toh(f.fragment_offset);
	i->size_bytes = le64toh(f.file_size);
	i->n_links = le32toh(f.nlink);
	i->xattrs = le32toh(f.xattr_idx);
	return set_file(m, i, err);
}

static int read_dir(struct image *m, struct image_inode *i, struct imbrex_error *err)
{
	sqfs_inode_dir_t d;
	int r = read_inode_bytes(m, &d, sizeof(d), err);

	if (r < 0)
		return r;
	i->type = ENTRY_DIR;
	i->listing_block = le32toh(d.start_block);
	i->listing_offset = le16toh(d.offset);
	i->size_bytes = le16toh(d.size);
	return 0;
}

static int read_dir_ext(struct image *m, struct image_inode *i, struct imbrex_error *err)
{
	sqfs_inode_dir_ext_t d;
	int r = read_inode_bytes(m, &d, sizeof(d), err);

	if (r < 0)
		return r;
	i->type = ENTRY_DIR;
	i->listing_block = le32toh(d.start_block);
	i->listing_offset = le16toh(d.offset);
	i->size_bytes = le32toh(d.size);
	i->xattrs = le32toh(d.xattr_idx);
	return 0;
}

static int read_symlink(
	struct image *m, struct image_inode *i, bool extended, struct imbrex_error *err)
{
	sqfs_inode_slink_t s;
	uint32_t xattrs = UINT32_MAX;
	int r = read_inode_bytes(m, &s, sizeof(s), err);

	if (r < 0)
		return r;
	i->type = ENTRY_SYMLINK;
	i->n_links = le32toh(s.nlink);
	i->link_bytes = le32toh(s.target_size);
	if (i->link_bytes == 0 || i->link_bytes > LIMIT_PATH_BYTES)
		return fail(err, IMBREX_EFORMAT, "squashfs: a symbolic link of %u bytes",
			i->link_bytes);
	r = read_inode_bytes(m, i->link, i->link_bytes, err);
	if (r == 0 && extended)
		r = read_inode_bytes(m, &xattrs, sizeof(xattrs), err);
	if (r < 0)
		return r;
	if (memchr(i->link, 0, i->link_bytes))
		return fail(err, IMBREX_EFORMAT, "squashfs: a symbolic link with a NUL");
	i->link[i->link_bytes] = 0;
	i->xattrs = le32toh(xattrs);
	return 0;
}

/* Devices, pipes and sockets: links, perhaps a device, perhaps attributes. */
static int read_special(struct image *m, struct image_inode *i, bool has_device, bool extended,
	struct imbrex_error *err)
{
	uint32_t words[3] = { 0 };
	size_t n = 1u + has_device + extended;
	int r = read_inode_bytes(m, words, n * sizeof(words[0]), err);

	i->n_links = le32toh(words[0]);
	i->device = has_device ? le32toh(words[1]) : 0;
	i->xattrs = extended ? le32toh(words[n - 1]) : UINT32_MAX;
	return r;
}

static int read_body(
	struct image *m, struct image_inode *i, uint16_t kind, struct imbrex_error *err)
{
	bool extended = kind >= SQFS_INODE_EXT_DIR;

	switch (kind) {
	case SQFS_INODE_DIR:
		return read_dir(m, i, err);
	case SQFS_INODE_EXT_DIR:
		return read_dir_ext(m, i, err);
	case SQFS_INODE_FILE:
		return read_file(m, i, err);
	case SQFS_INODE_EXT_FILE:
		return read_file_ext(m, i, err);
	case SQFS_INODE_SLINK:
	case SQFS_INODE_EXT_SLINK:
		return read_symlink(m, i, extended, err);
	case SQFS_INODE_BDEV:
	case SQFS_INODE_EXT_BDEV:
		i->type = ENTRY_BLOCK;
		return read_special(m, i, true, extended, err);
	case SQFS_INODE_CDEV:
	case SQFS_INODE_EXT_CDEV:
		i->type = ENTRY_CHAR;
		return read_special(m, i, true, extended, err);
	case SQFS_INODE_FIFO:
	case SQFS_INODE_EXT_FIFO:
		i->type = ENTRY_FIFO;
		return read_special(m, i, false, extended, err);
	case SQFS_INODE_SOCKET:
	case SQFS_INODE_EXT_SOCKET:
		return read_special(m, i, false, extended, err);
	default:
		return fail(err, IMBREX_EFORMAT, "squashfs: an inode of type %u", kind);
	}
}

int image_inode(struct image *m, uint64_t ref, struct image_inode *ret, struct imbrex_error *err)
{
	sqfs_inode_t base;
	int r;

	memset(ret, 0, offsetof(struct image_inode, link) + 1);
	ret->n_links = 1;
	ret->xattrs = ret->fragment = UINT32_MAX;
	r = m->api->meta_reader_seek(
		m->inodes, m->super.inode_table_start + (ref >> 16), ref & 0xffff);
	if (r)
		return damaged(m, r, "find an inode", err);
	r = read_inode_bytes(m, &base, sizeof(base), err);
	if (r == 0)
		r = read_body(m, ret, le16toh(base.type), err);
	if (r == 0)
		r = read_id(m, le16toh(base.uid_idx), &ret->uid, err);
	if (r == 0)
		r = read_id(m, le16toh(base.gid_idx), &ret->gid, err);
	ret->mode = le16toh(base.mode) & 07777;
	ret->mtime_sec = le32toh(base.mod_time);
	return r;
}

int image_block_size(struct image *m, uint32_t *ret, struct imbrex_error *err)
{
	uint32_t size;
	int r = read_inode_bytes(m, &size, sizeof(size), err);

	*ret = le32toh(size);
	return r;
}

/* ---- attributes ------------------------------------------------------------------------ */

static int read_pair_bytes(struct image *m, void *buf, size_t len, struct imbrex_error *err)
{
	int r = m->api->meta_reader_read(m->pairs, buf, len);

	return r ? damaged(m, r, "read an attribute", err) : 0;
}

static int seek_pair(struct image *m, uint64_t ref, struct imbrex_error *err)
{
	int r = m->api->meta_reader_seek(
		m->pairs, m->xattr_pairs_start + (ref >> 16), ref & 0xffff);

	return r ? damaged(m, r, "find an attribute", err) : 0;
}

static int append_name(struct image *m, uint16_t type, uint16_t len, struct imbrex_error *err)
{
	static const char *const classes[] = { "user.", "trusted.", "security." };
	char name[LIMIT_XATTR_NAME_BYTES + 1];
	unsigned int class = type & SQFS_XATTR_PREFIX_MASK;
	int r;

	if (class >= ARRAY_LEN(classes) || len == 0 ||
		len + strlen(classes[class]) > LIMIT_XATTR_NAME_BYTES)
		return fail(err, IMBREX_EFORMAT,
			"squashfs: an attribute of class %u with a name of %u bytes", class, len);
	r = read_pair_bytes(m, name, len, err);
	if (r < 0)
		return r;
	if (memchr(name, 0, len))
		return fail(err, IMBREX_EFORMAT, "squashfs: an attribute name with a NUL");
	r = str_puts(&m->xattr_text, classes[class]);
	if (r == 0)
		r = str_append(&m->xattr_text, name, len);
	if (r == 0)
		r = str_putc(&m->xattr_text, 0);
	return r < 0 ? fail_nomem(err) : 0;
}

static int append_value(struct image *m, size_t *ret_len, struct imbrex_error *err)
{
	uint32_t len;
	char *to;
	int r = read_pair_bytes(m, &len, sizeof(len), err);

	len = le32toh(len);
	if (r < 0)
		return r;
	if (len > LIMIT_XATTR_VALUE_BYTES)
		return fail(err, IMBREX_ELIMIT, "squashfs: an attribute of %u bytes", len);
	if (str_reserve(&m->xattr_text, len + 1, &to) < 0)
		return fail_nomem(err);
	if (len > 0)
		r = read_pair_bytes(m, to, len, err);
	m->xattr_text.len += len;
	*ret_len = len;
	return r;
}

/* The value of a pair may be kept elsewhere: then this one is where. */
static int append_far_value(struct image *m, size_t *ret_len, struct imbrex_error *err)
{
	sqfs_u64 block, ref;
	size_t offset;
	uint32_t len;
	int r = read_pair_bytes(m, &len, sizeof(len), err);

	if (r == 0 && le32toh(len) != sizeof(ref))
		return fail(err, IMBREX_EFORMAT, "squashfs: an attribute that points nowhere");
	if (r == 0)
		r = read_pair_bytes(m, &ref, sizeof(ref), err);
	if (r < 0)
		return r;
	m->api->meta_reader_get_position(m->pairs, &block, &offset);
	r = seek_pair(m, le64toh(ref), err);
	if (r == 0)
		r = append_value(m, ret_len, err);
	if (r < 0)
		return r;
	r = m->api->meta_reader_seek(m->pairs, block, offset);
	return r ? damaged(m, r, "read an attribute", err) : 0;
}

static int read_pair(struct image *m, struct entry_xattr *ret, struct imbrex_error *err)
{
	sqfs_xattr_entry_t head;
	int r = read_pair_bytes(m, &head, sizeof(head), err);
	uint16_t type = le16toh(head.type);

	if (r == 0)
		r = append_name(m, type, le16toh(head.size), err);
	if (r < 0)
		return r;
	return type & SQFS_XATTR_FLAG_OOL ? append_far_value(m, &ret->value_len, err)
					  : append_value(m, &ret->value_len, err);
}

int image_xattrs(struct image *m, uint32_t index, struct entry *e, struct imbrex_error *err)
{
	sqfs_xattr_id_t id;
	const char *at;
	size_t n, i;
	int r;

	str_clear(&m->xattr_text);
	if (index == UINT32_MAX || m->n_xattr_ids == 0)
		return 0;
	if (index >= m->n_xattr_ids)
		return fail(err, IMBREX_EFORMAT, "squashfs: attributes %u of %u", index,
			m->n_xattr_ids);
	r = table_entry(m, m->super.xattr_id_table_start + 16, index, &id, sizeof(id),
		"read attributes", err);
	if (r == 0)
		r = seek_pair(m, le64toh(id.xattr), err);
	if (r < 0)
		return r;
	n = le32toh(id.count);
	if (n > LIMIT_XATTRS_PER_ENTRY)
		return fail(err, IMBREX_ELIMIT, "squashfs: %zu attributes of one inode", n);
	for (i = 0; i < n; i++) {
		r = read_pair(m, &m->xattrs[i], err);
		if (r < 0)
			return r;
	}
	/* Only now does the text stay where it is. */
	for (i = 0, at = str_text(&m->xattr_text); i < n; i++) {
		m->xattrs[i].name = at;
		m->xattrs[i].value = at + strlen(at) + 1;
		at = (const char *)m->xattrs[i].value + m->xattrs[i].value_len;
	}
	e->xattrs = m->xattrs;
	e->n_xattrs = n;
	return 0;
}

/* ---- listings -------------------------------------------------------------------------- */

/* Sizes of listings count three bytes for "." and "..", which are not there. */
#define LISTING_EXTRA 3

void image_listing_begin(
	const struct image *m, const struct image_inode *dir, struct image_listing *ret)
{
	*ret = (struct image_listing){
		.block = m->super.directory_table_start + dir->listing_block,
		.offset = dir->listing_offset,
		.left = dir->size_bytes > LISTING_EXTRA ? dir->size_bytes - LISTING_EXTRA : 0,
	};
}

static int read_listing(
	struct image *m, struct image_listing *l, void *buf, size_t len, struct imbrex_error *err)
{
	int r;

	if (len > l->left)
		return fail(err, IMBREX_EFORMAT, "squashfs: a listing is cut off");
	r = m->api->meta_reader_read(m->listings, buf, len);
	l->left -= len;
	return r ? damaged(m, r, "read a directory", err) : 0;
}

static int next_header(struct image *m, struct image_listing *l, struct imbrex_error *err)
{
	sqfs_dir_header_t h;
	int r = read_listing(m, l, &h, sizeof(h), err);

	if (r < 0)
		return r;
	l->in_header = le32toh(h.count);
	l->inode_block = le32toh(h.start_block);
	if (l->in_header >= SQFS_MAX_DIR_ENT)
		return fail(err, IMBREX_EFORMAT, "squashfs: a header of %u directory entries",
			l->in_header);
	l->in_header++;
	return 0;
}

static int next_name(struct image *m, struct image_listing *l, size_t len, struct imbrex_error *err)
{
	char name[LIMIT_NAME_BYTES + 2];
	int r;

	if (len > LIMIT_NAME_BYTES)
		return fail(err, IMBREX_ELIMIT, "squashfs: a name of %zu bytes", len);
	r = read_listing(m, l, name, len, err);
	if (r < 0)
		return r;
	name[len] = 0;
	if (strlen(name) != len || strchr(name, '/') || str_eq(name, ".") || str_eq(name, ".."))
		return fail(err, IMBREX_EFORMAT, "squashfs: '%s' is no name of a file", name);
	if (strcmp(name, l->name) <= 0)
		return fail(err, IMBREX_EFORMAT, "squashfs: '%s' comes after '%s' in a directory",
			name, l->name);
	memcpy(l->name, name, len + 1);
	return 0;
}

int image_listing_next(struct image *m, struct image_listing *l, struct imbrex_error *err)
{
	sqfs_dir_entry_t e;
	int r;

	if (l->left == 0 && l->in_header == 0)
		return 0;
	r = m->api->meta_reader_seek(m->listings, l->block, l->offset);
	if (r)
		return damaged(m, r, "find a directory", err);
	if (l->in_header == 0)
		r = next_header(m, l, err);
	if (r == 0)
		r = read_listing(m, l, &e, sizeof(e), err);
	if (r == 0)
		r = next_name(m, l, (size_t)le16toh(e.size) + 1, err);
	if (r < 0)
		return r;
	l->in_header--;
	l->ref = l->inode_block << 16 | le16toh(e.offset);
	l->kind = le16toh(e.type);
	m->api->meta_reader_get_position(m->listings, &l->block, &l->offset);
	return 1;
}
