/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints and which names registries.conf makes of a reference, file after file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "registry/registries.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static struct registries *read_conf(const char *first, const char *second)
{
	struct imbrex_error err = { 0 };
	struct registries *r = NULL;

	assert_int_equal(registries_new(&r, &err), 0);
	if (registries_read(r, "1.conf", first, strlen(first), &err) < 0 ||
		(second && registries_read(r, "2.conf", second, strlen(second), &err) < 0))
		fail_msg("%s", err.message);
	return r;
}

/* "host/path host/path!" with ! for insecure, or the error's message. */
static void describe(const struct registries *r, const char *reference, struct str *to)
{
	AUTO_REFERENCE ref = { 0 };
	AUTO_ENDPOINTS e = { 0 };
	struct imbrex_error err = { 0 };
	size_t i;

	str_clear(to);
	assert_int_equal(reference_parse(reference, &ref, &err), 0);
	if (registries_endpoints(r, &ref, &e, &err) < 0)
		assert_int_equal(str_puts(to, err.message), 0);
	for (i = 0; i < e.n; i++)
		assert_int_equal(str_printf(to, "%s%s/%s%s", i ? " " : "", e.items[i].registry,
					 e.items[i].repository, e.items[i].insecure ? "!" : ""),
			0);
}

static void the_longest_prefix_decides(void **state)
{
	static const char conf[] =
		"[[registry]]\nlocation = \"a.example\"\ninsecure = true\n"
		"[[registry]]\nprefix = \"a.example/team\"\nlocation = \"b.example/x/\"\n"
		"[[registry]]\nprefix = \"a.example/team/secret\"\nlocation=\"a.example\"\nblocked "
		"= true\n"
		"[[registry]]\nprefix = \"*.wild.example\"\ninsecure = true\n"
		"[[registry]]\nprefix = \"docker.io\"\nlocation = \"m.example/hub\"\n"
		"[[registry]]\nprefix = \"bad.example\"\nlocation = \"UPPER/PATH\"\n";
	static const struct {
		const char *reference;
		const char *want;
	} rows[] = {
		{ "a.example/x:1", "a.example/x!" },
		{ "a.example/teams/x", "a.example/teams/x!" },
		{ "a.example/team/x:1", "b.example/x/x" },
		{ "a.example/team:1", "b.example/x" },
		{ "a.example/team/secret/y", "registry 'a.example/team/secret' is blocked by "
					     "registries.conf" },
		{ "a.example:5000/x", "a.example:5000/x" },
		{ "a.example.evil/x", "a.example.evil/x" },
		{ "x.wild.example/y", "x.wild.example/y!" },
		{ "x.y.wild.example:8443/y", "x.y.wild.example:8443/y!" },
		{ "wild.example/y", "wild.example/y" },
		{ "evilwild.example/y", "evilwild.example/y" },
		{ "alpine", "m.example/hub/library/alpine" },
		{ "other.example/x", "other.example/x" },
	};
	AUTO_REGISTRIES struct registries *r = read_conf(conf, NULL);
	AUTO_STR text = STR_INIT(2000);
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		describe(r, rows[i].reference, &text);
		assert_string_equal(text.data, rows[i].want);
	}
	describe(r, "bad.example/x", &text);
	assert_non_null(str_after(text.data, "registries configuration: "));
}

static void mirrors_come_before_the_location(void **state)
{
	static const char conf[] =
		"[[registry]]\nlocation = \"a.example\"\n"
		"[[registry.mirror]]\nlocation = \"m1.example\"\ninsecure = true\n"
		"[[registry.mirror]]\nlocation = "
		"\"m2.example/p\"\npull-from-mirror=\"digest-only\"\n"
		"[[registry.mirror]]\nlocation = \"m3.example\"\npull-from-mirror=\"tag-only\"\n"
		"[[registry]]\nlocation = \"b.example\"\nmirror-by-digest-only = true\n"
		"[[registry.mirror]]\nlocation = \"m4.example\"\n";
	static const char digest[] =
		"@sha256:0000000000000000000000000000000000000000000000000000000000000000";
	AUTO_REGISTRIES struct registries *r = read_conf(conf, NULL);
	AUTO_STR text = STR_INIT(2000);
	AUTO_FREE char *a = format_text("a.example/x%s", digest);
	AUTO_FREE char *b = format_text("b.example/x%s", digest);

	describe(r, "a.example/x:1", &text);
	assert_string_equal(text.data, "m1.example/x! m3.example/x a.example/x");
	describe(r, a, &text);
	assert_string_equal(text.data, "m1.example/x! m2.example/p/x a.example/x");
	describe(r, "b.example/x:1", &text);
	assert_string_equal(text.data, "b.example/x");
	describe(r, b, &text);
	assert_string_equal(text.data, "m4.example/x b.example/x");
}

static void resolve(const struct registries *r, const char *name, struct str *to)
{
	AUTO_CANDIDATES c = { 0 };
	struct imbrex_error err = { 0 };
	size_t i;

	str_clear(to);
	if (registries_resolve(r, name, &c, &err) < 0)
		assert_int_equal(str_puts(to, err.message), 0);
	for (i = 0; i < c.n; i++) {
		AUTO_FREE char *text = reference_text(&c.items[i]);

		assert_int_equal(str_printf(to, "%s%s", i ? " " : "", text), 0);
	}
}

static void later_files_win_over_earlier_ones(void **state)
{
	AUTO_REGISTRIES struct registries *r =
		read_conf("unqualified-search-registries = [\"a.example\"]\n"
			  "[[registry]]\nlocation = \"x.example\"\ninsecure = true\n"
			  "[aliases]\n\"one\" = \"a.example/one\"\n\"two\" = \"a.example/two\"\n",
			"unqualified-search-registries = [\"b.example\", \"c.example\"]\n"
			"[[registry]]\nlocation = \"x.example\"\n"
			"[aliases]\n\"one\" = \"b.example/uno\"\n\"two\" = \"\"\n");
	AUTO_STR text = STR_INIT(2000);

	describe(r, "x.example/y", &text);
	assert_string_equal(text.data, "x.example/y");
	resolve(r, "one:3", &text);
	assert_string_equal(text.data, "b.example/uno:3");
	resolve(r, "two", &text);
	assert_string_equal(text.data, "b.example/two c.example/two");
	resolve(r, "team/three:x", &text);
	assert_string_equal(text.data, "b.example/team/three:x c.example/team/three:x");
	resolve(r, "docker.io/one", &text);
	assert_string_equal(text.data, "docker.io/library/one");
	resolve(r, "localhost/one", &text);
	assert_string_equal(text.data, "localhost/one");
	resolve(r,
		"a.example:5000/one@sha256:"
		"0000000000000000000000000000000000000000000000000000000000000000",
		&text);
	assert_string_equal(text.data,
		"a.example:5000/one@sha256:"
		"0000000000000000000000000000000000000000000000000000000000000000");
}

static void ambiguity_is_refused_when_enforcing(void **state)
{
	AUTO_REGISTRIES struct registries *r =
		read_conf("short-name-mode = \"enforcing\"\n"
			  "unqualified-search-registries = [\"a.example\", \"b.example\"]\n",
			NULL);
	AUTO_STR text = STR_INIT(2000);

	resolve(r, "one:1", &text);
	assert_string_equal(
		text.data, "short name 'one:1' is ambiguous: a.example/one:1, b.example/one:1");
	resolve(r, "a.example/one", &text);
	assert_string_equal(text.data, "a.example/one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_prefix_decides),
		cmocka_unit_test(mirrors_come_before_the_location),
		cmocka_unit_test(later_files_win_over_earlier_ones),
		cmocka_unit_test(ambiguity_is_refused_when_enforcing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
