/* SPDX-License-Identifier: Apache-2.0 */
/* The error object: one line, cut and not overflowed, nothing in it that moves a cursor. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "base/error.h"

static void a_message_holds_the_text_and_the_cause(void **state)
{
	struct imbrex_error err = { 0 };

	assert_int_equal(fail(&err, IMBREX_EINVAL, "option '%s'", "x"), IMBREX_EINVAL);
	assert_int_equal(err.status, IMBREX_EINVAL);
	assert_int_equal(err.errnum, 0);
	assert_string_equal(err.message, "option 'x'");
	errno = ENOENT;
	assert_int_equal(fail_errno(&err, "open '%s'", "f"), IMBREX_ENOENT);
	assert_string_equal(err.message, "open 'f': No such file or directory");
	assert_int_equal(err.errnum, ENOENT);
	assert_int_equal(fail_code(&err, -ENOSPC, "write"), IMBREX_ENOSPC);
	assert_string_equal(err.message, "write: No space left on device");
	assert_int_equal(err.errnum, ENOSPC);
	assert_int_equal(fail_code(&err, 123456, "x"), IMBREX_EFAIL);
	assert_string_equal(err.message, "x: unknown error");
}

static void wrapping_puts_the_noun_in_front_and_keeps_the_rest(void **state)
{
	struct imbrex_error err = { 0 };
	int r = fail_code(&err, EBUSY, "rename");

	r = hint(&err, r, "the first hint %d", 1);
	r = hint(&err, r, "a later hint is worth less");
	assert_int_equal(wrap(&err, r, "layer %s", "ab"), IMBREX_EBUSY);
	assert_string_equal(err.message, "layer ab: rename: Device or resource busy");
	assert_string_equal(err.hint, "the first hint 1");
	assert_int_equal(err.errnum, EBUSY);
	r = fail(&err, IMBREX_EFAIL, "anew");
	assert_string_equal(err.hint, "");
	(void)r;
}

static void control_characters_of_a_name_do_not_reach_a_terminal(void **state)
{
	struct imbrex_error err = { 0 };
	int r = fail(&err, IMBREX_EFAIL, "'%s'", "a\x1b[31m\n\r\t\x7f\xc3\xa9");

	assert_string_equal(err.message, "'a?[31m????\xc3\xa9'");
	r = wrap(&err, r, "%s", "\x07");
	assert_string_equal(err.message, "?: 'a?[31m????\xc3\xa9'");
	r = hint(&err, r, "%s", "try\nthis");
	assert_string_equal(err.hint, "try?this");
	(void)r;
}

static void long_messages_are_cut(void **state)
{
	static char long_name[3 * IMBREX_ERROR_MESSAGE_MAX];
	struct {
		struct imbrex_error err;
		char behind[8];
	} box = { .behind = "behind" };
	int r;

	memset(long_name, 'x', sizeof(long_name) - 1);
	r = fail_code(&box.err, EIO, "read '%s'", long_name);
	assert_int_equal(strlen(box.err.message), IMBREX_ERROR_MESSAGE_MAX - 1);
	r = wrap(&box.err, r, "%s", long_name);
	r = hint(&box.err, r, "%s", long_name);
	assert_int_equal(strlen(box.err.message), IMBREX_ERROR_MESSAGE_MAX - 1);
	assert_string_equal(box.behind, "behind");
	(void)r;
}

static void no_object_is_fine_everywhere(void **state)
{
	assert_int_equal(fail(NULL, IMBREX_EFAIL, "x"), IMBREX_EFAIL);
	assert_int_equal(fail_code(NULL, ENOMEM, "x"), IMBREX_ENOMEM);
	assert_int_equal(fail_nomem(NULL), IMBREX_ENOMEM);
	assert_int_equal(wrap(NULL, -5, "x"), -5);
	assert_int_equal(hint(NULL, -5, "x"), -5);
}

static void causes_have_the_status_a_caller_can_act_on(void **state)
{
	static const struct {
		int errnum;
		int status;
	} cases[] = {
		{ ENOENT, IMBREX_ENOENT },
		{ EEXIST, IMBREX_EEXIST },
		{ EACCES, IMBREX_EPERM },
		{ EROFS, IMBREX_EPERM },
		{ EBUSY, IMBREX_EBUSY },
		{ ENOSPC, IMBREX_ENOSPC },
		{ EDQUOT, IMBREX_ENOSPC },
		{ ENOMEM, IMBREX_ENOMEM },
		{ EFBIG, IMBREX_ELIMIT },
		{ EIO, IMBREX_EIO },
		{ ENOEXEC, IMBREX_EFAIL },
		{ 0, IMBREX_EFAIL },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(status_of_errno(cases[i].errnum), cases[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_holds_the_text_and_the_cause),
		cmocka_unit_test(wrapping_puts_the_noun_in_front_and_keeps_the_rest),
		cmocka_unit_test(control_characters_of_a_name_do_not_reach_a_terminal),
		cmocka_unit_test(long_messages_are_cut),
		cmocka_unit_test(no_object_is_fine_everywhere),
		cmocka_unit_test(causes_have_the_status_a_caller_can_act_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
