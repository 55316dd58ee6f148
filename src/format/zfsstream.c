/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of zfs send; see the header. Records lie one behind the other, each followed by so many
 * bytes as it says; their checksums are left to ZFS, which refuses a stream that breaks them.
 */
#include "format/zfsstream.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"

#define STREAM_MAGIC   UINT64_C(0x2F5bacbac)
#define TYPE_FS        2 /* DMU_OST_ZFS */
#define FLAG_CLONE     (1u << 0)
#define HEADER_SINGLE  1u
#define HEADER_SEVERAL 2u

enum record_type {
	RECORD_BEGIN = 0,
	RECORD_OBJECT = 1,
	RECORD_FREEOBJECTS = 2,
	RECORD_WRITE = 3,
	RECORD_FREE = 4,
	RECORD_END = 5,
	RECORD_WRITE_BYREF = 6,
	RECORD_SPILL = 7,
	RECORD_WRITE_EMBEDDED = 8,
	RECORD_OBJECT_RANGE = 9,
	RECORD_REDACT = 10
};

/* ---- numbers --------------------------------------------------------------------------- */

static uint64_t number(const uint8_t *p, size_t len, bool big_endian)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < len; i++)
		value = value << 8 | p[big_endian ? i : len - 1 - i];
	return value;
}

static uint32_t number32(const uint8_t *p, bool big_endian)
{
	return (uint32_t)number(p, 4, big_endian);
}

static uint64_t number64(const uint8_t *p, bool big_endian)
{
	return number(p, 8, big_endian);
}

/* ---- the first record ------------------------------------------------------------------ */

bool zfs_stream_claims(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	if (len < ZFS_MAGIC_BYTES || number32(p, false) != RECORD_BEGIN)
		return false;
	return number64(p + 8, false) == STREAM_MAGIC || number64(p + 8, true) == STREAM_MAGIC;
}

static int take_name(const uint8_t *p, struct zfs_begin *b, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; i < sizeof(b->to_name) && p[i]; i++) {
		if (p[i] < ' ' || p[i] > '~')
			return fail(err, IMBREX_EFORMAT,
				"ZFS stream: the name of its snapshot is no text");
		b->to_name[i] = (char)p[i];
	}
	if (i == sizeof(b->to_name))
		return fail(err, IMBREX_EFORMAT, "ZFS stream: the name of its snapshot has no end");
	b->to_name[i] = '\0';
	return 0;
}

int zfs_begin_parse(const void *buf, struct zfs_begin *ret, struct imbrex_error *err)
{
	const uint8_t *p = buf;
	struct zfs_begin b = { 0 };
	uint64_t version;
	int r;

	if (!zfs_stream_claims(buf, ZFS_RECORD_BYTES))
		return fail(err, IMBREX_EFORMAT, "it is no ZFS stream");
	b.big_endian = number64(p + 8, false) != STREAM_MAGIC;
	b.more_bytes = number32(p + 4, b.big_endian);
	version = number64(p + 16, b.big_endian);
	b.compound = (version & 3) == HEADER_SEVERAL;
	b.features = version >> 2 & ((UINT64_C(1) << 56) - 1);
	if (!b.compound && (version & 3) != HEADER_SINGLE)
		return fail(err, IMBREX_EFORMAT, "ZFS stream: version %" PRIx64 " is not known",
			version);
	if (!b.compound && number32(p + 32, b.big_endian) != TYPE_FS)
		return fail(err, IMBREX_EINVAL, "ZFS stream: it is not that of a file system");
	b.clone = (number32(p + 36, b.big_endian) & FLAG_CLONE) != 0;
	b.to_guid = number64(p + 40, b.big_endian);
	b.from_guid = number64(p + 48, b.big_endian);
	r = take_name(p + 56, &b, err);
	if (r == 0)
		*ret = b;
	return r;
}

int zfs_begin_check(const struct zfs_begin *b, struct imbrex_error *err)
{
	if (b->compound)
		return fail(err, IMBREX_EINVAL,
			"ZFS stream: it carries properties or several datasets (zfs send -p, -R); "
			"only the stream of one snapshot is taken");
	if (b->features & ZFS_FEATURE_RAW)
		return fail(err, IMBREX_EINVAL,
			"ZFS stream: it is that of an encrypted dataset (zfs send -w), which is "
			"not taken");
	if (b->features & (ZFS_FEATURE_REDACTED | ZFS_FEATURE_DEDUP))
		return fail(err, IMBREX_EINVAL,
			"ZFS stream: it is redacted or deduplicated, which is not taken");
	if (!b->to_guid)
		return fail(err, IMBREX_EFORMAT, "ZFS stream: its snapshot has no GUID");
	return 0;
}

/* ---- records --------------------------------------------------------------------------- */

/* Bytes behind a record; 0 with *ret_known false: no such record. */
static uint64_t payload_of(const uint8_t *p, bool big, bool *ret_known)
{
	uint64_t len = 0;

	*ret_known = true;
	switch (number32(p, big)) {
	case RECORD_BEGIN:
		return number32(p + 4, big);
	case RECORD_OBJECT:
		len = number32(p + 36, big);
		return len ? len : (number32(p + 28, big) + UINT64_C(7)) & ~UINT64_C(7);
	case RECORD_WRITE:
		return number64(p + (p[50] ? 96 : 32), big);
	case RECORD_SPILL:
		len = number64(p + 40, big);
		return len ? len : number64(p + 16, big);
	case RECORD_WRITE_EMBEDDED:
		return (number32(p + 52, big) + UINT64_C(7)) & ~UINT64_C(7);
	case RECORD_FREEOBJECTS:
	case RECORD_FREE:
	case RECORD_END:
	case RECORD_WRITE_BYREF:
	case RECORD_OBJECT_RANGE:
	case RECORD_REDACT:
		return 0;
	default:
		*ret_known = false;
		return 0;
	}
}

/* ---- the sink -------------------------------------------------------------------------- */

struct follower {
	struct sink sink;
	struct sink *next; /* owned */
	zfs_begin_fn fn;
	void *ctx;
	uint8_t record[ZFS_RECORD_BYTES];
	size_t have;      /* bytes of it */
	uint64_t payload; /* bytes behind it that have not come yet */
	uint64_t offset;  /* of the record in the stream */
	uint64_t passed;
	bool begun, ended, big_endian;
};

static int take_begin(struct follower *f, struct imbrex_error *err)
{
	struct zfs_begin b;
	int r = zfs_begin_parse(f->record, &b, err);

	if (r == 0)
		r = zfs_begin_check(&b, err);
	if (r == 0)
		r = f->fn(f->ctx, &b, err);
	if (r < 0)
		return r;
	f->big_endian = b.big_endian;
	f->begun = true;
	return 0;
}

static int take_record(struct follower *f, struct imbrex_error *err)
{
	uint32_t type = number32(f->record, f->big_endian);
	bool known, first = !f->begun;
	int r;

	if (first) {
		r = take_begin(f, err);
		if (r < 0)
			return r;
		type = RECORD_BEGIN;
	}
	f->payload = payload_of(f->record, f->big_endian, &known);
	if (!known || (type == RECORD_BEGIN && !first))
		return fail(err, IMBREX_EFORMAT,
			"ZFS stream, byte %" PRIu64 ": a record of type %" PRIu32
			", which does not belong there",
			f->offset, type);
	if (f->payload > LIMIT_ZFS_RECORD_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"ZFS stream, byte %" PRIu64 ": a record with %" PRIu64 " bytes", f->offset,
			f->payload);
	f->ended = type == RECORD_END;
	f->have = 0;
	return sink_write(f->next, f->record, ZFS_RECORD_BYTES, err);
}

static int follower_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct follower *f = CONTAINER_OF(s, struct follower, sink);
	const uint8_t *p = buf;
	size_t n;
	int r = 0;

	while (r == 0 && len) {
		if (f->payload) {
			n = (size_t)MIN(f->payload, len);
			r = sink_write(f->next, p, n, err);
			f->payload -= n;
		} else if (f->ended) {
			return fail(err, IMBREX_EFORMAT,
				"ZFS stream: bytes follow its end at byte %" PRIu64, f->passed);
		} else {
			n = MIN(sizeof(f->record) - f->have, len);
			f->offset = f->have ? f->offset : f->passed;
			memcpy(f->record + f->have, p, n);
			f->have += n;
			if (!f->begun && f->have >= ZFS_MAGIC_BYTES &&
				!zfs_stream_claims(f->record, f->have))
				return fail(err, IMBREX_EFORMAT, "it is no ZFS stream");
			if (f->have == sizeof(f->record))
				r = take_record(f, err);
		}
		f->passed += n;
		p += n;
		len -= n;
	}
	return r;
}

static int follower_finish(struct sink *s, struct imbrex_error *err)
{
	struct follower *f = CONTAINER_OF(s, struct follower, sink);

	if (!f->begun && f->have < ZFS_MAGIC_BYTES)
		return fail(err, IMBREX_EFORMAT, "it is no ZFS stream: it has %" PRIu64 " bytes",
			f->passed);
	if (!f->ended)
		return fail(err, IMBREX_EFORMAT, "ZFS stream: it is cut after %" PRIu64 " bytes",
			f->passed);
	return sink_finish(f->next, err);
}

static void follower_free(struct sink *s)
{
	struct follower *f = CONTAINER_OF(s, struct follower, sink);

	sink_free(f->next);
	free(f);
}

static const struct sink_ops follower_ops = {
	.name = "zfs stream",
	.write = follower_write,
	.finish = follower_finish,
	.free = follower_free,
};

int zfs_stream_sink_new(
	zfs_begin_fn fn, void *ctx, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct follower *f = calloc(1, sizeof(*f));

	if (!f)
		return fail_nomem(err);
	f->sink.ops = &follower_ops;
	f->next = next;
	f->fn = fn;
	f->ctx = ctx;
	*ret = &f->sink;
	return 0;
}
