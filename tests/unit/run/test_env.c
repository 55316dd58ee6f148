/* SPDX-License-Identifier: Apache-2.0 */
/* The program's environment: nothing is lost, nothing is interpreted, defaults fill gaps only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/strv.h"
#include "run/env.h"

static const struct run_env_defaults defaults = { .home = "/home/bob", .hostname = "box" };

static void build(const char *const *env, const struct run_env_defaults *d, struct strv *ret)
{
	struct imbrex_error err = { 0 };

	assert_int_equal(run_env_build(env, d, ret, &err), 0);
}

static void an_empty_environment_gets_the_defaults(void **state)
{
	AUTO_STRV list = { 0 };

	build(NULL, &defaults, &list);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.items[0], "PATH=" RUN_DEFAULT_PATH);
	assert_string_equal(list.items[1], "HOME=/home/bob");
	assert_string_equal(list.items[2], "HOSTNAME=box");
	assert_null(list.items[3]);
}

static void values_that_are_set_win_over_defaults_even_when_empty(void **state)
{
	static const char *const env[] = { "HOME=", "PATH=/x", "TERM=dumb", "HOSTNAME=h", NULL };
	const struct run_env_defaults d = {
		.home = "/home/bob", .hostname = "box", .term = "xterm"
	};
	AUTO_STRV list = { 0 };

	build(env, &d, &list);
	assert_int_equal(list.n, 4);
	assert_string_equal(run_env_get(&list, "HOME"), "");
	assert_string_equal(run_env_get(&list, "TERM"), "dumb");
}

static void a_name_set_twice_keeps_its_place_and_its_last_value(void **state)
{
	static const char *const env[] = { "A=1", "B=2", "A=3", "AA=4", NULL };
	AUTO_STRV list = { 0 };

	build(env, &defaults, &list);
	assert_string_equal(list.items[0], "A=3");
	assert_string_equal(list.items[1], "B=2");
	assert_string_equal(list.items[2], "AA=4");
}

static void newlines_quotes_and_commands_in_values_pass_unchanged(void **state)
{
	static const char *const env[] = { "A=$(touch /x)`id`", "B=a\nPATH=/evil", "C='\"\\",
		"D==x=", "E=${HOME}%s%n", "sp ace=1", "F=\x01\xff", NULL };
	AUTO_STRV list = { 0 };
	size_t i;

	build(env, &defaults, &list);
	for (i = 0; env[i]; i++)
		assert_string_equal(list.items[i], env[i]);
	assert_string_equal(run_env_get(&list, "PATH"), RUN_DEFAULT_PATH);
	assert_string_equal(run_env_get(&list, "D"), "=x=");
}

static void a_user_without_a_home_lives_in_the_root(void **state)
{
	const struct run_env_defaults none = { 0 };
	AUTO_STRV list = { 0 };

	build(NULL, &none, &list);
	assert_string_equal(run_env_get(&list, "HOME"), "/");
	assert_null(run_env_get(&list, "TERM"));
	assert_null(run_env_get(&list, "HOM"));
}

static void twenty_thousand_variables_take_linear_time(void **state)
{
	static char text[20000][16];
	static const char *env[20001];
	AUTO_STRV list = { 0 };
	size_t i;

	for (i = 0; i < 20000; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "V%zu=x", i);
		env[i] = text[i];
	}
	build(env, &defaults, &list);
	assert_int_equal(list.n, 20003);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_environment_gets_the_defaults),
		cmocka_unit_test(values_that_are_set_win_over_defaults_even_when_empty),
		cmocka_unit_test(a_name_set_twice_keeps_its_place_and_its_last_value),
		cmocka_unit_test(newlines_quotes_and_commands_in_values_pass_unchanged),
		cmocka_unit_test(a_user_without_a_home_lives_in_the_root),
		cmocka_unit_test(twenty_thousand_variables_take_linear_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
