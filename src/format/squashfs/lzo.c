/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZO1X: literals and matches of four ranges of distance, each instruction in whole bytes.
 *
 * A match carries in its second to last byte how many literals (0 to 3) follow it; longer runs are
 * instructions of their own. The compressor is greedy with one hash table: speed before size, as
 * mksquashfs users who choose lzo want it. It never uses the three-byte match after a run.
 */
#include "format/squashfs/lzo.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define HASH_BITS      14
#define MATCH_MIN      4
#define NEAR_DISTANCE  2048
#define MID_DISTANCE   16384
#define FAR_DISTANCE   49151
#define NEAR_MATCH_MAX 8
/* Bytes that one instruction and its lengths may take beside its literals. */
#define INSTRUCTION_MAX(len) ((len) / 255 + 8)

/* ---- reading --------------------------------------------------------------------------- */

struct input {
	const uint8_t *p, *end;
};

/* -1 at the end. */
static int next_byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : -1;
}

/* A length whose field was zero: bytes of zero count 255 each. -1 if it is cut off or absurd. */
static long read_length(struct input *in, long base)
{
	long n = base;
	int b;

	while ((b = next_byte(in)) == 0) {
		n += 255;
		if (n > 1 << 24)
			return -1;
	}
	return b < 0 ? -1 : n + b;
}

struct output {
	uint8_t *start, *p, *end;
};

static bool copy_literals(struct input *in, struct output *out, long n)
{
	if (n < 0 || n > in->end - in->p || n > out->end - out->p)
		return false;
	memcpy(out->p, in->p, (size_t)n);
	in->p += n;
	out->p += n;
	return true;
}

/* The match may overlap what it makes. */
static bool copy_match(struct output *out, long distance, long len)
{
	const uint8_t *from;

	if (len < 0 || distance > out->p - out->start || len > out->end - out->p)
		return false;
	for (from = out->p - distance; len > 0; len--)
		*out->p++ = *from++;
	return true;
}

/* The match that begins with `t`; 1: done, 0: it was the end mark, -1: damaged. */
static int read_match(struct input *in, struct output *out, int t, int *state)
{
	long len, distance;
	int low, high;

	if (t >= 64 || t < 16) {
		high = next_byte(in);
		if (high < 0)
			return -1;
		if (t >= 64) {
			distance = ((t >> 2) & 7) + (high << 3) + 1;
			len = (t >> 5) + 1;
		} else {
			distance = (t >> 2) + (high << 2) + (*state == 4 ? NEAR_DISTANCE + 1 : 1);
			len = *state == 4 ? 3 : 2;
		}
		*state = t & 3;
		return copy_match(out, distance, len) ? 1 : -1;
	}
	len = t >= 32 ? t & 31 : t & 7;
	if (len == 0)
		len = read_length(in, t >= 32 ? 31 : 7);
	low = next_byte(in);
	high = next_byte(in);
	if (len < 0 || low < 0 || high < 0)
		return -1;
	*state = low & 3;
	distance = (low >> 2) + (high << 6);
	if (t >= 32)
		distance += 1;
	else
		distance += MID_DISTANCE + ((t & 8) << 11);
	if (t < 32 && distance == MID_DISTANCE)
		return 0;
	return copy_match(out, distance, len + 2) ? 1 : -1;
}

int lzo_decompress(const uint8_t *in_bytes, size_t len, uint8_t *out_bytes, size_t out_len)
{
	struct input in = { in_bytes, in_bytes + len };
	struct output out = { out_bytes, out_bytes, out_bytes + out_len };
	int state = 0, t, r;

	/* Only the first instruction may say how many literals precede everything. */
	if (len > 0 && *in.p > 17) {
		t = next_byte(&in) - 17;
		if (!copy_literals(&in, &out, t))
			return -EBADMSG;
		state = t < 4 ? t : 4;
	}
	while ((t = next_byte(&in)) >= 0) {
		if (t < 16 && state == 0) {
			long n = t ? t : read_length(&in, 15);

			if (n < 0 || !copy_literals(&in, &out, n + 3))
				return -EBADMSG;
			state = 4;
			continue;
		}
		r = read_match(&in, &out, t, &state);
		if (r == 0)
			return in.p == in.end ? (int)(out.p - out.start) : -EBADMSG;
		if (r < 0 || !copy_literals(&in, &out, state))
			return -EBADMSG;
	}
	return -EBADMSG;
}

/* ---- writing --------------------------------------------------------------------------- */

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The hash must not depend on the order of bytes of the machine: the output must not. */
static size_t hash4(const uint8_t *p)
{
	uint32_t v =
		(uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;

	return (v * 2654435761u) >> (32 - HASH_BITS);
}

static bool room(const struct output *out, size_t n)
{
	return n <= (size_t)(out->end - out->p);
}

static void put_length(struct output *out, size_t n)
{
	for (; n > 255; n -= 255)
		*out->p++ = 0;
	*out->p++ = (uint8_t)n;
}

static bool put_literals(struct output *out, const uint8_t *from, size_t n)
{
	if (!room(out, n + INSTRUCTION_MAX(n)))
		return false;
	if (n == 0)
		return true;
	if (out->p == out->start && n <= 238) {
		*out->p++ = (uint8_t)(17 + n);
	} else if (n <= 3 && out->p != out->start) {
		out->p[-2] |= (uint8_t)n;
	} else if (n <= 18) {
		*out->p++ = (uint8_t)(n - 3);
	} else {
		*out->p++ = 0;
		put_length(out, n - 18);
	}
	memcpy(out->p, from, n);
	out->p += n;
	return true;
}

static void put_far(struct output *out, uint8_t word, size_t distance, size_t len, size_t direct)
{
	if (len <= direct + 2) {
		*out->p++ = (uint8_t)(word | (len - 2));
	} else {
		*out->p++ = word;
		put_length(out, len - 2 - direct);
	}
	*out->p++ = (uint8_t)(distance << 2);
	*out->p++ = (uint8_t)(distance >> 6);
}

static bool put_match(struct output *out, size_t distance, size_t len)
{
	if (!room(out, INSTRUCTION_MAX(len)))
		return false;
	if (len <= NEAR_MATCH_MAX && distance <= NEAR_DISTANCE) {
		distance--;
		*out->p++ = (uint8_t)((len - 1) << 5 | (distance & 7) << 2);
		*out->p++ = (uint8_t)(distance >> 3);
	} else if (distance <= MID_DISTANCE) {
		put_far(out, 32, distance - 1, len, 31);
	} else {
		distance -= MID_DISTANCE;
		put_far(out, (uint8_t)(16 | (distance >> 11 & 8)), distance & 0x3fff, len, 7);
	}
	return true;
}

static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
	const uint8_t *start = b;

	while (b < end && *a == *b) {
		a++;
		b++;
	}
	return (size_t)(b - start);
}

int lzo_compress(const uint8_t *in, size_t len, uint8_t *out_bytes, size_t out_len)
{
	AUTO_FREE uint32_t *last = calloc((size_t)1 << HASH_BITS, sizeof(*last)); /* position + 1 */
	struct output out = { out_bytes, out_bytes, out_bytes + out_len };
	const uint8_t *end = in + len;
	const uint8_t *literals = in;
	const uint8_t *p = in;

	if (!last)
		return -ENOMEM;
	while (len >= MATCH_MIN && p <= end - MATCH_MIN) {
		uint32_t *slot = &last[hash4(p)];
		const uint8_t *from = *slot ? in + *slot - 1 : NULL;
		size_t n;

		*slot = (uint32_t)(p - in) + 1;
		if (!from || p - from > FAR_DISTANCE || load32(from) != load32(p)) {
			/* The longer nothing fits, the less closely it is looked for. */
			p += 1 + ((p - literals) >> 6);
			continue;
		}
		n = match_length(from, p, end);
		if (!put_literals(&out, literals, (size_t)(p - literals)) ||
			!put_match(&out, (size_t)(p - from), n))
			return 0;
		p += n;
		literals = p;
	}
	if (!put_literals(&out, literals, (size_t)(end - literals)) || !room(&out, 3))
		return 0;
	*out.p++ = 17;
	*out.p++ = 0;
	*out.p++ = 0;
	return (int)(out.p - out.start);
}
