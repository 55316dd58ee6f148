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
	const char *driver;      /* "overlay", "btrfs", "zfs", "vfs"; NULL: configured, or found */
	const char *config_file; /* storage.conf to read in place of the default search */
	const char *const
		*storage_opts;  /* "key=value"s, NULL at the end; replace those configured */
	bool read_only;         /* never write, not even lock files or directories */
	const char *imagestore; /* second root that takes images; NULL: configured */
	bool transient_store;   /* containers and their layers are gone at the next boot */
	bool recover; /* remove layers whose writer died at once; else the next writer does it */
	bool configured_wholesale; /* all of the above but config_file come from the configuration,
				      whatever is set (what containers-storage does) */
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
/* A mount of an unprivileged user is the layer's own directory, and so outlives his namespaces. */
IMBREX_API bool imbrex_store_mounts_last(const struct imbrex_store *s);
/* Which table of those that were last read is damaged, and how; what is whole of it was read.
 * NULL: none. The store's, until its next use. */
IMBREX_API const char *imbrex_store_damage(struct imbrex_store *s);
/* Driver options in force, "overlay.mountopt=nodev", NULL terminated; the store's. */
IMBREX_API const char *const *imbrex_store_driver_options(const struct imbrex_store *s);

/*
 * What storage.conf, its environment and `opts` add up to, without opening anything: one JSON
 * object with the keys of containers-storage's `config`. ret_json: free().
 */
IMBREX_API int imbrex_store_config(const struct imbrex_store_opts *opts, char **ret_json,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* "Key=Value" facts of the driver alone ("Backing Filesystem=extfs"), NULL terminated. */
IMBREX_API int imbrex_store_status(struct imbrex_store *s, char ***ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* Unmount everything and give up driver resources. EBUSY if something is mounted, unless force.
 * ret_still (may be NULL): ids of layers that stay mounted, NULL terminated. */
IMBREX_API int imbrex_store_shutdown(struct imbrex_store *s, bool force, char ***ret_still,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* Remove every container, image and layer. */
IMBREX_API int imbrex_store_wipe(struct imbrex_store *s, struct imbrex_error *err)
	__attribute__((warn_unused_result));

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
	size_t n_images, n_containers;
	size_t n_layers;           /* but those that containers write to */
	int64_t layers_bytes;      /* disk use of all image layers */
	int64_t containers_bytes;  /* disk use of all containers' layers */
	int64_t reclaimable_bytes; /* image layers that no container needs */
	int64_t shared_bytes;      /* image layers that several images stand on */
	int64_t unique_bytes;      /* image layers that one image stands on */
	int64_t unused_bytes;      /* layers that no image and no container stands on */
};
IMBREX_API int imbrex_df(struct imbrex_store *s, struct imbrex_df *ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The same for each image and container. */
struct imbrex_df_object {
	char *id;
	char *name;           /* its first name; "" if none */
	bool is_container;    /* else an image */
	int64_t total_bytes;  /* of all its layers (a container: of its own) */
	int64_t shared_bytes; /* of those that others stand on too */
	int64_t unique_bytes; /* of those that go with it */
	bool in_use;          /* image: a container stands on it; container: mounted */
	int64_t limit_bytes;  /* what a container may take at most; 0: no limit */
	int64_t limit_inodes; /* likewise */
};
IMBREX_API int imbrex_df_objects(struct imbrex_store *s, struct imbrex_df_object **ret,
	size_t *ret_n, struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API void imbrex_df_objects_free(struct imbrex_df_object *objects, size_t n);

/* Who owns a path of the host, and why. */
struct imbrex_where {
	char *layer;       /* id; "" if it is no layer's */
	char **images;     /* ids of images that stand on that layer; NULL terminated */
	char **containers; /* ids of containers that stand on that layer */
	char *inside;      /* path inside the layer's tree: "/etc/passwd"; "" if not in a tree */
	char *role; /* "content", "mount", "record", "tar-split", "document", "temporary", ... */
	char *why;  /* one line for people */
};
/* `path` may lie in the store, in a mounted container, or be given relative to the current
 * directory. ENOENT if the store knows nothing of it. */
IMBREX_API int imbrex_where(struct imbrex_store *s, const char *path, struct imbrex_where *ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API void imbrex_where_done(struct imbrex_where *w);

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
