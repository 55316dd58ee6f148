/* SPDX-License-Identifier: Apache-2.0 */
/* The tree: what is refused, and messages that name the path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "json/doc.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static void documents_that_mean_two_things_are_refused(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *message;
	} cases[] = {
		{ "{\"a\":1,\"a\":2}", IMBREX_EFORMAT, "key occurs twice in one object" },
		{ "{\"a\":1,\"\\u0061\":2}", IMBREX_EFORMAT, "key occurs twice in one object" },
		{ "[\"\xff\"]", IMBREX_EFORMAT, "not UTF-8" },
		{ "[\"\xed\xa0\x80\"]", IMBREX_EFORMAT, "not UTF-8" },
		{ "[\"\\u0000\"]", IMBREX_EFORMAT, "a string holds a NUL character" },
		{ "{\"\\u0000\":1}", IMBREX_EFORMAT, "a string holds a NUL character" },
		{ "[99999999999999999999]", IMBREX_EFORMAT, "a number is too large" },
		{ "[1e999]", IMBREX_EFORMAT, "a number is too large" },
		{ "{} {}", IMBREX_EFORMAT, "x: byte 3: expected the end of the text, found '{'" },
		{ "\xef\xbb\xbf{}", IMBREX_EFORMAT, "found a byte order mark" },
		{ "[\"\\ud800\"]", IMBREX_EFORMAT, "x: byte" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_JSON_DOC *doc = NULL;

		assert_int_equal(
			json_doc_parse("x", cases[i].text, strlen(cases[i].text), 1000, &doc, &err),
			cases[i].status);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s: '%s'", cases[i].text, err.message);
	}
}

static void a_document_beyond_its_limit_is_not_looked_at(void **state)
{
	struct imbrex_error err = { 0 };
	struct json_doc *doc = NULL;

	assert_int_equal(json_doc_parse("config", "[1,2]", 5, 4, &doc, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "config: 5 bytes are more than the limit of 4");
}

static void wrong_types_are_reported_with_their_path(void **state)
{
	static const char text[] = "{\"config\":{\"Env\":[\"a\",\"b\",\"c\",7]},\"n\":-1,"
				   "\"f\":1.5,\"nil\":null}";
	struct imbrex_error err = { 0 };
	AUTO_JSON_DOC *doc = NULL;
	AUTO_STRV list = { 0 };
	struct json_ref root, config, env, at;
	const char *word = "default";
	uint64_t u = 5;
	bool b;

	assert_int_equal(json_doc_parse("doc", text, sizeof(text) - 1, 1000, &doc, &err), 0);
	root = json_doc_root(doc);
	config = json_get(&root, "config");
	env = json_get(&config, "Env");
	assert_int_equal(json_opt_strings(&env, &list, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "doc.config.Env[3]: expected a string, found an integer");
	at = json_get(&config, "Cmd");
	assert_int_equal(json_as_array(&at, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "doc.config.Cmd is missing");
	assert_int_equal(json_opt_string(&at, &word, &err), 0);
	assert_string_equal(word, "default");
	at = json_get(&root, "n");
	assert_int_equal(json_as_uint64(&at, &u, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "doc.n is negative");
	at = json_get(&root, "f");
	assert_int_equal(json_opt_uint64(&at, &u, &err), IMBREX_EFORMAT);
	assert_string_equal(
		err.message, "doc.f: expected an integer, found a number with a fraction");
	at = json_get(&root, "nil");
	assert_false(json_has(&at));
	assert_int_equal(json_opt_bool(&at, &b, &err), 0);
	at = json_get(&env, "x"); /* member of an array: absent, no crash */
	assert_int_equal(json_as_string(&at, &word, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "doc.config.Env.x is missing");
	assert_int_equal(u, 5);
}

static void values_are_read_and_members_walked_in_order(void **state)
{
	static const char text[] = "{\"z\":\"s\",\"a\":9223372036854775807,\"m\":true}";
	struct imbrex_error err = { 0 };
	AUTO_JSON_DOC *doc = NULL;
	AUTO_FREE char *copy = NULL;
	struct json_ref root, member;
	char keys[4] = "";
	void *iter = NULL;
	int64_t n;
	bool b;

	assert_int_equal(json_doc_parse("doc", text, sizeof(text) - 1, 1000, &doc, &err), 0);
	root = json_doc_root(doc);
	assert_int_equal(json_count(&root), 3);
	while (json_next_member(&root, &iter, &member))
		strncat(keys, member.key, 1);
	assert_string_equal(keys, "zam");
	member = json_get(&root, "z");
	assert_int_equal(json_opt_text(&member, &copy, &err), 1);
	assert_string_equal(copy, "s");
	member = json_get(&root, "a");
	assert_int_equal(json_as_int64(&member, &n, &err), 0);
	assert_true(n == INT64_MAX);
	member = json_get(&root, "m");
	assert_int_equal(json_as_bool(&member, &b, &err), 0);
	assert_true(b);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(documents_that_mean_two_things_are_refused),
		cmocka_unit_test(a_document_beyond_its_limit_is_not_looked_at),
		cmocka_unit_test(wrong_types_are_reported_with_their_path),
		cmocka_unit_test(values_are_read_and_members_walked_in_order),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
