/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsquashfs of squashfs-tools-ng, loaded on first use: with its five compressors it would cost
 * every command more than creating a container takes (docs/decisions/002). The only home of its
 * name; the headers give the types.
 *
 * squashfs_load -> the table, immutable, for the life of the process. Safe from any thread.
 * Errors: err.
 */
#ifndef FORMAT_SQUASHFS_LIBRARY_H
#define FORMAT_SQUASHFS_LIBRARY_H

#include <sqfs/block.h>
#include <sqfs/block_processor.h>
#include <sqfs/block_writer.h>
#include <sqfs/compressor.h>
#include <sqfs/dir.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/frag_table.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/meta_reader.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_writer.h>

#include "base/error.h"
#include "base/macros.h"

/* One member per function, called as in the library less "sqfs_". */
#define SQUASHFS_FUNCTIONS(X)            \
	X(block_processor_append)        \
	X(block_processor_begin_file)    \
	X(block_processor_create_ex)     \
	X(block_processor_end_file)      \
	X(block_processor_finish)        \
	X(block_writer_create)           \
	X(compressor_config_init)        \
	X(compressor_create)             \
	X(dir_writer_add_entry)          \
	X(dir_writer_begin)              \
	X(dir_writer_create)             \
	X(dir_writer_create_inode)       \
	X(dir_writer_end)                \
	X(dir_writer_write_export_table) \
	X(frag_table_create)             \
	X(frag_table_write)              \
	X(free)                          \
	X(id_table_create)               \
	X(id_table_id_to_index)          \
	X(id_table_write)                \
	X(inode_make_extended)           \
	X(inode_set_xattr_index)         \
	X(meta_reader_create)            \
	X(meta_reader_get_position)      \
	X(meta_reader_read)              \
	X(meta_reader_seek)              \
	X(meta_write_write_to_file)      \
	X(meta_writer_append)            \
	X(meta_writer_create)            \
	X(meta_writer_flush)             \
	X(meta_writer_get_position)      \
	X(meta_writer_write_inode)       \
	X(super_init)                    \
	X(super_read)                    \
	X(super_write)                   \
	X(xattr_writer_add)              \
	X(xattr_writer_begin)            \
	X(xattr_writer_create)           \
	X(xattr_writer_end)              \
	X(xattr_writer_flush)

struct squashfs_api {
#define SQUASHFS_MEMBER(name) __typeof__(sqfs_##name) *name;
	SQUASHFS_FUNCTIONS(SQUASHFS_MEMBER)
#undef SQUASHFS_MEMBER
};

/* ENOTSUP, with what to install as the hint. */
int squashfs_load(const struct squashfs_api **ret, struct imbrex_error *err) MUST_CHECK;

/* What an SQFS_ERROR means for a caller who reads (`reading`) or writes an image; `what` is done to
 * what. Returns the status. */
int squashfs_fail(struct imbrex_error *err, int sqfs_error, bool reading, const char *what);

/* Destroys any object of the library; NULL is fine. */
static inline void cleanup_sqfs(void *p)
{
	sqfs_destroy(*(void **)p);
}
#define AUTO_SQFS __attribute__((cleanup(cleanup_sqfs)))

#endif
