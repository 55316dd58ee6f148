/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of stages share: an end of chain that records, ways to push bytes in pieces, and
 * small compressed documents made by the stages under test or by the codec libraries themselves.
 */
#ifndef TESTS_STREAM_HARNESS_H
#define TESTS_STREAM_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* cmocka's macro; here fail() is the library's */

#include "base/str.h"
#include "stream/sink.h"

#define TEXT_MAX (64u * 1024u * 1024u)

/* Everything the end of a chain saw. Outlives the sink. */
struct seen {
	struct str text;
	size_t n_writes;
	size_t n_finishes;
	size_t n_frees;
	/* Script: */
	bool discard;           /* count only */
	uint64_t n_bytes;       /* counted always */
	uint64_t fail_at_bytes; /* a write that reaches this many fails; 0: never */
	bool fail_finish;
};

#define SEEN_INIT                          \
	{                                  \
		.text = STR_INIT(TEXT_MAX) \
	}

struct record {
	struct sink sink;
	struct seen *seen;
};

static int record_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct seen *seen = CONTAINER_OF(s, struct record, sink)->seen;

	assert_true(len > 0);
	seen->n_writes++;
	seen->n_bytes += len;
	if (seen->fail_at_bytes && seen->n_bytes >= seen->fail_at_bytes)
		return fail(err, IMBREX_ENOSPC, "the end is full");
	if (!seen->discard)
		assert_int_equal(str_append(&seen->text, buf, len), 0);
	return 0;
}

static int record_finish(struct sink *s, struct imbrex_error *err)
{
	struct seen *seen = CONTAINER_OF(s, struct record, sink)->seen;

	seen->n_finishes++;
	if (seen->fail_finish)
		return fail(err, IMBREX_EBUSY, "the end refuses to finish");
	return 0;
}

static void record_free(struct sink *s)
{
	struct record *r = CONTAINER_OF(s, struct record, sink);

	r->seen->n_frees++;
	free(r);
}

static const struct sink_ops record_ops = {
	.name = "record",
	.write = record_write,
	.finish = record_finish,
	.free = record_free,
};

static inline struct sink *record_new(struct seen *seen)
{
	struct record *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->sink.ops = &record_ops;
	r->seen = seen;
	return &r->sink;
}

static inline void seen_done(struct seen *seen)
{
	str_done(&seen->text);
}

/* Push in pieces of `piece` bytes (0: all at once), each from a buffer of its own size, so that
 * AddressSanitizer sees a read beyond the piece. Stops at the first failure. */
static inline int push(
	struct sink *s, const void *buf, size_t len, size_t piece, struct imbrex_error *err)
{
	const uint8_t *bytes = buf;

	while (len) {
		size_t n = piece ? MIN(piece, len) : len;
		uint8_t *copy = malloc(n);
		int r;

		assert_non_null(copy);
		memcpy(copy, bytes, n);
		r = sink_write(s, copy, n, err);
		free(copy);
		if (r < 0)
			return r;
		bytes += n;
		len -= n;
	}
	return 0;
}

/* Push, finish and free. */
static inline int drive(
	struct sink *s, const void *buf, size_t len, size_t piece, struct imbrex_error *err)
{
	int r;

	r = push(s, buf, len, piece, err);
	if (r == 0)
		r = sink_finish(s, err);
	sink_free(s);
	return r;
}

/* Repeatable bytes that compress somewhat. */
static inline void fill_pattern(void *buf, size_t len, uint32_t seed)
{
	uint8_t *bytes = buf;
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		bytes[i] =
			(uint8_t)("imbrex layer "[i % 13] ^ ((seed >> 24) < 60 ? seed >> 28 : 0));
	}
}

static inline void assert_seen(const struct seen *seen, const void *buf, size_t len)
{
	assert_int_equal(seen->text.len, len);
	if (len)
		assert_memory_equal(seen->text.data, buf, len);
}

#endif
