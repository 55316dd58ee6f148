/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of an archive that carries an image, found by name.
 *
 * bundle_index | bundle_push_new -> bundle_find -> (bundle_read | bundle_push)* -> bundle_free
 *
 * From a file that can seek only headers are read; payload stays where it is. From anything else
 * (a pipe, a compressed archive) one pass takes everything: small documents into memory, layers
 * into the sinks that the caller gives, or else into an unlinked file. After that both are the
 * same.
 *
 * bundle_index() and bundle_push_new() belong to one thread; what follows may be called by many.
 * Error tier: err; messages name the member, the caller adds the archive.
 */
#ifndef TRANSPORT_BUNDLE_H
#define TRANSPORT_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "stream/sink.h"
#include "transport/archive.h"

struct bundle;
struct bundle_member; /* lives as long as its bundle */

/* Takes `fd`, a regular file with an uncompressed tar, on success. */
int bundle_index(int fd, struct bundle **ret, struct imbrex_error *err) MUST_CHECK;
/*
 * A pass over the bytes that are pushed into *ret_sink, which is the caller's to finish and to
 * free, both before the bundle is looked at. Compression of the whole is detected.
 *
 * opts  events and diff_ids count, see archive.h; borrowed until the sink is freed
 */
int bundle_push_new(const struct archive_options *opts, struct bundle **ret, struct sink **ret_sink,
	struct imbrex_error *err) MUST_CHECK;
void bundle_free(struct bundle *b);
DEFINE_CLEANUP(bundle, struct bundle, bundle_free)
#define AUTO_BUNDLE AUTO(bundle) struct bundle

/* True if there is a file or link of that name. */
bool bundle_has(const struct bundle *b, const char *name);
/*
 * The file called `name`, through symbolic and hard links within the archive.
 *
 * Errors ENOENT; EFORMAT for links that lead outside, in circles, or to anything but a file.
 */
int bundle_find(const struct bundle *b, const char *name, const struct bundle_member **ret,
	struct imbrex_error *err) MUST_CHECK;

/* The name that archive_events.layer() was called with. */
const char *bundle_member_name(const struct bundle_member *m);
/* The payload went to a sink of the caller and is gone. */
bool bundle_member_taken(const struct bundle_member *m);
/* Bytes that bundle_push() would push; of a member that was taken: that were given away. */
uint64_t bundle_member_size(const struct bundle_member *m);
/*
 * Bytes of the member once unpacked; costs one pass if it is compressed.
 *
 * Errors ENOTSUP if it is compressed and was taken as it is.
 */
int bundle_unpacked_size(const struct bundle *b, const struct bundle_member *m, uint64_t *ret,
	struct imbrex_error *err) MUST_CHECK;

/* Append a document; ELIMIT if it has more than max_bytes. */
int bundle_read(const struct bundle *b, const struct bundle_member *m, size_t max_bytes,
	struct str *ret, struct imbrex_error *err) MUST_CHECK;
/* Push the payload, unpacked if asked for and compressed, and finish `to`, which is borrowed. */
int bundle_push(const struct bundle *b, const struct bundle_member *m, bool unpack, struct sink *to,
	struct imbrex_error *err) MUST_CHECK;

#endif
