/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage that unpacks gzip (RFC 1952).
 *
 * gunzip_sink_new -> write* -> finish -> free. One thread. Errors by err.
 */
#ifndef STREAM_GZIP_H
#define STREAM_GZIP_H

#include "stream/sink.h"

enum gunzip_backend {
	GUNZIP_ZLIB,
	GUNZIP_ISAL,
};

/*
 * Unpack any number of members into `next`, which is taken on success. Zero bytes after the last
 * member are padding (tape and tar tools write them).
 *
 * Errors EFORMAT on a malformed header or deflate stream, on a wrong check value or length, on
 *        input that ends inside a member, and on anything but zeros after the last member; messages
 *        name byte offsets of the compressed stream. ELIMIT by unpack.h's guard.
 */
int gunzip_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

/* As gunzip_sink_new() by a decoder of choice; ENOTSUP if the build lacks it. For tests. */
int gunzip_sink_new_with(enum gunzip_backend backend, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
