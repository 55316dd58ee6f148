/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps, user namespaces, and the subordinate ids they are made of. */
#include "os/userns.h"

#include <sched.h>
#include <sys/prctl.h>

#include "os/subid.h"
#include "scratch.h"

static void wrong_maps_are_refused(void **state)
{
	static const struct {
		struct imbrex_id_map map[2];
		size_t n;
		const char *message;
	} cases[] = {
		{ { { 0 } }, 0, "uid map is empty" },
		{ { { 0, 0, 0 } }, 1, "uid map range 0:0:0 is not one" },
		{ { { 0, 4294967295u, 1 } }, 1, "uid map range 0:4294967295:1 is not one" },
		{ { { 0, 1000, 2 }, { 1, 5000, 1 } }, 2,
			"uid map ranges 0:1000:2 and 1:5000:1 overlap" },
		{ { { 0, 1000, 2 }, { 9, 1001, 1 } }, 2,
			"uid map ranges 0:1000:2 and 9:1001:1 overlap" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct id_maps maps = { cases[i].map, cases[i].n, cases[i].map, cases[i].n };

		assert_int_equal(id_maps_check(&maps, &err), IMBREX_EINVAL);
		assert_string_equal(err.message, cases[i].message);
	}
}

static int am_root_inside(void *ctx)
{
	if (getuid() != 0 || getgid() != 0 || in_initial_userns())
		return 1;
	return *(int *)ctx;
}

static void a_child_is_root_of_its_namespace(void **state)
{
	const struct imbrex_id_map uid = { .inside = 0, .outside = getuid(), .count = 1 };
	const struct imbrex_id_map gid = { .inside = 0, .outside = getgid(), .count = 1 };
	const struct id_maps maps = { &uid, 1, &gid, 1 };
	struct imbrex_error err = { 0 };
	int status = -1;
	int code = 42;

	assert_int_equal(userns_run(&maps, CLONE_NEWNS, am_root_inside, &code, &status, &err), 0);
	assert_int_equal(status, 42);
	assert_int_equal(close(userns_new(&maps, &err)), 0);
}

static int by_nobody(void)
{
	const struct imbrex_id_map id = { .inside = 0, .outside = 65534, .count = 1 };
	const struct imbrex_id_map more = { .inside = 0, .outside = 100000, .count = 10 };
	const struct id_maps own = { &id, 1, &id, 1 };
	const struct id_maps others = { &more, 1, &id, 1 };
	struct imbrex_error err = { 0 };
	int status = -1;
	int code = 0;

	/* Changing ids takes our /proc files from us; dumpable gives them back. */
	if (setgid(65534) < 0 || setuid(65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		return 1;
	if (userns_run(&own, 0, am_root_inside, &code, &status, &err) < 0 || status != 0)
		return 2;
	/* Not in /etc/subuid: newuidmap refuses, or is not there. */
	return userns_run(&others, 0, am_root_inside, &code, &status, &err) < 0 ? 0 : 3;
}

static void an_unprivileged_caller_may_map_itself_only(void **state)
{
	int status;
	pid_t pid;

	if (getuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(by_nobody());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void ranges_of_a_user_are_found_by_name_and_number(void **state)
{
	static const char text[] = "alice:100000:65536\n"
				   "bob:165536:65536\n"
				   "# comment\n"
				   "1000:300000:10\n"
				   "alice:x:10\n"
				   "alice:10\n"
				   "alice:10:0\n"
				   "alice:4294967290:6\n"
				   ":1:1\n"
				   "alice:5:1:2\n"
				   "alice:400000:1";
	struct subid_ranges got;

	subid_parse(text, sizeof(text) - 1, "alice", 1000, &got);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.items[0].start, 100000);
	assert_int_equal(got.items[0].count, 65536);
	assert_int_equal(got.items[1].start, 300000);
	assert_int_equal(got.items[2].start, 400000);
	subid_parse(text, sizeof(text) - 1, NULL, 1, &got);
	assert_int_equal(got.n, 0);
}

static void a_missing_file_has_no_ranges(void **state)
{
	struct subid_ranges got = { .n = 7 };
	struct imbrex_error err = { 0 };

	assert_int_equal(subid_read("/no/such/file", "alice", 1000, &got, &err), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(subid_read("/", "alice", 1000, &got, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "'/' is not a regular file");
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(wrong_maps_are_refused),
		cmocka_unit_test(a_child_is_root_of_its_namespace),
		cmocka_unit_test(an_unprivileged_caller_may_map_itself_only),
		cmocka_unit_test(ranges_of_a_user_are_found_by_name_and_number),
		cmocka_unit_test(a_missing_file_has_no_ranges),
	};
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		(void)fprintf(stderr, "skipped: not permitted to make a user namespace\n");
		return 77;
	}
	return cmocka_run_group_tests(group, NULL, NULL);
}
