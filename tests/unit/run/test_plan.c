/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: options that make no sense are refused, and the order of steps is the safe one. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "run/plan.h"

static const char *const true_argv[] = { "true", NULL };
static const struct run_facts root_facts = { .privileged = true };
static const struct run_facts user_facts = { .euid = 1000, .egid = 1000 };

static struct imbrex_run_opts base_opts(void)
{
	return (struct imbrex_run_opts){ .rootfs = "/r", .argv = true_argv };
}

static struct run_plan *plan(const struct imbrex_run_opts *o, const struct run_facts *f)
{
	struct imbrex_error err = { 0 };
	struct run_plan *p = NULL;

	if (run_plan_new(o, f, &p, &err) < 0)
		fail_msg("%s", err.message);
	return p;
}

static void refused(
	const struct imbrex_run_opts *o, const struct run_facts *f, int status, const char *message)
{
	struct imbrex_error err = { 0 };
	struct run_plan *p = NULL;

	assert_int_equal(run_plan_new(o, f, &p, &err), status);
	assert_string_equal(err.message, message);
	assert_null(p);
}

static ptrdiff_t find(const struct run_plan *p, enum run_op_kind kind, const char *target)
{
	size_t i;

	for (i = 0; i < p->n_ops; i++)
		if (p->ops[i].kind == kind &&
			(!target || (p->ops[i].target && strcmp(p->ops[i].target, target) == 0)))
			return (ptrdiff_t)i;
	return -1;
}

static void the_root_and_command_must_be_given(void **state)
{
	static const char *const empty[] = { NULL }, *const blank[] = { "", NULL };
	struct imbrex_run_opts o = base_opts();
	int fd = 3;

	o.rootfs_fd = &fd;
	refused(&o, &root_facts, IMBREX_EINVAL,
		"give the root file system as a path or as a descriptor");
	o.rootfs = NULL;
	o.rootfs_fd = NULL;
	refused(&o, &root_facts, IMBREX_EINVAL,
		"give the root file system as a path or as a descriptor");
	o = base_opts();
	o.rootfs_is_detached = true;
	refused(&o, &root_facts, IMBREX_EINVAL, "a detached root mount is given as a descriptor");
	o = base_opts();
	o.argv = empty;
	refused(&o, &root_facts, IMBREX_EINVAL, "no command to run");
	o.argv = NULL;
	refused(&o, &root_facts, IMBREX_EINVAL, "no command to run");
	o.argv = blank;
	refused(&o, &root_facts, IMBREX_EINVAL, "the command to run is an empty string");
}

static void working_directories_of_hostile_images_are_refused(void **state)
{
	static char longest[5000], component[300];
	static const struct {
		const char *workdir;
		int status;
		const char *message;
	} cases[] = {
		{ "", IMBREX_EINVAL, "working directory '' is not an absolute path" },
		{ "tmp", IMBREX_EINVAL, "working directory 'tmp' is not an absolute path" },
		{ "/a/../../etc", IMBREX_EINVAL, "working directory '/a/../../etc' contains '..'" },
		{ "/..", IMBREX_EINVAL, "working directory '/..' contains '..'" },
		{ "$(id)", IMBREX_EINVAL, "working directory '$(id)' is not an absolute path" },
		{ "x\n/y", IMBREX_EINVAL, "working directory 'x?/y' is not an absolute path" },
		{ longest, IMBREX_ELIMIT, "working directory has more than 4095 bytes" },
		{ component, IMBREX_ELIMIT,
			"working directory has a component of more than 255 bytes" },
	};
	struct imbrex_run_opts o = base_opts();
	size_t i;

	memset(longest, '/', sizeof(longest) - 1);
	memset(component, 'c', sizeof(component) - 1);
	component[0] = '/';
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		o.workdir = cases[i].workdir;
		refused(&o, &root_facts, cases[i].status, cases[i].message);
	}
}

static void odd_but_possible_working_directories_pass_unchanged(void **state)
{
	static const char *const good[] = { "/", "//a//b/", "/...", "/..a", "/a b\n\"'$(x)",
		"/./x" };
	struct imbrex_run_opts o = base_opts();
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++) {
		AUTO_RUN_PLAN *p = NULL;

		o.workdir = good[i];
		p = plan(&o, &root_facts);
		assert_true(find(p, RUN_OP_WORKDIR, good[i]) > 0);
	}
}

static void environments_of_hostile_images_are_refused(void **state)
{
	static char big[RUN_STRING_BYTES + 2];
	static const char *many[RUN_STRINGS_MAX + 2];
	const char *env[] = { "A=1", NULL, NULL };
	struct imbrex_run_opts o = base_opts();
	size_t i;

	o.env = env;
	env[1] = "NOVALUE";
	refused(&o, &root_facts, IMBREX_EINVAL, "environment string 'NOVALUE' is not NAME=VALUE");
	env[1] = "=x";
	refused(&o, &root_facts, IMBREX_EINVAL, "environment string '=x' is not NAME=VALUE");
	env[1] = "";
	refused(&o, &root_facts, IMBREX_EINVAL, "environment string '' is not NAME=VALUE");
	memset(big, '=', sizeof(big) - 1);
	big[0] = 'A';
	env[1] = big;
	refused(&o, &root_facts, IMBREX_ELIMIT, "environment string 1 has 131072 bytes or more");
	for (i = 0; i < RUN_STRINGS_MAX + 1; i++)
		many[i] = "A=1";
	o.env = many;
	refused(&o, &root_facts, IMBREX_ELIMIT, "more than 65536 environment strings");
	o.env = NULL;
	o.argv = many;
	refused(&o, &root_facts, IMBREX_ELIMIT, "more than 65536 argument strings");
}

static void mounts_that_cannot_be_are_refused(void **state)
{
	static const struct {
		struct imbrex_run_mount mount;
		const char *message;
	} cases[] = {
		{ { 1, "/s", NULL }, "mount 0 has no target" },
		{ { 1, "/s", "t" }, "mount target 't' is not an absolute path" },
		{ { 1, "/s", "/a/../b" }, "mount target '/a/../b' contains '..'" },
		{ { 1, "/s", "/" }, "a mount cannot replace '/'" },
		{ { 1, "/s", "//./" }, "a mount cannot replace '/'" },
		{ { 1, "s", "/t" }, "bind mount on '/t': the source is not an absolute path" },
		{ { 1, NULL, "/t" }, "bind mount on '/t': the source is not an absolute path" },
		{ { 1, "/s", "/t", "rw" }, "bind mount on '/t' takes no options 'rw'" },
		{ { 2, "/s", "/t" }, "tmpfs on '/t' takes no source" },
		{ { 2, NULL, "/t", "mode=1777,evil=1" }, "tmpfs on '/t': unknown option 'evil=1'" },
		{ { 2, NULL, "/t", "source=/x" }, "tmpfs on '/t': unknown option 'source=/x'" },
		{ { 9, "/s", "/t" }, "mount on '/t': unknown type 9" },
	};
	struct imbrex_run_opts o = base_opts();
	size_t i;

	o.n_mounts = 1;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		o.mounts = &cases[i].mount;
		refused(&o, &root_facts, IMBREX_EINVAL, cases[i].message);
	}
	o.n_mounts = RUN_MOUNTS_MAX + 1;
	refused(&o, &root_facts, IMBREX_ELIMIT, "4097 mounts, at most 4096 are possible");
}

static void host_names_are_names(void **state)
{
	static const char *const bad[] = { "", "a b", "a\nb", "$(id)", "a/b", "h;rm" };
	struct imbrex_run_opts o = base_opts();
	char message[128];
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		o.hostname = bad[i];
		(void)snprintf(message, sizeof(message),
			"host name '%s' is not 1 to 64 of a-z 0-9 - . _",
			bad[i][0] == 'a' && bad[i][1] == '\n' ? "a?b" : bad[i]);
		refused(&o, &root_facts, IMBREX_EINVAL, message);
	}
	o.hostname = "ok";
	o.share = IMBREX_RUN_SHARE_UTS;
	refused(&o, &root_facts, IMBREX_EINVAL, "a host name needs a uts namespace of its own");
}

static void the_user_namespace_follows_the_rights_of_the_caller(void **state)
{
	static const struct run_facts ranges = { .euid = 1000, .egid = 1000, .has_subids = true };
	struct imbrex_run_opts o = base_opts();
	AUTO_RUN_PLAN *as_root = plan(&o, &root_facts);
	AUTO_RUN_PLAN *as_user = plan(&o, &user_facts);
	AUTO_RUN_PLAN *with_ranges = plan(&o, &ranges);

	assert_int_equal(as_root->userns, IMBREX_RUN_USERNS_NONE);
	assert_int_equal(as_root->clone_flags, CLONE_NEWPID);
	assert_int_equal(as_user->userns, IMBREX_RUN_USERNS_SINGLE);
	assert_int_equal(as_user->clone_flags, CLONE_NEWPID | CLONE_NEWUSER);
	assert_int_equal(with_ranges->userns, IMBREX_RUN_USERNS_SUBIDS);
	o.userns = IMBREX_RUN_USERNS_NONE;
	refused(&o, &user_facts, IMBREX_EPERM,
		"running without a user namespace needs CAP_SYS_ADMIN");
	o.keep_id = true;
	refused(&o, &root_facts, IMBREX_EINVAL,
		"keeping one's own id needs a user namespace with one id or with subordinate ids");
	o.keep_id = false;
	o.userns = IMBREX_RUN_USERNS_MAPS;
	refused(&o, &root_facts, IMBREX_EINVAL, "a user namespace with maps needs both kinds");
	o.userns = 77;
	refused(&o, &root_facts, IMBREX_EINVAL, "unknown user namespace mode 77");
	o = base_opts();
	o.caps = 9;
	refused(&o, &root_facts, IMBREX_EINVAL, "unknown capability set 9");
}

static void every_namespace_is_new_unless_shared(void **state)
{
	struct imbrex_run_opts o = base_opts();
	AUTO_RUN_PLAN *all = plan(&o, &root_facts);
	AUTO_RUN_PLAN *none = NULL;

	assert_int_equal(all->unshare_flags,
		CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET);
	assert_true(find(all, RUN_OP_LOOPBACK, NULL) > 0);
	o.share = IMBREX_RUN_SHARE_PID | IMBREX_RUN_SHARE_IPC | IMBREX_RUN_SHARE_UTS |
		  IMBREX_RUN_SHARE_CGROUP | IMBREX_RUN_SHARE_NET;
	none = plan(&o, &root_facts);
	assert_int_equal(none->unshare_flags, CLONE_NEWNS);
	assert_int_equal(none->clone_flags, 0);
	assert_int_equal(find(none, RUN_OP_LOOPBACK, NULL), -1);
	assert_int_equal(find(none, RUN_OP_FORK_INIT, NULL), -1);
	assert_int_equal(find(none, RUN_OP_FS, "/dev/mqueue"), -1);
}

static void the_order_of_steps_is_the_safe_one(void **state)
{
	static const struct imbrex_run_mount m = { IMBREX_RUN_MOUNT_BIND, "/src", "/data" };
	struct imbrex_run_opts o = base_opts();
	AUTO_RUN_PLAN *p = NULL;
	ptrdiff_t proc, bind, hide, readonly, pivot, init, workdir, filter, privileges;

	o.mounts = &m;
	o.n_mounts = 1;
	o.read_only = true;
	p = plan(&o, &root_facts);
	proc = find(p, RUN_OP_FS, "/proc");
	bind = find(p, RUN_OP_BIND, "/data");
	hide = find(p, RUN_OP_HIDE, "/proc/kcore");
	readonly = find(p, RUN_OP_ROOT_READONLY, NULL);
	pivot = find(p, RUN_OP_PIVOT, NULL);
	init = find(p, RUN_OP_FORK_INIT, NULL);
	workdir = find(p, RUN_OP_WORKDIR, "/");
	filter = find(p, RUN_OP_SECCOMP, NULL);
	privileges = find(p, RUN_OP_PRIVILEGES, NULL);
	assert_true(0 < proc && proc < bind && bind < hide && hide < readonly);
	assert_true(readonly < pivot && pivot < init && init < workdir && workdir < filter);
	assert_true(filter < privileges);
	assert_int_equal(p->ops[p->n_ops - 1].kind, RUN_OP_EXEC);
}

static void kernel_file_systems_are_strict_and_mounts_of_the_caller_guarded(void **state)
{
	static const struct imbrex_run_mount m = { IMBREX_RUN_MOUNT_TMPFS, NULL, "/t", "size=1m" };
	struct imbrex_run_opts o = base_opts();
	AUTO_RUN_PLAN *p = NULL;

	o.mounts = &m;
	o.n_mounts = 1;
	p = plan(&o, &root_facts);
	assert_true(p->ops[find(p, RUN_OP_FS, "/proc")].flags & RUN_STRICT);
	assert_true(p->ops[find(p, RUN_OP_FS, "/sys")].flags & RUN_STRICT);
	assert_true(p->ops[find(p, RUN_OP_FS, "/dev")].flags & RUN_STRICT);
	assert_true(p->ops[find(p, RUN_OP_FS, "/sys")].attrs & MOUNT_ATTR_RDONLY);
	assert_int_equal(p->ops[find(p, RUN_OP_FS, "/t")].flags, RUN_GUARDED);
	assert_int_equal(
		p->ops[find(p, RUN_OP_FS, "/t")].attrs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

static void a_step_is_described_on_one_clean_line(void **state)
{
	static const struct imbrex_run_mount m = { IMBREX_RUN_MOUNT_BIND, "/a\nb", "/t", NULL, true,
		true };
	struct imbrex_run_opts o = base_opts();
	AUTO_STR line = STR_INIT(1000);
	AUTO_RUN_PLAN *p = NULL;

	o.mounts = &m;
	o.n_mounts = 1;
	p = plan(&o, &root_facts);
	assert_int_equal(run_op_describe(p, &p->ops[find(p, RUN_OP_BIND, "/t")], &line), 0);
	assert_string_equal(str_text(&line), "bind /a?b /t ro recursive");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_root_and_command_must_be_given),
		cmocka_unit_test(working_directories_of_hostile_images_are_refused),
		cmocka_unit_test(odd_but_possible_working_directories_pass_unchanged),
		cmocka_unit_test(environments_of_hostile_images_are_refused),
		cmocka_unit_test(mounts_that_cannot_be_are_refused),
		cmocka_unit_test(host_names_are_names),
		cmocka_unit_test(the_user_namespace_follows_the_rights_of_the_caller),
		cmocka_unit_test(every_namespace_is_new_unless_shared),
		cmocka_unit_test(the_order_of_steps_is_the_safe_one),
		cmocka_unit_test(kernel_file_systems_are_strict_and_mounts_of_the_caller_guarded),
		cmocka_unit_test(a_step_is_described_on_one_clean_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
