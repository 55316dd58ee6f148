/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip framing (RFC 1952) around a raw deflate decoder. Input is split anywhere, so fields of fixed
 * size are collected in `field` before they are looked at; names and comments are skipped, never
 * stored, and so need no limit.
 *
 *	BETWEEN -> HEADER -> [XLEN -> EXTRA] -> [NAME] -> [COMMENT] -> [HCRC] -> BODY -> TRAILER
 *	   |  ^------------------------------------------------------------------------'
 *	   `-> PADDING (zeros to the end)
 *
 * Invariants
 * (1) The stream may end in BETWEEN after a member and in PADDING, nowhere else.
 * (2) flags holds the optional fields that are still to come in this member.
 * (3) unpack.in_bytes is the offset of the first byte of `in`, except inside BODY, where the
 *decoder may have read up to eight bytes ahead; those reappear as the first bytes of the trailer.
 */
#include "stream/gzip.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "stream/inflate.h"
#include "stream/unpack.h"

#define HEADER_BYTES  10
#define TRAILER_BYTES 8

/* RFC 1952 section 2.3.1. FTEXT is a hint and ignored. */
enum gzip_flag {
	FLAG_HCRC = 0x02,
	FLAG_EXTRA = 0x04,
	FLAG_NAME = 0x08,
	FLAG_COMMENT = 0x10,
	FLAG_RESERVED = 0xe0,
};

enum gunzip_state {
	GUNZIP_BETWEEN,
	GUNZIP_HEADER,
	GUNZIP_XLEN,
	GUNZIP_EXTRA,
	GUNZIP_NAME,
	GUNZIP_COMMENT,
	GUNZIP_HCRC,
	GUNZIP_BODY,
	GUNZIP_TRAILER,
	GUNZIP_PADDING,
};

struct gunzip {
	struct unpack unpack;
	const struct inflate_ops *ops;
	void *inflate; /* owned; of ops */
	enum gunzip_state state;
	uint8_t field[HEADER_BYTES]; /* the fixed-size field being collected */
	size_t n_field;              /* bytes of it so far */
	uint8_t flags;               /* see (2) */
	size_t extra_left;           /* bytes of the extra field still to skip */
	uint32_t header_crc;         /* of this member's header so far */
	uint32_t crc;                /* of this member's output so far */
	uint32_t size;               /* of the same, modulo 2^32 as the trailer has it */
	uint64_t member_at;          /* offset of this member's first byte */
	bool any_member;             /* one was complete */
};

struct input {
	const uint8_t *bytes;
	size_t len;
};

static uint32_t le16_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32_at(const uint8_t *p)
{
	return le16_at(p) | le16_at(p + 2) << 16;
}

static void skip(struct gunzip *g, struct input *in, size_t n)
{
	in->bytes += n;
	in->len -= n;
	g->unpack.in_bytes += n;
}

/* Skip bytes that the header check covers. */
static void skip_header(struct gunzip *g, struct input *in, size_t n)
{
	g->header_crc = (uint32_t)crc32_z(g->header_crc, in->bytes, n);
	skip(g, in, n);
}

/* True once `want` bytes are in g->field; the next field then starts empty. */
static bool collect(struct gunzip *g, struct input *in, size_t want)
{
	size_t n = MIN(in->len, want - g->n_field);

	memcpy(g->field + g->n_field, in->bytes, n);
	g->n_field += n;
	skip(g, in, n);
	if (g->n_field < want)
		return false;
	g->n_field = 0;
	return true;
}

/* The header field that follows, by what is left of the flags; the body after the last. */
static enum gunzip_state next_part(struct gunzip *g)
{
	static const struct {
		enum gzip_flag flag;
		enum gunzip_state state;
	} parts[] = {
		{ FLAG_EXTRA, GUNZIP_XLEN },
		{ FLAG_NAME, GUNZIP_NAME },
		{ FLAG_COMMENT, GUNZIP_COMMENT },
		{ FLAG_HCRC, GUNZIP_HCRC },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(parts); i++) {
		if (g->flags & parts[i].flag) {
			g->flags &= (uint8_t)~parts[i].flag;
			return parts[i].state;
		}
	}
	g->ops->reset(g->inflate);
	g->crc = 0;
	g->size = 0;
	return GUNZIP_BODY;
}

static int take_between(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	if (g->any_member && in->bytes[0] == 0) {
		g->state = GUNZIP_PADDING;
		return 0;
	}
	if (g->any_member && in->bytes[0] != 0x1f)
		return fail(err, IMBREX_EFORMAT,
			"gzip stream has garbage after its last member, at byte %" PRIu64,
			g->unpack.in_bytes);
	g->member_at = g->unpack.in_bytes;
	g->state = GUNZIP_HEADER;
	return 0;
}

static int take_header(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	if (!collect(g, in, HEADER_BYTES))
		return 0;
	if (g->field[0] != 0x1f || g->field[1] != 0x8b)
		return fail(err, IMBREX_EFORMAT, "no gzip member at byte %" PRIu64, g->member_at);
	if (g->field[2] != 8)
		return fail(err, IMBREX_EFORMAT,
			"gzip member at byte %" PRIu64 ": method %u is not deflate", g->member_at,
			g->field[2]);
	if (g->field[3] & FLAG_RESERVED)
		return fail(err, IMBREX_EFORMAT,
			"gzip member at byte %" PRIu64 ": reserved flags 0x%02x are set",
			g->member_at, g->field[3] & FLAG_RESERVED);
	g->flags = g->field[3];
	g->header_crc = (uint32_t)crc32_z(0, g->field, HEADER_BYTES);
	g->state = next_part(g);
	return 0;
}

static int take_xlen(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	if (!collect(g, in, 2))
		return 0;
	g->header_crc = (uint32_t)crc32_z(g->header_crc, g->field, 2);
	g->extra_left = le16_at(g->field);
	g->state = g->extra_left ? GUNZIP_EXTRA : next_part(g);
	return 0;
}

static int take_extra(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	size_t n = MIN(in->len, g->extra_left);

	skip_header(g, in, n);
	g->extra_left -= n;
	if (!g->extra_left)
		g->state = next_part(g);
	return 0;
}

/* A name or comment: all up to and with its NUL. */
static int take_text(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	const uint8_t *end = memchr(in->bytes, 0, in->len);

	skip_header(g, in, end ? (size_t)(end - in->bytes) + 1 : in->len);
	if (end)
		g->state = next_part(g);
	return 0;
}

static int take_hcrc(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	if (!collect(g, in, 2))
		return 0;
	if (le16_at(g->field) != (g->header_crc & 0xffff))
		return fail(err, IMBREX_EFORMAT,
			"gzip member at byte %" PRIu64
			": header has check 0x%04x but announces 0x%04x",
			g->member_at, g->header_crc & 0xffff, le16_at(g->field));
	g->state = next_part(g);
	return 0;
}

static int body_error(struct gunzip *g, int r, struct imbrex_error *err)
{
	if (r == -ENOMEM)
		return fail_nomem(err);
	return fail(err, IMBREX_EFORMAT, "gzip member at byte %" PRIu64 ": malformed deflate data",
		g->member_at);
}

static int take_body(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	struct inflate_io io = { .in = in->bytes, .in_len = in->len };
	uint8_t *room;
	size_t n;
	int ended;
	int r;

	do {
		const uint8_t *before = io.in;

		r = unpack_room(&g->unpack, &room, &n, err);
		if (r < 0)
			return r;
		io.out = room;
		io.out_len = n;
		ended = g->ops->inflate(g->inflate, &io);
		if (ended < 0)
			return body_error(g, ended, err);
		n = (size_t)(io.out - room);
		g->crc = g->ops->crc32(g->crc, room, n);
		g->size += (uint32_t)n;
		r = unpack_advance(&g->unpack, (size_t)(io.in - before), n, err);
		if (r < 0)
			return r;
	} while (!ended && (io.in_len || !io.out_len));
	in->bytes = io.in;
	in->len = io.in_len;
	if (!ended)
		return 0;
	memcpy(g->field, io.over, io.n_over);
	g->n_field = io.n_over;
	g->state = GUNZIP_TRAILER;
	return 0;
}

static int take_trailer(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	if (!collect(g, in, TRAILER_BYTES))
		return 0;
	if (le32_at(g->field) != g->crc)
		return fail(err, IMBREX_EFORMAT,
			"gzip member at byte %" PRIu64
			": content has CRC 0x%08x but trailer says 0x%08x",
			g->member_at, g->crc, le32_at(g->field));
	if (le32_at(g->field + 4) != g->size)
		return fail(err, IMBREX_EFORMAT,
			"gzip member at byte %" PRIu64 ": content has %u bytes but trailer says %u",
			g->member_at, g->size, le32_at(g->field + 4));
	g->any_member = true;
	g->state = GUNZIP_BETWEEN;
	return 0;
}

static int take_padding(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	while (in->len && in->bytes[0] == 0)
		skip(g, in, 1);
	if (in->len)
		return fail(err, IMBREX_EFORMAT,
			"gzip stream has garbage after its last member, at byte %" PRIu64,
			g->unpack.in_bytes);
	return 0;
}

static int take(struct gunzip *g, struct input *in, struct imbrex_error *err)
{
	switch (g->state) {
	case GUNZIP_BETWEEN:
		return take_between(g, in, err);
	case GUNZIP_HEADER:
		return take_header(g, in, err);
	case GUNZIP_XLEN:
		return take_xlen(g, in, err);
	case GUNZIP_EXTRA:
		return take_extra(g, in, err);
	case GUNZIP_NAME:
	case GUNZIP_COMMENT:
		return take_text(g, in, err);
	case GUNZIP_HCRC:
		return take_hcrc(g, in, err);
	case GUNZIP_BODY:
		return take_body(g, in, err);
	case GUNZIP_TRAILER:
		return take_trailer(g, in, err);
	case GUNZIP_PADDING:
		return take_padding(g, in, err);
	}
	return fail(err, IMBREX_EFAIL, "gzip stage is in no known state");
}

/* The decoder may have read the whole trailer ahead: then it is due without further input. */
static bool trailer_due(const struct gunzip *g)
{
	return g->state == GUNZIP_TRAILER && g->n_field == TRAILER_BYTES;
}

static int gunzip_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct gunzip *g = CONTAINER_OF(s, struct gunzip, unpack.sink);
	struct input in = { buf, len };
	int r;

	while (in.len || trailer_due(g)) {
		r = take(g, &in, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int gunzip_finish(struct sink *s, struct imbrex_error *err)
{
	struct gunzip *g = CONTAINER_OF(s, struct gunzip, unpack.sink);

	if (g->state == GUNZIP_BETWEEN && !g->any_member)
		return fail(err, IMBREX_EFORMAT, "gzip stream is empty");
	if (g->state != GUNZIP_BETWEEN && g->state != GUNZIP_PADDING)
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"gzip stream ends inside a member after %" PRIu64 " bytes",
			g->unpack.in_bytes);
	return unpack_finish(&g->unpack, err);
}

static void gunzip_free(struct sink *s)
{
	struct gunzip *g = CONTAINER_OF(s, struct gunzip, unpack.sink);

	g->ops->free(g->inflate);
	unpack_done(&g->unpack);
	free(g);
}

static const struct sink_ops gunzip_ops = {
	.name = "gunzip",
	.write = gunzip_write,
	.finish = gunzip_finish,
	.free = gunzip_free,
};

static int gunzip_new(const struct inflate_ops *ops, struct sink *next, struct sink **ret,
	struct imbrex_error *err)
{
	struct gunzip *g = calloc(1, sizeof(*g));
	AUTO_SINK struct sink *s = NULL;
	int r;

	if (!g)
		return fail_nomem(err);
	g->ops = ops;
	g->unpack.sink.ops = &gunzip_ops;
	s = &g->unpack.sink;
	r = unpack_init(&g->unpack, &gunzip_ops, "gzip", err);
	if (r < 0)
		return r;
	if (ops->new (&g->inflate) < 0)
		return fail_nomem(err);
	g->unpack.next = next;
	*ret = take_ptr(s);
	return 0;
}

int gunzip_sink_new_with(
	enum gunzip_backend backend, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	const struct inflate_ops *ops = backend == GUNZIP_ISAL ? inflate_isal() : inflate_zlib();

	if (!ops)
		return fail(err, IMBREX_ENOTSUP, "this build lacks ISA-L");
	return gunzip_new(ops, next, ret, err);
}

int gunzip_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	return gunzip_new(inflate_isal() ? inflate_isal() : inflate_zlib(), next, ret, err);
}
