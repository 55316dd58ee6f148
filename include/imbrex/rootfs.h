/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root file systems outside of a store: plain directories and squashfs files, made from images, and
 * the files in them that say how to run what is in them (those of enroot: /etc/rc and others).
 *
 * Every call is whole: what it makes appears under its name when it is complete, or not at all. No
 * state between calls; any thread. Paths of the host follow symbolic links; nothing inside a root
 * file system is ever followed out of it.
 */
#ifndef IMBREX_ROOTFS_H
#define IMBREX_ROOTFS_H

#include "imbrex/progress.h"
#include "imbrex/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- squashfs -------------------------------------------------------------------------- */

/* Zero means default everywhere. */
struct imbrex_squashfs_opts {
	const char *const *options; /* in the words of mksquashfs(1), NULL terminated; NULL: none */
	const int64_t *time_sec;    /* of the image and of everything in it (SOURCE_DATE_EPOCH);
				       NULL: the files' own, and the newest of them */
	const int64_t *made_after;  /* directories changed since are given `made_time_sec`: those
				       that only had to be there; NULL: none */
	int64_t made_time_sec;
	unsigned int processors; /* 0: all; beaten by the word -processors */
	bool all_root;           /* everything belongs to 0:0 */
	bool leave_placeholders; /* all but what enroot leaves out of an export: what is below
				    /dev, empty files and directories of mode 0, /.enroot and
				    /.lock */
	bool replace;            /* what has that name; else EEXIST */
};
/*
 * A directory becomes a squashfs image. The same tree and options give the same bytes. Sockets are
 * left out; of extended attributes user.* and security.capability count.
 * Errors EINVAL for a word that is not understood; EEXIST; ENOTSUP without libsquashfs; ENOSPC
 */
IMBREX_API int imbrex_squashfs_create(const char *dir, const char *file,
	const struct imbrex_squashfs_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/*
 * The reverse: a new directory, which belongs to the caller with all that is in it. An owner can
 * read everything, and write and enter directories, whatever their modes were; devices need
 * privilege and are left out without it.
 *
 * processors  0: all
 * Errors EEXIST; EFORMAT for a damaged image; ELIMIT; ENOTSUP; ENOSPC
 */
IMBREX_API int imbrex_squashfs_extract(const char *file, const char *dir, unsigned int processors,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* 1 if the file claims to be a squashfs image, 0 if not. */
IMBREX_API int imbrex_squashfs_probe(const char *file, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* ---- from images ----------------------------------------------------------------------- */

/* Zero means default everywhere. */
struct imbrex_rootfs_opts {
	const char *platform;     /* "os/arch[/variant]"; NULL: this machine */
	int tls_verify;           /* 1 yes, -1 no (plain HTTP too), 0 as registries.conf says */
	const char *username;     /* NULL: from the credential files */
	const char *password;     /* of username; NULL: none */
	unsigned int connections; /* at a time; 0: 10 */
	unsigned int tries;       /* of a request; 0: default */
	unsigned int connect_timeout_sec;  /* 0: 30 */
	unsigned int transfer_timeout_sec; /* of a request, with its answer; 0: none */
	const char *cache_dir;  /* where blobs of registries are kept: the layer's tar, packed by
				   zstd, by the digest of the blob; NULL: nowhere */
	int cache_level;        /* of zstd; 0: 1 */
	bool strip_setid;       /* files lose set-user-ID and set-group-ID */
	const char *provenance; /* where the image is from, for /etc/rc; NULL: no files of enroot
				   are made */
	imbrex_rootfs_step_fn step; /* may be NULL; from the calling thread */
	void *userdata;
};
struct imbrex_rootfs_facts {
	char *image_id;        /* "sha256:…" of the configuration */
	char *manifest_digest; /* "sha256:…" */
	char *architecture;    /* as the configuration says: "amd64"; "" if it does not */
	int64_t created_sec;   /* when the image was made; 0 if it does not say */
};
IMBREX_API void imbrex_rootfs_facts_done(struct imbrex_rootfs_facts *f);
/*
 * An image of any source that imbrex_pull() takes, as one directory: layers merged, whiteouts
 * applied, as the caller's own (see imbrex_squashfs_extract()), without what is below /dev. Nothing
 * is mounted, no privilege is needed. Every layer is checked against its DiffID, wherever it came
 * from; manifests and blobs against their digests. opts and ret may be NULL.
 */
IMBREX_API int imbrex_rootfs_import(const char *source, const char *dir,
	const struct imbrex_rootfs_opts *opts, struct imbrex_rootfs_facts *ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/*
 * An image as a squashfs file; the tree in between lies in the directory `temp_dir`. What the
 * source has no time for gets the image's. squash, opts and ret may be NULL.
 */
IMBREX_API int imbrex_squashfs_import(const char *source, const char *file, const char *temp_dir,
	const struct imbrex_rootfs_opts *opts, const struct imbrex_squashfs_opts *squash,
	struct imbrex_rootfs_facts *ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/*
 * Remove what processes that died left in a directory while they made something there. Calls that
 * make something do so first; whoever ends others does it behind them.
 */
IMBREX_API int imbrex_rootfs_recover(const char *dir, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The digest of the manifest that a source has for the platform. ret: free(). */
IMBREX_API int imbrex_rootfs_digest(const char *source, const struct imbrex_rootfs_opts *opts,
	char **ret, struct imbrex_error *err) __attribute__((warn_unused_result));
/*
 * Write /etc/rc, /etc/rc.local, /etc/environment and /etc/fstab of an image's configuration into a
 * root file system, and make its working directory. docs/formats/enroot-rc.md
 */
IMBREX_API int imbrex_rootfs_configure(const char *dir, const char *config, size_t len,
	const char *provenance, struct imbrex_error *err) __attribute__((warn_unused_result));
/* Remove a directory with everything on its file system in it, whatever the modes. */
IMBREX_API int imbrex_rootfs_remove(const char *dir, struct imbrex_error *err)
	__attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
