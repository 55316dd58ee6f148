/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names as archives spell them, made into the clean paths of struct entry, and the whiteout
 * convention on top. Pure functions on memory, for every source that reads names from outside.
 * Error tier: err, without the entry's name: the caller wraps.
 */
#ifndef FORMAT_TAR_PATH_H
#define FORMAT_TAR_PATH_H

#include "base/error.h"
#include "base/limits.h"
#include "base/macros.h"

#define TAR_PATH_SIZE (LIMIT_PATH_BYTES + 1)

/* What the last components of a clean path say (OCI image layer specification, "Whiteouts"). */
enum tar_name_kind {
	TAR_NAME_PLAIN = 1,
	TAR_NAME_WHITEOUT, /* removes a path */
	TAR_NAME_OPAQUE,   /* hides what a directory had */
	TAR_NAME_IGNORED   /* metadata of AUFS, below a name that begins with ".wh..wh." */
};

/*
 * Clean `name` as Go's path.Clean does and drop leading slashes: "./a//b/" is "a/b", "/" is ".".
 *
 * ret    TAR_PATH_SIZE bytes
 * Errors EFORMAT if the name is empty or ".." climbs above the top.
 * Limits LIMIT_PATH_BYTES (which bounds the depth by LIMIT_PATH_DEPTH), LIMIT_NAME_BYTES: ELIMIT.
 */
int tar_path_clean(const char *name, char *ret, struct imbrex_error *err) MUST_CHECK;

/*
 * Decode whiteouts in a clean path, in place: "a/.wh.b" becomes "a/b" (WHITEOUT),
 * "a/.wh..wh..opq" becomes "a" (OPAQUE).
 *
 * Returns enum tar_name_kind.
 * Errors EFORMAT for a whiteout of "", "." or "..", and for a path that leads through a whiteout.
 */
int tar_path_decode(char *path, struct imbrex_error *err) MUST_CHECK;

#endif
