/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving images: from any source into the store, and what an image says about itself.
 */
#ifndef IMBREX_IMAGE_H
#define IMBREX_IMAGE_H

#include "imbrex/progress.h"
#include "imbrex/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means default everywhere. */
struct imbrex_pull_opts {
	const char *name;     /* name in the store, completed as podman does; NULL: the source's */
	const char *platform; /* "os/arch[/variant]"; NULL: this machine */
	unsigned int jobs;    /* layers at a time; 0: one per core, at least three */
	int tls_verify;       /* 1 yes, -1 no, 0 as registries.conf says */
	const char *creds;    /* "user:password"; NULL: from the credential files */
	const char *authfile; /* in place of the default credential files */
	const char *cert_dir; /* in place of certs.d */
	bool no_sync;         /* do not sync content before it is published (tests, throw-away) */
	imbrex_progress_fn progress; /* may be NULL */
	void *progress_userdata;
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
