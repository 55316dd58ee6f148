/* SPDX-License-Identifier: Apache-2.0 */
/* When something is old, and when a quota presses. */
#include "template/evict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void what_is_old_is_cold(void **state)
{
	static const struct {
		uint64_t used, now, warm;
		bool want;
	} cases[] = {
		{ 100, 159, 60, false }, { 100, 160, 60, true },
		{ 100, 100, 0, true }, /* nothing is kept */
		{ 0, 160, 60, true },  /* never used, as far as is known */
		{ 0, 160, UINT64_MAX, false }, { 1, UINT64_MAX - 1, UINT64_MAX, false },
		{ 500, 160, 60, false }, /* of a clock that was set back */
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			evict_is_cold(cases[i].used, cases[i].now, cases[i].warm), cases[i].want);
}

static void a_quota_presses_from_its_threshold_on(void **state)
{
	static const struct {
		uint64_t used, quota;
		unsigned int percent;
		bool want;
	} cases[] = {
		{ 80, 100, 80, true },
		{ 79, 100, 80, false },
		{ UINT64_MAX, 0, 80, false }, /* none */
		{ UINT64_MAX, UINT64_MAX, 80, true },
		{ UINT64_MAX / 2, UINT64_MAX, 80, false },
		{ 49, 50, 80, false }, /* hardly a quota */
		{ 50, 50, 80, true },
		{ 200, 100, 100, true },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(evict_is_pressed(cases[i].used, cases[i].quota, cases[i].percent),
			cases[i].want);
}

static void what_is_no_number_was_never_used(void **state)
{
	assert_int_equal(evict_parse_seconds("1700000000"), 1700000000);
	assert_int_equal(evict_parse_seconds("-"), 0);
	assert_int_equal(evict_parse_seconds(""), 0);
	assert_int_equal(evict_parse_seconds("-5"), 0);
	assert_int_equal(evict_parse_seconds("12x"), 0);
	assert_int_equal(evict_parse_seconds("99999999999999999999999"), 0);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(what_is_old_is_cold),
		cmocka_unit_test(a_quota_presses_from_its_threshold_on),
		cmocka_unit_test(what_is_no_number_was_never_used),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
