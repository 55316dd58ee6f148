/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on threads; and what the machine can do, which decides how many. */
#include "os/pool.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "os/probe.h"
#include "scratch.h"

struct count {
	_Atomic size_t sum;
	_Atomic size_t n;
	size_t fail_at; /* this job and all after it fail */
};

static int add(void *ctx, size_t index, struct imbrex_error *err)
{
	struct count *c = ctx;

	atomic_fetch_add(&c->n, 1);
	if (index >= c->fail_at)
		return (fail)(err, IMBREX_EIO, "job %zu", index);
	atomic_fetch_add(&c->sum, index);
	return 0;
}

static void every_job_runs_once(void **state)
{
	static const size_t threads[] = { 0, 1, 2, 7, 200 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(threads); i++) {
		struct count c = { .fail_at = SIZE_MAX };
		struct imbrex_error err = { 0 };

		assert_int_equal(pool_run(100, threads[i], add, &c, &err), 0);
		assert_int_equal(c.n, 100);
		assert_int_equal(c.sum, 4950);
		assert_int_equal(pool_run(0, threads[i], add, &c, &err), 0);
		assert_int_equal(c.n, 100);
	}
}

static void the_first_failure_stops_further_starts(void **state)
{
	struct count c = { .fail_at = 10 };
	struct imbrex_error err = { 0 };

	assert_int_equal(pool_run(100000, 1, add, &c, &err), IMBREX_EIO);
	assert_string_equal(err.message, "job 10");
	assert_int_equal(c.n, 11);
	c = (struct count){ .fail_at = 10 };
	assert_int_equal(pool_run(100000, 4, add, &c, NULL), IMBREX_EIO);
	assert_true(c.n <= 14);
}

static void the_machine_is_known(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	unsigned int major = 0;
	unsigned int minor = 0;
	uint32_t magic = 0;

	assert_true(pool_n_cpus() >= 1);
	assert_int_equal(kernel_version(&major, &minor), 0);
	assert_true(kernel_at_least(major, minor));
	assert_true(kernel_at_least(major - 1, minor + 1));
	assert_false(kernel_at_least(major, minor + 1));
	assert_false(kernel_at_least(major + 1, 0));
	assert_int_equal(fs_magic(s->fd, &magic), 0);
	assert_true(magic != 0);
	assert_string_equal(fs_name(FS_MAGIC_EXT), "extfs");
	assert_string_equal(fs_name(FS_MAGIC_OVERLAY), "overlayfs");
	assert_string_equal(fs_name(1), "unknown");
	assert_true(fs_is_network(FS_MAGIC_NFS));
	assert_false(fs_is_network(FS_MAGIC_XFS));
	assert_int_equal(fs_has_entry_types(s->fd, &err), 1);
	assert_false(have_capability(4000));
	assert_int_equal(have_capability(/* CAP_CHOWN */ 0), geteuid() == 0);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(every_job_runs_once),
		cmocka_unit_test(the_first_failure_stops_further_starts),
		scratch_test(the_machine_is_known),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
