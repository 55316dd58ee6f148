/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as entries: the source of rootfs:.
 *
 * Threading: no state. Error tier: err; messages name the path within the tree.
 */
#ifndef TRANSPORT_TREEWALK_H
#define TRANSPORT_TREEWALK_H

#include "base/error.h"
#include "tree/entry_sink.h"

/*
 * Push everything below `rootfd` (and the root itself, as "."), then finish `to`, which is
 * borrowed. The same tree gives the same entries in the same order: a directory, then what it
 * holds by the order of bytes, then its subdirectories in turn. Mount points are crossed, sockets
 * passed over, symbolic links never followed. A further name of an inode is a hard link to the
 * first. Of the extended attributes those count that belong in a layer, as the programs that write
 * layers see it: security.capability and user.*. atime is mtime.
 *
 * Errors EFORMAT for names that a layer cannot hold (".wh.*"), ELIMIT, EIO if a file shrinks.
 */
int treewalk_push(int rootfd, struct entry_sink *to, struct imbrex_error *err) MUST_CHECK;

#endif
