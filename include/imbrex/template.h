/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as datasets of ZFS, and containers as clones of them, in the layout of enroot's ZFS fork.
 *
 * imbrex_templates_open -> calls -> imbrex_templates_close. A template is one image, whole, as a
 * snapshot that nothing changes again: made once, cloned by every container, evicted when it has
 * no clones and has not been used for long. Everything lies below the dataset that is mounted at
 * one directory; imbrex-zfs-templates(7) has the layout.
 *
 * One thread per object; any number of processes. A call that dies in the middle leaves nothing
 * that the next one does not take away.
 */
#ifndef IMBREX_TEMPLATE_H
#define IMBREX_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "imbrex/rootfs.h"

#ifdef __cplusplus
extern "C" {
#endif

struct imbrex_templates;

enum imbrex_note {
	IMBREX_NOTE_INFO = 1,
	IMBREX_NOTE_WARN
};
/* What happens, in a sentence without a full stop. From the calling thread. */
typedef void (*imbrex_note_fn)(void *userdata, enum imbrex_note level, const char *text);

/* Zero means default everywhere. */
struct imbrex_templates_opts {
	const char *data_path;    /* directory that the store's dataset is mounted at; absolute */
	const uint64_t *warm_sec; /* a template unused for less is kept; UINT64_MAX: for ever;
				     NULL: a week */
	const uint64_t *layer_warm_sec; /* likewise a layer that nothing stands on; NULL: 30 days */
	unsigned int pressure_percent;  /* of a quota: above it, age counts no more; 0: 80 */
	bool layer_chain;               /* keep each layer of an image, to be shared with others */
	const char *mount_helper;       /* absolute; for who may not mount; NULL: as installed */
	imbrex_note_fn note;            /* may be NULL */
	void *userdata;
};

/*
 * Errors ENOENT if the directory is not where a dataset is mounted; ENOTSUP without ZFS
 */
IMBREX_API int imbrex_templates_open(const struct imbrex_templates_opts *opts,
	struct imbrex_templates **ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_templates_close(struct imbrex_templates *t);

/* ---- templates ------------------------------------------------------------------------- */

/* A key is 64 digits: of an image its id, of a file the SHA-256 of what is in it. */

/* 1 if there is a template of that key, which now counts as used; 0 if not. */
IMBREX_API int imbrex_template_find(struct imbrex_templates *t, const char *key,
	struct imbrex_error *err) __attribute__((warn_unused_result));

struct imbrex_template_facts {
	char *key;
	char *manifest_digest; /* "sha256:…"; "" if the source has none of its own */
	bool reused;           /* it was here, and nothing was transferred */
};
IMBREX_API void imbrex_template_facts_done(struct imbrex_template_facts *f);
/*
 * The template of an image of any source that imbrex_pull() takes, as imbrex_rootfs_import() makes
 * a directory of it. Nothing but documents is transferred if there is one already.
 *
 * expect  key that the image must have, before anything is transferred; NULL: any
 * Errors  those of imbrex_rootfs_import(); EDIGEST if the image is another one than expected
 *         (ret->key then says which); ENOSPC, after all that was unused has been evicted
 */
IMBREX_API int imbrex_template_import(struct imbrex_templates *t, const char *source,
	const struct imbrex_rootfs_opts *opts, const char *expect,
	struct imbrex_template_facts *ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The template of a squashfs file. ret_key: free(). */
IMBREX_API int imbrex_template_import_squashfs(struct imbrex_templates *t, const char *file,
	unsigned int processors, char **ret_key, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* Where a template is from, for people. NULL: not said. */
struct imbrex_template_origin {
	const char *uri;
	const char *manifest_digest;
	const char *arch;
};
/* Best effort: what cannot be written is left. */
IMBREX_API void imbrex_template_describe(
	struct imbrex_templates *t, const char *key, const struct imbrex_template_origin *origin);

/* ---- clones: containers ---------------------------------------------------------------- */

/*
 * A container of a template, mounted at the directory of its name.
 *
 * replace  destroy one of that name first
 * Errors   ENOENT if there is no such template (any more); EEXIST; EINVAL for a name that is none
 */
IMBREX_API int imbrex_clone_create(struct imbrex_templates *t, const char *key, const char *name,
	bool replace, struct imbrex_error *err) __attribute__((warn_unused_result));
/* 1 or 0. */
IMBREX_API int imbrex_clone_exists(struct imbrex_templates *t, const char *name,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* Mount it, if it is not. ENOENT if there is none. ret_path: free(); may be NULL. */
IMBREX_API int imbrex_clone_mount(struct imbrex_templates *t, const char *name, char **ret_path,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* ENOENT; EBUSY if it is used or has snapshots. Its template stays. */
IMBREX_API int imbrex_clone_remove(struct imbrex_templates *t, const char *name,
	struct imbrex_error *err) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
