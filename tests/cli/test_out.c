/* SPDX-License-Identifier: Apache-2.0 */
/* Words, tables, JSON and options of the command line, with the time and the width given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/opt.h"
#include "cli/out.h"

/* 2024-03-01T12:00:00Z */
#define NOW 1709294400

static void times_are_told_as_people_tell_them(void **state)
{
	static const struct {
		const char *time, *want;
	} cases[] = {
		{ "2024-03-01T12:00:00Z", "just now" },
		{ "2024-03-01T12:00:09Z", "just now" }, /* a clock that is ahead */
		{ "2024-03-01T11:59:59Z", "1 second ago" },
		{ "2024-03-01T11:59:01.999999999Z", "59 seconds ago" },
		{ "2024-03-01T11:58:59Z", "1 minute ago" },
		{ "2024-03-01T13:30:00+02:30", "1 hour ago" },
		{ "2024-03-01T05:30:00-05:30", "1 hour ago" },
		{ "2024-02-29T11:00:00Z", "1 day ago" },
		{ "2024-02-09T12:00:00Z", "3 weeks ago" },
		{ "2023-12-01T12:00:00Z", "3 months ago" },
		{ "2020-03-01 12:00:00Z", "4 years ago" },
		{ "0001-01-01T00:00:00Z", "-" }, /* Go's zero time */
		{ "2024-03-01", "-" },
		{ "yesterday", "-" },
		{ "", "-" },
	};
	char buf[OUT_WORD_BYTES];
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(out_ago(cases[i].time, NOW, buf), cases[i].want);
}

static void sizes_have_at_most_three_digits(void **state)
{
	static const struct {
		int64_t bytes;
		const char *want;
	} cases[] = {
		{ -1, "-" },
		{ 0, "0 B" },
		{ 999, "999 B" },
		{ 1000, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 102300, "99.9 KiB" },
		{ 104857600, "100 MiB" },
		{ 1073741823, "1.0 GiB" },
		{ INT64_MAX, "8.0 EiB" },
	};
	char buf[OUT_WORD_BYTES];
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(out_size(cases[i].bytes, buf), cases[i].want);
}

static void nothing_from_a_store_moves_the_cursor(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "plain \xC3\xA4", "plain \xC3\xA4" },
		{ "a\x1b[2Jb\n", "a?[2Jb?" },
		{ "\xC2\x9B"
		  "31m",
			"?31m" },               /* CSI as one C1 code point */
		{ "\xC3(", "?(" },              /* broken sequence */
		{ "\xC0\xAF", "??" },           /* overlong */
		{ "\xED\xA0\x80", "???" },      /* surrogate */
		{ "\xF4\x90\x80\x80", "????" }, /* beyond U+10FFFF */
		{ "cut \xE2\x82", "cut ??" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR s = STR_INIT(100);

		assert_int_equal(out_clean(&s, cases[i].text), 0);
		assert_string_equal(str_text(&s), cases[i].want);
	}
}

static void tables_shrink_the_widest_column_that_may(void **state)
{
	static const struct column columns[] = {
		{ "NAME", .shrink = true },
		{ "SIZE", .right = true },
		{ "NOTE" },
	};
	static const char *const first[] = { "a-name-of-twenty-four-ch", "1 B", "" };
	static const char *const second[] = { "b", "22 MiB", "x" };
	AUTO_TABLE t = { .columns = columns, .n_columns = ARRAY_LEN(columns) };
	AUTO_FREE char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(unsetenv("LC_ALL") | unsetenv("LC_CTYPE") | unsetenv("LANG"), 0);
	assert_int_equal(table_row(&t, first), 0);
	assert_int_equal(table_row(&t, second), 0);
	assert_int_equal(table_print(f, &t, 30), 0);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "NAME                SIZE  NOTE\n"
				  "a-name-of-twent~     1 B\n"
				  "b                 22 MiB  x\n");
}

/* Any byte, anywhere in a text: what is around it stays as it is, and it is escaped or not by
 * itself alone. */
static void json_escapes_by_the_byte(void **state)
{
	char in[20], one[8], expected[64];
	unsigned int byte, at;

	(void)state;
	for (byte = 1; byte < 0x80; byte++) {
		if (byte == '"' || byte == '\\')
			(void)snprintf(one, sizeof(one), "\\%c", (char)byte);
		else if (byte < ' ' || byte == 0x7f)
			(void)snprintf(one, sizeof(one), "\\u%04x", byte);
		else
			(void)snprintf(one, sizeof(one), "%c", (char)byte);
		for (at = 0; at < 18; at++) {
			char *text = NULL;
			size_t len = 0;
			FILE *f = open_memstream(&text, &len);

			assert_non_null(f);
			memcpy(in, "abcdefghijklmnopqr", 19);
			in[at] = (char)byte;
			(void)snprintf(expected, sizeof(expected), "\"%.*s%s%s\"", (int)at, in, one,
				in + at + 1);
			json_string(f, in);
			assert_int_equal(fclose(f), 0);
			assert_string_equal(text, expected);
			free(text);
		}
	}
}

static void json_passes_text_larger_than_its_buffer(void **state)
{
	char *text = NULL, *large = calloc(1, 3 * OUT_JSON_BYTES + 1);
	size_t len = 0;
	struct json_out j = { .f = open_memstream(&text, &len) };

	(void)state;
	assert_non_null(j.f);
	assert_non_null(large);
	memset(large, 'x', 3 * OUT_JSON_BYTES);
	json_begin(&j, NULL, '[');
	json_number(&j, NULL, INT64_MIN);
	json_number(&j, NULL, INT64_MAX);
	json_number(&j, NULL, 0);
	json_text(&j, NULL, large);
	json_end(&j, ']');
	assert_int_equal(fclose(j.f), 0);
	assert_int_equal(len, strlen("[\n  -9223372036854775808,\n  9223372036854775807,\n  0,\n"
				     "  \"\"\n]\n") +
				      3 * OUT_JSON_BYTES);
	assert_memory_equal(text, "[\n  -9223372036854775808,\n  9223372036854775807,\n  0,\n  \"x",
		strlen("[\n  -9223372036854775808,\n  9223372036854775807,\n  0,\n  \"x"));
	free(large);
	free(text);
}

static void json_is_valid_whatever_the_text(void **state)
{
	AUTO_FREE char *text = NULL;
	char *const words[] = { (char[]){ "a" }, (char[]){ "b\"" }, NULL };
	size_t len;
	struct json_out j = { .f = open_memstream(&text, &len) };

	assert_non_null(j.f);
	json_begin(&j, NULL, '[');
	json_begin(&j, NULL, '{');
	json_text(&j, "k", "\\ \n \xFF \xC2\x85 \xC3\xA4");
	json_texts(&j, "words", words);
	json_number(&j, "n", -1);
	json_bool(&j, "b", true);
	json_raw(&j, "raw", "{\"a\":[], \"b\" : [1,{\"c,[\\\"\":null}]}");
	json_end(&j, '}');
	json_end(&j, ']');
	assert_int_equal(fclose(j.f), 0);
	assert_string_equal(text, "[\n"
				  "  {\n"
				  "    \"k\": \"\\\\ \\u000a \\ufffd \\u0085 \xC3\xA4\",\n"
				  "    \"words\": [\"a\", \"b\\\"\"],\n"
				  "    \"n\": -1,\n"
				  "    \"b\": true,\n"
				  "    \"raw\": {\n"
				  "      \"a\": [],\n"
				  "      \"b\": [\n"
				  "        1,\n"
				  "        {\n"
				  "          \"c,[\\\"\": null\n"
				  "        }\n"
				  "      ]\n"
				  "    }\n"
				  "  }\n"
				  "]\n");
}

/* ---- options ----------------------------------------------------------------------------- */

struct values {
	bool flag, other;
	int yes, choice;
	const char *text;
	struct opt_list list;
	unsigned int number;
};

static const char *const choices[] = { "red", "green", NULL };
static const struct opt opts[] = {
	{ "flag", 'f', OPT_FLAG, offsetof(struct values, flag), NULL, "" },
	{ "no-flag", 0, OPT_NO_FLAG, offsetof(struct values, flag), NULL, "" },
	{ "other", 'o', OPT_FLAG, offsetof(struct values, other), NULL, "" },
	{ "switch", 0, OPT_SWITCH, offsetof(struct values, yes), "BOOL", "" },
	{ "text", 't', OPT_TEXT, offsetof(struct values, text), "TEXT", "" },
	{ "list", 'l', OPT_LIST, offsetof(struct values, list), "ITEM", "" },
	{ "number", 'n', OPT_NUMBER, offsetof(struct values, number), "N", "" },
	{ "choice", 0, OPT_CHOICE, offsetof(struct values, choice), "WHICH", "", choices },
	{ NULL },
};

/* Literals are const, the arguments of a program are not. */
static size_t parse(struct values *v, size_t operands_first, const char **argv)
{
	const struct opt_parser p = {
		.sets = { { opts, v } },
		.n_sets = 1,
		.operands_first = operands_first,
	};
	struct imbrex_error err = { .status = 0 };
	char *args[32];
	size_t n = 0;
	int argc = 0;

	while (argv[argc])
		argc++;
	memcpy(args, argv, (size_t)argc * sizeof(*args));
	assert_int_equal(opt_parse(&p, argc, args, &n, &err), 0);
	memcpy(argv, args, n * sizeof(*args));
	return n;
}

static void options_stand_anywhere_and_in_every_form(void **state)
{
	const char *argv[] = { "one", "-fo", "--text=a=b", "two", "-l1", "-l", "2", "--list", "3",
		"--switch=false", "-fn7", "--choice=green", "--no-flag", "--", "--text", NULL };
	struct values v = { .flag = false };
	const struct opt_set set = { opts, &v };

	assert_int_equal(parse(&v, 0, argv), 3);
	assert_string_equal(argv[0], "one");
	assert_string_equal(argv[1], "two");
	assert_string_equal(argv[2], "--text");
	assert_false(v.flag);
	assert_true(v.other);
	assert_string_equal(v.text, "a=b");
	assert_int_equal(v.yes, -1);
	assert_int_equal(v.number, 7);
	assert_int_equal(v.choice, 1);
	assert_int_equal(v.list.n, 3);
	assert_string_equal(v.list.items[2], "3");
	assert_null(v.list.items[3]);
	opt_done(&set);
}

static void nothing_behind_the_program_is_ours(void **state)
{
	const char *argv[] = { "-f", "image", "-o", "--", "--nonsense", NULL };
	struct values v = { .flag = false };

	assert_int_equal(parse(&v, 1, argv), 4);
	assert_true(v.flag);
	assert_false(v.other);
	assert_string_equal(argv[0], "image");
	assert_string_equal(argv[1], "-o");
	assert_string_equal(argv[3], "--nonsense");
}

static const char *word_at(const void *ctx, size_t i)
{
	return ((const char *const *)ctx)[i];
}

static void only_near_words_are_suggested(void **state)
{
	static const char *const words[] = { "images", "inspect", "info", "rm", "rmi", "run",
		"push", NULL };
	static const struct {
		const char *word, *want;
	} cases[] = {
		{ "iamges", "images" },
		{ "image", "images" },
		{ "inspct", "inspect" },
		{ "rum", "rm" },
		{ "pull", NULL },
		{ "isnepct", "inspect" },
		{ "unr", NULL },
		{ "frobnicate", NULL },
		{ "x", NULL },
		{ "an-absurdly-long-word-that-no-one-would-type", NULL },
	};
	const char *got;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		got = opt_nearest(cases[i].word, word_at, words);
		if (cases[i].want) {
			assert_non_null(got);
			assert_string_equal(got, cases[i].want);
		} else {
			assert_null(got);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_told_as_people_tell_them),
		cmocka_unit_test(sizes_have_at_most_three_digits),
		cmocka_unit_test(nothing_from_a_store_moves_the_cursor),
		cmocka_unit_test(tables_shrink_the_widest_column_that_may),
		cmocka_unit_test(json_is_valid_whatever_the_text),
		cmocka_unit_test(json_escapes_by_the_byte),
		cmocka_unit_test(json_passes_text_larger_than_its_buffer),
		cmocka_unit_test(options_stand_anywhere_and_in_every_form),
		cmocka_unit_test(nothing_behind_the_program_is_ours),
		cmocka_unit_test(only_near_words_are_suggested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
