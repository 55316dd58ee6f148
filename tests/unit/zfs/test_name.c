/* SPDX-License-Identifier: Apache-2.0 */
/* Which texts are names of datasets, and which are attempts at something else. */
#include "zfs/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static void names_are_what_zfs_takes_and_no_more(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *message; /* NULL: not looked at */
	} cases[] = {
		{ "tank", 0, NULL },
		{ "tank/a_b-c.d:e/0", 0, NULL },
		{ "tank/with space", 0, NULL },
		{ "tank/-x", 0, NULL }, /* inside a word: no option */
		{ "", IMBREX_EINVAL,
			"'' is no name of a ZFS dataset: a pool begins with a letter" },
		/* An option of zfs(8). */
		{ "-r", IMBREX_EINVAL,
			"'-r' is no name of a ZFS dataset: a pool begins with a letter" },
		{ "/tank", IMBREX_EINVAL, NULL },
		{ "tank/", IMBREX_EINVAL,
			"'tank/' is no name of a ZFS dataset: a component is empty" },
		{ "tank//a", IMBREX_EINVAL, NULL },
		{ "tank/..", IMBREX_EINVAL,
			"'tank/..' is no name of a ZFS dataset: '.' and '..' are no components" },
		{ "tank/./a", IMBREX_EINVAL, NULL },
		/* Another snapshot, a bookmark, a receive in progress, a range of snapshots. */
		{ "tank/a@b", IMBREX_EINVAL,
			"'tank/a@b' is no name of a ZFS dataset: a character is not allowed" },
		{ "tank/a#b", IMBREX_EINVAL, NULL },
		{ "tank/a/%recv", IMBREX_EINVAL, NULL },
		{ "tank/a,b", IMBREX_EINVAL, NULL },
		/* More words, more lines, a shell. */
		{ "tank/a ", IMBREX_EINVAL, NULL },
		{ "tank/ a", IMBREX_EINVAL, NULL },
		{ "tank/a\nb", IMBREX_EINVAL,
			"'tank/a?b' is no name of a ZFS dataset: a character is not allowed" },
		{ "tank/a\tb", IMBREX_EINVAL, NULL },
		{ "tank/$(id)", IMBREX_EINVAL, NULL },
		{ "tank/a;b", IMBREX_EINVAL, NULL },
		{ "tank/a'b", IMBREX_EINVAL, NULL },
		{ "tank/\xc3\xa4", IMBREX_EINVAL, NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct zfs_name name;

		assert_int_equal(zfs_name_dataset(&name, cases[i].text, &err), cases[i].status);
		if (cases[i].message)
			assert_string_equal(err.message, cases[i].message);
		if (cases[i].status == 0)
			assert_string_equal(name.text, cases[i].text);
	}
}

static void names_are_neither_too_long_nor_too_deep(void **state)
{
	struct imbrex_error err = { 0 };
	struct zfs_name name, longer;
	char text[300];
	size_t i;

	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	assert_int_equal(zfs_name_dataset(&name, text, &err), 0);
	assert_int_equal(zfs_name_child(&longer, &name, "b", &err), IMBREX_ELIMIT);
	assert_non_null(strstr(err.message, "a name has at most 255 bytes"));
	text[255] = 'a';
	text[256] = '\0';
	assert_int_equal(zfs_name_dataset(&name, text, &err), IMBREX_ELIMIT);
	for (i = 0; i < 51; i++)
		memcpy(text + 2 * i, "a/", 2);
	text[2 * 50 - 1] = '\0';
	assert_int_equal(zfs_name_dataset(&name, text, &err), 0);
	text[2 * 50 - 1] = '/';
	text[2 * 51 - 1] = '\0';
	assert_int_equal(zfs_name_dataset(&name, text, &err), IMBREX_ELIMIT);
	assert_non_null(strstr(err.message, "is nested deeper than 50"));
}

static void names_are_built_of_checked_components(void **state)
{
	struct imbrex_error err = { 0 };
	struct zfs_name pool, child, snapshot, more;

	assert_int_equal(zfs_name_dataset(&pool, "tank", &err), 0);
	assert_int_equal(zfs_name_child(&child, &pool, "0123", &err), 0);
	assert_string_equal(child.text, "tank/0123");
	assert_int_equal(zfs_name_snapshot(&snapshot, &child, "s", &err), 0);
	assert_string_equal(snapshot.text, "tank/0123@s");
	assert_true(zfs_name_is_snapshot(&snapshot));
	assert_false(zfs_name_is_snapshot(&child));
	assert_int_equal(zfs_name_child(&more, &snapshot, "x", &err), IMBREX_EINVAL);
	assert_int_equal(zfs_name_snapshot(&more, &snapshot, "x", &err), IMBREX_EINVAL);
	assert_int_equal(zfs_name_child(&more, &pool, "a/b", &err), IMBREX_EINVAL);
	assert_int_equal(zfs_name_child(&more, &pool, "a@b", &err), IMBREX_EINVAL);
	assert_int_equal(zfs_name_snapshot(&more, &pool, "a,b", &err), IMBREX_EINVAL);
}

static void a_name_is_told_from_those_beside_and_below(void **state)
{
	struct imbrex_error err = { 0 };
	struct zfs_name parent;

	assert_int_equal(zfs_name_dataset(&parent, "tank/store", &err), 0);
	assert_string_equal(zfs_name_below("tank/store/a", &parent), "a");
	assert_null(zfs_name_below("tank/store", &parent));
	assert_null(zfs_name_below("tank/store/", &parent));
	assert_null(zfs_name_below("tank/store2/a", &parent));
	assert_null(zfs_name_below("tank/store/a/b", &parent));
	assert_null(zfs_name_below("tank/store/a@s", &parent));
	assert_null(zfs_name_below("other/store/a", &parent));
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(names_are_what_zfs_takes_and_no_more),
		cmocka_unit_test(names_are_neither_too_long_nor_too_deep),
		cmocka_unit_test(names_are_built_of_checked_components),
		cmocka_unit_test(a_name_is_told_from_those_beside_and_below),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
