/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers on ZFS between files and machines, as streams of zfs send.
 *
 * What travels is what a container holds now. It arrives as a template, whose key is the SHA-256 of
 * the stream, and a container is made of that. A stream is told by its content; one that carries
 * properties, several datasets or an encrypted one is refused before anything of it is received.
 *
 * Other machines run enroot or imbrex, reached by ssh(1): zfs://[USER@]HOST[:PORT]/NAME. Two imbrex
 * tell each other which snapshots they have and send differences to them, and go on where an
 * earlier try was cut. Calls of one imbrex_templates on one thread.
 */
#ifndef IMBREX_TRANSFER_H
#define IMBREX_TRANSFER_H

#include "imbrex/template.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means default everywhere. */
struct imbrex_transfer_opts {
	const char *ssh;    /* absolute path; NULL: where it is installed */
	const char *remote; /* program on the other machine; NULL: "enroot" */
	bool setuid;        /* set-user-ID programs of what is received may be ones */
	bool devices;       /* devices of what is received may be opened */
	bool replace;       /* a container, or a file, of that name */
};

/* 1 if the file is a ZFS stream, 0 if not. */
IMBREX_API int imbrex_transfer_probe(const char *file, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The name in a URI: free(); "" if none. EINVAL if it is no such URI. */
IMBREX_API int imbrex_transfer_name(const char *uri, char **ret, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* ---- files ----------------------------------------------------------------------------- */

/* ENOENT: no such container; EEXIST: there is such a file. */
IMBREX_API int imbrex_transfer_export(struct imbrex_templates *t, const char *name,
	const char *file, const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* A container of a file. EFORMAT, EINVAL: it is none that is taken; nothing is left of it then. */
IMBREX_API int imbrex_transfer_create(struct imbrex_templates *t, const char *file,
	const char *name, const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));

/* ---- machines -------------------------------------------------------------------------- */

/* A container of one on another machine. */
IMBREX_API int imbrex_transfer_load(struct imbrex_templates *t, const char *uri, const char *name,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The reverse; without a name in the URI it has the same there. */
IMBREX_API int imbrex_transfer_push(struct imbrex_templates *t, const char *name, const char *uri,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The stream of a container on another machine becomes a file; needs no ZFS here. */
IMBREX_API int imbrex_transfer_fetch(const char *uri, const char *file,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* The same, as a squashfs image. */
IMBREX_API int imbrex_transfer_squash(struct imbrex_templates *t, const char *uri, const char *file,
	const struct imbrex_squashfs_opts *squashfs, const struct imbrex_transfer_opts *opts,
	struct imbrex_error *err) __attribute__((warn_unused_result));

/* ---- what the other machine calls ------------------------------------------------------ */

/*
 * A container's stream into a descriptor.
 *
 * have   GUIDs of snapshots over there, "1,2,3": a difference to one will do; NULL: none
 * token  of a stream of this container that was cut; NULL: none
 */
IMBREX_API int imbrex_transfer_send(struct imbrex_templates *t, const char *name, int fd,
	const char *have, const char *token, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* A container of a stream that comes through a descriptor. */
IMBREX_API int imbrex_transfer_receive(struct imbrex_templates *t, int fd, const char *name,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* What is here already of a container of that name, and what differences may be to. ret: free(). */
IMBREX_API int imbrex_transfer_status(struct imbrex_templates *t, const char *name, char **ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
