/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and complaints of zfs(8), honest and hostile. */
#include "zfs/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/str.h"

static int join(void *ctx, char *const *fields, struct imbrex_error *err)
{
	if (str_eq(fields[0], "stop"))
		return IMBREX_ECANCELED;
	return str_printf(ctx, "%s=%s;", fields[0], fields[1]);
}

static void rows_have_all_their_fields(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *want; /* rows, or message */
	} cases[] = {
		{ "", 0, "" },
		{ "a\t1\nb c\t\n", 0, "a=1;b c=;" },
		{ "a\n", IMBREX_EFORMAT, "zfs(8), line 1: too many fields or too few" },
		{ "a\t1\nb\t2\t3\n", IMBREX_EFORMAT, "zfs(8), line 2: too many fields or too few" },
		{ "\t1\n", IMBREX_EFORMAT, "zfs(8), line 1: no name" },
		{ "\n", IMBREX_EFORMAT, "zfs(8), line 1: too many fields or too few" },
		{ "a\t1", IMBREX_EFORMAT, "zfs(8), line 1: no end" },
		/* The caller has enough. */
		{ "a\t1\nstop\t\nb\t2\n", IMBREX_ECANCELED, "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR rows = STR_INIT(100);
		struct imbrex_error err = { 0 };
		char text[100];

		(void)strncpy(text, cases[i].text, sizeof(text) - 1);
		assert_int_equal(zfs_rows(text, strlen(cases[i].text), 2, join, &rows, &err),
			cases[i].status);
		if (cases[i].status == IMBREX_ECANCELED)
			continue;
		assert_string_equal(cases[i].status ? err.message : str_text(&rows), cases[i].want);
	}
}

static void a_field_beyond_the_limit_is_refused(void **state)
{
	static char text[LIMIT_ZFS_VALUE_BYTES + 16];
	AUTO_STR rows = STR_INIT(sizeof(text));
	struct imbrex_error err = { 0 };

	memset(text, 'x', sizeof(text));
	text[1] = '\t';
	text[sizeof(text) - 1] = '\n';
	assert_int_equal(zfs_rows(text, sizeof(text), 2, join, &rows, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "zfs(8), line 1: a field that is too long");
}

static void complaints_have_a_status_whatever_names_they_hold(void **state)
{
	static const struct {
		const char *said;
		int status;
		bool final;
	} cases[] = {
		{ "cannot open 'tank/a': dataset does not exist", IMBREX_ENOENT, false },
		{ "cannot create 'tank/a': dataset already exists", IMBREX_EEXIST, false },
		{ "cannot create snapshot 'tank/a@b': dataset already exists", IMBREX_EEXIST,
			false },
		{ "cannot destroy 'tank/a': dataset is busy", IMBREX_EBUSY, false },
		{ "cannot destroy 'tank/a': filesystem has dependent clones\nuse '-R' to …",
			IMBREX_EBUSY, true },
		{ "cannot destroy snapshot tank/a@b: snapshot is cloned", IMBREX_EBUSY, true },
		{ "cannot destroy snapshot tank/a@b: it's being held. Run 'zfs holds -r tank/a@b' "
		  "to see holders.",
			IMBREX_EBUSY, true },
		{ "cannot create 'tank/a': out of space", IMBREX_ENOSPC, false },
		{ "cannot set property for 'tank/a': size is less than current used or reserved "
		  "space",
			IMBREX_ENOSPC, false },
		{ "cannot create 'tank/a': permission denied", IMBREX_EPERM, false },
		{ "Permission denied the ZFS utilities must be run as root.", IMBREX_EPERM, false },
		{ "The ZFS modules are not loaded.", IMBREX_ENOTSUP, false },
		{ "cannot open 'tank/a': I/O error", IMBREX_EIO, false },
		{ "cannot set property for 'tank/a': invalid property 'x'", IMBREX_EINVAL, false },
		{ "something else", IMBREX_EFAIL, false },
		/* A dataset that is called like an error. */
		{ "cannot destroy 'tank/is busy': permission denied", IMBREX_EPERM, false },
		{ "cannot destroy 'tank/dependent clones': dataset is busy", IMBREX_EBUSY, false },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(zfs_status_of_words(cases[i].said), cases[i].status);
		assert_int_equal(zfs_no_waiting_helps(cases[i].said), cases[i].final);
	}
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(rows_have_all_their_fields),
		cmocka_unit_test(a_field_beyond_the_limit_is_refused),
		cmocka_unit_test(complaints_have_a_status_whatever_names_they_hold),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
