/* SPDX-License-Identifier: Apache-2.0 */
/* Implementations of two interfaces of libsquashfs; see the header. */
#include "format/squashfs/bridge.h"

#include <stdlib.h>
#include <string.h>

#include "format/squashfs/lzo.h"

/* ---- file ------------------------------------------------------------------------------ */

static struct file_bridge *bridge_of(sqfs_file_t *base)
{
	return (struct file_bridge *)base;
}

static int note(struct file_bridge *b, int r)
{
	if (r == 0)
		return 0;
	if (!b->error)
		b->error = r;
	return SQFS_ERROR_IO;
}

static int bridge_read_at(sqfs_file_t *base, sqfs_u64 offset, void *buf, size_t len)
{
	struct file_bridge *b = bridge_of(base);
	uint64_t end;

	if (__builtin_add_overflow(offset, len, &end) || end > b->file->size_bytes)
		return SQFS_ERROR_OUT_OF_BOUNDS;
	return note(b, b->file->read_at(b->file->ctx, buf, len, offset));
}

static int bridge_write_at(sqfs_file_t *base, sqfs_u64 offset, const void *buf, size_t len)
{
	struct file_bridge *b = bridge_of(base);
	int r = b->file->write_at(b->file->ctx, buf, len, offset);

	if (r == 0 && offset + len > b->file->size_bytes)
		b->file->size_bytes = offset + len;
	return note(b, r);
}

static sqfs_u64 bridge_get_size(const sqfs_file_t *base)
{
	return ((const struct file_bridge *)base)->file->size_bytes;
}

static int bridge_truncate(sqfs_file_t *base, sqfs_u64 size)
{
	struct file_bridge *b = bridge_of(base);
	int r = b->file->truncate(b->file->ctx, size);

	if (r == 0)
		b->file->size_bytes = size;
	return note(b, r);
}

/* The bridge is part of its owner's struct. */
static void bridge_destroy(sqfs_object_t *base)
{
}

void file_bridge_init(struct file_bridge *b, struct squashfs_file *file)
{
	*b = (struct file_bridge){
		.base = {
			.base = { .destroy = bridge_destroy },
			.read_at = bridge_read_at,
			.write_at = bridge_write_at,
			.get_size = bridge_get_size,
			.truncate = bridge_truncate,
		},
		.file = file,
	};
}

int file_bridge_fail(struct imbrex_error *err, const struct file_bridge *b, int sqfs_error,
	bool reading, const char *what)
{
	if (b->error)
		return fail_code(err, b->error, "squashfs: %s", what);
	return squashfs_fail(err, sqfs_error, reading, what);
}

/* ---- compressors ----------------------------------------------------------------------- */

struct own_compressor {
	sqfs_compressor_t base;
	sqfs_compressor_config_t config;
	sqfs_compressor_t *of;    /* borrowed; of the one that compresses nothing */
	sqfs_compressor_t *inner; /* owned; of the one that is checked */
};

static void own_destroy(sqfs_object_t *base)
{
	sqfs_destroy(((struct own_compressor *)base)->inner);
	free(base);
}

static sqfs_object_t *own_copy(const sqfs_object_t *base)
{
	struct own_compressor *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	memcpy(copy, base, sizeof(*copy));
	if (copy->inner)
		copy->inner = sqfs_copy(copy->inner);
	if (copy->inner || !((const struct own_compressor *)base)->inner)
		return (sqfs_object_t *)copy;
	free(copy);
	return NULL;
}

static void own_get_configuration(const sqfs_compressor_t *base, sqfs_compressor_config_t *config)
{
	*config = ((const struct own_compressor *)base)->config;
}

/* The default algorithm of mksquashfs needs no options, and to unpack they do not matter. */
static int lzo_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	return 0;
}

static sqfs_s32 lzo_block(
	sqfs_compressor_t *base, const sqfs_u8 *in, sqfs_u32 len, sqfs_u8 *out, sqfs_u32 out_len)
{
	const struct own_compressor *c = (const struct own_compressor *)base;
	int r;

	if (c->config.flags & SQFS_COMP_FLAG_UNCOMPRESS)
		r = lzo_decompress(in, len, out, out_len);
	else
		r = lzo_compress(in, len, out, MIN(out_len, len));
	if (r == -ENOMEM)
		return SQFS_ERROR_ALLOC;
	return r < 0 ? SQFS_ERROR_COMPRESSOR : r;
}

static int null_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	struct own_compressor *c = (struct own_compressor *)base;

	return c->of->write_options(c->of, file);
}

static sqfs_s32 null_block(
	sqfs_compressor_t *base, const sqfs_u8 *in, sqfs_u32 len, sqfs_u8 *out, sqfs_u32 out_len)
{
	return 0;
}

static int checked_write_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	struct own_compressor *c = (struct own_compressor *)base;

	return c->inner->write_options(c->inner, file);
}

static int checked_read_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	struct own_compressor *c = (struct own_compressor *)base;

	return c->inner->read_options(c->inner, file);
}

/* A block that would grow is to be stored as it is: squashfs-tools refuse it otherwise. */
static sqfs_s32 checked_block(
	sqfs_compressor_t *base, const sqfs_u8 *in, sqfs_u32 len, sqfs_u8 *out, sqfs_u32 out_len)
{
	struct own_compressor *c = (struct own_compressor *)base;
	sqfs_s32 r = c->inner->do_block(c->inner, in, len, out, out_len);

	return r > 0 && (sqfs_u32)r >= len ? 0 : r;
}

static int own_new(const struct own_compressor *from, sqfs_compressor_t **ret)
{
	struct own_compressor *c = malloc(sizeof(*c));

	if (!c)
		return SQFS_ERROR_ALLOC;
	*c = *from;
	c->base.base = (sqfs_object_t){ .destroy = own_destroy, .copy = own_copy };
	c->base.get_configuration = own_get_configuration;
	*ret = &c->base;
	return 0;
}

int compressor_new(const struct squashfs_api *api, const sqfs_compressor_config_t *config,
	sqfs_compressor_t **ret)
{
	const struct own_compressor lzo = {
		.base = {
			.write_options = lzo_options,
			.read_options = lzo_options,
			.do_block = lzo_block,
		},
		.config = *config,
	};
	struct own_compressor checked = {
		.base = {
			.write_options = checked_write_options,
			.read_options = checked_read_options,
			.do_block = checked_block,
		},
		.config = *config,
	};
	int r;

	if (config->id == SQFS_COMP_LZO)
		return own_new(&lzo, ret);
	/* lz4 of libsquashfs 1.2 may return more than it was given. */
	if (config->id != SQFS_COMP_LZ4 || config->flags & SQFS_COMP_FLAG_UNCOMPRESS)
		return api->compressor_create(config, ret);
	r = api->compressor_create(config, &checked.inner);
	if (r == 0)
		r = own_new(&checked, ret);
	if (r)
		sqfs_destroy(checked.inner);
	return r;
}

int compressor_new_null(sqfs_compressor_t *of, sqfs_compressor_t **ret)
{
	struct own_compressor null = {
		.base = {
			.write_options = null_options,
			.read_options = null_options,
			.do_block = null_block,
		},
		.of = of,
	};

	of->get_configuration(of, &null.config);
	return own_new(&null, ret);
}
