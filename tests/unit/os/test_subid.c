/* SPDX-License-Identifier: Apache-2.0 */
/* Where subordinate ids come from: nsswitch.conf, and libsubid when it says so. */
#include "os/subid.h"

#include "base/str.h"
#include "os/fd.h"
#include "scratch.h"

static void the_source_is_what_nsswitch_conf_names(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: files */
	} cases[] = {
		{ "", NULL },
		{ "passwd: files sss\n", NULL },
		{ "subid: files\n", NULL },
		{ "subid:\tfiles sss", NULL },
		{ "subid:\n", NULL },
		{ "# subid: sss\n", NULL },
		{ "subidx: sss\n", NULL },
		{ "subid: # sss\n", NULL },
		{ "subid: sss\n", "sss" },
		{ "passwd: files\n \tsubid :\t sss files\n", "sss" },
		{ "subid:ldap#x", "ldap" },
		{ "subid: a[NOTFOUND=return] files", "a" },
		{ "subid: filesx\n", "filesx" },
		{ "subid: "
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char got[SUBID_SOURCE_BYTES] = "";

		assert_int_equal(subid_source(cases[i].text, got), cases[i].want != NULL);
		if (cases[i].want)
			assert_string_equal(got, cases[i].want);
	}
}

static void a_library_is_asked_and_not_believed(void **state)
{
	struct subid_ranges got = { .n = 9 };
	struct imbrex_error err = { 0 };
	AUTO_STR fake = STR_INIT(4096);

	/* Beside this program. */
	assert_int_equal(read_link_at(AT_FDCWD, "/proc/self/exe", &fake, &err), 0);
	*strrchr(fake.data, '/') = 0;
	fake.len = strlen(fake.data);
	assert_int_equal(str_puts(&fake, "/os/libfake-subid.so"), 0);
	assert_int_equal(subid_ask(str_text(&fake), false, "central", &got, &err), 0);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.items[0].start, 500000);
	assert_int_equal(got.items[0].count, 65536);
	assert_int_equal(got.items[1].start, 900000);
	assert_int_equal(subid_ask(str_text(&fake), true, "central", &got, &err), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(subid_ask(str_text(&fake), false, "nobody", &got, &err), IMBREX_EFAIL);
	assert_string_equal(err.message, "libsubid cannot tell the uid ranges of 'nobody'");
}

static void a_library_that_is_missing_is_named(void **state)
{
	struct subid_ranges got;
	struct imbrex_error err = { 0 };

	assert_int_equal(subid_ask("/no/such/libsubid.so", false, "x", &got, &err), IMBREX_ENOTSUP);
	assert_non_null(strstr(err.message, "cannot load libsubid: /no/such/libsubid.so"));
	assert_string_equal(err.hint, "install libsubid (libsubid4, shadow-utils-subid)");
}

/* By files both read the same. */
static void the_real_library_agrees_with_the_file(void **state)
{
	struct subid_ranges file = { .n = 0 }, library = { .n = 0 };
	struct imbrex_error err = { 0 };
	int r = subid_ask(NULL, false, "containers", &library, &err);
	size_t i;

	if (r == IMBREX_ENOTSUP) {
		print_message("skipped: %s\n", err.message);
		skip();
	}
	/* A user without ranges is an error there. */
	if (r < 0)
		library.n = 0;
	assert_int_equal(subid_find(SUBUID_PATH, "containers", (uid_t)-1, &file, &err), 0);
	assert_int_equal(file.n, library.n);
	for (i = 0; i < file.n; i++)
		assert_int_equal(file.items[i].start, library.items[i].start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_source_is_what_nsswitch_conf_names),
		cmocka_unit_test(a_library_is_asked_and_not_believed),
		cmocka_unit_test(a_library_that_is_missing_is_named),
		cmocka_unit_test(the_real_library_agrees_with_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
