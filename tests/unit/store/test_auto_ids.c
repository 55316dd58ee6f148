/* SPDX-License-Identifier: Apache-2.0 */
/* Ids for user namespaces: sets of them, how many passwd files name, and which are free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "store/auto_ids.h"
#include "store/idset.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static void expect_set(const struct id_set *s, const char *want)
{
	AUTO_STR got = STR_INIT(4096);
	size_t i;

	for (i = 0; i < s->n; i++)
		assert_int_equal(str_printf(&got, "%s%llu-%llu", i ? " " : "",
					 (unsigned long long)s->ranges[i].start,
					 (unsigned long long)s->ranges[i].end),
			0);
	assert_string_equal(str_text(&got), want);
}

static void sets_stay_sorted_and_their_ranges_never_touch(void **state)
{
	static const struct {
		char op;
		uint64_t start;
		uint64_t count;
		const char *want;
	} steps[] = {
		{ '+', 100, 10, "100-110" },
		{ '+', 50, 10, "50-60 100-110" },
		{ '+', 60, 5, "50-65 100-110" },
		{ '+', 200, 0, "50-65 100-110" },
		{ '+', 95, 5, "50-65 95-110" },
		{ '+', 200, 1, "50-65 95-110 200-201" },
		{ '+', 64, 140, "50-204" },
		{ '-', 60, 10, "50-60 70-204" },
		{ '-', 0, 55, "55-60 70-204" },
		{ '-', 58, 20, "55-58 78-204" },
		{ '-', 58, 20, "55-58 78-204" },
		{ '-', 203, 4294967295u, "55-58 78-203" },
		{ '=', 5, 0, "55-58 78-80" },
		{ '-', 0, 1000, "" },
		{ '-', 0, 1000, "" },
	};
	AUTO_ID_SET set = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(steps); i++) {
		int r = steps[i].op == '+'   ? id_set_add(&set, steps[i].start, steps[i].count)
			: steps[i].op == '-' ? id_set_remove(&set, steps[i].start, steps[i].count)
					     : id_set_cut(&set, steps[i].start);

		assert_int_equal(r, 0);
		expect_set(&set, steps[i].want);
	}
	assert_int_equal(id_set_add(&set, 0, 7), 0);
	assert_int_equal(id_set_size(&set), 7);
	assert_int_equal(id_set_cut(&set, 8), -ENOENT);
}

static void passwd_files_name_their_highest_id_but_nobody(void **state)
{
	static const struct {
		const char *text;
		uint32_t passwd;
		uint32_t group;
	} cases[] = {
		{ "", 0, 0 },
		{ "root:x:0:0:root:/root:/bin/sh\n", 1, 1 },
		{ "root:x:0:0::/:/bin/sh\nu:x:1000:2000:::\nnobody:x:65534:65534:::\n", 2001,
			1001 },
		{ "nobody:x:99:99:::\nnogroup:x:98:\n", 0, 0 },
		{ "x:x:65534:5:::", 6, 0 },
		{ "x:x:65534:5", 6, 0 },
		{ "a:x:7", 8, 8 },
		{ "a:x:7:", 8, 8 },
		{ "a:x:7x:8:\nb:x::\nc:x\n\n:::\n", 9, 0 },
		{ "a:x:4294967295:1:\na:x:4294967296:1:\n", 2, 0 },
		{ "a:x:-5: 9:\n", 0, 0 },
		{ "daemon:*:1:root,bin\n", 2, 2 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);

		if (ids_of_passwd(cases[i].text, len) != cases[i].passwd ||
			ids_of_group(cases[i].text, len) != cases[i].group)
			fail_msg("'%s': %u %u", cases[i].text, ids_of_passwd(cases[i].text, len),
				ids_of_group(cases[i].text, len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_stay_sorted_and_their_ranges_never_touch),
		cmocka_unit_test(passwd_files_name_their_highest_id_but_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
