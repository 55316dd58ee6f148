/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a netrc file, and whose password they give to whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "registry/netrc.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static void entries_are_found_by_host_and_port(void **state)
{
	static const struct {
		const char *text;
		const char *registry;
		const char *user; /* NULL: none found */
		const char *password;
	} rows[] = {
		{ "machine a.example login u password p", "a.example", "u", "p" },
		{ "machine a.example login u password p", "a.example:5000", "u", "p" },
		{ "machine a.example:5000 login u password p", "a.example:5000", "u", "p" },
		{ "machine a.example:5000 login u password p", "a.example", NULL, NULL },
		{ "machine A.Example login u password p", "a.example", "u", "p" },
		{ "machine b.example login u password p", "a.example", NULL, NULL },
		{ "machine auth.docker.io login u password p", "docker.io", "u", "p" },
		{ "machine auth.docker.io login u password p", "quay.io", NULL, NULL },
		{ "machine [::1] login u password p", "[::1]", "u", "p" },
		{ "machine a login u password p machine a login v password q", "a", "u", "p" },
		{ "machine a login u\nmachine a login v password q", "a", NULL, NULL },
		{ "machine a login u password #p", "a", "u", "#p" },
		{ "machine a login u password p#q # c", "a", "u", "p#q" },
		{ "machine a login \"u v\" password \"p\\\"\\n\\t\\\\\"", "a", "u v", "p\"\n\t\\" },
		{ "machine a login $HOME password `id`", "a", "$HOME", "`id`" },
		{ "default login u password p", "a", NULL, NULL },
		{ "machine a login u password p\ndefault login v password q", "a", "u", "p" },
		{ "macdef m\nmachine a login u password p\n\n", "a", NULL, NULL },
		{ "macdef m\nput x\n", "a", NULL, NULL },
		{ "\r\nmachine a\r\n\tlogin u\r\n\tpassword p\r\n", "a", "u", "p" },
		{ "", "a", NULL, NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_CREDENTIALS c = { 0 };
		struct imbrex_error err = { 0 };
		int r = netrc_find(rows[i].text, strlen(rows[i].text), rows[i].registry, &c, &err);

		if (r != (rows[i].user != NULL))
			fail_msg("%s: %d %s", rows[i].text, r, err.message);
		if (rows[i].user) {
			assert_string_equal(c.username, rows[i].user);
			assert_string_equal(c.password, rows[i].password);
		}
	}
}

static void malformed_files_name_the_line_and_not_the_word(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{ "machine", "line 1: nothing follows 'machine'" },
		{ "machine a\n\nlogin\n", "line 4: nothing follows 'login'" },
		{ "machine a login \"x", "line 1: a quoted word does not end" },
		{ "machine a login \"x\ny\"", "line 1: a quoted word does not end" },
		{ "macdef m\nx\n\nsecret", "line 4: unknown word" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_CREDENTIALS c = { 0 };
		struct imbrex_error err = { 0 };

		assert_int_equal(netrc_find(rows[i].text, strlen(rows[i].text), "a", &c, &err),
			IMBREX_EFORMAT);
		assert_string_equal(err.message, rows[i].message);
		assert_null(c.password);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_found_by_host_and_port),
		cmocka_unit_test(malformed_files_name_the_line_and_not_the_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
