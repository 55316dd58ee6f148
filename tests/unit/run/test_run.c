/* SPDX-License-Identifier: Apache-2.0 */
/* What imbrex_run() refuses before it makes a process, and that it leaves the caller as it was. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "imbrex/run.h"

static const char *const true_argv[] = { "true", NULL };

static void *wait_for_unlock(void *lock)
{
	(void)pthread_mutex_lock(lock);
	(void)pthread_mutex_unlock(lock);
	return NULL;
}

static void a_process_with_threads_is_refused(void **state)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct imbrex_run_opts o = { .rootfs = "/", .argv = true_argv };
	struct imbrex_error err = { 0 };
	pthread_t thread;
	int status = -1;

	(void)pthread_mutex_lock(&lock);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_unlock, &lock), 0);
	assert_int_equal(imbrex_run(&o, &status, &err), IMBREX_EBUSY);
	assert_string_equal(
		err.message, "a process with more than one thread cannot run a container");
	assert_int_equal(status, -1);
	(void)pthread_mutex_unlock(&lock);
	(void)pthread_join(thread, NULL);
}

static void a_root_that_is_no_directory_is_named(void **state)
{
	struct imbrex_run_opts o = { .rootfs = "/dev/null", .argv = true_argv };
	struct imbrex_error err = { 0 };
	int bad = 9999, status = -1;

	assert_int_equal(imbrex_run(&o, &status, &err), IMBREX_EFAIL);
	assert_string_equal(err.message, "root file system '/dev/null': Not a directory");
	o.rootfs = NULL;
	o.rootfs_fd = &bad;
	assert_true(imbrex_run(&o, &status, &err) < 0);
	assert_string_equal(err.message, "root file system descriptor 9999: Bad file descriptor");
	assert_int_equal(status, -1);
}

static void signals_are_as_before_after_a_failure(void **state)
{
	struct imbrex_run_opts o = { .rootfs = "/proc/self/fdinfo", .argv = true_argv };
	struct sigaction before = { .sa_handler = SIG_IGN }, after;
	struct imbrex_error err = { 0 };
	sigset_t mask_before, mask_after;
	int sig, status = -1;

	/* Fails in the child, if not before: nothing can be mounted below this directory. */
	assert_int_equal(sigaction(SIGCHLD, &before, NULL), 0);
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask_before), 0);
	assert_true(imbrex_run(&o, &status, &err) < 0);
	assert_true(err.message[0]);
	assert_int_equal(sigaction(SIGCHLD, NULL, &after), 0);
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask_after), 0);
	assert_true(after.sa_handler == SIG_IGN);
	for (sig = 1; sig < NSIG; sig++)
		assert_int_equal(sigismember(&mask_before, sig), sigismember(&mask_after, sig));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_with_threads_is_refused),
		cmocka_unit_test(a_root_that_is_no_directory_is_named),
		cmocka_unit_test(signals_are_as_before_after_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
