/* SPDX-License-Identifier: Apache-2.0 */
/* The language, positions in messages, and the shapes of the three configuration files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "toml/toml.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static struct toml_doc *parse(const char *text)
{
	struct imbrex_error err = { 0 };
	struct toml_doc *doc = NULL;

	if (toml_parse("x.conf", text, strlen(text), &doc, &err) < 0)
		fail_msg("%s", err.message);
	return doc;
}

static void a_storage_conf_is_read(void **state)
{
	AUTO_TOML *doc = parse("# comment\n"
			       "[storage]\n"
			       "driver = \"overlay\" # why\n"
			       "graphroot = '/var/lib/x'\r\n"
			       "transient_store=true\n"
			       "\n"
			       "[storage.options]\n"
			       "auto-userns-min-size = 1_024\n"
			       "additionalimagestores = [\n"
			       "  \"/a\", # first\n"
			       "\n"
			       "  '/b',\n"
			       "]\n"
			       "pull_options = {enable_partial_images = \"true\", use_hard_links = "
			       "\"false\"}\n"
			       "[storage.options.overlay]\n"
			       "force_mask = 0o700\n"
			       "mountopt = \"nodev,\\u006detacopy=on\"");
	const struct toml_value *storage = toml_table(doc, "storage");
	const struct toml_value *options = toml_table(doc, "storage.options");
	const struct toml_value *overlay = toml_table(doc, "storage.options.overlay");
	struct imbrex_error err = { 0 };
	const char *text = NULL;
	AUTO_STRV list = { 0 };
	int64_t n = 0;
	bool b = false;

	assert_int_equal(toml_string(storage, "driver", &text, &err), 1);
	assert_string_equal(text, "overlay");
	assert_int_equal(toml_string(storage, "graphroot", &text, &err), 1);
	assert_string_equal(text, "/var/lib/x");
	assert_int_equal(toml_bool(storage, "transient_store", &b, &err), 1);
	assert_true(b);
	assert_int_equal(toml_integer(options, "auto-userns-min-size", &n, &err), 1);
	assert_int_equal(n, 1024);
	assert_int_equal(toml_strings(options, "additionalimagestores", &list, NULL, &err), 1);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.items[1], "/b");
	assert_int_equal(toml_integer(overlay, "force_mask", &n, &err), 1);
	assert_int_equal(n, 0700);
	assert_int_equal(toml_scalar_text(overlay, "force_mask", &text, &err), 1);
	assert_string_equal(text, "0o700");
	assert_int_equal(toml_string(overlay, "mountopt", &text, &err), 1);
	assert_string_equal(text, "nodev,metacopy=on");
	assert_int_equal(toml_line(toml_get(overlay, "mountopt")), 17);
	assert_int_equal(toml_column(toml_get(overlay, "mountopt")), 12);
	assert_int_equal(toml_string(overlay, "size", &text, &err), 0);
	assert_null(toml_table(doc, "storage.options.zfs"));
	assert_null(toml_get(NULL, "x"));
	assert_int_equal(toml_string(NULL, "x", &text, &err), 0);
}

static void arrays_of_tables_are_walked_in_order(void **state)
{
	AUTO_TOML *doc = parse("unqualified-search-registries = [\"a.example\"]\n"
			       "[[registry]]\n"
			       "prefix = \"one\"\n"
			       "[[registry.mirror]]\nlocation = \"m1\"\n"
			       "[[registry.mirror]]\nlocation = \"m2\"\n"
			       "[[registry]]\n"
			       "prefix = \"two\"\n"
			       "[registry.extra]\nk=1\n"
			       "[aliases]\n\"a/b.c\" = \"d\"\n");
	const struct toml_value *registries = NULL;
	const struct toml_value *mirrors = NULL;
	const struct toml_value *v;
	struct imbrex_error err = { 0 };
	const char *text;

	assert_int_equal(toml_tables(toml_root(doc), "registry", &registries, &err), 1);
	v = toml_first(registries);
	assert_int_equal(toml_string(v, "prefix", &text, &err), 1);
	assert_string_equal(text, "one");
	assert_int_equal(toml_tables(v, "mirror", &mirrors, &err), 1);
	assert_int_equal(toml_string(toml_next(toml_first(mirrors)), "location", &text, &err), 1);
	assert_string_equal(text, "m2");
	v = toml_next(v);
	assert_int_equal(toml_string(v, "prefix", &text, &err), 1);
	assert_string_equal(text, "two");
	assert_non_null(toml_get(toml_get(v, "extra"), "k"));
	assert_null(toml_next(v));
	assert_string_equal(toml_key(toml_first(toml_table(doc, "aliases"))), "a/b.c");
	assert_int_equal(toml_tables(toml_root(doc), "aliases", &registries, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "x.conf:12:2: aliases: expected an array, found a table");
}

static void an_array_with_append_adds_to_what_was_there(void **state)
{
	AUTO_TOML *doc = parse("a = [\"x\", {append = true}]\nb = [\"y\", {append=false}]\n"
			       "c = [{append=1}]\n");
	struct imbrex_error err = { 0 };
	AUTO_STRV list = { 0 };
	bool append = false;

	assert_int_equal(strv_add(&list, "old"), 0);
	assert_int_equal(toml_strings(toml_root(doc), "a", &list, &append, &err), 1);
	assert_true(append);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.items[0], "old");
	assert_string_equal(list.items[1], "x");
	assert_int_equal(toml_strings(toml_root(doc), "b", &list, &append, &err), 1);
	assert_false(append);
	assert_int_equal(list.n, 1);
	assert_int_equal(toml_strings(toml_root(doc), "a", &list, NULL, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "x.conf:1:11: a: expected a string, found a table");
	assert_int_equal(toml_strings(toml_root(doc), "c", &list, &append, &err), IMBREX_EFORMAT);
	assert_string_equal(list.items[0], "y");
}

static void values_have_the_kind_they_are_written_as(void **state)
{
	static const struct {
		const char *value;
		enum toml_kind kind;
		const char *text;
		int64_t integer;
	} cases[] = {
		{ "\"\"", TOML_STRING, "" },
		{ "'a\\b'", TOML_STRING, "a\\b" },
		{ "\"\\b\\t\\n\\f\\r\\\"\\\\\\U0001F600\"", TOML_STRING,
			"\b\t\n\f\r\"\\\xf0\x9f\x98\x80" },
		{ "\"\"\"\na\n  b\"\"\"", TOML_STRING, "a\n  b" },
		{ "\"\"\"a \\\n\n   b\"\"\"", TOML_STRING, "a b" },
		{ "\"\"\"\"q\"\"\"\"\"", TOML_STRING, "\"q\"\"" },
		{ "'''\r\nl\\n'x'''", TOML_STRING, "l\\n'x" },
		{ "0", TOML_INTEGER, "0", 0 },
		{ "+9_9", TOML_INTEGER, "+9_9", 99 },
		{ "-9223372036854775808", TOML_INTEGER, "-9223372036854775808", INT64_MIN },
		{ "0xdead_BEEF", TOML_INTEGER, "0xdead_BEEF", 0xdeadbeef },
		{ "0b101", TOML_INTEGER, "0b101", 5 },
		{ "1.5", TOML_FLOAT, "1.5" },
		{ "-1e1_0", TOML_FLOAT, "-1e1_0" },
		{ "6.6E-3", TOML_FLOAT, "6.6E-3" },
		{ "+inf", TOML_FLOAT, "+inf" },
		{ "nan", TOML_FLOAT, "nan" },
		{ "1979-05-27", TOML_TIME, "1979-05-27" },
		{ "1979-05-27T07:32:00.5-07:00", TOML_TIME, "1979-05-27T07:32:00.5-07:00" },
		{ "1979-05-27 07:32:00Z", TOML_TIME, "1979-05-27 07:32:00Z" },
		{ "07:32:00", TOML_TIME, "07:32:00" },
		{ "1979-05-27 # day", TOML_TIME, "1979-05-27" },
		{ "true", TOML_BOOL, NULL, 1 },
		{ "[ [1, 2], [\"a\"] , ]", TOML_ARRAY, NULL },
		{ "{ a.b = 1, a.c = 2 }", TOML_TABLE, NULL },
	};
	struct imbrex_error err = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *line = format_text("k = %s", cases[i].value);
		AUTO_TOML *doc = parse(line);
		const struct toml_value *v = toml_get(toml_root(doc), "k");
		const char *text = NULL;
		int64_t n = 0;

		assert_int_equal(toml_kind(v), cases[i].kind);
		if (cases[i].text) {
			assert_int_equal(toml_scalar_text(toml_root(doc), "k", &text, &err), 1);
			assert_string_equal(text, cases[i].text);
		}
		if (cases[i].kind == TOML_INTEGER) {
			assert_int_equal(toml_integer(toml_root(doc), "k", &n, &err), 1);
			assert_true(n == cases[i].integer);
		}
	}
}

static void what_is_wrong_is_reported_with_line_and_column(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "a", "x.conf:1:2: expected '='" },
		{ "= 1", "x.conf:1:1: expected a key" },
		{ "a =", "x.conf:1:4: expected a value" },
		{ "a = \n1", "x.conf:1:5: expected a value" },
		{ "a = 1 b = 2", "x.conf:1:7: expected the end of the line" },
		{ "a = 1\na = 2", "x.conf:2:1: 'a' is defined already, in line 1" },
		{ "[t]\n[t]", "x.conf:2:2: 't' is defined already, in line 1" },
		{ "[t.u]\n[t]\n[t]", "x.conf:3:2: 't' is defined already, in line 2" },
		{ "t.u = 1\n[t]", "x.conf:2:2: 't' is defined already, in line 1" },
		{ "[t.u]\n[t]\nu.x = 1",
			"x.conf:3:1: 'u' is defined already, in line 1, and cannot be added to" },
		{ "t = {a=1}\n[t.b]",
			"x.conf:2:2: 't' is defined already, in line 1, and cannot be added to" },
		{ "t = {a=1}\nt.b = 1",
			"x.conf:2:1: 't' is defined already, in line 1, and cannot be added to" },
		{ "t = {a.b=1, a=2}", "x.conf:1:13: 'a' is defined already, in line 1" },
		{ "a = []\n[[a]]", "x.conf:2:3: 'a' is defined already, in line 1" },
		{ "[[a]]\n[a]", "x.conf:2:2: 'a' is defined already, in line 1" },
		{ "[a", "x.conf:1:3: expected ']'" },
		{ "[[a]", "x.conf:1:5: expected ']]'" },
		{ "[]", "x.conf:1:2: expected a key" },
		{ "[a] x", "x.conf:1:5: expected the end of the line" },
		{ "a = \"x", "x.conf:1:7: the string has no end on its line" },
		{ "a = \"x\ny\"", "x.conf:1:7: the string has no end on its line" },
		{ "a = '''x", "x.conf:1:5: the string has no end" },
		{ "a = \"\\q\"", "x.conf:1:7: unknown escape in a string" },
		{ "a = \"\\u12\"", "x.conf:1:10: expected a hexadecimal digit" },
		{ "a = \"\\ud800\"", "x.conf:1:12: escape is no character, or NUL" },
		{ "a = \"\\u0000\"", "x.conf:1:12: escape is no character, or NUL" },
		{ "a = \"\x01\"", "x.conf:1:6: control byte in a string" },
		{ "# \x7f", "x.conf:1:3: control byte in a comment" },
		{ "a = 1\rb = 2", "x.conf:1:6: expected the end of the line" },
		{ "a = 012", "x.conf:1:5: '012' is no value" },
		{ "a = 1__2", "x.conf:1:5: '1__2' is no value" },
		{ "a = 1_", "x.conf:1:5: '1_' is no value" },
		{ "a = 0x", "x.conf:1:5: '0x' is no value" },
		{ "a = +0x1", "x.conf:1:5: '+0x1' is no value" },
		{ "a = 9223372036854775808", "x.conf:1:5: the integer does not fit 64 bits" },
		{ "a = 1.", "x.conf:1:5: '1.' is no value" },
		{ "a = .5", "x.conf:1:5: '.5' is no value" },
		{ "a = yes", "x.conf:1:5: 'yes' is no value" },
		{ "a = 1979-5-27", "x.conf:1:5: '1979-5-27' is no value" },
		{ "a = [1 2]", "x.conf:1:8: expected ',' or ']'" },
		{ "a = [1,,2]", "x.conf:1:8: expected a value" },
		{ "a = [", "x.conf:1:6: expected a value" },
		{ "a = {x=1,}", "x.conf:1:10: expected a key" },
		{ "a = {x=1", "x.conf:1:9: expected ',' or '}'" },
		{ "a = {x=1\n}", "x.conf:1:9: expected ',' or '}'" },
		{ "a.\"\"\"b\"\"\" = 1", "x.conf:1:5: expected '='" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct toml_doc *doc = NULL;
		int r = toml_parse("x.conf", cases[i].text, strlen(cases[i].text), &doc, &err);

		if (r >= 0)
			fail_msg("accepted: %s", cases[i].text);
		assert_int_equal(r, IMBREX_EFORMAT);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void what_is_too_much_is_a_limit(void **state)
{
	struct imbrex_error err = { 0 };
	struct toml_doc *doc = NULL;
	AUTO_STR text = STR_INIT(10 * LIMIT_CONF_BYTES);
	int i;

	assert_int_equal(str_puts(&text, "a = "), 0);
	for (i = 0; i < 40; i++)
		assert_int_equal(str_putc(&text, '['), 0);
	assert_int_equal(toml_parse("x.conf", text.data, text.len, &doc, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "x.conf:1:37: nested more than 32 levels deep");

	str_clear(&text);
	for (i = 0; i < 40; i++)
		assert_int_equal(str_puts(&text, "a."), 0);
	assert_int_equal(toml_parse("x.conf", text.data, text.len, &doc, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "x.conf:1:65: a key of too many parts");

	str_clear(&text);
	for (i = 0; i < 5000; i++)
		assert_int_equal(str_printf(&text, "k%d=1\n", i), 0);
	assert_int_equal(toml_parse("x.conf", text.data, text.len, &doc, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "x.conf:4097:7: more than 4096 keys in one table");

	str_clear(&text);
	while (text.len <= LIMIT_CONF_BYTES)
		assert_int_equal(str_puts(&text, "#\n"), 0);
	assert_int_equal(toml_parse("x.conf", text.data, text.len, &doc, &err), IMBREX_ELIMIT);
	assert_string_equal(
		err.message, "x.conf: 1048578 bytes are more than the limit of 1048576");
}

static void a_wrong_type_is_reported_where_the_value_stands(void **state)
{
	AUTO_TOML *doc = parse("[storage]\n  driver = true\n");
	struct imbrex_error err = { 0 };
	const char *text;

	assert_int_equal(
		toml_string(toml_table(doc, "storage"), "driver", &text, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "x.conf:2:12: driver: expected a string, found a boolean");
	assert_int_equal(toml_fail(toml_get(toml_table(doc, "storage"), "driver"), &err,
				 "driver '%s' is unknown", "x"),
		IMBREX_EFORMAT);
	assert_string_equal(err.message, "x.conf:2:12: driver 'x' is unknown");
}

static void tables_may_be_completed_in_the_ways_the_language_allows(void **state)
{
	AUTO_TOML *doc = parse(
		"\xef\xbb\xbf[a.b]\nx=1\n[a]\ny=2\n[fruit]\napple.color=1\napple.taste.sweet=true\n"
		"[fruit.apple.texture]\nsmooth=true\n");

	assert_non_null(toml_get(toml_table(doc, "a.b"), "x"));
	assert_non_null(toml_get(toml_table(doc, "a"), "y"));
	assert_non_null(toml_get(toml_table(doc, "fruit.apple.texture"), "smooth"));
	assert_non_null(toml_get(toml_table(doc, "fruit.apple.taste"), "sweet"));
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(a_storage_conf_is_read),
		cmocka_unit_test(arrays_of_tables_are_walked_in_order),
		cmocka_unit_test(an_array_with_append_adds_to_what_was_there),
		cmocka_unit_test(values_have_the_kind_they_are_written_as),
		cmocka_unit_test(what_is_wrong_is_reported_with_line_and_column),
		cmocka_unit_test(what_is_too_much_is_a_limit),
		cmocka_unit_test(a_wrong_type_is_reported_where_the_value_stands),
		cmocka_unit_test(tables_may_be_completed_in_the_ways_the_language_allows),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
