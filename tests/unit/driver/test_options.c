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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read_as_docker_reads_them),
		cmocka_unit_test(a_quota_file_is_digits_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
