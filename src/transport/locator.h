/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image comes from, as the user writes it: a scheme with a path or reference, a bare
 * reference, or a path that is recognised by what lies there.
 *
 * locator_parse -> source_open (transport/open.h) -> locator_done. Plain values. Threading: no
 * state. Error tier: err; messages quote the text.
 */
#ifndef TRANSPORT_LOCATOR_H
#define TRANSPORT_LOCATOR_H

#include <stdbool.h>

#include "base/error.h"
#include "base/macros.h"

enum locator_kind {
	LOCATOR_DOCKER = 1,     /* where: a reference, not yet parsed */
	LOCATOR_DOCKERD,        /* where: a reference or id, as the engine understands it */
	LOCATOR_STORAGE,        /* where: see image/storage.h, which reads it */
	LOCATOR_OCI,            /* where: directory; tag: value of ref.name */
	LOCATOR_OCI_ARCHIVE,    /* where: file or "-"; tag likewise */
	LOCATOR_DOCKER_ARCHIVE, /* where: file or "-"; tag: reference, or "@N" for the Nth image */
	LOCATOR_ARCHIVE,        /* where: file or "-" that is one of the two; tag likewise */
	LOCATOR_DIR,            /* where: directory of the dir: layout */
	LOCATOR_ROOTFS,         /* where: directory that is a root file system */
	LOCATOR_TAR,            /* where: tarball of a root file system, or "-" */
	LOCATOR_SQUASHFS,       /* where: squashfs image of a root file system */
};

struct locator {
	enum locator_kind kind;
	char *where; /* owned; never NULL after a successful parse */
	char *tag;   /* owned; NULL if none was given */
	bool bare;   /* LOCATOR_DOCKER without "docker://": short names count */
};

/*
 * Parse a source.
 *
 * Schemes win over files of the same name. Behind a scheme with FILE[:TAG] the first colon
 * separates (a tag may hold more of them), unless the whole names an existing file. Without a
 * scheme the text is a path if it begins with "/", "./" or "../" or is "-" (an archive on standard
 * input), else a path if an image layout or an archive lies there (a mere directory that happens
 * to be called like an image does not count), else a reference of a registry.
 *
 * Errors EINVAL for an unknown scheme or one that lacks its argument (the hint suggests), ENOENT
 *        for a path where nothing is, EFORMAT for a file that is no image, ENOTSUP for sources
 *        that are known but cannot be read.
 */
int locator_parse(const char *text, struct locator *ret, struct imbrex_error *err) MUST_CHECK;
void locator_done(struct locator *l);
static inline void cleanup_locator(struct locator *l)
{
	locator_done(l);
}
#define AUTO_LOCATOR __attribute__((cleanup(cleanup_locator))) struct locator

/* The scheme of a kind: "oci-archive". Static storage. */
const char *locator_kind_name(enum locator_kind kind);

#endif
