/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of zfs send: told by their first record, and followed from record to record to their end.
 *
 * What a file system receives is ZFS's business; this says beforehand what the stream claims to be,
 * refuses what nobody asked for (properties, several datasets), and sees that it is whole. Either
 * byte order. Threading: no state; one thread a sink. Errors: err, EFORMAT.
 * Source: OpenZFS include/sys/zfs_ioctl.h, dmu_replay_record; zstream(8).
 */
#ifndef FORMAT_ZFSSTREAM_H
#define FORMAT_ZFSSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/sink.h"

/* Of every record, without what follows it. */
#define ZFS_RECORD_BYTES 312
/* That many tell whether it is a stream at all. */
#define ZFS_MAGIC_BYTES 16

/* The first record. */
struct zfs_begin {
	bool big_endian;
	bool compound;      /* properties, or several streams in one (zfs send -p, -R) */
	uint64_t features;  /* ZFS_FEATURE_* and others */
	uint64_t to_guid;   /* of the snapshot that it carries */
	uint64_t from_guid; /* of the one it is a difference to; 0: none */
	bool clone;         /* that one is another dataset's */
	char to_name[256];  /* as the sender calls the snapshot; printable ASCII, not to be believed
			     */
	uint32_t more_bytes; /* that follow the record */
};

#define ZFS_FEATURE_DEDUP    (1u << 0)
#define ZFS_FEATURE_RESUMING (1u << 20) /* goes on where another one was cut */
#define ZFS_FEATURE_REDACTED (1u << 21)
#define ZFS_FEATURE_RAW      (1u << 24) /* encrypted */

/* Do these bytes begin a stream? */
bool zfs_stream_claims(const void *buf, size_t len);
/* `buf` has ZFS_RECORD_BYTES. */
int zfs_begin_parse(const void *buf, struct zfs_begin *ret, struct imbrex_error *err) MUST_CHECK;
/* Is it the stream of one file system's snapshot and nothing else? EINVAL says what it is instead.
 */
int zfs_begin_check(const struct zfs_begin *b, struct imbrex_error *err) MUST_CHECK;

/* Told of the first record before any byte of it goes on. Negative refuses the stream. */
typedef int (*zfs_begin_fn)(void *ctx, const struct zfs_begin *b, struct imbrex_error *err);

/*
 * Pass a stream on to `next`, which is taken on success.
 *
 * fn      called once; zfs_begin_check() has passed
 * Errors  EFORMAT: no stream, cut, bytes behind its end; EINVAL of zfs_begin_check()
 * Limits  LIMIT_ZFS_RECORD_BYTES behind one record
 */
int zfs_stream_sink_new(zfs_begin_fn fn, void *ctx, struct sink *next, struct sink **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
