/* SPDX-License-Identifier: Apache-2.0 */
/* Helper programs: what they get, what they say, how they end. */
#include "os/proc.h"

#include <sys/mman.h>

#include "base/macros.h"
#include "base/str.h"
#include "scratch.h"

#define SH(text)                            \
	(const char *const[])               \
	{                                   \
		"/bin/sh", "-c", text, NULL \
	}

static void stdin_goes_in_and_stdout_comes_out(void **state)
{
	const struct proc_spec spec = {
		.argv = SH("cat; exit 3"), .input = "hello", .input_len = 5
	};
	struct imbrex_error err = { 0 };
	AUTO_STR out = STR_INIT(100);
	int status = -1;

	assert_int_equal(proc_run(&spec, &out, &status, &err), 0);
	assert_string_equal(str_text(&out), "hello");
	assert_int_equal(status, 3);
}

static void only_the_given_environment_and_fds_arrive(void **state)
{
	int secret = open("/dev/null", O_RDONLY);
	const struct proc_fd fds[] = { { .fd = secret, .target = 7 } };
	const struct proc_spec spec = {
		.argv = SH("echo $IN$HOME; for f in /proc/self/fd/*; do echo ${f##*/}; done"),
		.env = (const char *const[]){ "IN=in", NULL },
		.fds = fds,
		.n_fds = 1,
	};
	struct imbrex_error err = { 0 };
	AUTO_STR out = STR_INIT(1000);
	int status = -1;

	assert_int_equal(proc_run(&spec, &out, &status, &err), 0);
	assert_int_equal(strncmp(str_text(&out), "in\n0\n1\n2\n", 9), 0);
	assert_non_null(strstr(str_text(&out), "\n7\n"));
	assert_true(out.len < 20); /* and the shell's own of the folder */
	(void)close(secret);
}

static void failures_have_a_message(void **state)
{
	static const struct {
		const char *script;
		const char *message;
		bool last;
	} cases[] = {
		{ "echo what >&2; echo more >&2; exit 4", "'/bin/sh' failed with status 4: what" },
		{ "echo what >&2; echo more >&2; echo >&2; exit 4",
			"'/bin/sh' failed with status 4: more", true },
		{ "exit 4", "'/bin/sh' failed with status 4", true },
		{ "kill -9 $$", "'/bin/sh' failed with status 137" },
		{ "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxx; done",
			"'/bin/sh' writes more than 100 bytes" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct proc_spec spec = { .argv = SH(cases[i].script),
			.cause_is_last = cases[i].last };
		struct imbrex_error err = { 0 };
		AUTO_STR out = STR_INIT(100);

		assert_true(proc_check(&spec, &out, &err) < 0);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void a_missing_or_relative_program_is_refused(void **state)
{
	struct imbrex_error err = { 0 };
	struct proc_spec spec = { .argv = (const char *const[]){ "/no/such", NULL } };
	int status;

	assert_int_equal(proc_run(&spec, NULL, &status, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "run '/no/such': No such file or directory");
	spec.argv = (const char *const[]){ "sh", NULL };
	assert_int_equal(proc_run(&spec, NULL, &status, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "run 'sh': not an absolute path");
}

static void one_that_does_not_end_is_killed(void **state)
{
	const struct proc_spec spec = { .argv = SH("while :; do :; done"), .timeout_ms = 20 };
	struct imbrex_error err = { 0 };
	int status;

	assert_int_equal(proc_run(&spec, NULL, &status, &err), IMBREX_EFAIL);
	assert_string_equal(err.message, "'/bin/sh' did not end within 20 ms");
}

static void a_daemon_left_behind_is_not_waited_for(void **state)
{
	/* The daemon ends with this test: it waits for a pipe of ours to close. */
	int ends[2];
	struct proc_fd fds[1] = { { .target = 3 } };
	const struct proc_spec spec = { .argv = SH("cat <&3 & echo up"), .fds = fds, .n_fds = 1 };
	struct imbrex_error err = { 0 };
	AUTO_STR out = STR_INIT(100);
	int status = -1;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fds[0].fd = ends[0];
	assert_int_equal(proc_run(&spec, &out, &status, &err), 0);
	assert_string_equal(str_text(&out), "up\n");
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void what_it_complains_of_is_heard_up_to_a_limit(void **state)
{
	const struct proc_spec spec = { .argv = SH("echo out; echo complaint >&2; exit 4") };
	struct imbrex_error err = { 0 };
	AUTO_STR out = STR_INIT(100);
	AUTO_STR said = STR_INIT(6);
	int status = -1;

	assert_int_equal(proc_hear(&spec, &out, &said, &status, &err), 0);
	assert_string_equal(str_text(&out), "out\n");
	assert_string_equal(str_text(&said), "compla");
	assert_int_equal(status, 4);
}

static void descriptors_take_the_place_of_stdin_and_stdout(void **state)
{
	AUTO_CLOSE int in = memfd_create("in", MFD_CLOEXEC);
	AUTO_CLOSE int out = memfd_create("out", MFD_CLOEXEC);
	const struct proc_spec spec = { .argv = SH("cat"), .stdin_fd = in, .stdout_fd = out };
	struct imbrex_error err = { 0 };
	char buf[8] = "";
	int status = -1;

	assert_int_equal(pwrite(in, "hello", 5, 0), 5);
	assert_int_equal(proc_run(&spec, NULL, &status, &err), 0);
	assert_int_equal(status, 0);
	assert_int_equal(pread(out, buf, sizeof(buf) - 1, 0), 5);
	assert_string_equal(buf, "hello");
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(stdin_goes_in_and_stdout_comes_out),
		cmocka_unit_test(only_the_given_environment_and_fds_arrive),
		cmocka_unit_test(failures_have_a_message),
		cmocka_unit_test(a_missing_or_relative_program_is_refused),
		cmocka_unit_test(one_that_does_not_end_is_killed),
		cmocka_unit_test(a_daemon_left_behind_is_not_waited_for),
		cmocka_unit_test(what_it_complains_of_is_heard_up_to_a_limit),
		cmocka_unit_test(descriptors_take_the_place_of_stdin_and_stdout),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
