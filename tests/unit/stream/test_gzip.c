/* SPDX-License-Identifier: Apache-2.0 */
/* gunzip by both decoders, and the stages that make gzip. */
#include "harness.h"

#include <zlib.h>

#include "config.h"
#include "stream/compress.h"
#include "stream/gzip.h"

static const enum gunzip_backend backends[] = {
	GUNZIP_ZLIB,
#if HAVE_ISAL
	GUNZIP_ISAL,
#endif
};

static int unpack_with(enum gunzip_backend backend, const void *buf, size_t len, size_t piece,
	struct seen *seen, struct imbrex_error *err)
{
	struct sink *s;

	assert_int_equal(gunzip_sink_new_with(backend, record_new(seen), &s, err), 0);
	return drive(s, buf, len, piece, err);
}

/* Unpack with every decoder; both must succeed with `want`. */
static void assert_unpacks(const struct str *packed, size_t piece, const void *want, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(backends); i++) {
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		int r = unpack_with(backends[i], packed->data, packed->len, piece, &seen, &err);

		assert_string_equal(err.message, "");
		assert_int_equal(r, 0);
		assert_seen(&seen, want, len);
		assert_int_equal(seen.n_finishes, 1);
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
}

/* Append one member made by zlib. */
static void add_member(struct str *to, const void *buf, size_t len, int level, gz_header *header)
{
	z_stream z = { 0 };
	char *room;

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, MAX_WBITS + 16, 8, 0), Z_OK);
	if (header)
		assert_int_equal(deflateSetHeader(&z, header), Z_OK);
	assert_int_equal(str_reserve(to, len + len / 8 + 100000, &room), 0);
	z.next_in = (Bytef *)(uintptr_t)buf;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)room;
	z.avail_out = (uInt)(len + len / 8 + 100000);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	to->len += z.total_out;
	(void)deflateEnd(&z);
}

static void gunzip_gives_the_same_for_every_chunking(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	uint8_t text[3000];
	size_t piece;

	fill_pattern(text, sizeof(text), 3);
	add_member(&packed, text, 1000, 9, NULL);
	add_member(&packed, text + 1000, 0, 9, NULL);
	add_member(&packed, text + 1000, 1500, 0, NULL);
	add_member(&packed, text + 2500, 500, 1, NULL);
	for (piece = 0; piece <= packed.len; piece++)
		assert_unpacks(&packed, piece, text, sizeof(text));
}

static void gunzip_splits_anywhere_into_two_writes(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	char text[] = "one small member with a name, a comment, an extra field and a header check";
	gz_header header = { .name = (Bytef *)(uintptr_t) "file.tar",
		.comment = (Bytef *)(uintptr_t) "a comment",
		.extra = (Bytef *)(uintptr_t) "EXTRA FIELD",
		.extra_len = 11,
		.hcrc = 1,
		.time = 1234567 };
	size_t cut;
	size_t i;

	add_member(&packed, text, sizeof(text), 6, &header);
	add_member(&packed, text, sizeof(text), 6, &header);
	for (cut = 1; cut < packed.len; cut++) {
		for (i = 0; i < ARRAY_LEN(backends); i++) {
			struct imbrex_error err = { 0 };
			struct seen seen = SEEN_INIT;
			struct sink *s;

			assert_int_equal(
				gunzip_sink_new_with(backends[i], record_new(&seen), &s, &err), 0);
			assert_int_equal(push(s, packed.data, cut, 0, &err), 0);
			assert_int_equal(drive(s, packed.data + cut, packed.len - cut, 0, &err), 0);
			assert_int_equal(seen.text.len, 2 * sizeof(text));
			assert_memory_equal(seen.text.data + sizeof(text), text, sizeof(text));
			seen_done(&seen);
		}
	}
}

static void gunzip_unpacks_large_members_of_every_level(void **state)
{
	static const size_t pieces[] = { 0, 1, 4099, 1048576 };
	const size_t len = 3 * 1024 * 1024 + 5;
	uint8_t *text = malloc(len);
	int level;

	assert_non_null(text);
	fill_pattern(text, len, 11);
	for (level = 0; level <= 9; level += 3) {
		AUTO_STR packed = STR_INIT(TEXT_MAX);
		size_t i;

		add_member(&packed, text, len, level, NULL);
		for (i = level == 6 ? 0 : 2; i < ARRAY_LEN(pieces); i++)
			assert_unpacks(&packed, pieces[i], text, len);
	}
	free(text);
}

static void gunzip_refuses_every_truncation(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	uint8_t text[400];
	size_t len;
	size_t i;

	fill_pattern(text, sizeof(text), 5);
	add_member(&packed, text, sizeof(text), 9, NULL);
	for (len = 1; len < packed.len; len++) {
		for (i = 0; i < ARRAY_LEN(backends); i++) {
			struct imbrex_error err = { 0 };
			struct seen seen = SEEN_INIT;
			char want[100];

			(void)snprintf(want, sizeof(want),
				"gzip stream ends inside a member after %zu bytes", len);
			assert_int_equal(unpack_with(backends[i], packed.data, len, 0, &seen, &err),
				IMBREX_EFORMAT);
			assert_string_equal(err.message, want);
			assert_int_equal(seen.n_finishes, 0);
			seen_done(&seen);
		}
	}
}

/*
 * Bits that carry no meaning for the content: FTEXT, time, extra flags and system in the header,
 * and what fills the last byte of the deflate stream, right before the trailer.
 */
static bool is_idle(size_t at, unsigned int flip, size_t len)
{
	return (at == 3 && flip == 1) || (at >= 4 && at <= 9) || at == len - 9;
}

static void assert_flip_is_noticed(struct str *packed, size_t at, unsigned int flip,
	enum gunzip_backend backend, const void *text, size_t len)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	int r;

	packed->data[at] = (char)(packed->data[at] ^ (int)flip);
	r = unpack_with(backend, packed->data, packed->len, 0, &seen, &err);
	packed->data[at] = (char)(packed->data[at] ^ (int)flip);
	if (r == 0) {
		assert_true(is_idle(at, flip, packed->len));
		assert_seen(&seen, text, len);
	} else {
		assert_int_equal(r, IMBREX_EFORMAT);
		assert_non_null(strstr(err.message, "gzip"));
	}
	seen_done(&seen);
}

static void gunzip_notices_every_flipped_bit_of_a_small_member(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	uint8_t text[300];
	unsigned int flip;
	size_t at;
	size_t i;

	fill_pattern(text, sizeof(text), 9);
	add_member(&packed, text, sizeof(text), 9, NULL);
	for (at = 0; at < packed.len; at++) {
		for (flip = 1; flip < 256; flip <<= 1) {
			for (i = 0; i < ARRAY_LEN(backends); i++)
				assert_flip_is_noticed(
					&packed, at, flip, backends[i], text, sizeof(text));
		}
	}
}

static void gunzip_verifies_the_header_check(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	gz_header header = { .name = (Bytef *)(uintptr_t) "name", .hcrc = 1 };
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;

	add_member(&packed, "x", 1, 6, &header);
	assert_unpacks(&packed, 1, "x", 1);
	packed.data[10] = 'N';
	assert_int_equal(
		unpack_with(GUNZIP_ZLIB, packed.data, packed.len, 0, &seen, &err), IMBREX_EFORMAT);
	assert_non_null(strstr(err.message, "gzip member at byte 0: header has check 0x"));
	seen_done(&seen);
}

static void gunzip_allows_zero_padding_after_the_last_member(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	char zeros[5000] = { 0 };

	add_member(&packed, "abc", 3, 6, NULL);
	assert_int_equal(str_append(&packed, zeros, 1), 0);
	assert_unpacks(&packed, 1, "abc", 3);
	assert_int_equal(str_append(&packed, zeros, sizeof(zeros)), 0);
	assert_unpacks(&packed, 0, "abc", 3);
	assert_unpacks(&packed, 7, "abc", 3);
}

static void gunzip_returns_the_failure_of_the_next_stage(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	const size_t len = 2 * 1024 * 1024;
	void *zeros = calloc(1, len);
	size_t i;

	add_member(&packed, zeros, len, 1, NULL);
	for (i = 0; i < ARRAY_LEN(backends); i++) {
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;

		seen.fail_at_bytes = 1024 * 1024;
		assert_int_equal(unpack_with(backends[i], packed.data, packed.len, 0, &seen, &err),
			IMBREX_ENOSPC);
		assert_string_equal(err.message, "the end is full");
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
	free(zeros);
}

static void gunzip_takes_the_best_decoder_of_the_build(void **state)
{
	AUTO_STR packed = STR_INIT(TEXT_MAX);
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	add_member(&packed, "abc", 3, 6, NULL);
	assert_int_equal(gunzip_sink_new(record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, packed.data, packed.len, 0, &err), 0);
	assert_seen(&seen, "abc", 3);
	seen_done(&seen);
}

static void pack(struct sink *s, const void *buf, size_t len, size_t piece)
{
	struct imbrex_error err = { 0 };

	assert_int_equal(drive(s, buf, len, piece, &err), 0);
	assert_string_equal(err.message, "");
}

static void gzip_round_trips_at_every_level(void **state)
{
	const size_t len = 3 * 1024 * 1024 + 1;
	uint8_t *text = malloc(len);
	int level;

	assert_non_null(text);
	fill_pattern(text, len, 4);
	for (level = 0; level <= 9; level += 3) {
		struct seen seen = SEEN_INIT;
		struct sink *s;

		assert_int_equal(gzip_sink_new(level, record_new(&seen), &s, NULL), 0);
		pack(s, text, len, 65536);
		assert_int_equal(seen.n_finishes, 1);
		assert_unpacks(&seen.text, 0, text, len);
		seen_done(&seen);
	}
	free(text);
}

static void gzip_bytes_depend_on_content_only(void **state)
{
	static const uint8_t header[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff };
	struct seen a = SEEN_INIT;
	struct seen b = SEEN_INIT;
	uint8_t text[100000];
	struct sink *s;

	fill_pattern(text, sizeof(text), 4);
	assert_int_equal(gzip_sink_new(6, record_new(&a), &s, NULL), 0);
	pack(s, text, sizeof(text), 0);
	assert_int_equal(gzip_sink_new(6, record_new(&b), &s, NULL), 0);
	pack(s, text, sizeof(text), 17);
	assert_memory_equal(a.text.data, header, sizeof(header));
	assert_seen(&b, a.text.data, a.text.len);
	seen_done(&a);
	seen_done(&b);
}

static void gzip_refuses_levels_that_do_not_exist(void **state)
{
	struct imbrex_error err = { 0 };
	struct sink *s;

	assert_int_equal(gzip_sink_new(10, NULL, &s, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "gzip level 10 is not between 0 and 9");
	assert_int_equal(gzip_sink_new(-1, NULL, &s, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "gzip level -1 is not between 0 and 9");
}

static void fast_gzip_round_trips(void **state)
{
	static const size_t lens[] = { 0, 1, 100, 65537, 9 * 1024 * 1024 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(lens); i++) {
		struct seen seen = SEEN_INIT;
		uint8_t *text = malloc(lens[i] + 1);
		struct sink *s;

		assert_non_null(text);
		fill_pattern(text, lens[i], 4);
		assert_int_equal(gzip_fast_sink_new(record_new(&seen), &s, NULL), 0);
		pack(s, text, lens[i], 12345);
		assert_unpacks(&seen.text, 0, text, lens[i]);
		seen_done(&seen);
		free(text);
	}
}

static void gzip_returns_the_failure_of_the_next_stage(void **state)
{
	const size_t len = 4 * 1024 * 1024;
	uint8_t *text = malloc(len);
	int fast;

	assert_non_null(text);
	fill_pattern(text, len, 4);
	for (fast = 0; fast <= 1; fast++) {
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		struct sink *end = record_new(&seen);
		struct sink *s;
		int r;

		seen.fail_at_bytes = 1;
		r = fast ? gzip_fast_sink_new(end, &s, &err) : gzip_sink_new(0, end, &s, &err);
		assert_int_equal(r, 0);
		assert_int_equal(drive(s, text, len, 0, &err), IMBREX_ENOSPC);
		assert_string_equal(err.message, "the end is full");
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(gunzip_gives_the_same_for_every_chunking),
		cmocka_unit_test(gunzip_splits_anywhere_into_two_writes),
		cmocka_unit_test(gunzip_unpacks_large_members_of_every_level),
		cmocka_unit_test(gunzip_refuses_every_truncation),
		cmocka_unit_test(gunzip_notices_every_flipped_bit_of_a_small_member),
		cmocka_unit_test(gunzip_verifies_the_header_check),
		cmocka_unit_test(gunzip_allows_zero_padding_after_the_last_member),
		cmocka_unit_test(gunzip_returns_the_failure_of_the_next_stage),
		cmocka_unit_test(gunzip_takes_the_best_decoder_of_the_build),
		cmocka_unit_test(gzip_round_trips_at_every_level),
		cmocka_unit_test(gzip_bytes_depend_on_content_only),
		cmocka_unit_test(gzip_refuses_levels_that_do_not_exist),
		cmocka_unit_test(fast_gzip_round_trips),
		cmocka_unit_test(gzip_returns_the_failure_of_the_next_stage),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
