/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source for what is no image yet: one layer that can be read any number of times, with the
 * documents that make an image of it.
 *
 * The configuration says the platform (the one wanted, else this machine's), one uncompressed
 * layer, and as its date that of the newest entry: the same layer gives the same image id, on any
 * machine and at any time. The diff ID must be known first, so manifest() reads the layer once
 * (and refuses what is none), and blob() once more. The name suggested is
 * "localhost/<last component of path>:latest".
 *
 * Lifecycle and threading: transport.h. Error tier: err; messages name the path.
 */
#ifndef TRANSPORT_PLAIN_H
#define TRANSPORT_PLAIN_H

#include "transport/transport.h"

/*
 * Push the whole uncompressed tar and finish `to`, which is borrowed. Must leave the offset of
 * `fd` alone: several threads may push.
 */
typedef int (*plain_push_fn)(int fd, struct sink *to, struct imbrex_error *err);

/*
 * scheme  "tar", "rootfs"; static
 * fd      taken on success
 */
int plain_source_new(const char *scheme, plain_push_fn push, int fd, const char *path,
	struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
