/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of the plumbing face: every corner of their syntax, and the usage made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/storage/flag.h"

#include <cmocka.h>

#define ARGS_MAX 8

struct first {
	bool json, debug, quiet;
	const char *graph;
	struct flag_list opts;
};

struct second {
	const char *id;
	struct flag_list names;
	bool bzip2;
};

static const struct flag first_flags[] = {
	{ { "--json", "-j" }, FLAG_BOOL, offsetof(struct first, json), "Prefer JSON" },
	{ { "--debug", "-D" }, FLAG_BOOL, offsetof(struct first, debug), "Say more" },
	{ { "#-quiet", "--quiet", "-q" }, FLAG_BOOL, offsetof(struct first, quiet), "Say less" },
	{ { "--graph", "-g" }, FLAG_TEXT, offsetof(struct first, graph), "Root" },
	{ { "--storage-opt" }, FLAG_LIST, offsetof(struct first, opts), "Option" },
	{ { NULL } },
};

static const struct flag second_flags[] = {
	{ { "--id", "-i" }, FLAG_TEXT, offsetof(struct second, id), "Id" },
	{ { "--name", "-n" }, FLAG_LIST, offsetof(struct second, names), "Name" },
	{ { "--bzip2", "--bz2", "-b" }, FLAG_BOOL, offsetof(struct second, bzip2), "Compress" },
	{ { NULL } },
};

struct case_ {
	const char *args[ARGS_MAX];
	const char *want; /* see describe() */
};

static void put_list(struct str *s, const struct flag_list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		assert_int_equal(str_printf(s, "%s%s", i ? "," : "", list->items[i]), 0);
	if (list->n)
		assert_null(list->items[list->n]);
}

/* What was set, the operands, what was said: "j g=x | a b | message". */
static char *describe(
	const struct first *a, const struct second *b, const struct flag_parsed *parsed)
{
	struct str s = STR_INIT(4096);
	size_t i;

	assert_int_equal(str_printf(&s, "%s%s%s%s", a->json ? "j " : "", a->debug ? "D " : "",
				 a->quiet ? "q " : "", b->bzip2 ? "b " : ""),
		0);
	if (a->graph)
		assert_int_equal(str_printf(&s, "g=%s ", a->graph), 0);
	if (b->id)
		assert_int_equal(str_printf(&s, "i=%s ", b->id), 0);
	assert_int_equal(str_puts(&s, a->opts.n ? "o=" : ""), 0);
	put_list(&s, &a->opts);
	assert_int_equal(str_puts(&s, b->names.n ? "n=" : ""), 0);
	put_list(&s, &b->names);
	assert_int_equal(str_puts(&s, "|"), 0);
	for (i = 0; i < parsed->n_operands && !parsed->failed; i++)
		assert_int_equal(str_printf(&s, "[%s]", parsed->operands[i]), 0);
	assert_int_equal(str_puts(&s, "|"), 0);
	if (parsed->help)
		assert_int_equal(str_puts(&s, "help;"), 0);
	for (i = 0; i < parsed->warnings.n; i++)
		assert_int_equal(str_printf(&s, "%s;", parsed->warnings.items[i]), 0);
	for (i = 0; i < parsed->messages.n; i++)
		assert_int_equal(str_printf(&s, "%s;", parsed->messages.items[i]), 0);
	return str_take(&s);
}

static void check_case(const struct case_ *c)
{
	struct first a = { .json = false };
	struct second b = { .id = NULL };
	struct flag_set set = { .tables = { { first_flags, &a }, { second_flags, &b } } };
	struct flag_parsed parsed = { .n_operands = 0 };
	char *argv[ARGS_MAX + 1] = { NULL };
	char *copies[ARGS_MAX];
	char *got;
	size_t n = 0, i;

	for (; n < ARGS_MAX && c->args[n]; n++)
		argv[n] = copies[n] = strdup(c->args[n]);
	assert_int_equal(flag_set_init(&set), 0);
	assert_int_equal(flag_parse(&set, argv, &parsed), 0);
	got = describe(&a, &b, &parsed);
	assert_string_equal(got, c->want);
	free(got);
	flag_values_done(&set.tables[0]);
	flag_values_done(&set.tables[1]);
	flag_parsed_done(&parsed);
	flag_set_done(&set);
	for (i = 0; i < n; i++)
		free(copies[i]);
}

#define CHECK(cases)                                      \
	do {                                              \
		size_t i_;                                \
		for (i_ = 0; i_ < ARRAY_LEN(cases); i_++) \
			check_case(&(cases)[i_]);         \
	} while (0)

static void values_follow_in_the_word_or_as_the_next_one(void **state)
{
	static const struct case_ cases[] = {
		{ { NULL }, "||" },
		{ { "-j", "--debug" }, "j D ||" },
		{ { "-g", "/x", "a", "b" }, "g=/x |[a][b]|" },
		{ { "--graph", "/x" }, "g=/x ||" },
		{ { "-g=/x" }, "g=/x ||" },
		{ { "--graph=/x" }, "g=/x ||" },
		{ { "-g=" }, "g= ||" },
		{ { "-g=a=b" }, "g=a=b ||" },
		{ { "-g", "-j" }, "g=-j ||" },
		{ { "-g", "--" }, "g=-- ||" },
		{ { "-g=1", "--graph=2" }, "g=2 ||" },
		{ { "--storage-opt", "a=1", "--storage-opt=b=2" }, "o=a=1,b=2||" },
		{ { "-n", "a", "--name=b", "-n=c" }, "n=a,b,c||" },
		{ { "--bz2" }, "b ||" },
	};

	(void)state;
	CHECK(cases);
}

static void one_pair_of_quotes_behind_an_equals_sign_is_cut(void **state)
{
	static const struct case_ cases[] = {
		{ { "-g=\"a b\"" }, "g=a b ||" },
		{ { "-g='a b'" }, "g=a b ||" },
		{ { "-g='\"a\"'" }, "g=\"a\" ||" },
		{ { "-g='a" }, "g='a ||" },
		{ { "-g='a\"" }, "g='a\" ||" },
		{ { "-g='" }, "g=' ||" },
		{ { "-g=''" }, "g= ||" },
		{ { "-g", "'a'" }, "g='a' ||" },
		{ { "-j='true'" }, "j ||" },
	};

	(void)state;
	CHECK(cases);
}

static void a_bool_takes_its_value_only_behind_an_equals_sign(void **state)
{
	static const struct case_ cases[] = {
		{ { "-j", "false" }, "j |[false]|" },
		{ { "-j=false" }, "||" },
		{ { "-j", "-j=F" }, "||" },
		{ { "--json=1", "--debug=T", "-q=True" }, "j D q ||" },
		{ { "-j=0", "-D=FALSE", "-q=f" }, "||" },
		{ { "-j", "-j=yes" }, "||invalid boolean value \"yes\" for  -j: strconv.ParseBool: "
				      "parsing \"yes\": "
				      "invalid syntax;" },
		{ { "--json=", "-D" }, "||invalid boolean value \"\" for  --json: "
				       "strconv.ParseBool: parsing \"\": "
				       "invalid syntax;" },
		{ { "-j=a\n\x01\xc3\xa9\xff" },
			"||invalid boolean value \"a\\n\\x01\xc3\xa9\\xff\" for  -j: "
			"strconv.ParseBool: parsing \"a\\n\\x01\xc3\xa9\\xff\": invalid syntax;" },
	};

	(void)state;
	CHECK(cases);
}

static void flags_end_at_the_first_operand(void **state)
{
	static const struct case_ cases[] = {
		{ { "a", "-j" }, "|[a][-j]|" },
		{ { "-j", "a", "--nosuch" }, "j |[a][--nosuch]|" },
		{ { "-", "-j" }, "|[-][-j]|" },
		{ { "", "-j" }, "|[][-j]|" },
		{ { "--", "-j" }, "|[-j]|" },
		{ { "-j", "--", "--", "x" }, "j |[--][x]|" },
		{ { "--" }, "||" },
	};

	(void)state;
	CHECK(cases);
}

static void an_undefined_word_is_tried_letter_by_letter(void **state)
{
	static const struct case_ cases[] = {
		{ { "-jq" }, "j q ||" },
		{ { "-jqD", "a" }, "j D q |[a]|" },
		{ { "-jg", "/x", "a" }, "j g=/x |[a]|" },
		{ { "-gi", "1", "2" }, "g=1 i=2 ||" },
		{ { "-nn", "1", "2" }, "n=1,2||" },
		{ { "-jx" }, "j ||flag provided but not defined: -jx;" },
		{ { "-xj" }, "||flag provided but not defined: -xj;" },
		{ { "-jg" }, "j ||flag needs an argument: -g;flag provided but not defined: -jg;" },
		/* What follows '=' is lost. */
		{ { "-jq=false" }, "j q ||" },
		{ { "-jg=/x", "y" }, "j g=y ||" },
		/* A dash among the letters is nothing. */
		{ { "-j-q" }, "j q ||" },
		{ { "-json" }, "j ||flag provided but not defined: -json;" },
		{ { "-jh" }, "j ||help;flag provided but not defined: -jh;" },
		{ { "-\xc3\xa9" }, "||flag provided but not defined: -\xc3\xa9;" },
		{ { "-j\xc3\xa9" }, "j ||flag provided but not defined: -j\xc3\xa9;" },
		{ { "-\xff" }, "||flag provided but not defined: -\xff;" },
	};

	(void)state;
	CHECK(cases);
}

static void what_is_wrong_is_said_as_it_always_was(void **state)
{
	static const struct case_ cases[] = {
		{ { "--nosuch", "a" }, "||flag provided but not defined: --nosuch;" },
		{ { "--nosuch=x" }, "||flag provided but not defined: --nosuch;" },
		{ { "--j" }, "||flag provided but not defined: --j;" },
		{ { "--jsn" }, "||flag provided but not defined: --jsn;" },
		{ { "---json" }, "||flag provided but not defined: ---json;" },
		{ { "-x" }, "||flag provided but not defined: -x;" },
		{ { "-g" }, "||flag needs an argument: -g;" },
		{ { "-j", "--name" }, "j ||flag needs an argument: --name;" },
		{ { "-=x" }, "||bad flag syntax: -=x;" },
		{ { "--=x" }, "||flag provided but not defined: --;" },
		{ { "-h" }, "||help;" },
		{ { "-help" }, "||help;" },
		{ { "--help" }, "||help;" },
		{ { "-j", "--help=1", "a" }, "j ||help;" },
		{ { "-quiet" },
			"q ||Warning: '-quiet' is deprecated, it will be replaced by '--quiet' "
			"soon. See usage.;" },
	};

	(void)state;
	CHECK(cases);
}

static char *usage_of(const struct flag_set *set)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(flag_print_usage(f, set), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void usage_is_sorted_and_shows_what_was_set_before(void **state)
{
	const char *options[] = { "x=1", "y=2", NULL };
	struct first a = {
		.debug = true, .graph = "/home/somebody/store", .opts = { .items = options, .n = 2 }
	};
	struct second b = { .id = "0" };
	struct flag_set set = { .tables = { { first_flags, &a }, { second_flags, &b } } };
	char *usage;

	(void)state;
	assert_int_equal(setenv("HOME", "/home/somebody", 1), 0);
	assert_int_equal(flag_set_init(&set), 0);
	a.graph = "/changed/since";
	usage = usage_of(&set);
	assert_string_equal(usage, "\n"
				   "  --bzip2, --bz2, -b         Compress\n"
				   "  --debug, -D=true           Say more\n"
				   "  --graph, -g=~/store        Root\n"
				   "  --id, -i                   Id\n"
				   "  --json, -j                 Prefer JSON\n"
				   "  --name, -n=[]              Name\n"
				   "  --quiet, -q                Say less\n"
				   "  --storage-opt=[x=1 y=2]    Option\n");
	free(usage);
	flag_set_done(&set);
}

static void a_short_usage_has_the_column_of_a_longer_one(void **state)
{
	struct second b = { .id = NULL };
	struct flag_set set = { .tables = { { second_flags, &b } } };
	char *usage;

	(void)state;
	assert_int_equal(flag_set_init(&set), 0);
	usage = usage_of(&set);
	assert_string_equal(usage, "\n"
				   "  --bzip2, --bz2, -b    Compress\n"
				   "  --id, -i              Id\n"
				   "  --name, -n=[]         Name\n");
	free(usage);
	flag_set_done(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_follow_in_the_word_or_as_the_next_one),
		cmocka_unit_test(one_pair_of_quotes_behind_an_equals_sign_is_cut),
		cmocka_unit_test(a_bool_takes_its_value_only_behind_an_equals_sign),
		cmocka_unit_test(flags_end_at_the_first_operand),
		cmocka_unit_test(an_undefined_word_is_tried_letter_by_letter),
		cmocka_unit_test(what_is_wrong_is_said_as_it_always_was),
		cmocka_unit_test(usage_is_sorted_and_shows_what_was_set_before),
		cmocka_unit_test(a_short_usage_has_the_column_of_a_longer_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
