/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers: a difference to the layer below. Creating, filling, comparing and exporting them.
 *
 * File descriptors are the caller's: borrowed, neither closed nor rewound. No lock of the store is
 * held while bytes move, except where a call says so.
 */
#ifndef IMBREX_LAYER_H
#define IMBREX_LAYER_H

#include "imbrex/idmap.h"
#include "imbrex/object.h"

#ifdef __cplusplus
extern "C" {
#endif

struct imbrex_layer {
	char *id;
	char *parent;            /* "" for a base layer */
	char **names;            /* NULL terminated, never NULL */
	char *created;           /* RFC 3339 */
	char *diff_digest;       /* DiffID "sha256:…"; "" if unknown (a container's layer) */
	char *compressed_digest; /* digest of the blob it came from; "" if unknown */
	int64_t diff_size_bytes; /* uncompressed tar; -1 if unknown */
	int64_t compressed_size_bytes; /* -1 if unknown */
	int compression;               /* 0 none, 1 bzip2, 2 gzip, 3 xz, 4 zstd */
	bool incomplete;               /* a crashed or running writer's; unusable */
	bool read_only;                /* lies in an additional store */
	int mount_count;
	char *mount_path;              /* "" if not mounted */
	struct imbrex_id_map *uid_map; /* its content is owned so; NULL: unmapped */
	size_t n_uid_map;
	struct imbrex_id_map *gid_map;
	size_t n_gid_map;
};

/* All layers of the store, then those of additional stores. */
IMBREX_API int imbrex_layers_list(struct imbrex_store *s, struct imbrex_layer **ret, size_t *ret_n,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* One layer, as an array of one. */
IMBREX_API int imbrex_layer_get(struct imbrex_store *s, const char *name, struct imbrex_layer **ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API void imbrex_layers_free(struct imbrex_layer *layers, size_t n);

/* Zero means default everywhere. */
struct imbrex_layer_opts {
	const char *id;           /* NULL: random */
	const char *const *names; /* NULL terminated; NULL: none */
	const char *mount_label;  /* SELinux label recorded with it; NULL: none */
	const char *metadata;     /* NULL: none */
	bool read_only;           /* of an image: goes where images are kept (imagestore) */
	bool no_record;           /* driver only: the store does not know it (plumbing) */
	struct imbrex_id_maps maps;
	const char *const *storage_opts; /* "size=10G", for the driver; NULL terminated */
};
/*
 * An empty layer on `parent` (NULL or "": none); its id: ret_id, free().
 * Errors EEXIST (reasons ID_IN_USE, NAME_IN_USE); ENOENT (LAYER_UNKNOWN); EINVAL
 *        (PARENT_IS_CONTAINER).
 */
IMBREX_API int imbrex_layer_create(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, char **ret_id, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The same, filled with the tar stream of any compression that `fd` gives; nothing is visible
 * unless all of it was good. */
IMBREX_API int imbrex_layer_import(struct imbrex_store *s, const char *parent,
	const struct imbrex_layer_opts *opts, int fd, char **ret_id, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/*
 * Lay a tar stream over the content of an existing layer. It is made aside and exchanged, so the
 * layer is as before if it fails.
 *
 * ret_size_bytes  of the uncompressed stream; may be NULL
 * Errors EBUSY (LAYER_MOUNTED) while it, or a layer on it, is mounted; EBUSY if it was used or
 *        replaced meanwhile; EPERM (READ_ONLY)
 */
IMBREX_API int imbrex_layer_apply(struct imbrex_store *s, const char *layer, int fd,
	int64_t *ret_size_bytes, struct imbrex_error *err) __attribute__((warn_unused_result));
/* Exchange what an existing layer holds for what is in directory `dir`, through the driver's
 * staging place; otherwise as imbrex_layer_apply(). */
IMBREX_API int imbrex_layer_apply_dir(struct imbrex_store *s, const char *layer, const char *dir,
	struct imbrex_error *err) __attribute__((warn_unused_result));

enum imbrex_change_kind {
	IMBREX_CHANGE_MODIFY = 0,
	IMBREX_CHANGE_ADD = 1,
	IMBREX_CHANGE_DELETE = 2
};
struct imbrex_change {
	enum imbrex_change_kind kind;
	char *path; /* absolute inside the tree: "/etc/passwd" */
};
/* What `layer` (or the layer of a container) changes in `from`; NULL or "": its parent. Sorted. */
IMBREX_API int imbrex_layer_changes(struct imbrex_store *s, const char *layer, const char *from,
	struct imbrex_change **ret, size_t *ret_n, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_changes_free(struct imbrex_change *changes, size_t n);

enum imbrex_compression {
	IMBREX_COMPRESSION_RECORDED = -1, /* as the layer came */
	IMBREX_COMPRESSION_NONE = 0,
	IMBREX_COMPRESSION_BZIP2 = 1, /* ENOTSUP when writing */
	IMBREX_COMPRESSION_GZIP = 2,
	IMBREX_COMPRESSION_XZ = 3, /* ENOTSUP when writing */
	IMBREX_COMPRESSION_ZSTD = 4
};
/*
 * The difference as a tar stream, written to `fd`; byte for byte the original one if the layer was
 * filled from a tar and `from` is its parent (NULL or "": the parent). `layer` and `from` may be
 * containers, whose layers are meant. Bytes go out under no lock; a closed pipe is an error of
 * write(2), and its signal the caller's business.
 * Errors ENOTSUP for a compression that is not written; ENOENT (LAYER_UNKNOWN), also if a layer
 *        was removed meanwhile; EDIGEST if content is not what was recorded of it
 */
IMBREX_API int imbrex_layer_diff(struct imbrex_store *s, const char *layer, const char *from,
	enum imbrex_compression compression, int fd, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* Bytes that the difference takes: sizes of all but directories, hard links once. */
IMBREX_API int imbrex_layer_diff_size(struct imbrex_store *s, const char *layer, const char *from,
	int64_t *ret, struct imbrex_error *err) __attribute__((warn_unused_result));

/* Ids that own the mount point of a mapped layer's directories above the store but are outside of
 * its map. NULL if none. ret: free(). */
IMBREX_API int imbrex_layer_parent_owners(struct imbrex_store *s, const char *layer,
	uint32_t **ret_uids, size_t *ret_n_uids, uint32_t **ret_gids, size_t *ret_n_gids,
	struct imbrex_error *err) __attribute__((warn_unused_result));

struct imbrex_copy_opts {
	int64_t uid, gid; /* owner of the copies; -1: as they are. Zeroed struct: root! */
};
/*
 * Copy files, and what is in directories, with modes, times, owners and xattrs. Places are
 * "LAYER:/path", where the path is resolved inside the layer, which is mounted for the time, or
 * paths of the host, which begin with '/' or '.' or have no colon. A directory comes into the
 * target, which is made if it is missing; a file becomes the target, or comes into one that ends
 * with a slash. Owners are translated between the maps of the layers. `sources` is NULL terminated.
 * Errors EEXIST for a file in the place of a directory and the reverse; EINVAL for a source that
 *        is neither, and for a directory into itself
 */
IMBREX_API int imbrex_copy(struct imbrex_store *s, const char *const *sources, const char *target,
	const struct imbrex_copy_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* Names of everything that the driver holds as a layer, recorded or not; sorted. */
IMBREX_API int imbrex_driver_layers(struct imbrex_store *s, char ***ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* Files that lie in several layers with the same content share their blocks afterwards. */
enum imbrex_dedup_method {
	IMBREX_DEDUP_SHA256 = 0,
	IMBREX_DEDUP_SIZE, /* candidates by size only; the kernel still compares every byte */
	IMBREX_DEDUP_CRC
};
/* ENOTSUP where the file system cannot share blocks. */
IMBREX_API int imbrex_dedup(struct imbrex_store *s, enum imbrex_dedup_method method,
	int64_t *ret_bytes, struct imbrex_error *err) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
