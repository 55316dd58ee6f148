/* SPDX-License-Identifier: Apache-2.0 */
/* zstd, xz, bzip2, detection and the guard against bombs. */
#include "harness.h"

#include "config.h"

#if HAVE_BZIP2
#include <bzlib.h>
#endif
#if HAVE_LZMA
#include <lzma.h>
#endif

#include "base/limits.h"
#include "stream/bzip2.h"
#include "stream/compress.h"
#include "stream/detect.h"
#include "stream/unpack.h"
#include "stream/xz.h"
#include "stream/zstd.h"

static const char *const format_names[] = {
	[COMPRESSION_NONE] = "none",
	[COMPRESSION_BZIP2] = "bzip2",
	[COMPRESSION_GZIP] = "gzip",
	[COMPRESSION_XZ] = "xz",
	[COMPRESSION_ZSTD] = "zstd",
};

static void pack_by_stage(enum compression c, struct str *to, const void *buf, size_t len)
{
	struct seen seen = SEEN_INIT;
	struct imbrex_error err = { 0 };
	struct sink *s;

	if (c == COMPRESSION_GZIP)
		assert_int_equal(gzip_sink_new(6, record_new(&seen), &s, &err), 0);
	else
		assert_int_equal(zstd_compress_sink_new(3, 1, record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, buf, len, 0, &err), 0);
	assert_int_equal(str_append(to, seen.text.data, seen.text.len), 0);
	seen_done(&seen);
}

static void pack_xz(struct str *to, const void *buf, size_t len)
{
#if HAVE_LZMA
	size_t room_len = lzma_stream_buffer_bound(len);
	size_t used = 0;
	char *room;

	assert_int_equal(str_reserve(to, room_len, &room), 0);
	assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, buf, len,
				 (uint8_t *)room, &used, room_len),
		LZMA_OK);
	to->len += used;
#endif
}

static void pack_bzip2(struct str *to, const void *buf, size_t len)
{
#if HAVE_BZIP2
	unsigned int room_len = (unsigned int)(len + len / 50 + 1000);
	char *room;

	assert_int_equal(str_reserve(to, room_len, &room), 0);
	assert_int_equal(BZ2_bzBuffToBuffCompress(room, &room_len, (char *)(uintptr_t)buf,
				 (unsigned int)len, 1, 0, 0),
		BZ_OK);
	to->len += room_len;
#endif
}

static void pack(enum compression c, struct str *to, const void *buf, size_t len)
{
	switch (c) {
	case COMPRESSION_NONE:
		assert_int_equal(str_append(to, buf, len), 0);
		break;
	case COMPRESSION_GZIP:
	case COMPRESSION_ZSTD:
		pack_by_stage(c, to, buf, len);
		break;
	case COMPRESSION_XZ:
		pack_xz(to, buf, len);
		break;
	case COMPRESSION_BZIP2:
		pack_bzip2(to, buf, len);
		break;
	}
}

static bool available(enum compression c)
{
	return (c != COMPRESSION_XZ || HAVE_LZMA) && (c != COMPRESSION_BZIP2 || HAVE_BZIP2);
}

static void assert_unpacks(enum compression c, const struct str *packed, size_t piece,
	const void *want, size_t want_len)
{
	enum compression found = COMPRESSION_NONE;
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;
	int r;

	assert_int_equal(decompress_sink_new(&found, record_new(&seen), &s, &err), 0);
	r = drive(s, packed->data, packed->len, piece, &err);
	assert_string_equal(err.message, "");
	assert_int_equal(r, 0);
	assert_int_equal(found, c);
	assert_seen(&seen, want, want_len);
	assert_int_equal(seen.n_finishes, 1);
	assert_int_equal(seen.n_frees, 1);
	seen_done(&seen);
}

static void every_format_unpacks_the_same_for_every_chunking(void **state)
{
	enum compression c;
	uint8_t text[2000];
	size_t piece;

	fill_pattern(text, sizeof(text), 3);
	for (c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++) {
		AUTO_STR packed = STR_INIT(TEXT_MAX);

		if (!available(c))
			continue;
		pack(c, &packed, text, 1200);
		pack(c, &packed, text + 1200, 800);
		for (piece = 0; piece <= packed.len; piece++)
			assert_unpacks(c, &packed, piece, text, sizeof(text));
	}
}

static void every_format_unpacks_more_than_one_block(void **state)
{
	static const size_t pieces[] = { 0, 4099, 1000000 };
	const size_t len = 3 * 1024 * 1024 + 77;
	uint8_t *text = malloc(len);
	enum compression c;
	size_t i;

	assert_non_null(text);
	fill_pattern(text, len, 12);
	memset(text + len / 2, 0, len / 4);
	for (c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++) {
		AUTO_STR packed = STR_INIT(TEXT_MAX);

		if (!available(c))
			continue;
		pack(c, &packed, text, len);
		for (i = 0; i < ARRAY_LEN(pieces); i++)
			assert_unpacks(c, &packed, pieces[i], text, len);
	}
	free(text);
}

static void every_format_refuses_every_truncation(void **state)
{
	enum compression c;
	uint8_t text[500];
	size_t len;

	fill_pattern(text, sizeof(text), 3);
	for (c = COMPRESSION_BZIP2; c <= COMPRESSION_ZSTD; c++) {
		AUTO_STR packed = STR_INIT(TEXT_MAX);

		if (!available(c))
			continue;
		pack(c, &packed, text, sizeof(text));
		for (len = 0; len < packed.len; len++) {
			struct imbrex_error err = { 0 };
			struct seen seen = SEEN_INIT;
			char after[40];
			struct sink *s;

			assert_int_equal(unpack_sink_new(c, record_new(&seen), &s, &err), 0);
			assert_int_equal(drive(s, packed.data, len, 0, &err), IMBREX_EFORMAT);
			(void)snprintf(after, sizeof(after), "after %zu bytes", len);
			assert_non_null(strstr(err.message, format_names[c]));
			assert_non_null(strstr(err.message, len ? after : "stream is empty"));
			assert_int_equal(seen.n_finishes, 0);
			seen_done(&seen);
		}
	}
}

/* bzip2 and xz ignore a few bits; what must not happen is other content without an error. */
static void no_format_gives_other_content_for_a_flipped_bit(void **state)
{
	enum compression c;
	uint8_t text[300];
	size_t bit;

	fill_pattern(text, sizeof(text), 3);
	for (c = COMPRESSION_BZIP2; c <= COMPRESSION_ZSTD; c++) {
		AUTO_STR packed = STR_INIT(TEXT_MAX);

		if (!available(c))
			continue;
		pack(c, &packed, text, sizeof(text));
		for (bit = 0; bit < packed.len * 8; bit++) {
			struct imbrex_error err = { 0 };
			struct seen seen = SEEN_INIT;
			char mask = (char)(1 << bit % 8);
			struct sink *s;

			packed.data[bit / 8] ^= mask;
			assert_int_equal(unpack_sink_new(c, record_new(&seen), &s, &err), 0);
			if (drive(s, packed.data, packed.len, 0, &err) == 0)
				assert_seen(&seen, text, sizeof(text));
			else
				assert_non_null(strstr(err.message, format_names[c]));
			packed.data[bit / 8] ^= mask;
			seen_done(&seen);
		}
	}
}

static void every_format_returns_the_failure_of_the_next_stage(void **state)
{
	const size_t len = 2 * 1024 * 1024;
	void *zeros = calloc(1, len);
	enum compression c;

	for (c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++) {
		AUTO_STR packed = STR_INIT(TEXT_MAX);
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		struct sink *s;

		if (!available(c))
			continue;
		pack(c, &packed, zeros, len);
		seen.fail_at_bytes = 1024 * 1024;
		assert_int_equal(decompress_sink_new(NULL, record_new(&seen), &s, &err), 0);
		assert_int_equal(drive(s, packed.data, packed.len, 0, &err), IMBREX_ENOSPC);
		assert_string_equal(err.message, "the end is full");
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
	free(zeros);
}

static void a_build_without_a_codec_says_so(void **state)
{
	struct imbrex_error err = { 0 };
	struct sink *s;

	if (!HAVE_LZMA) {
		assert_int_equal(unxz_sink_new(NULL, &s, &err), IMBREX_ENOTSUP);
		assert_string_equal(
			err.message, "content is xz-compressed, but this build lacks xz");
	}
	if (!HAVE_BZIP2) {
		assert_int_equal(bunzip2_sink_new(NULL, &s, &err), IMBREX_ENOTSUP);
		assert_string_equal(
			err.message, "content is bzip2-compressed, but this build lacks bzip2");
	}
}

static void detection_knows_the_magic_numbers(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum compression want;
	} cases[] = {
		{ "", 0, COMPRESSION_NONE },
		{ "\x1f", 1, COMPRESSION_NONE },
		{ "\x1f\x8b", 2, COMPRESSION_NONE },
		{ "\x1f\x8b\x08", 3, COMPRESSION_GZIP },
		{ "\x1f\x8b\x07", 3, COMPRESSION_NONE },
		{ "BZ", 2, COMPRESSION_NONE },
		{ "BZh", 3, COMPRESSION_BZIP2 },
		{ "BZ0", 3, COMPRESSION_NONE },
		{ "\xfd"
		  "7zXZ\0",
			6, COMPRESSION_XZ },
		{ "\xfd"
		  "7zXZ",
			5, COMPRESSION_NONE },
		{ "\x28\xb5\x2f\xfd", 4, COMPRESSION_ZSTD },
		{ "\x28\xb5\x2f", 3, COMPRESSION_NONE },
		{ "\x50\x2a\x4d\x18", 4, COMPRESSION_ZSTD },
		{ "\x5f\x2a\x4d\x18", 4, COMPRESSION_ZSTD },
		{ "\x60\x2a\x4d\x18", 4, COMPRESSION_NONE },
		{ "usr/bin/", 8, COMPRESSION_NONE },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(compression_detect(cases[i].bytes, cases[i].len), cases[i].want);
	for (i = 0; i < ARRAY_LEN(format_names); i++)
		assert_string_equal(compression_name((enum compression)i), format_names[i]);
}

static void short_and_empty_input_passes_uncompressed(void **state)
{
	static const char text[] = "abcde";
	size_t len;

	for (len = 0; len <= 5; len++) {
		enum compression found = COMPRESSION_XZ;
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		struct sink *s;

		assert_int_equal(decompress_sink_new(&found, record_new(&seen), &s, &err), 0);
		assert_int_equal(drive(s, text, len, 1, &err), 0);
		assert_int_equal(found, COMPRESSION_NONE);
		assert_seen(&seen, text, len);
		assert_int_equal(seen.n_finishes, 1);
		seen_done(&seen);
	}
}

static void a_lone_magic_number_is_a_truncated_stream(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(decompress_sink_new(NULL, record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, "\x1f\x8b\x08", 3, 1, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "gzip stream ends inside a member after 3 bytes");
	seen_done(&seen);
}

static void no_compression_has_no_unpacking_stage(void **state)
{
	struct imbrex_error err = { 0 };
	struct sink *s;

	assert_int_equal(unpack_sink_new(COMPRESSION_NONE, NULL, &s, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "compression 'none' (0) cannot be unpacked");
	assert_int_equal(unpack_sink_new((enum compression)9, NULL, &s, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "compression 'unknown' (9) cannot be unpacked");
}

static void zstd_packs_the_same_bytes_for_any_number_of_threads_above_one(void **state)
{
	const size_t len = 12 * 1024 * 1024;
	uint8_t *text = malloc(len);
	struct seen two = SEEN_INIT;
	struct seen four = SEEN_INIT;
	struct imbrex_error err = { 0 };
	struct sink *s;

	assert_non_null(text);
	fill_pattern(text, len, 12);
	assert_int_equal(zstd_compress_sink_new(1, 2, record_new(&two), &s, &err), 0);
	assert_int_equal(drive(s, text, len, 1000000, &err), 0);
	assert_int_equal(zstd_compress_sink_new(1, 4, record_new(&four), &s, &err), 0);
	assert_int_equal(drive(s, text, len, 300000, &err), 0);
	assert_seen(&four, two.text.data, two.text.len);
	assert_unpacks(COMPRESSION_ZSTD, &two.text, 0, text, len);
	seen_done(&two);
	seen_done(&four);
	free(text);
}

static void zstd_refuses_levels_that_do_not_exist(void **state)
{
	struct imbrex_error err = { 0 };
	struct sink *s;

	assert_int_equal(zstd_compress_sink_new(23, 1, NULL, &s, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "zstd level 23 is not between -131072 and 22");
}

static void the_guard_knows_a_bomb_by_its_numbers(void **state)
{
	static const struct {
		uint64_t in;
		uint64_t out;
		const char *message; /* NULL: honest */
	} cases[] = {
		{ 0, 0, NULL },
		{ 1, 64ull << 20, NULL },
		{ 1, (64ull << 20) + 1,
			"x stream expands 1 bytes to 67108865, more than the limit of 1100 to 1" },
		{ 1000000, 1032000000, NULL },
		{ 1000000, 1100001099, NULL },
		{ 1000000, 1100001100,
			"x stream expands 1000000 bytes to 1100001100, more than the limit of "
			"1100 to 1" },
		{ 1ull << 40, 1ull << 40, NULL },
		{ 1ull << 40, (1ull << 40) + 1,
			"x stream expands beyond the limit of 1099511627776 bytes" },
		{ UINT64_MAX, UINT64_MAX,
			"x stream expands beyond the limit of 1099511627776 bytes" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		int r = expansion_check("x", cases[i].in, cases[i].out, &err);

		assert_string_equal(err.message, cases[i].message ? cases[i].message : "");
		assert_int_equal(r, cases[i].message ? IMBREX_ELIMIT : 0);
	}
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(every_format_unpacks_the_same_for_every_chunking),
		cmocka_unit_test(every_format_unpacks_more_than_one_block),
		cmocka_unit_test(every_format_refuses_every_truncation),
		cmocka_unit_test(no_format_gives_other_content_for_a_flipped_bit),
		cmocka_unit_test(every_format_returns_the_failure_of_the_next_stage),
		cmocka_unit_test(a_build_without_a_codec_says_so),
		cmocka_unit_test(detection_knows_the_magic_numbers),
		cmocka_unit_test(short_and_empty_input_passes_uncompressed),
		cmocka_unit_test(a_lone_magic_number_is_a_truncated_stream),
		cmocka_unit_test(no_compression_has_no_unpacking_stage),
		cmocka_unit_test(zstd_packs_the_same_bytes_for_any_number_of_threads_above_one),
		cmocka_unit_test(zstd_refuses_levels_that_do_not_exist),
		cmocka_unit_test(the_guard_knows_a_bomb_by_its_numbers),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
