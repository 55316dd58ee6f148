/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged table: what is whole in it is read, what is no record is kept, and nothing is invented.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "store/salvage.h"

#include <cmocka.h>

#define TABLE_TEXT_MAX (1024 * 1024)

struct salvage_case {
	const struct record_type *type;
	const char *text;
	size_t n_records, n_partial, n_lost;
	const char *written; /* what would be saved */
};

static const struct salvage_case cases[] = {
	/* single elements that are no records: kept, behind the others, and the table is whole */
	{ &layer_records, "[{\"id\":\"a\"},5,{\"id\":\"b\"},[1,\"x\"],null]", 2, 0, 0,
		"[{\"id\":\"a\"},{\"id\":\"b\"},5,[1,\"x\"],null]" },
	{ &layer_records, "[ \"no record\" ]", 0, 0, 0, "[\"no record\"]" },
	/* cut between and within records */
	{ &layer_records, "[{\"id\":\"a\",\"x\": 1}", 1, 0, 1, "[{\"id\":\"a\",\"x\": 1}]" },
	{ &layer_records, "[{\"id\":\"a\"},", 1, 0, 1, "[{\"id\":\"a\"}]" },
	{ &layer_records, "[{\"id\":\"a\"},{\"id\":\"b\",\"par", 1, 0, 1, "[{\"id\":\"a\"}]" },
	{ &layer_records, "[", 0, 0, 1, "[]" },
	/* a record in the middle that is garbage: those behind it are found again */
	{ &layer_records, "[{\"id\":\"a\"},{\"id\":\"b\",\"x\":tru},{\"id\":\"c\"}]", 2, 0, 1,
		"[{\"id\":\"a\"},{\"id\":\"c\"}]" },
	{ &layer_records, "[{\"id\":\"a\"}\001\002,{\"id\":\"c\"}]", 2, 0, 1,
		"[{\"id\":\"a\"},{\"id\":\"c\"}]" },
	/* zeros where a block was not written */
	{ &layer_records, "\001\001\001\001\001{\"id\":\"c\"}]", 1, 0, 1, "[{\"id\":\"c\"}]" },
	{ &layer_records, "garbage", 0, 0, 1, "[]" },
	{ &layer_records, "[{\"id\":\"a\"}]]", 1, 0, 0, "[{\"id\":\"a\"}]" },
	{ &layer_records, "[{\"id\":\"a\"}]x[{\"id\":\"b\"}]", 2, 0, 1,
		"[{\"id\":\"a\"},{\"id\":\"b\"}]" },
	/* the same id again is not read twice */
	{ &layer_records, "[{\"id\":\"a\",\"parent\":\"p\"},7,{\"id\":\"a\"}]", 1, 0, 0,
		"[{\"id\":\"a\",\"parent\":\"p\"},7]" },
	/* containers and images keep what is whole of them, if it says what they stand on */
	{ &container_records,
		"[{\"id\":\"a\",\"names\":[\"n\"],\"image\":\"i\",\"layer\":\"l\",\"metadata\":\"{",
		1, 1, 1, "[{\"id\":\"a\",\"names\":[\"n\"],\"image\":\"i\",\"layer\":\"l\"}]" },
	{ &container_records, "[{\"id\":\"a\",\"image\":\"i\",\"lay", 0, 0, 1, "[]" },
	{ &container_records, "[{\"id\":\"a\",\"layer\":\"l", 0, 0, 1, "[]" },
	{ &image_records, "[{\"id\":\"a\",\"layer\":\"l\",\"big-data-sizes\":{\"x\":12", 1, 1, 1,
		"[{\"id\":\"a\",\"layer\":\"l\"}]" },
	{ &image_records, "[{\"id\":\"a\",\"layer\":\"l\",\"created\":12", 1, 1, 1,
		"[{\"id\":\"a\",\"layer\":\"l\"}]" },
};

static void what_is_whole_is_read(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct salvage_case *c = &cases[i];
		AUTO_STR written = STR_INIT(TABLE_TEXT_MAX);
		struct salvage got;
		struct table t;

		table_init(&t, c->type);
		assert_int_equal(
			table_salvage(&t, c->text, strlen(c->text), PLACE_STABLE, &got, NULL), 0);
		assert_int_equal(table_format(&t, PLACE_STABLE, &written), 0);
		if (!str_eq(str_text(&written), c->written) || got.n_records != c->n_records ||
			got.n_partial != c->n_partial || got.n_lost != c->n_lost)
			fail_msg("%s: %s, %zu records, %zu partial, %zu lost", c->text,
				str_text(&written), got.n_records, got.n_partial, got.n_lost);
		assert_int_equal(table_count(&t), c->n_records);
		table_done(&t);
	}
}

/* Cut anywhere, a table gives back a beginning of what it held. */
static void any_cut_leaves_the_records_before_it(void **state)
{
	static const char text[] = "[{\"id\":\"a\",\"parent\":\"p\"},{\"id\":\"b\",\"flags\":{"
				   "\"k\":[1,2]}},{\"id\":\"c\"}]";
	size_t ends[3], n, cut;

	ends[0] = (size_t)(strstr(text, "},{") + 1 - text);
	ends[1] = (size_t)(strstr(text, "}},") + 2 - text);
	ends[2] = sizeof(text) - 2;
	for (cut = 0; cut < sizeof(text) - 1; cut++) {
		struct salvage got;
		struct table t;

		for (n = 0; n < 3 && ends[n] <= cut;)
			n++;
		table_init(&t, &layer_records);
		assert_int_equal(table_salvage(&t, text, cut, PLACE_STABLE, &got, NULL), 0);
		assert_int_equal(table_count(&t), n);
		assert_true(got.n_lost > 0);
		table_done(&t);
	}
}

static void elements_without_end_are_not_all_kept(void **state)
{
	AUTO_FREE char *text = malloc(2u * LIMIT_RECORDS_ASIDE + 100);
	struct salvage got;
	struct table t;
	size_t i, n = 0;

	assert_non_null(text);
	text[n++] = '[';
	for (i = 0; i < LIMIT_RECORDS_ASIDE + 5; i++) {
		text[n++] = '1';
		text[n++] = ',';
	}
	text[n - 1] = ']';
	table_init(&t, &layer_records);
	assert_int_equal(table_salvage(&t, text, n, PLACE_STABLE, &got, NULL), 0);
	assert_int_equal(t.aside[PLACE_STABLE].n, LIMIT_RECORDS_ASIDE);
	assert_int_equal(got.n_lost, 5);
	table_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_whole_is_read),
		cmocka_unit_test(any_cut_leaves_the_records_before_it),
		cmocka_unit_test(elements_without_end_are_not_all_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
