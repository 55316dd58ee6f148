/* SPDX-License-Identifier: Apache-2.0 */
/* What does the tar reader owe to those before and behind it? Formats: tests/format/tar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "format/tar/pax.h"
#include "format/tar_harness.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

/* Fails at the n-th call of any kind. */
struct failing {
	struct entry_sink entries;
	int calls_left;
	bool *ret_freed;
};

static int count_down(struct entry_sink *s, struct imbrex_error *err)
{
	struct failing *f = (struct failing *)s;

	if (f->calls_left-- > 0)
		return 0;
	return fail_code(err, ENOSPC, "write 'x'");
}

static int failing_begin(
	struct entry_sink *s, UNUSED const struct entry *e, struct imbrex_error *err)
{
	return count_down(s, err);
}

static int failing_data(
	struct entry_sink *s, UNUSED const void *buf, UNUSED size_t len, struct imbrex_error *err)
{
	return count_down(s, err);
}

static void failing_free(struct entry_sink *s)
{
	*((struct failing *)s)->ret_freed = true;
	free(s);
}

static struct entry_sink *failing_new(int calls, bool *ret_freed)
{
	static const struct entry_sink_ops ops = {
		.begin = failing_begin,
		.data = failing_data,
		.end = count_down,
		.finish = count_down,
		.free = failing_free,
	};
	struct failing *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->entries.ops = &ops;
	f->calls_left = calls;
	f->ret_freed = ret_freed;
	return &f->entries;
}

/* A directory and a file of three bytes: begin end begin data end finish. */
static void put_sample(struct str *tar)
{
	put_block(tar, &(struct block){ .name = "d/", .type = '5' });
	put_block(tar, &(struct block){ .name = "d/f", .size = 3 });
	put_data(tar, "abc", 3);
	put_end(tar);
}

static void test_failures_of_the_entries_come_out_as_they_are(UNUSED void **state)
{
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	int n;

	put_sample(&tar);
	for (n = 0; n <= 6; n++) {
		struct imbrex_error err = { 0 };
		struct sink *reader;
		bool freed = false;
		int r;

		must(tar_reader_new(failing_new(n, &freed), NULL, &reader, NULL));
		r = push_all(reader, tar.data, tar.len, TEXT_MAX, &err);
		assert_true(freed);
		assert_int_equal(r, n < 6 ? IMBREX_ENOSPC : 0);
		if (n < 6)
			assert_string_equal(err.message, "write 'x': No space left on device");
	}
}

static void test_free_without_finish_is_abort(UNUSED void **state)
{
	static const size_t lens[] = { 0, 100, 512, 1024, 1026, 1500, 2048, 2560, 3072 };
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	size_t i;

	put_sample(&tar);
	for (i = 0; i < ARRAY_LEN(lens) && lens[i] <= tar.len; i++) {
		AUTO_STR listing = STR_INIT(TEXT_MAX);
		struct sink *reader;

		must(tar_reader_new(listing_new(&listing), NULL, &reader, NULL));
		assert_int_equal(sink_write(reader, tar.data, lens[i], NULL), 0);
		sink_free(reader);
		assert_null(strstr(str_text(&listing), "end\n"));
	}
}

static int refuse(UNUSED void *ctx, struct imbrex_error *err)
{
	return fail_code(err, EIO, "record");
}

static void test_a_failing_observer_keeps_the_entries_from_finishing(UNUSED void **state)
{
	const struct tar_observer observers[] = { { .end = refuse }, { .trailer = refuse },
		{ .finish = refuse } };
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	size_t i;

	put_sample(&tar);
	for (i = 0; i < ARRAY_LEN(observers); i++) {
		AUTO_STR listing = STR_INIT(TEXT_MAX);
		struct imbrex_error err = { 0 };
		struct sink *reader;

		must(tar_reader_new(listing_new(&listing), &observers[i], &reader, NULL));
		assert_int_equal(push_all(reader, tar.data, tar.len, TEXT_MAX, &err), IMBREX_EIO);
		assert_string_equal(err.message, "record: Input/output error");
		assert_null(strstr(str_text(&listing), "\nend\n"));
	}
}

/* Remembers where data came from. */
struct where {
	struct entry_sink entries;
	const void **ret;
};

static int where_begin(
	UNUSED struct entry_sink *s, UNUSED const struct entry *e, UNUSED struct imbrex_error *err)
{
	return 0;
}

static int where_data(
	struct entry_sink *s, const void *buf, UNUSED size_t len, UNUSED struct imbrex_error *err)
{
	*((struct where *)s)->ret = buf;
	return 0;
}

static int where_end(UNUSED struct entry_sink *s, UNUSED struct imbrex_error *err)
{
	return 0;
}

static void where_free(struct entry_sink *s)
{
	free(s);
}

static void test_payload_is_not_copied(UNUSED void **state)
{
	static const struct entry_sink_ops ops = {
		.begin = where_begin,
		.data = where_data,
		.end = where_end,
		.finish = where_end,
		.free = where_free,
	};
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	struct where *w = calloc(1, sizeof(*w));
	const void *seen = NULL;
	struct sink *reader;

	assert_non_null(w);
	w->entries.ops = &ops;
	w->ret = &seen;
	put_sample(&tar);
	must(tar_reader_new(&w->entries, NULL, &reader, NULL));
	assert_int_equal(sink_write(reader, tar.data, tar.len, NULL), 0);
	sink_free(reader);
	assert_ptr_equal(seen, tar.data + 1024);
}

static void test_pax_times_have_nanoseconds(UNUSED void **state)
{
	static const struct {
		const char *text;
		int64_t sec;
		uint32_t nsec;
		int status;
	} times[] = {
		{ "0", 0, 0 },
		{ "1", 1, 0 },
		{ "1.", 1, 0 },
		{ "1.5", 1, 500000000 },
		{ "+1.5", 1, 500000000 },
		{ "1.000000001", 1, 1 },
		{ "1.0000000019", 1, 1 },
		{ "1.999999999999", 1, 999999999 },
		{ "-1", -1, 0 },
		{ "-1.5", -2, 500000000 },
		{ "-0.5", -1, 500000000 },
		{ "-0.000000001", -1, 999999999 },
		{ "-0", 0, 0 },
		{ "9223372036854775807.9", INT64_MAX, 900000000 },
		{ "-9223372036854775808", INT64_MIN, 0 },
		{ "-9223372036854775808.1", 0, 0, -ERANGE },
		{ "9223372036854775808", 0, 0, -ERANGE },
		{ "00000000000000000000000000000000000000000001", 0, 0, -ERANGE },
		{ "", 0, 0, -EINVAL },
		{ ".", 0, 0, -EINVAL },
		{ "-", 0, 0, -EINVAL },
		{ "- 1", 0, 0, -EINVAL },
		{ "1,5", 0, 0, -EINVAL },
		{ "1.-5", 0, 0, -EINVAL },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(times); i++) {
		uint32_t nsec = 0;
		int64_t sec = 0;

		assert_int_equal(pax_time(times[i].text, &sec, &nsec), times[i].status);
		assert_true(sec == times[i].sec);
		assert_int_equal(nsec, times[i].nsec);
	}
}

static void test_numbers_of_headers(UNUSED void **state)
{
	static const struct {
		const char *field; /* 12 bytes */
		int64_t value;
		int status;
	} numbers[] = {
		{ "00000000007\0", 7 },
		{ "        7   ", 7 },
		{ "777777777777", 0xfffffffff },
		{ "7\0\0\0\0\0\0\0\0\0\0\0", 7 },
		{ "\0\0\0 7 \0\0\0\0\0\0", 7 },
		{ "7\0garbage999", 7 },
		{ "            ", 0 },
		{ "\0\0\0\0\0\0\0\0\0\0\0\0", 0 },
		{ "\x80\0\0\0\0\0\0\0\0\0\0\x05", 5 },
		{ "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", INT64_MAX },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1 },
		{ "\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", INT64_MIN },
		{ "\x80\0\0\0\x80\0\0\0\0\0\0\0", 0, -ERANGE },
		{ "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 0, -ERANGE },
		{ "\x80\0\0\x01\0\0\0\0\0\0\0\0", 0, -ERANGE },
		{ "8           ", 0, -EINVAL },
		{ "-1          ", 0, -EINVAL },
		{ "1 2         ", 0, -EINVAL },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t value = 0;

		assert_int_equal(tar_number_parse(numbers[i].field, 12, &value), numbers[i].status);
		assert_true(value == numbers[i].value);
	}
}

static void test_old_signed_checksums_are_accepted(UNUSED void **state)
{
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	struct outcome o;
	struct tar_header *h;
	char digits[8];

	put_block(&tar, &(struct block){ .name = "\xe9\xe9" });
	h = (struct tar_header *)(void *)tar.data;
	(void)snprintf(digits, sizeof(digits), "%06o", tar_checksum(h) - 2 * 256);
	memcpy(h->checksum, digits, 7);
	run_tar(&o, tar.data, tar.len, TEXT_MAX, false);
	assert_int_equal(o.status, 0);
	outcome_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures_of_the_entries_come_out_as_they_are),
		cmocka_unit_test(test_free_without_finish_is_abort),
		cmocka_unit_test(test_a_failing_observer_keeps_the_entries_from_finishing),
		cmocka_unit_test(test_payload_is_not_copied),
		cmocka_unit_test(test_pax_times_have_nanoseconds),
		cmocka_unit_test(test_numbers_of_headers),
		cmocka_unit_test(test_old_signed_checksums_are_accepted),
	};

	return cmocka_run_group_tests_name("tar reader", tests, NULL, NULL);
}
