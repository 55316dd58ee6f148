/* SPDX-License-Identifier: Apache-2.0 */
/* Records are their own text: what is not changed comes back byte for byte, strangers included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "store/record.h"

#include <cmocka.h>

#define TABLE_TEXT_MAX (1024 * 1024)

static void parse(struct table *t, const struct record_type *type, const char *text)
{
	struct imbrex_error err = { 0 };

	table_init(t, type);
	if (table_parse(t, strdup(text), strlen(text), PLACE_STABLE, &err) < 0)
		fail_msg("%s", err.message);
}

static void expect_text(struct table *t, enum record_place place, const char *want)
{
	AUTO_STR text = STR_INIT(TABLE_TEXT_MAX);

	assert_int_equal(table_format(t, place, &text), 0);
	assert_string_equal(str_text(&text), want);
}

static void unchanged_records_are_written_byte_for_byte(void **state)
{
	static const char *const texts[] = {
		"[]",
		"[{\"id\":\"a\"}]",
		/* members nobody knows, in places where no field would stand, and odd spacing */
		"[{ \"x\" : [1, 2.50,{\"y\":null}], \"id\" :\"a\", \"ID2\":1e5 },{\"id\":\"b\"}]",
		/* escapes that need not be there, and text that is not ASCII */
		"[{\"id\":\"a\",\"metadata\":\"\\u0041\\/\\u00e9\303\251\\n\",\"zz\":\"\\u2028\"}]",
		/* numbers beyond a double's precision */
		"[{\"id\":\"a\",\"diff-size\":9223372036854775807,\"new\":12345678901234567890}]",
	};
	struct table t;
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++) {
		parse(&t, &layer_records, texts[i]);
		expect_text(&t, PLACE_STABLE, texts[i]);
		expect_text(&t, PLACE_STABLE, texts[i]);
		table_done(&t);
	}
}

static void nothing_null_and_an_empty_list_are_empty_tables(void **state)
{
	static const char *const texts[] = { "", "null", "[]", " [ ] \n" };
	struct table t;
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++) {
		parse(&t, &image_records, texts[i]);
		assert_int_equal(table_count(&t), 0);
		expect_text(&t, PLACE_STABLE, "[]");
		table_done(&t);
	}
}

static void a_changed_field_stands_where_upstream_writes_it_and_strangers_stay(void **state)
{
	struct table t;

	parse(&t, &image_records,
		"[{\"id\":\"a\",\"new-thing\":{\"k\":  [1]},\"layer\":\"l\",\"flags\":{\"b\":1}},"
		"{\"id\":\"b\",\"names\":[\"x\"]}]");
	assert_int_equal(record_set_text(&t, 0, IMAGE_DIGEST, "sha256:00", NULL), 0);
	assert_int_equal(record_set(&t, 0, IMAGE_NAMES, "[\"n\"]", NULL), 0);
	expect_text(&t, PLACE_STABLE,
		"[{\"id\":\"a\",\"digest\":\"sha256:00\",\"names\":[\"n\"],\"layer\":\"l\","
		"\"flags\":{\"b\":1},\"new-thing\":{\"k\":  [1]}},"
		"{\"id\":\"b\",\"names\":[\"x\"]}]");
	assert_int_equal(record_set(&t, 1, IMAGE_NAMES, NULL, NULL), 0);
	assert_int_equal(record_set_text(&t, 0, IMAGE_DIGEST, "", NULL), 0);
	expect_text(&t, PLACE_STABLE,
		"[{\"id\":\"a\",\"names\":[\"n\"],\"layer\":\"l\",\"flags\":{\"b\":1},"
		"\"new-thing\":{\"k\":  [1]}},{\"id\":\"b\"}]");
	table_done(&t);
}

static void every_field_is_written_in_the_order_of_its_kind(void **state)
{
	static const struct {
		const struct record_type *type;
		const char *want;
	} cases[] = {
		{ &layer_records,
			"[{\"id\":\"i\",\"names\":1,\"parent\":1,\"metadata\":1,\"mountlabel\":1,"
			"\"created\":1,\"compressed-diff-digest\":1,\"compressed-size\":1,"
			"\"diff-digest\":1,\"toc-digest\":1,\"diff-size\":1,\"compression\":1,"
			"\"uidset\":1,\"gidset\":1,\"flags\":1,\"uidmap\":1,\"gidmap\":1,"
			"\"big-data-names\":1}]" },
		{ &image_records,
			"[{\"id\":\"i\",\"digest\":1,\"names\":1,\"names-history\":1,\"layer\":1,"
			"\"mapped-layers\":1,\"metadata\":1,\"big-data-names\":1,"
			"\"big-data-sizes\":1,\"big-data-digests\":1,\"created\":1,\"flags\":1}]" },
		{ &container_records,
			"[{\"id\":\"i\",\"names\":1,\"image\":1,\"layer\":1,\"metadata\":1,"
			"\"big-data-names\":1,\"big-data-sizes\":1,\"big-data-digests\":1,"
			"\"created\":1,\"uidmap\":1,\"gidmap\":1,\"flags\":1}]" },
	};
	struct table t;
	size_t i;
	int f;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		parse(&t, cases[i].type, "[{\"id\":\"i\"}]");
		for (f = cases[i].type->n_fields; f-- > 1;) /* backwards: order must not matter */
			assert_int_equal(record_set(&t, 0, f, "1", NULL), 0);
		expect_text(&t, PLACE_STABLE, cases[i].want);
		table_done(&t);
	}
}

static void keys_match_in_any_case_and_the_last_of_two_wins(void **state)
{
	struct table t;

	parse(&t, &layer_records,
		"[{\"ID\":\"a\",\"Parent\":\"p\",\"parent\":\"q\",\"diff-size\":1,\"Diff-Size\":2,"
		"\"\\u006eames\":[\"n\"]}]");
	assert_true(record_is(table_at(&t, 0), LAYER_ID, "a"));
	assert_true(record_is(table_at(&t, 0), LAYER_PARENT, "q"));
	assert_int_equal(record_int(table_at(&t, 0), LAYER_DIFF_SIZE, -1), 2);
	assert_true(record_list_has(table_at(&t, 0), LAYER_NAMES, "n"));
	table_done(&t);
}

static void a_record_repeated_in_the_volatile_file_is_skipped_and_reported(void **state)
{
	static const char text[] = "[{\"id\":\"a\",\"parent\":\"v\"},{\"id\":\"c\"}]";
	struct table t;

	parse(&t, &layer_records, "[{\"id\":\"a\"},{\"id\":\"b\"}]");
	assert_int_equal(table_parse(&t, strdup(text), strlen(text), PLACE_VOLATILE, NULL), 0);
	assert_int_equal(table_count(&t), 3);
	assert_int_equal(table_find_id(&t, "a", 1), 0);
	assert_int_equal(record_raw(table_at(&t, 0), LAYER_PARENT).len, 0);
	assert_int_equal(table_at(&t, 2)->place, PLACE_VOLATILE);
	assert_int_equal(t.odd.n, 1);
	assert_string_equal(t.odd.items[0], "layer a is recorded twice");
	expect_text(&t, PLACE_STABLE, "[{\"id\":\"a\"},{\"id\":\"b\"}]");
	expect_text(&t, PLACE_VOLATILE, "[{\"id\":\"c\"}]");
	table_done(&t);
}

/* Reading does not pay for the look; check() does, and reports it. */
static void of_a_record_repeated_within_one_file_the_first_is_found(void **state)
{
	struct table t;

	parse(&t, &layer_records,
		"[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"a\",\"parent\":\"b\"}]");
	assert_int_equal(table_find_id(&t, "a", 1), 0);
	expect_text(&t, PLACE_STABLE,
		"[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"a\",\"parent\":\"b\"}]");
	table_done(&t);
}

static void records_are_added_and_removed_in_both_files(void **state)
{
	static const char fresh[] = "{\"id\":\"c\",\"flags\":{\"incomplete\":true}}";
	struct table t;

	parse(&t, &layer_records, "[{\"id\":\"a\"}, {\"id\":\"b\"},{\"id\":\"d\"}]");
	assert_int_equal(table_append(&t, fresh, strlen(fresh), PLACE_VOLATILE, NULL), 0);
	assert_int_equal(table_append(&t, "{\"id\":\"e\"}", 10, PLACE_STABLE, NULL), 0);
	assert_true(record_flag(table_at(&t, 3), LAYER_FLAGS, "incomplete"));
	assert_false(record_flag(table_at(&t, 3), LAYER_FLAGS, "complete"));
	expect_text(
		&t, PLACE_STABLE, "[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"d\"},{\"id\":\"e\"}]");
	table_remove(&t, 1);
	expect_text(&t, PLACE_STABLE, "[{\"id\":\"a\"},{\"id\":\"d\"},{\"id\":\"e\"}]");
	expect_text(&t, PLACE_VOLATILE, "[{\"id\":\"c\",\"flags\":{\"incomplete\":true}}]");
	assert_int_equal(table_find_id(&t, "b", 1), -1);
	assert_int_equal(table_find_id(&t, "e", 1), 4);
	table_remove(&t, 3);
	expect_text(&t, PLACE_VOLATILE, "[]");
	table_done(&t);
}

static void only_true_is_a_set_flag(void **state)
{
	struct table t;
	ptrdiff_t i;

	parse(&t, &layer_records,
		"[{\"id\":\"a\",\"flags\":{\"incomplete\":false}},"
		"{\"id\":\"b\",\"flags\":{\"incomplete\":\"true\"}},"
		"{\"id\":\"c\",\"flags\":{\"incomplete\":true,\"incomplete\":1}},"
		"{\"id\":\"d\",\"flags\":[true]},{\"id\":\"e\",\"flags\":null}]");
	for (i = table_next(&t, -1); i >= 0; i = table_next(&t, i))
		assert_false(record_flag(table_at(&t, (size_t)i), LAYER_FLAGS, "incomplete"));
	table_done(&t);
}

static void text_and_lists_are_decoded_and_encoded_as_upstream_does(void **state)
{
	static const char odd[] = "<a>&\"\\\n\t\x01\xe2\x80\xa8";
	AUTO_STRV list = { 0 };
	AUTO_FREE char *text = NULL;
	struct table t;

	parse(&t, &image_records, "[{\"id\":\"a\"}]");
	assert_int_equal(record_set_text(&t, 0, IMAGE_METADATA, odd, NULL), 0);
	assert_int_equal(strv_add(&list, odd), 0);
	assert_int_equal(strv_add(&list, "plain"), 0);
	assert_int_equal(record_set_list(&t, 0, IMAGE_NAMES, &list, NULL), 0);
	expect_text(&t, PLACE_STABLE,
		"[{\"id\":\"a\",\"names\":[\"\\u003ca\\u003e\\u0026\\\"\\\\\\n\\t\\u0001\\u2028\","
		"\"plain\"],\"metadata\":\"\\u003ca\\u003e\\u0026\\\"\\\\\\n\\t\\u0001\\u2028\"}]");
	text = record_text(table_at(&t, 0), IMAGE_METADATA);
	assert_string_equal(text, odd);
	strv_done(&list);
	assert_int_equal(record_list(table_at(&t, 0), IMAGE_NAMES, &list), 0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.items[0], odd);
	assert_true(record_list_has(table_at(&t, 0), IMAGE_NAMES, odd));
	assert_int_equal(table_find_name(&t, "plain"), 0);
	assert_int_equal(table_find_name(&t, "plai"), -1);
	table_done(&t);
}

static void members_of_an_object_stay_sorted_and_are_dropped_with_the_last(void **state)
{
	struct table t;

	parse(&t, &image_records, "[{\"id\":\"a\",\"big-data-sizes\":{\"b\":2,\"d\":  4}}]");
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "c", "3", NULL), 0);
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "a", "1", NULL), 0);
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "e", "5", NULL), 0);
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "b", "9", NULL), 0);
	expect_text(&t, PLACE_STABLE,
		"[{\"id\":\"a\",\"big-data-sizes\":{\"a\":1,\"b\":9,\"c\":3,\"d\":4,\"e\":5}}]");
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "a", NULL, NULL), 0);
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "b", NULL, NULL), 0);
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "d", NULL, NULL), 0);
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "x", NULL, NULL), 0);
	expect_text(&t, PLACE_STABLE, "[{\"id\":\"a\",\"big-data-sizes\":{\"c\":3,\"e\":5}}]");
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "c", NULL, NULL), 0);
	assert_int_equal(record_set_member(&t, 0, IMAGE_BIG_DATA_SIZES, "e", NULL, NULL), 0);
	expect_text(&t, PLACE_STABLE, "[{\"id\":\"a\"}]");
	table_done(&t);
}

static void ids_are_found_whole_and_by_a_unique_beginning(void **state)
{
	struct table t;

	parse(&t, &layer_records,
		"[{\"id\":\"abc1\"},{\"id\":\"abd2\"},{\"id\":\"f\\u0031\"},{\"id\":7},{}]");
	assert_int_equal(table_find_prefix(&t, "abc"), 0);
	assert_int_equal(table_find_prefix(&t, "ab"), -2);
	assert_int_equal(table_find_prefix(&t, "x"), -1);
	assert_int_equal(table_find_prefix(&t, ""), -1);
	/* an id is hex: one that needs decoding is as good as none */
	assert_int_equal(table_find_id(&t, "f1", 2), -1);
	assert_int_equal(table_find_prefix(&t, "7"), -1);
	table_done(&t);
}

static void the_index_of_a_big_table_follows_every_change(void **state)
{
	AUTO_STR text = STR_INIT(TABLE_TEXT_MAX);
	struct table t;
	char id[32];
	int i;

	assert_int_equal(str_putc(&text, '['), 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(str_printf(&text, "%s{\"id\":\"id%d\"}", i ? "," : "", i), 0);
	assert_int_equal(str_putc(&text, ']'), 0);
	parse(&t, &layer_records, text.data);
	assert_int_equal(table_find_id(&t, "id999", 5), 999);
	table_remove(&t, 0);
	assert_int_equal(table_find_id(&t, "id0", 3), -1);
	assert_int_equal(table_find_id(&t, "id999", 5), 999);
	assert_int_equal(table_append(&t, "{\"id\":\"new\"}", 12, PLACE_STABLE, NULL), 0);
	assert_int_equal(table_find_id(&t, "new", 3), 1000);
	assert_int_equal(record_set_text(&t, 5, LAYER_ID, "other", NULL), 0);
	assert_int_equal(table_find_id(&t, "other", 5), 5);
	assert_int_equal(table_find_id(&t, "id5", 3), -1);
	for (i = 6; i < 1000; i++) {
		(void)snprintf(id, sizeof(id), "id%d", i);
		assert_int_equal(table_find_id(&t, id, strlen(id)), i);
	}
	table_done(&t);
}

static void fields_of_another_type_are_as_good_as_absent(void **state)
{
	AUTO_FREE char *text = NULL;
	AUTO_STRV list = { 0 };
	struct table t;

	parse(&t, &layer_records,
		"[{\"id\":[],\"names\":\"n\",\"parent\":{},\"diff-size\":\"5\","
		"\"compressed-size\":1.5,\"compression\":99999999999999999999,\"flags\":true,"
		"\"metadata\":3,\"uidset\":[1,\"x\",{}]}]");
	assert_int_equal(record_plain(table_at(&t, 0), LAYER_ID).len, 0);
	assert_int_equal(record_plain(table_at(&t, 0), LAYER_PARENT).len, 0);
	assert_int_equal(record_int(table_at(&t, 0), LAYER_DIFF_SIZE, -7), -7);
	assert_int_equal(record_int(table_at(&t, 0), LAYER_COMPRESSED_SIZE, -7), -7);
	assert_int_equal(record_int(table_at(&t, 0), LAYER_COMPRESSION, -7), -7);
	assert_int_equal(record_list(table_at(&t, 0), LAYER_NAMES, &list), 0);
	assert_int_equal(list.n, 0);
	assert_int_equal(record_list(table_at(&t, 0), LAYER_UIDSET, &list), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.items[0], "x");
	assert_int_equal(record_member(table_at(&t, 0), LAYER_FLAGS, "x").len, 0);
	text = record_text(table_at(&t, 0), LAYER_METADATA);
	assert_string_equal(text, "");
	table_done(&t);
}

static void damage_is_refused_with_the_byte_where_it_is(void **state)
{
	static const struct {
		const char *why;
		const char *text;
		const char *message;
	} cases[] = {
		{ "cut in the middle of a record", "[{\"id\":\"a\",\"pare",
			"byte 16: the text ends inside a string" },
		{ "cut behind a record", "[{\"id\":\"a\"}", "byte 11" },
		{ "no list", "{\"id\":\"a\"}", "byte 0" },
		{ "a record that is no object", "[1]", "byte 1" },
		{ "two lists", "[][]", "byte 2" },
		{ "bytes that are no JSON",
			"\x7f"
			"ELF",
			"byte 0" },
		{ "a number as key", "[{1:2}]", "byte 2" },
		{ "a comma too many", "[{\"id\":\"a\"},]", "byte 12" },
		{ "a control character in a text", "[{\"id\":\"\x01\"}]", "byte 8" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct table t;

		table_init(&t, &layer_records);
		assert_int_equal(table_parse(&t, strdup(cases[i].text), strlen(cases[i].text),
					 PLACE_STABLE, &err),
			IMBREX_EFORMAT);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s: '%s' does not say '%s'", cases[i].why, err.message,
				cases[i].message);
		table_done(&t);
	}
}

static void nesting_beyond_the_limit_is_refused(void **state)
{
	AUTO_STR text = STR_INIT(TABLE_TEXT_MAX);
	struct imbrex_error err = { 0 };
	struct table t;
	int i;

	assert_int_equal(str_puts(&text, "[{\"x\":"), 0);
	for (i = 0; i < 100000; i++)
		assert_int_equal(str_putc(&text, '['), 0);
	table_init(&t, &layer_records);
	assert_int_equal(
		table_parse(&t, strdup(text.data), text.len, PLACE_STABLE, &err), IMBREX_ELIMIT);
	assert_non_null(strstr(err.message, "64"));
	table_done(&t);
}

static void a_fresh_record_must_be_one_object(void **state)
{
	struct table t;

	table_init(&t, &layer_records);
	assert_int_equal(table_append(&t, "[]", 2, PLACE_STABLE, NULL), IMBREX_EFORMAT);
	assert_int_equal(table_append(&t, "{\"id\":", 6, PLACE_STABLE, NULL), IMBREX_EFORMAT);
	assert_int_equal(table_count(&t), 0);
	table_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unchanged_records_are_written_byte_for_byte),
		cmocka_unit_test(nothing_null_and_an_empty_list_are_empty_tables),
		cmocka_unit_test(
			a_changed_field_stands_where_upstream_writes_it_and_strangers_stay),
		cmocka_unit_test(every_field_is_written_in_the_order_of_its_kind),
		cmocka_unit_test(keys_match_in_any_case_and_the_last_of_two_wins),
		cmocka_unit_test(a_record_repeated_in_the_volatile_file_is_skipped_and_reported),
		cmocka_unit_test(of_a_record_repeated_within_one_file_the_first_is_found),
		cmocka_unit_test(records_are_added_and_removed_in_both_files),
		cmocka_unit_test(only_true_is_a_set_flag),
		cmocka_unit_test(text_and_lists_are_decoded_and_encoded_as_upstream_does),
		cmocka_unit_test(members_of_an_object_stay_sorted_and_are_dropped_with_the_last),
		cmocka_unit_test(ids_are_found_whole_and_by_a_unique_beginning),
		cmocka_unit_test(the_index_of_a_big_table_follows_every_change),
		cmocka_unit_test(fields_of_another_type_are_as_good_as_absent),
		cmocka_unit_test(damage_is_refused_with_the_byte_where_it_is),
		cmocka_unit_test(nesting_beyond_the_limit_is_refused),
		cmocka_unit_test(a_fresh_record_must_be_one_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
