/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of WWW-Authenticate, and every way to break it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "registry/challenge.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

/* "scheme[name=value,...][token]" for each challenge, to compare with one string. */
static void describe(const struct challenges *c, struct str *to)
{
	size_t i, j;

	for (i = 0; i < c->n; i++) {
		const struct challenge *item = &c->items[i];

		assert_int_equal(str_printf(to, "%s%s", i ? " " : "", item->scheme), 0);
		for (j = 0; j < item->n_params; j++)
			assert_int_equal(str_printf(to, "[%s=%s]", item->params[j].name,
						 item->params[j].value),
				0);
		if (item->token)
			assert_int_equal(str_printf(to, "(%s)", item->token), 0);
	}
}

static void challenges_are_read(void **state)
{
	static const struct {
		const char *input;
		const char *want;
	} rows[] = {
		{ "", "" },
		{ " , ,, ", "" },
		{ "Basic", "basic" },
		{ "Basic realm=\"a b\"", "basic[realm=a b]" },
		{ "basic REALM=x", "basic[realm=x]" },
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\"",
			"bearer[realm=https://a/t][service=s][scope=repository:a/b:pull,push]" },
		{ "Bearer realm = \"x\" , scope\t=y", "bearer[realm=x][scope=y]" },
		{ "Basic realm=\"x\", Bearer realm=\"y\"", "basic[realm=x] bearer[realm=y]" },
		{ "Negotiate, Basic realm=x", "negotiate basic[realm=x]" },
		{ "Negotiate YWJj==, Basic realm=x", "negotiate(YWJj==) basic[realm=x]" },
		{ "NTLM a=", "ntlm(a=)" },
		{ "Bearer a=\"q\\\"u\\\\o\"", "bearer[a=q\"u\\o]" },
		{ "Bearer a=\"\"", "bearer[a=]" },
		{ "A,B,C", "a b c" },
		{ ",Bearer a=b,,c=d,", "bearer[a=b][c=d]" },
		{ "X a=\"\xc3\xa9\"", "x[a=\xc3\xa9]" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_CHALLENGES c = { 0 };
		AUTO_STR text = STR_INIT(1000);
		struct imbrex_error err = { 0 };

		if (challenges_parse(&c, rows[i].input, strlen(rows[i].input), &err) < 0)
			fail_msg("%s: %s", rows[i].input, err.message);
		describe(&c, &text);
		assert_string_equal(str_text(&text), rows[i].want);
	}
}

static void malformed_challenges_are_refused_with_their_place(void **state)
{
	static const struct {
		const char *input;
		const char *message;
	} rows[] = {
		{ "Bearer realm=\"x", "WWW-Authenticate at byte 15: a quoted string does not end" },
		{ "Bearer realm=\"x\\",
			"WWW-Authenticate at byte 16: a quoted string does not end" },
		{ "Bearer realm=\"a\nb\"", "WWW-Authenticate at byte 15: a control character" },
		{ "a=b", "WWW-Authenticate at byte 0: a parameter before any scheme" },
		{ "\"x\"", "WWW-Authenticate at byte 0: expected a word" },
		{ "Basic realm=x y", "WWW-Authenticate at byte 14: expected a comma" },
		{ "Basic realm=\"x\"y", "WWW-Authenticate at byte 15: expected a comma" },
		{ "Basic a b c", "WWW-Authenticate at byte 6: expected a comma" },
		{ "Basic (", "WWW-Authenticate at byte 6: expected a comma" },
		{ "Basic realm=x, =y", "WWW-Authenticate at byte 15: expected a word" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_CHALLENGES c = { 0 };
		struct imbrex_error err = { 0 };
		int r = challenges_parse(&c, rows[i].input, strlen(rows[i].input), &err);

		assert_int_equal(r, IMBREX_EFORMAT);
		assert_string_equal(err.message, rows[i].message);
	}
}

static void too_much_of_anything_is_refused(void **state)
{
	AUTO_STR text = STR_INIT(LIMIT_CHALLENGE_BYTES + 100);
	AUTO_CHALLENGES many = { 0 }, params = { 0 }, large = { 0 };
	struct imbrex_error err = { 0 };
	int i;

	for (i = 0; i <= CHALLENGES_MAX; i++)
		assert_int_equal(str_puts(&text, "A,"), 0);
	assert_int_equal(challenges_parse(&many, text.data, text.len, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "WWW-Authenticate: more than 8 challenges");
	str_clear(&text);
	assert_int_equal(str_puts(&text, "A x=y"), 0);
	for (i = 0; i < CHALLENGE_PARAMS_MAX; i++)
		assert_int_equal(str_puts(&text, ",x=y"), 0);
	assert_int_equal(challenges_parse(&params, text.data, text.len, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "WWW-Authenticate: more than 16 parameters");
	str_clear(&text);
	while (text.len <= LIMIT_CHALLENGE_BYTES)
		assert_int_equal(str_putc(&text, 'a'), 0);
	assert_int_equal(challenges_parse(&large, text.data, text.len, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "WWW-Authenticate: more than 16384 bytes");
}

static void the_first_parameter_of_a_name_counts(void **state)
{
	static const char input[] = "Bearer realm=a, REALM=b";
	AUTO_CHALLENGES c = { 0 };
	struct imbrex_error err = { 0 };

	assert_int_equal(challenges_parse(&c, input, strlen(input), &err), 0);
	assert_string_equal(challenge_param(&c.items[0], "realm"), "a");
	assert_null(challenge_param(&c.items[0], "scope"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges_are_read),
		cmocka_unit_test(malformed_challenges_are_refused_with_their_place),
		cmocka_unit_test(too_much_of_anything_is_refused),
		cmocka_unit_test(the_first_parameter_of_a_name_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
