/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar bytes in, entries out: a sink at the end of a chain of byte stages.
 *
 * new -> write* -> finish -> free (sink.h). finish() fails if the archive is cut short, and else
 * finishes the observer and then the entries. One thread. Error tier: err; messages name the entry
 * and the byte offset of its header.
 *
 * Reads v7, ustar, GNU (base-256 numbers, long names) and pax; docs/formats/tar.md says which
 * reading wins where these disagree, which is everywhere the reading of Go's archive/tar, because
 * podman and docker decide by it what a layer holds. Sparse files are refused.
 */
#ifndef FORMAT_TAR_READER_H
#define FORMAT_TAR_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "stream/sink.h"
#include "tree/entry_sink.h"

/* One header as the archive has it: nothing is cleaned, nothing is decoded. */
struct tar_file {
	const char *
		name; /* after pax and GNU extensions, e.g. "./a/"; NUL terminated, no NUL inside */
	size_t name_len;
	uint64_t size_bytes; /* payload that follows; 0 for everything but files */
	uint32_t uid;        /* 0 for a pax global header, as in Go */
	uint32_t gid;
};

/*
 * What only tar knows. All bytes of the stream pass raw() or payload() exactly once, in order.
 * Each archive: (raw* file payload* end)* raw* trailer raw* finish. A pax global header is a file
 * too, without payload; the padding behind it arrives after its end().
 * Any member may be NULL.
 */
struct tar_observer {
	void *ctx;
	/* Header, extension and padding bytes. */
	int (*raw)(void *ctx, const void *buf, size_t len, struct imbrex_error *err);
	/* raw() has seen all bytes of this header, and those of its extensions. */
	int (*file)(void *ctx, const struct tar_file *file, struct imbrex_error *err);
	int (*payload)(void *ctx, const void *buf, size_t len, struct imbrex_error *err);
	/* size_bytes of payload have passed. */
	int (*end)(void *ctx, struct imbrex_error *err);
	/* The end marker has passed raw(), or the stream ends without one. */
	int (*trailer)(void *ctx, struct imbrex_error *err);
	/* The archive is whole. */
	int (*finish)(void *ctx, struct imbrex_error *err);
};

/*
 * entries  taken on success; its data() gets the caller's buffers, uncopied
 * observer copied; its ctx must outlive the reader; NULL for none
 * Errors  EFORMAT for what no layer may hold, ENOTSUP for sparse files, ELIMIT, whatever entries
 *         and observer return.
 * Limits  LIMIT_LAYER_BYTES, LIMIT_LAYER_ENTRIES, LIMIT_PAX_BYTES, LIMIT_TAR_EXTENSION_BYTES,
 *         LIMIT_PATH_*, LIMIT_XATTR*.
 * Source  POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format";
 *         docs/formats/tar.md.
 */
int tar_reader_new(struct entry_sink *entries, const struct tar_observer *observer,
	struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
