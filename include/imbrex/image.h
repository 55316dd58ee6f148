/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: records on layers, moving them from any source into the store, and what an image says
 * about itself.
 */
#ifndef IMBREX_IMAGE_H
#define IMBREX_IMAGE_H

#include "imbrex/object.h"
#include "imbrex/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

struct imbrex_image {
	char *id;
	char *digest;         /* of the manifest; "" if none */
	char **names;         /* NULL terminated, never NULL */
	char *created;        /* RFC 3339 */
	char *layer;          /* top layer id; "" for an image without layers */
	char **mapped_layers; /* copies of that layer under other id maps; NULL terminated, never
				 NULL */
	int64_t size_bytes;   /* sum of uncompressed layers and of the documents; -1 if unknown */
	size_t n_layers;
};

IMBREX_API int imbrex_images_list(struct imbrex_store *s, struct imbrex_image **ret, size_t *ret_n,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* One image, as an array of one; named exactly, as imbrex_object_find() has it. */
IMBREX_API int imbrex_image_get(struct imbrex_store *s, const char *name, struct imbrex_image **ret,
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

/* Zero means default everywhere. */
struct imbrex_image_opts {
	const char *id;           /* NULL: random */
	const char *const *names; /* NULL terminated; as they stand; NULL: none */
	const char *digest;       /* of the manifest; NULL: none */
	const char *metadata;     /* opaque text; NULL: none */
	const char *created;      /* RFC 3339; NULL: now */
};
/*
 * A record of an image on layer `layer` (NULL or "": none). ret_id: free(). opts may be NULL.
 * Errors EEXIST (reasons ID_IN_USE, NAME_IN_USE); ENOENT (LAYER_UNKNOWN).
 */
IMBREX_API int imbrex_image_create(struct imbrex_store *s, const char *layer,
	const struct imbrex_image_opts *opts, char **ret_id, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* Ids of all images that have this manifest digest. ret: NULL terminated. */
IMBREX_API int imbrex_images_by_digest(struct imbrex_store *s, const char *digest, char ***ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* All digests that name the image: its own, then those of its manifests. NULL terminated. */
IMBREX_API int imbrex_image_digests(struct imbrex_store *s, const char *image, char ***ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* As listed: layers, copies of the top one under other maps, documents; -1 if one is unknown. */
IMBREX_API int imbrex_image_size(struct imbrex_store *s, const char *image, int64_t *ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- from sources ------------------------------------------------------------------------ */

/* Zero means default everywhere. */
struct imbrex_pull_opts {
	const char *name;     /* name in the store, completed as podman does; NULL: the source's */
	const char *platform; /* "os/arch[/variant]"; NULL: this machine */
	unsigned int jobs;    /* layers at a time; 0: one per core, at least three */
	int tls_verify;       /* 1 yes, -1 no, 0 as registries.conf says */
	const char *creds;    /* "user:password"; NULL: from the credential files */
	const char *authfile; /* in place of the default credential files */
	const char *cert_dir; /* in place of certs.d */
	unsigned int engine_timeout_ms;    /* longest silence of a Docker Engine; 0: 5 minutes */
	unsigned int tries;                /* of a request to a registry; 0: 5 */
	unsigned int connect_timeout_sec;  /* to a registry; 0: 30 */
	unsigned int transfer_timeout_sec; /* of such a request, with its answer; 0: none */
	bool no_sync; /* do not sync content before it is published (tests, throw-away) */
	imbrex_progress_fn progress; /* may be NULL */
	void *progress_userdata;
	imbrex_rootfs_step_fn step; /* may be NULL; QUERY, MANIFEST and what a registry says */
	void *step_userdata;
};

/*
 * Import one image. `source` is one of the forms of imbrex-pull(1): docker://…, oci:…, a path …
 * Nothing is visible in the store unless all of it arrived and every digest was right. Layers that
 * the store has are not fetched again. opts may be NULL. ret_id: the image id, free().
 *
 * Errors ENOENT source or tag not found; ENET, EPERM registry; EDIGEST content is not what was
 *        announced; EFORMAT, ELIMIT, ENOTSUP documents or layers; ENOSPC; and those of the store.
 */
IMBREX_API int imbrex_pull(struct imbrex_store *s, const char *source,
	const struct imbrex_pull_opts *opts, char **ret_id, struct imbrex_error *err)
	__attribute__((warn_unused_result));

struct imbrex_history {
	char *created; /* RFC 3339, "" if absent */
	char *created_by;
	char *comment;
	bool empty_layer;
	int64_t size_bytes; /* of its layer; 0 if empty, -1 if unknown */
	char *layer;        /* layer id; "" if empty or unknown */
};
/* Oldest first. */
IMBREX_API int imbrex_image_history(struct imbrex_store *s, const char *image,
	struct imbrex_history **ret, size_t *ret_n, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_history_free(struct imbrex_history *history, size_t n);

/* What to run and how, from the image's configuration. All lists NULL terminated, never NULL. */
struct imbrex_image_process {
	char **env;
	char **entrypoint;
	char **cmd;
	char *user;        /* "" if not set */
	char *working_dir; /* "" if not set */
	char *stop_signal; /* "" if not set */
};
IMBREX_API int imbrex_image_process(struct imbrex_store *s, const char *image,
	struct imbrex_image_process *ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_image_process_done(struct imbrex_image_process *p);

#ifdef __cplusplus
}
#endif
#endif
