/* SPDX-License-Identifier: Apache-2.0 */
/* The pull reader: grammar, positions in messages, and how values are handed out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "json/scan.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static int scan_all(const char *text, size_t len, struct imbrex_error *err)
{
	struct json_scan s;

	json_scan_init(&s, text, len);
	return json_scan_finish(&s, err);
}

static void values_of_the_grammar_are_accepted(void **state)
{
	static const char *const good[] = { "{}", "[]", " [ ] ", "null", "true", "false", "0", "-0",
		"1.5e+10", "1E5", "-12.25", "\"\"", "\"a\\u00e9\\n\"", "[1,2,[3,[4]],{\"a\":{}}]",
		"{\"a\":1,\"b\":[true,null],\"a\":2}", "\"\\ud83d\\ude00\"", "\"\x80\"", "\t\r\n1 ",
		"[[],[],{}]", "\"01234567\"", "\"0123456\\\\\"" };
	struct imbrex_error err = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++) {
		int r = scan_all(good[i], strlen(good[i]), &err);

		if (r < 0)
			fail_msg("%s: %s", good[i], err.message);
	}
}

static void what_breaks_the_grammar_is_refused_with_its_offset(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} bad[] = {
		{ "", "byte 0: expected a value, found the end of the text" },
		{ "  ", "byte 2: expected a value, found the end of the text" },
		{ "{", "byte 1: expected a key, found the end of the text" },
		{ "[", "byte 1: expected a value, found the end of the text" },
		{ "[1,]", "byte 3: expected a value, found ']'" },
		{ "[,1]", "byte 1: expected a value, found ','" },
		{ "[1 2]", "byte 3: expected ',' or ']', found '2'" },
		{ "{\"a\":1,}", "byte 7: expected a key, found '}'" },
		{ "{\"a\" 1}", "byte 5: expected ':', found '1'" },
		{ "{a:1}", "byte 1: expected a key, found 'a'" },
		{ "{\"a\":}", "byte 5: expected a value, found '}'" },
		{ "[1}", "byte 2: expected ',' or ']', found '}'" },
		{ "{\"a\":1]", "byte 6: expected ',' or '}', found ']'" },
		{ "1 1", "byte 2: expected the end of the text, found '1'" },
		{ "{}x", "byte 2: expected the end of the text, found 'x'" },
		{ "01", "byte 0: a number has a leading zero" },
		{ "-", "byte 1: expected a digit, found the end of the text" },
		{ "+1", "byte 0: expected a value, found '+'" },
		{ "1.", "byte 2: expected a digit, found the end of the text" },
		{ ".5", "byte 0: expected a value, found '.'" },
		{ "1e", "byte 2: expected a digit, found the end of the text" },
		{ "1e+x", "byte 3: expected a digit, found 'x'" },
		{ "nul", "byte 0: expected a value, found 'n'" },
		{ "True", "byte 0: expected a value, found 'T'" },
		{ "NaN", "byte 0: expected a value, found 'N'" },
		{ "'a'", "byte 0: expected a value, found '''" },
		{ "\"a", "byte 2: the text ends inside a string" },
		{ "\"a\\", "byte 3: the text ends inside a string" },
		{ "\"\\x\"", "byte 1: malformed escape in a string" },
		{ "\"\\u12g4\"", "byte 1: malformed escape in a string" },
		{ "\"\\u12", "byte 1: malformed escape in a string" },
		{ "\"a\nb\"", "byte 2: control byte 0x0a in a string" },
		{ "\"0123456789\tb\"", "byte 11: control byte 0x09 in a string" },
		{ "\xef\xbb\xbf{}", "byte 0: expected a value, found a byte order mark" },
		{ "\xff\xfe", "byte 0: expected a value, found byte 0xff" },
		{ "/* c */1", "byte 0: expected a value, found '/'" },
	};
	struct imbrex_error err = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(scan_all(bad[i].text, strlen(bad[i].text), &err), IMBREX_EFORMAT);
		assert_string_equal(err.message, bad[i].message);
	}
	assert_int_equal(scan_all("{\0}", 3, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "byte 1: expected a key, found byte 0x00");
}

static void nesting_stops_at_the_limit(void **state)
{
	struct imbrex_error err = { 0 };
	char text[2 * LIMIT_JSON_DEPTH + 2];
	struct json_scan s;
	int r = 0;
	int i;

	memset(text, '[', LIMIT_JSON_DEPTH + 1);
	memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
	assert_int_equal(scan_all(text + 1, 2 * LIMIT_JSON_DEPTH, &err), 0);
	assert_int_equal(scan_all(text, sizeof(text), &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "byte 64: nested more than 64 levels deep");

	/* The same by hand, and by hand half way. */
	json_scan_init(&s, text, sizeof(text));
	for (i = 0; i < LIMIT_JSON_DEPTH / 2; i++) {
		assert_int_equal(json_scan_array_begin(&s, &err), 0);
		assert_int_equal(json_scan_array_next(&s, &err), 1);
	}
	assert_int_equal(json_scan_skip(&s, NULL, &err), IMBREX_ELIMIT);
	json_scan_init(&s, text, sizeof(text));
	for (i = 0; r == 0; i++) {
		r = json_scan_array_begin(&s, &err);
		if (r == 0)
			assert_int_equal(json_scan_array_next(&s, &err), 1);
	}
	assert_int_equal(i, LIMIT_JSON_DEPTH + 1);
	assert_string_equal(err.message, "byte 64: nested more than 64 levels deep");
}

static void members_are_pulled_and_unread_ones_skipped(void **state)
{
	static const char text[] = "{ \"id\" : \"x\", \"skip\":[{\"a\":[1]},2], \"n\":-5, \"m\":"
				   "18446744073709551615, \"on\":true, \"none\":null,"
				   "\"list\":[1,2 , 3],\"raw\": {\"k\" : 1 } }";
	struct imbrex_error err = { 0 };
	struct json_span raw = { 0 };
	struct json_span key;
	struct json_scan s;
	AUTO_FREE char *id = NULL;
	uint64_t m = 0;
	int64_t n = 0;
	bool on = false;
	int nulls = 0;
	uint64_t sum = 0;
	int r;

	json_scan_init(&s, text, sizeof(text) - 1);
	assert_int_equal(json_scan_kind(&s, &err), JSON_KIND_OBJECT);
	r = json_scan_object_begin(&s, &err);
	while (r >= 0 && (r = json_scan_object_next(&s, &key, &err)) > 0) {
		if (json_key_is(key, "id")) {
			r = json_scan_text(&s, &id, &err);
		} else if (json_key_is(key, "n")) {
			r = json_scan_int64(&s, &n, &err);
		} else if (json_key_is(key, "m")) {
			r = json_scan_uint64(&s, &m, &err);
		} else if (json_key_is(key, "on")) {
			assert_int_equal(json_scan_null(&s, &err), 0);
			r = json_scan_bool(&s, &on, &err);
		} else if (json_key_is(key, "none")) {
			nulls = json_scan_null(&s, &err);
		} else if (json_key_is(key, "raw")) {
			r = json_scan_skip(&s, &raw, &err);
		} else if (json_key_is(key, "list")) {
			assert_int_equal(json_scan_array_begin(&s, &err), 0);
			while (json_scan_array_next(&s, &err) > 0) {
				uint64_t v;

				assert_int_equal(json_scan_uint64(&s, &v, &err), 0);
				sum = 10 * sum + v;
			}
		}
	}
	assert_int_equal(r, 0);
	assert_int_equal(json_scan_finish(&s, &err), 0);
	assert_string_equal(id, "x");
	assert_int_equal(n, -5);
	assert_true(m == UINT64_MAX);
	assert_true(on);
	assert_int_equal(nulls, 1);
	assert_int_equal(sum, 123);
	assert_int_equal(raw.len, 10);
	assert_memory_equal(raw.at, "{\"k\" : 1 }", 10);
}

static void integers_keep_all_64_bits_and_say_when_they_do_not_fit(void **state)
{
	static const struct {
		const char *text;
		int want_signed;
		int want_unsigned;
		const char *message; /* of the last failure */
	} cases[] = {
		{ "9223372036854775807", 0, 0, "" },
		{ "-9223372036854775808", 0, IMBREX_EFORMAT, "byte 0: the number is negative" },
		{ "9223372036854775808", IMBREX_EFORMAT, 0,
			"byte 0: the number does not fit a signed 64-bit integer" },
		{ "-9223372036854775809", IMBREX_EFORMAT, IMBREX_EFORMAT,
			"byte 0: the number is negative" },
		{ "18446744073709551616", IMBREX_EFORMAT, IMBREX_EFORMAT,
			"byte 0: the number does not fit 64 bits" },
		{ "1.0", IMBREX_EFORMAT, IMBREX_EFORMAT, "byte 0: the number is not an integer" },
		{ " 1e3", IMBREX_EFORMAT, IMBREX_EFORMAT, "byte 1: the number is not an integer" },
		{ "\"1\"", IMBREX_EFORMAT, IMBREX_EFORMAT,
			"byte 0: expected a number, found a string" },
		{ "-0", 0, 0, "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct json_scan s;
		uint64_t u;
		int64_t v;

		json_scan_init(&s, cases[i].text, strlen(cases[i].text));
		assert_int_equal(json_scan_int64(&s, &v, &err), cases[i].want_signed);
		json_scan_init(&s, cases[i].text, strlen(cases[i].text));
		assert_int_equal(json_scan_uint64(&s, &u, &err), cases[i].want_unsigned);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void strings_are_decoded_as_go_decodes_them(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "\"\"", "" },
		{ "\"plain\"", "plain" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00e9\\u20ac\"", "A\xc3\xa9\xe2\x82\xac" },
		{ "\"\\uD83D\\uDE00\"", "\xf0\x9f\x98\x80" },
		{ "\"\\ud83d\"", "\xef\xbf\xbd" },
		{ "\"\\ud83dx\"", "\xef\xbf\xbdx" },
		{ "\"\\ude00\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
					"A" },
		{ "\"\xff\xfe\"", "\xff\xfe" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_STR text = STR_INIT(100);
		AUTO_FREE char *copy = NULL;
		struct json_scan s;

		json_scan_init(&s, cases[i].text, strlen(cases[i].text));
		assert_int_equal(json_scan_string(&s, &text, &err), 0);
		assert_string_equal(str_text(&text), cases[i].want);
		json_scan_init(&s, cases[i].text, strlen(cases[i].text));
		assert_int_equal(json_scan_text(&s, &copy, &err), 0);
		assert_string_equal(copy, cases[i].want);
	}
}

static void a_text_with_nul_is_refused_and_a_string_keeps_it(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_STR text = STR_INIT(100);
	char *copy = NULL;
	struct json_scan s;

	json_scan_init(&s, "\"a\\u0000b\"", 10);
	assert_int_equal(json_scan_text(&s, &copy, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "byte 1: the string holds a NUL character");
	json_scan_init(&s, "\"a\\u0000b\"", 10);
	assert_int_equal(json_scan_string(&s, &text, &err), 0);
	assert_int_equal(text.len, 3);
	assert_memory_equal(text.data, "a\0b", 3);
}

static void a_string_beyond_the_room_given_is_a_limit(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_STR text = STR_INIT(3);
	struct json_scan s;

	json_scan_init(&s, "\"abcd\"", 6);
	assert_int_equal(json_scan_string(&s, &text, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "byte 1: the string is longer than 3 bytes");
}

static struct json_span key_of(const char *document)
{
	struct json_span key = { 0 };
	struct json_scan s;

	json_scan_init(&s, document, strlen(document));
	assert_int_equal(json_scan_object_begin(&s, NULL), 0);
	assert_int_equal(json_scan_object_next(&s, &key, NULL), 1);
	return key;
}

static void keys_compare_decoded_and_in_either_case_where_asked(void **state)
{
	static const struct {
		const char *document;
		const char *name;
		bool is;
		bool is_folded;
	} cases[] = {
		{ "{\"id\":1}", "id", true, true },
		{ "{\"ID\":1}", "id", false, true },
		{ "{\"idx\":1}", "id", false, false },
		{ "{\"i\":1}", "id", false, false },
		{ "{\"\\u0069d\":1}", "id", true, true },
		{ "{\"\\u0049\\u0044\":1}", "id", false, true },
		{ "{\"\\u0069\":1}", "id", false, false },
		{ "{\"id\\u0000\":1}", "id", false, false },
		{ "{\"\":1}", "", true, true },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_span key = key_of(cases[i].document);

		assert_int_equal(json_key_is(key, cases[i].name), cases[i].is);
		assert_int_equal(json_key_is_folded(key, cases[i].name), cases[i].is_folded);
	}
}

static void every_cut_of_a_document_is_refused(void **state)
{
	static const char text[] =
		"[{\"id\":\"a\\u00e9\",\"n\":[1,-2.5e3,true,null],\"o\":{\"x\":{}}}]";
	struct imbrex_error err = { 0 };
	size_t len;

	for (len = 0; len < sizeof(text) - 1; len++) {
		/* A copy of its own, so that reading past the cut is seen. */
		AUTO_FREE char *copy = malloc(len ? len : 1);

		assert_non_null(copy);
		memcpy(copy, text, len);
		assert_int_equal(scan_all(copy, len, &err), IMBREX_EFORMAT);
	}
	assert_int_equal(scan_all(text, sizeof(text) - 1, &err), 0);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(values_of_the_grammar_are_accepted),
		cmocka_unit_test(what_breaks_the_grammar_is_refused_with_its_offset),
		cmocka_unit_test(nesting_stops_at_the_limit),
		cmocka_unit_test(members_are_pulled_and_unread_ones_skipped),
		cmocka_unit_test(integers_keep_all_64_bits_and_say_when_they_do_not_fit),
		cmocka_unit_test(strings_are_decoded_as_go_decodes_them),
		cmocka_unit_test(a_text_with_nul_is_refused_and_a_string_keeps_it),
		cmocka_unit_test(a_string_beyond_the_room_given_is_a_limit),
		cmocka_unit_test(keys_compare_decoded_and_in_either_case_where_asked),
		cmocka_unit_test(every_cut_of_a_document_is_refused),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
