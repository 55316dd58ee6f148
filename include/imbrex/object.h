/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What layers, images and containers have in common: an id, names, a text of metadata, named
 * documents ("big data"), directories, and a record in JSON.
 *
 * `name` is a full id, a name, or a unique prefix of an id; `kinds` says which kinds are looked
 * at, in the order container, image, layer unless a call says otherwise. Objects of additional
 * (read-only) stores are found too; changing one is EPERM (reason READ_ONLY) unless a call says
 * otherwise. Names are compared as they stand: nothing is completed here.
 */
#ifndef IMBREX_OBJECT_H
#define IMBREX_OBJECT_H

#include "imbrex/store.h"

#ifdef __cplusplus
extern "C" {
#endif

enum imbrex_kind {
	IMBREX_KIND_LAYER = 1 << 0,
	IMBREX_KIND_IMAGE = 1 << 1,
	IMBREX_KIND_CONTAINER = 1 << 2,
	IMBREX_KIND_ANY = 7
};

/* Full id of an object. ret_kind may be NULL. ret_id: free(). */
IMBREX_API int imbrex_object_find(struct imbrex_store *s, const char *name, unsigned int kinds,
	enum imbrex_kind *ret_kind, char **ret_id, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* Its record as it stands on disk: one JSON object. ret_json: free(). */
IMBREX_API int imbrex_object_json(struct imbrex_store *s, const char *name, unsigned int kinds,
	char **ret_json, struct imbrex_error *err) __attribute__((warn_unused_result));
/* All records of one kind: a JSON array, those of additional stores last. ret_json: free(). */
IMBREX_API int imbrex_objects_json(struct imbrex_store *s, enum imbrex_kind kind, char **ret_json,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* 1 if it lies in an additional (read-only) store, 0 if not. */
IMBREX_API int imbrex_object_is_read_only(struct imbrex_store *s, const char *name,
	unsigned int kinds, struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- names ------------------------------------------------------------------------------- */

/* ret: NULL terminated, imbrex_strings_free(). */
IMBREX_API int imbrex_names_get(struct imbrex_store *s, const char *name, unsigned int kinds,
	char ***ret, struct imbrex_error *err) __attribute__((warn_unused_result));

enum imbrex_names_change {
	IMBREX_NAMES_SET = 0, /* exactly these, in this order, equal ones once */
	IMBREX_NAMES_ADD,     /* these before those it has */
	IMBREX_NAMES_REMOVE   /* those that it has not are no error */
};
/*
 * A name is taken from the object of the same kind that has it. Of an image in an additional
 * store, the record is copied into the store first. Looks in the order layer, image, container,
 * as containers-storage does. `names` is NULL terminated.
 */
IMBREX_API int imbrex_names_change(struct imbrex_store *s, const char *name, unsigned int kinds,
	enum imbrex_names_change change, const char *const *names, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* ---- metadata ---------------------------------------------------------------------------- */

/* "" if there is none. ret: free(). Both look in the order layer, image, container. */
IMBREX_API int imbrex_metadata_get(struct imbrex_store *s, const char *name, unsigned int kinds,
	char **ret, struct imbrex_error *err) __attribute__((warn_unused_result));
IMBREX_API int imbrex_metadata_set(struct imbrex_store *s, const char *name, unsigned int kinds,
	const char *text, struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- big data ---------------------------------------------------------------------------- */

/* Keys, in the order in which they were first set. */
IMBREX_API int imbrex_data_list(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	char ***ret, struct imbrex_error *err) __attribute__((warn_unused_result));
/* ENOENT if the object has no such item. ret: free(); a NUL follows the last byte. */
IMBREX_API int imbrex_data_get(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, char **ret, size_t *ret_len, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* As recorded, or of the file where nothing is recorded (layers). ret_digest: free(). */
IMBREX_API int imbrex_data_size(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, int64_t *ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API int imbrex_data_digest(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, char **ret, struct imbrex_error *err) __attribute__((warn_unused_result));
/* Create or replace. EINVAL (reason BAD_DATA_NAME) for an empty key. */
IMBREX_API int imbrex_data_set(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	const char *key, const void *data, size_t len, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* ---- directories ------------------------------------------------------------------------- */

/*
 * A directory for the caller's own files, made if absent, gone with the object: below the graph
 * root, or (`run`) below the run root and so gone at the next boot. Images and containers only.
 * ret_path: free().
 */
IMBREX_API int imbrex_object_dir(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	bool run, char **ret_path, struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- removing ---------------------------------------------------------------------------- */

struct imbrex_delete_opts {
	bool keep_layers; /* images: only the record; layers stay */
	bool used_too;    /* layers, and images with keep_layers: although others stand on it */
	bool dry_run;     /* images: say what would go, change nothing */
	bool unmount;     /* what is mounted is unmounted first; else EBUSY */
	bool must_exist;  /* ENOENT if it is gone already; else that is success */
};
/*
 * Remove one object by what it is. Files are unlinked after the locks are released.
 * ret_layers (may be NULL): ids of layers that went or would go, NULL terminated.
 * Errors EBUSY with a reason: LAYER_HAS_CHILDREN, LAYER_USED_BY_IMAGE, LAYER_USED_BY_CONTAINER,
 *        IMAGE_USED_BY_CONTAINER; and the message names who.
 */
IMBREX_API int imbrex_object_delete(struct imbrex_store *s, const char *name, unsigned int kinds,
	const struct imbrex_delete_opts *opts, char ***ret_layers, struct imbrex_error *err)
	__attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
