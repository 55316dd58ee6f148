/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: layers, images and containers on disk, shared with podman, buildah, skopeo and CRI-O.
 *
 * open -> anything -> close. One thread per store object; any number of processes per store.
 * Every call takes the locks it needs, sees what other processes have published, and holds no lock
 * on return. Results are snapshots that the caller frees; they do not change under it.
 *
 * "Object" arguments (`name`) accept a full id, a name, or a unique prefix of an id. Image names
 * are also completed as podman does: "a" finds docker.io/library/a:latest and localhost/a:latest.
 */
#ifndef IMBREX_STORE_H
#define IMBREX_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imbrex/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMBREX_API __attribute__((visibility("default")))

struct imbrex_store;

/* Zero means: as storage.conf and its environment say, the way podman reads them. */
struct imbrex_store_opts {
	const char *graphroot;   /* persistent data */
	const char *runroot;     /* lost at reboot; NULL with graphroot set: the default */
	const char *driver;      /* "overlay", "vfs"; NULL: configured, or by what is there */
	const char *config_file; /* storage.conf to read in place of the default search */
	const char *const
		*storage_opts; /* "key=value"s, NULL at the end; replace those configured */
	bool read_only;        /* never write, not even lock files or directories */
};

/*
 * Open a store, creating it if it does not exist (unless read_only).
 *
 * An unprivileged caller must first enter a user namespace (imbrex_userns_enter).
 * Errors EINVAL  configuration or option not understood (message names file, line and key)
 *        ENOTSUP no driver works here, with the reason for each
 *        EEXIST  the store belongs to another driver
 *        EFORMAT a record file is damaged (message names file and byte)
 *        EPERM   not enough rights, with what to do as the hint
 */
IMBREX_API int imbrex_store_open(const struct imbrex_store_opts *opts, struct imbrex_store **ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API void imbrex_store_close(struct imbrex_store *s);

IMBREX_API const char *imbrex_store_graphroot(const struct imbrex_store *s);
IMBREX_API const char *imbrex_store_runroot(const struct imbrex_store *s);
IMBREX_API const char *imbrex_store_driver(const struct imbrex_store *s);

/* ---- layers ---------------------------------------------------------------------------- */

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
	int mount_count;
	char *mount_path; /* "" if not mounted */
};

IMBREX_API int imbrex_layers_list(struct imbrex_store *s, struct imbrex_layer **ret, size_t *ret_n,
	struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API void imbrex_layers_free(struct imbrex_layer *layers, size_t n);

/* ---- images ---------------------------------------------------------------------------- */

struct imbrex_image {
	char *id;
	char *digest;       /* of the manifest; "" if none */
	char **names;       /* NULL terminated, never NULL */
	char *created;      /* RFC 3339 */
	char *layer;        /* top layer id; "" for an image without layers */
	int64_t size_bytes; /* sum of uncompressed layers and of the documents; -1 if unknown */
	size_t n_layers;
};

IMBREX_API int imbrex_images_list(struct imbrex_store *s, struct imbrex_image **ret, size_t *ret_n,
	struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API void imbrex_images_free(struct imbrex_image *images, size_t n);
/* Full id of an image. ret: free(). ENOENT if there is none, EINVAL if a prefix is ambiguous. */
IMBREX_API int imbrex_image_find(struct imbrex_store *s, const char *name, char **ret_id,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* Give an image a further name (completed as podman does), taking it from an image that has it. */
IMBREX_API int imbrex_image_tag(struct imbrex_store *s, const char *image, const char *name,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* Take one name away, or all of them if name is NULL. The image stays. */
IMBREX_API int imbrex_image_untag(struct imbrex_store *s, const char *image, const char *name,
	struct imbrex_error *err) __attribute__((warn_unused_result));

struct imbrex_removed {
	char **untagged; /* NULL terminated, never NULL: names taken away */
	char **images;   /* ids of image records removed */
	char **layers;   /* ids of layers removed */
};
IMBREX_API void imbrex_removed_done(struct imbrex_removed *r);
/*
 * Remove an image, or only the name given when the image has others. Layers that nothing else
 * needs go with it; their files are unlinked after the locks are released.
 * Errors EBUSY if a container uses the image (message names it), unless force, which removes
 *        those containers too. ENOENT if it does not exist.
 */
IMBREX_API int imbrex_image_remove(struct imbrex_store *s, const char *image, bool force,
	struct imbrex_removed *ret, struct imbrex_error *err) __attribute__((warn_unused_result));

/* A document kept with an image: "manifest", or the configuration by its digest. ret: free(). */
IMBREX_API int imbrex_image_manifest(struct imbrex_store *s, const char *image, char **ret,
	size_t *ret_len, struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API int imbrex_image_config(struct imbrex_store *s, const char *image, char **ret,
	size_t *ret_len, struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- containers ------------------------------------------------------------------------ */

struct imbrex_container {
	char *id;
	char **names;     /* NULL terminated, never NULL */
	char *image;      /* id; "" if none */
	char *image_name; /* a name of that image, as far as known; "" otherwise */
	char *layer;      /* id of the writable layer */
	char *created;    /* RFC 3339 */
	bool is_volatile;
	int mount_count;
	char *mount_path; /* "" if not mounted */
};

IMBREX_API int imbrex_containers_list(struct imbrex_store *s, struct imbrex_container **ret,
	size_t *ret_n, struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API void imbrex_containers_free(struct imbrex_container *containers, size_t n);

struct imbrex_container_opts {
	const char *name;     /* NULL: none */
	const char *metadata; /* opaque text kept with the container; NULL: what imbrex writes */
	bool is_volatile;     /* content need not survive a crash */
};
/* A writable layer on an image. ret_id: free(). opts may be NULL. */
IMBREX_API int imbrex_container_create(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, char **ret_id, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API int imbrex_container_find(struct imbrex_store *s, const char *name, char **ret_id,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* Removes the container and its layer. EBUSY while mounted, unless force (which unmounts). */
IMBREX_API int imbrex_container_remove(struct imbrex_store *s, const char *container, bool force,
	struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- mounts ---------------------------------------------------------------------------- */

struct imbrex_mount_opts {
	bool read_only;      /* always so for images */
	const char *options; /* comma separated, replace the configured ones; NULL: keep */
};
/*
 * Mount a container's tree, or an image's (read-only); counted across processes. ret_path: free().
 * opts may be NULL.
 */
IMBREX_API int imbrex_mount(struct imbrex_store *s, const char *object,
	const struct imbrex_mount_opts *opts, char **ret_path, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* Undo one mount, or all of them if `all`. *ret_still: mounts left; may be NULL. */
IMBREX_API int imbrex_unmount(struct imbrex_store *s, const char *object, bool all, int *ret_still,
	struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- whole store ----------------------------------------------------------------------- */

/* "Key=Value" facts: driver, roots, kernel features, counts. NULL terminated; free with
 * imbrex_strings_free(). */
IMBREX_API int imbrex_store_info(struct imbrex_store *s, char ***ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_strings_free(char **strings);

/* The record of an object as JSON text (one object), by kind found: image, container or layer. */
IMBREX_API int imbrex_inspect(struct imbrex_store *s, const char *object, char **ret_json,
	struct imbrex_error *err) __attribute__((warn_unused_result));

struct imbrex_df {
	size_t n_images, n_containers, n_layers;
	int64_t layers_bytes;      /* disk use of all image layers */
	int64_t containers_bytes;  /* disk use of all containers' layers */
	int64_t reclaimable_bytes; /* image layers that no container needs */
};
IMBREX_API int imbrex_df(struct imbrex_store *s, struct imbrex_df *ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));

struct imbrex_problem {
	char *object; /* "layer <id>", "image <id>", "container <id>", "file <name>" */
	char *text;   /* what is wrong, one line */
	bool repaired;
};
struct imbrex_check_opts {
	bool repair; /* rebuild or remove what is damaged and not in use */
	bool quick;  /* records and links only; else every layer's bytes against its DiffID */
};
/* Consistency of the whole store. 0 and *ret_n == 0: clean. */
IMBREX_API int imbrex_check(struct imbrex_store *s, const struct imbrex_check_opts *opts,
	struct imbrex_problem **ret, size_t *ret_n, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_problems_free(struct imbrex_problem *problems, size_t n);

/* Remove what no record names: orphan directories, stale temporary files, partial downloads.
 * ret: lines that say what was removed; free with imbrex_strings_free(). */
IMBREX_API int imbrex_gc(struct imbrex_store *s, bool dry_run, char ***ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- user namespace -------------------------------------------------------------------- */

/*
 * An unprivileged caller becomes root of a user namespace of its own, with subordinate ids if it
 * has any, and gets a private mount namespace. Call before any thread exists and before
 * imbrex_store_open. Does nothing for root.
 */
IMBREX_API int imbrex_userns_enter(struct imbrex_error *err) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
