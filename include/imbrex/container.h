/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: a writable layer on an image, and a record of it.
 */
#ifndef IMBREX_CONTAINER_H
#define IMBREX_CONTAINER_H

#include "imbrex/idmap.h"
#include "imbrex/object.h"

#ifdef __cplusplus
extern "C" {
#endif

struct imbrex_container {
	char *id;
	char **names;     /* NULL terminated, never NULL */
	char *image;      /* id; "" if none */
	char *image_name; /* a name of that image, as far as known; "" otherwise */
	char *layer;      /* id of the writable layer */
	char *created;    /* RFC 3339 */
	bool is_volatile;
	int mount_count;
	char *mount_path;              /* "" if not mounted */
	struct imbrex_id_map *uid_map; /* NULL: unmapped */
	size_t n_uid_map;
	struct imbrex_id_map *gid_map;
	size_t n_gid_map;
};

IMBREX_API int imbrex_containers_list(struct imbrex_store *s, struct imbrex_container **ret,
	size_t *ret_n, struct imbrex_error *err) __attribute__((warn_unused_result));
/* One container, as an array of one; cost does not grow with the store. */
IMBREX_API int imbrex_container_get(struct imbrex_store *s, const char *name,
	struct imbrex_container **ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_containers_free(struct imbrex_container *containers, size_t n);

/* Zero means default everywhere. */
struct imbrex_container_opts {
	const char *name;                /* NULL: none */
	const char *metadata;            /* opaque text kept with it; NULL: what imbrex writes */
	bool is_volatile;                /* content need not survive a crash */
	const char *id;                  /* NULL: random */
	const char *const *names;        /* further names; NULL terminated; NULL: none */
	struct imbrex_id_maps maps;      /* all zero: none, whatever the image's layer has */
	const char *const *mount_opts;   /* kept and used at every mount; NULL terminated */
	const char *const *storage_opts; /* "size=10G", for the driver; NULL terminated */
	const char *mount_label;         /* SELinux label of its files; NULL: none */
	const char *process_label;       /* SELinux label of its processes; NULL: none */
	bool exact_image; /* `image` is an id, name or prefix as it stands; nothing is completed */
};
/*
 * A writable layer on an image (NULL or "": on nothing). Creating copies nothing, unless a map is
 * asked for that the kernel cannot apply to a mount: then a copy of the image's top layer with
 * changed owners is made, outside every lock, recorded with the image and used again.
 * ret_id: free(). opts may be NULL.
 */
IMBREX_API int imbrex_container_create(struct imbrex_store *s, const char *image,
	const struct imbrex_container_opts *opts, char **ret_id, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API int imbrex_container_find(struct imbrex_store *s, const char *name, char **ret_id,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* Removes the container and its layer. EBUSY while mounted, unless force (which unmounts). */
IMBREX_API int imbrex_container_remove(struct imbrex_store *s, const char *container, bool force,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* Bytes of its layer's difference and of its documents. */
IMBREX_API int imbrex_container_size(struct imbrex_store *s, const char *container, int64_t *ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* As imbrex_layer_parent_owners() of its layer. */
IMBREX_API int imbrex_container_parent_owners(struct imbrex_store *s, const char *container,
	uint32_t **ret_uids, size_t *ret_n_uids, uint32_t **ret_gids, size_t *ret_n_gids,
	struct imbrex_error *err) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
