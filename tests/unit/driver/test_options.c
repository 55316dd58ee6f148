/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as options give them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#undef fail
#include "driver/btrfs.h"
#include "driver/options.h"

static void sizes_are_read_as_docker_reads_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		int status;
	} cases[] = {
		{ "0", 0, 0 },
		{ "1", 1, 0 },
		{ "32", 32, 0 },
		{ "32b", 32, 0 },
		{ "32k", 32 << 10, 0 },
		{ "32 kb", 32 << 10, 0 },
		{ "32KiB", 32 << 10, 0 },
		{ "10M", 10 << 20, 0 },
		{ "1.5g", UINT64_C(3) << 29, 0 },
		{ "1.5", 1, 0 },
		{ "2.25t", UINT64_C(9) << 38, 0 },
		{ "1p", UINT64_C(1) << 50, 0 },
		{ "0.000000001k", 0, 0 },
		{ "1.99999999999999999999k", 2047, 0 },
		{ "9223372036854775807", INT64_MAX, 0 },
		{ "9223372036854775808", 0, IMBREX_ELIMIT },
		{ "99999999999999999999", 0, IMBREX_ELIMIT },
		{ "8192p", 0, IMBREX_ELIMIT },
		{ "", 0, IMBREX_EINVAL },
		{ ".5g", 0, IMBREX_EINVAL },
		{ "1.g", 0, IMBREX_EINVAL },
		{ "-1", 0, IMBREX_EINVAL },
		{ " 1", 0, IMBREX_EINVAL },
		{ "1  k", 0, IMBREX_EINVAL },
		{ "1x", 0, IMBREX_EINVAL },
		{ "1kk", 0, IMBREX_EINVAL },
		{ "1kbi", 0, IMBREX_EINVAL },
		{ "0x10", 0, IMBREX_EINVAL },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct imbrex_error err = { 0 };
		uint64_t bytes = 77;

		assert_int_equal(
			option_bytes("size", cases[i].text, &bytes, &err), cases[i].status);
		assert_int_equal(bytes, cases[i].status ? 77 : cases[i].bytes);
		if (cases[i].status == IMBREX_EINVAL)
			assert_non_null(strstr(err.message, "is not a size"));
		if (cases[i].status == IMBREX_ELIMIT)
			assert_non_null(strstr(err.message, "does not fit 63 bits"));
	}
}

static void a_quota_file_is_digits_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		int status;
	} cases[] = {
		{ "0", 0, 0 },
		{ "10485760", 10485760, 0 },
		{ "18446744073709551615", UINT64_MAX, 0 },
		{ "18446744073709551616", 0, -EINVAL },
		{ "99999999999999999999999", 0, -EINVAL },
		{ "", 0, -EINVAL },
		{ "10\n", 0, -EINVAL },
		{ "10M", 0, -EINVAL },
		{ "-1", 0, -EINVAL },
		{ "+1", 0, -EINVAL },
		{ "0x1", 0, -EINVAL },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t bytes = 77;

		assert_int_equal(btrfs_limit_parse(cases[i].text, strlen(cases[i].text), &bytes),
			cases[i].status);
		assert_int_equal(bytes, cases[i].status ? 77 : cases[i].bytes);
	}
}

struct told {
	bool flag;
	uint64_t bytes;
	struct strv words;
	struct strv paths;
};
static const struct option_key keys[] = {
	{ "flag", option_set_bool, offsetof(struct told, flag) },
	{ "paths", option_set_paths, offsetof(struct told, paths) },
	{ "size", option_set_bytes, offsetof(struct told, bytes) },
	{ "words", option_set_words, offsetof(struct told, words) },
};
static const struct option_table of_driver = { "vfs", false, keys, ARRAY_LEN(keys) };
static const struct option_table of_layer = { "vfs", true, keys, ARRAY_LEN(keys) };

static int tell(const struct option_table *table, const char *option, struct told *to,
	struct imbrex_error *err)
{
	AUTO_STRV options = { 0 };

	assert_int_equal(strv_add(&options, option), 0);
	return option_table_read(table, &options, to, err);
}

static void a_table_says_what_is_filled(void **state)
{
	static const char *const options[] = { "vfs.FLAG=true", "size=3k", "btrfs.size=junk",
		"words=a,,b", "vfs.words=c", "paths=/x,/y z," };
	struct imbrex_error err = { 0 };
	struct told t = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(options); i++)
		assert_int_equal(tell(&of_driver, options[i], &t, &err), 0);
	assert_true(t.flag);
	assert_int_equal(t.bytes, 3072);
	assert_int_equal(t.words.n, 3);
	assert_string_equal(t.words.items[1], "b");
	assert_string_equal(t.words.items[2], "c");
	assert_int_equal(t.paths.n, 2);
	assert_string_equal(t.paths.items[1], "/y z");
	strv_done(&t.words);
	strv_done(&t.paths);
	assert_int_equal(option_table_read(&of_driver, NULL, &t, &err), 0);
}

static void what_is_not_in_the_table_is_refused_by_name(void **state)
{
	static const struct {
		const struct option_table *table;
		const char *option;
		const char *message;
	} cases[] = {
		{ &of_driver, "vfs.colour=blue", "unknown option 'vfs.colour'" },
		{ &of_driver, "colour=blue", "unknown option 'vfs.colour'" },
		{ &of_layer, "vfs.colour=blue", "layer option 'colour' is unknown" },
		{ &of_driver, "flag=maybe", "option vfs.flag: 'maybe' is neither true nor false" },
		{ &of_layer, "flag=maybe", "option flag: 'maybe' is neither true nor false" },
		{ &of_driver, "paths=/x,y", "option vfs.paths: 'y' is not an absolute path" },
		{ &of_driver, "flag", "storage option 'flag' is not of the form key=value" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct told t = { 0 };

		assert_int_equal(tell(cases[i].table, cases[i].option, &t, &err), IMBREX_EINVAL);
		assert_string_equal(err.message, cases[i].message);
		strv_done(&t.paths);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_says_what_is_filled),
		cmocka_unit_test(what_is_not_in_the_table_is_refused_by_name),
		cmocka_unit_test(sizes_are_read_as_docker_reads_them),
		cmocka_unit_test(a_quota_file_is_digits_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
