/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies at a path: an image layout, an archive of one, or a root file system.
 *
 * Looks at names and first bytes only; the transport that reads it checks everything. Threading:
 * no state. Error tier: err; messages name the path.
 */
#ifndef TRANSPORT_PROBE_H
#define TRANSPORT_PROBE_H

#include "base/error.h"
#include "base/macros.h"

enum probe_kind {
	PROBE_OCI = 1,  /* directory with oci-layout and index.json */
	PROBE_DIR,      /* directory with manifest.json and version */
	PROBE_TREE,     /* any other directory */
	PROBE_ARCHIVE,  /* tar, compressed or not, that begins as image archives do; or a pipe */
	PROBE_TAR,      /* another tar, compressed or not */
	PROBE_SQUASHFS, /* squashfs 4 */
	PROBE_ZFS,      /* a zfs send stream */
	PROBE_UNKNOWN,  /* a file that is none of these */
};

/*
 * Symbolic links are followed: the user named the path.
 *
 * Errors ENOENT if nothing is there, EPERM, EIO.
 */
int probe_path(const char *path, enum probe_kind *ret, struct imbrex_error *err) MUST_CHECK;

#endif
