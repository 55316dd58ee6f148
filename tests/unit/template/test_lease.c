/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns what, and whether he lives; locks between processes. */
#include "template/lease.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "../os/scratch.h"

#define BOOT "01234567-89ab-cdef-0123-456789abcdef"

static void only_a_whole_text_is_a_lease(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ BOOT ":17:4711", true },
		{ BOOT ":1:0", true },
		{ BOOT ":2147483647:18446744073709551615", true },
		{ "", false },
		{ "-", false },
		{ BOOT, false },
		{ BOOT ":", false },
		{ BOOT ":17", false },
		{ BOOT ":17:", false },
		{ BOOT ":0:1", false },          /* every process of the group */
		{ BOOT ":-1:1", false },         /* every process */
		{ BOOT ":2147483648:1", false }, /* no pid */
		{ BOOT ":1:18446744073709551616", false },
		{ BOOT ":17:4711 ", false },
		{ BOOT ":17:4711:", false },
		{ BOOT ": 17:1", false },
		{ "01234567-89AB-cdef-0123-456789abcdef:17:1", false },
		{ "01234567089ab-cdef-0123-456789abcdef:17:1", false },
	};
	struct lease l;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			lease_parse(cases[i].text, strlen(cases[i].text), &l), cases[i].want);
	assert_true(lease_parse(BOOT ":17:4711", strlen(BOOT) + 8, &l));
	assert_string_equal(l.boot, BOOT);
	assert_int_equal(l.pid, 17);
	assert_int_equal(l.start_ticks, 4711);
	assert_false(lease_is_alive(&l)); /* another boot */
}

static void an_owner_lives_until_it_ends(void **state)
{
	char text[LEASE_TEXT_BYTES];
	struct imbrex_error err;
	struct lease mine, other;
	int ends[2], status;
	char c;
	pid_t pid;

	assert_int_equal(lease_mine(text, &err), 0);
	assert_true(lease_parse(text, strlen(text), &mine));
	assert_true(lease_is_alive(&mine));
	mine.start_ticks++;
	assert_false(lease_is_alive(&mine)); /* another process, of the same number */
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (lease_mine(text, &err) < 0 || write(ends[1], text, sizeof(text)) < 0)
			_exit(1);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(read(ends[0], text, sizeof(text)), sizeof(text));
	assert_true(lease_parse(text, strlen(text), &other));
	assert_true(lease_is_alive(&other));
	assert_int_equal(kill(pid, SIGKILL), 0);
	/* Dead, though nobody has waited for it. */
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 0);
	{
		siginfo_t info;

		assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	}
	assert_false(lease_is_alive(&other));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(lease_is_alive(&other));
	(void)close(ends[0]);
}

static void a_lock_excludes_all_others_of_its_name(void **state)
{
	struct scratch *s = *state;
	struct imbrex_error err;
	AUTO_CLOSE int a = -EBADF;
	AUTO_CLOSE int b = -EBADF;
	AUTO_CLOSE int c = -EBADF;
	int status;
	pid_t pid;

	assert_int_equal(lease_lock(s->fd, ".layers/a", true, &a, &err), 1);
	assert_int_equal(lease_lock(s->fd, ".layers/a", false, &c, &err), 0);
	assert_int_equal(lease_lock(s->fd, ".layers/b", false, &b, &err), 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* Held by the descriptor that it has, too. */
		a = close_fd(a);
		b = close_fd(b);
		_exit(lease_lock(s->fd, ".layers/a", true, &c, &err) == 1 ? 0 : 1);
	}
	a = close_fd(a);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(lease_lock(s->fd, ".layers/a", false, &a, &err), 1);
}

static void a_link_in_place_of_the_file_is_refused(void **state)
{
	struct scratch *s = *state;
	struct imbrex_error err;
	int fd = -EBADF;

	assert_int_equal(symlinkat("elsewhere", s->fd, ".imbrex.lock"), 0);
	assert_true(lease_lock(s->fd, "x", true, &fd, &err) < 0);
	assert_non_null(strstr(err.message, "open '.imbrex.lock'"));
	assert_int_equal(faccessat(s->fd, "elsewhere", F_OK, 0), -1);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(only_a_whole_text_is_a_lease),
		cmocka_unit_test(an_owner_lives_until_it_ends),
		cmocka_unit_test_setup_teardown(
			a_lock_excludes_all_others_of_its_name, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(
			a_link_in_place_of_the_file_is_refused, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
