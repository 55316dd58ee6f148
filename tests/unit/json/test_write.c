/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: the bytes Go's encoder would give, and times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "json/write.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static void a_record_looks_as_go_writes_it(void **state)
{
	AUTO_STR text = STR_INIT(1000);
	AUTO_STRV names = { 0 };
	AUTO_STRV pairs = { 0 };
	struct imbrex_error err = { 0 };
	struct json_writer w;

	assert_int_equal(strv_add(&names, "c1-layer"), 0);
	assert_int_equal(strv_add(&pairs, "b") | strv_add(&pairs, "2") | strv_add(&pairs, "a") |
				 strv_add(&pairs, "1"),
		0);
	json_writer_init(&w, &text);
	json_write_array_begin(&w);
	json_write_object_begin(&w);
	json_write_member_string(&w, "id", "x");
	json_write_some_strings(&w, "names", &names);
	json_write_some_string(&w, "parent", "");
	json_write_some_string(&w, "metadata", NULL);
	json_write_member_int(&w, "n", -1);
	json_write_some_int(&w, "zero", 0);
	json_write_some_bool(&w, "off", false);
	json_write_some_uint(&w, "u", UINT64_MAX);
	json_write_some_pairs(&w, "map", &pairs);
	json_write_some_strings(&w, "none", &(struct strv){ 0 });
	json_write_member_strings(&w, "empty", &(struct strv){ 0 });
	json_write_key(&w, "o");
	json_write_object_begin(&w);
	json_write_object_end(&w);
	json_write_member_bool(&w, "t", true);
	json_write_key(&w, "nil");
	json_write_null(&w);
	json_write_object_end(&w);
	json_write_uint(&w, 7);
	json_write_array_end(&w);
	assert_int_equal(json_writer_finish(&w, &err), 0);
	assert_string_equal(text.data,
		"[{\"id\":\"x\",\"names\":[\"c1-layer\"],\"n\":-1,\"u\":18446744073709551615,"
		"\"map\":{\"a\":\"1\",\"b\":\"2\"},\"empty\":[],\"o\":{},\"t\":true,\"nil\":null},"
		"7]");
}

static void strings_are_escaped_as_go_escapes_them(void **state)
{
	static const struct {
		const char *text;
		const char *want;
		const char *want_html_kept;
	} cases[] = {
		{ "plain", "\"plain\"", "\"plain\"" },
		{ "<a>&", "\"\\u003ca\\u003e\\u0026\"", "\"<a>&\"" },
		{ "\"\\/\n\r\t", "\"\\\"\\\\/\\n\\r\\t\"", "\"\\\"\\\\/\\n\\r\\t\"" },
		{ "\x01\b\x1f\x7f", "\"\\u0001\\u0008\\u001f\x7f\"",
			"\"\\u0001\\u0008\\u001f\x7f\"" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
			"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
			"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "a\xe2\x80\xa8\xe2\x80\xa9z", "\"a\\u2028\\u2029z\"", "\"a\\u2028\\u2029z\"" },
		{ "\xff", "\"\\ufffd\"", "\"\\ufffd\"" },
		{ "\xc3", "\"\\ufffd\"", "\"\\ufffd\"" },
		{ "\xc0\xaf", "\"\\ufffd\\ufffd\"", "\"\\ufffd\\ufffd\"" }, /* overlong */
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"",
			"\"\\ufffd\\ufffd\\ufffd\"" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"",
			"\"\\ufffd\\ufffd\\ufffd\\ufffd\"" }, /* beyond U+10FFFF */
		{ "\xe2\x82z", "\"\\ufffd\\ufffdz\"", "\"\\ufffd\\ufffdz\"" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR text = STR_INIT(1000);
		struct json_writer w;

		json_writer_init(&w, &text);
		json_write_string(&w, cases[i].text);
		assert_int_equal(json_writer_finish(&w, NULL), 0);
		assert_string_equal(text.data, cases[i].want);
		str_clear(&text);
		json_writer_init(&w, &text);
		w.keep_html = true;
		json_write_string(&w, cases[i].text);
		assert_int_equal(json_writer_finish(&w, NULL), 0);
		assert_string_equal(text.data, cases[i].want_html_kept);
	}
}

static void raw_spans_survive_byte_for_byte(void **state)
{
	static const char in[] = "{\"a\":1,\"un\\u006bnown\" : [ 1.50, \"\\u003c\" ],\"z\":2}";
	AUTO_STR text = STR_INIT(1000);
	struct json_span value;
	struct json_span key;
	struct json_writer w;
	struct json_scan s;

	json_scan_init(&s, in, sizeof(in) - 1);
	json_writer_init(&w, &text);
	json_write_object_begin(&w);
	assert_int_equal(json_scan_object_begin(&s, NULL), 0);
	while (json_scan_object_next(&s, &key, NULL) > 0) {
		assert_int_equal(json_scan_skip(&s, &value, NULL), 0);
		json_write_raw_key(&w, key);
		json_write_raw(&w, value);
	}
	json_write_object_end(&w);
	assert_int_equal(json_writer_finish(&w, NULL), 0);
	assert_string_equal(text.data, "{\"a\":1,\"un\\u006bnown\":[ 1.50, \"\\u003c\" ],\"z\":2}");
}

static void a_document_is_indented_as_go_indents_it(void **state)
{
	static const char in[] = "{\"b\":[1,{\"c\":null}],\"a\":{},\"e\":[ ],\"n\":1.0}";
	AUTO_STR text = STR_INIT(1000);
	struct imbrex_error err = { 0 };
	struct json_writer w;

	json_writer_init(&w, &text);
	w.indent = 4;
	assert_int_equal(json_write_again(&w, (struct json_span){ in, sizeof(in) - 1 }, &err), 0);
	assert_int_equal(json_writer_finish(&w, &err), 0);
	assert_string_equal(text.data, "{\n"
				       "    \"b\": [\n"
				       "        1,\n"
				       "        {\n"
				       "            \"c\": null\n"
				       "        }\n"
				       "    ],\n"
				       "    \"a\": {},\n"
				       "    \"e\": [],\n"
				       "    \"n\": 1.0\n"
				       "}");
	str_clear(&text);
	json_writer_init(&w, &text);
	assert_int_equal(
		json_write_again(&w, (struct json_span){ "[1, 2", 5 }, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "byte 5: expected ',' or ']', found the end of the text");
}

static void a_text_at_its_maximum_is_reported_once_at_the_end(void **state)
{
	AUTO_STR text = STR_INIT(8);
	struct imbrex_error err = { 0 };
	struct json_writer w;

	json_writer_init(&w, &text);
	json_write_object_begin(&w);
	json_write_member_string(&w, "long", "longer");
	json_write_object_end(&w);
	assert_int_equal(json_writer_finish(&w, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "JSON text of more than 8 bytes");
}

static void times_are_written_in_utc_without_trailing_zeros(void **state)
{
	static const struct {
		struct timespec when;
		const char *want;
	} cases[] = {
		{ { 0, 0 }, "1970-01-01T00:00:00Z" },
		{ { 1795200551, 503296270 }, "2026-11-20T18:49:11.50329627Z" },
		{ { 1795200551, 500000000 }, "2026-11-20T18:49:11.5Z" },
		{ { 1795200551, 1 }, "2026-11-20T18:49:11.000000001Z" },
		{ { -62135596800, 0 }, "0001-01-01T00:00:00Z" },
		{ { INT64_MAX, 0 }, "0001-01-01T00:00:00Z" },
	};
	char text[JSON_TIME_MAX];
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(json_time_format(&cases[i].when, text), cases[i].want);
}

static void times_are_read_with_any_offset(void **state)
{
	static const struct {
		const char *text;
		int want;
		int64_t sec;
		long nsec;
	} cases[] = {
		{ "2026-11-20T18:49:11.50329627Z", 0, 1795200551, 503296270 },
		{ "2026-11-20T20:49:11+02:00", 0, 1795200551, 0 },
		{ "2026-11-20T13:19:11.1234567899-05:30", 0, 1795200551, 123456789 },
		{ "0001-01-01T00:00:00Z", 0, -62135596800, 0 },
		{ "2024-02-29T00:00:00z", 0, 1709164800, 0 },
		{ "2023-02-29T00:00:00Z", -EINVAL },
		{ "2026-13-01T00:00:00Z", -EINVAL },
		{ "2026-11-20T24:00:00Z", -EINVAL },
		{ "2026-11-20 18:49:11Z", -EINVAL },
		{ "2026-11-20T18:49:11", -EINVAL },
		{ "2026-11-20T18:49:11.Z", -EINVAL },
		{ "2026-11-20T18:49:11+0200", -EINVAL },
		{ "2026-11-20T18:49:11+24:00", -EINVAL },
		{ "2026-11-20T18:49:11Zx", -EINVAL },
		{ "", -EINVAL },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct timespec when = { 0 };

		assert_int_equal(json_time_parse(cases[i].text, strlen(cases[i].text), &when),
			cases[i].want);
		assert_int_equal(when.tv_sec, cases[i].sec);
		assert_int_equal(when.tv_nsec, cases[i].nsec);
	}
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(a_record_looks_as_go_writes_it),
		cmocka_unit_test(strings_are_escaped_as_go_escapes_them),
		cmocka_unit_test(raw_spans_survive_byte_for_byte),
		cmocka_unit_test(a_document_is_indented_as_go_indents_it),
		cmocka_unit_test(a_text_at_its_maximum_is_reported_once_at_the_end),
		cmocka_unit_test(times_are_written_in_utc_without_trailing_zeros),
		cmocka_unit_test(times_are_read_with_any_offset),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
