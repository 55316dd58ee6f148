/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution inside a directory, and removal of trees that fight back. */
#include "os/beneath.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/macros.h"
#include "scratch.h"

static void resolution_stays_inside(void **state)
{
	static const struct {
		const char *path;
		enum beneath_mode how;
		int want; /* 0: opens */
	} cases[] = {
		{ "d/f", BENEATH_NO_SYMLINKS, 0 },
		{ "d/../d/f", BENEATH_NO_SYMLINKS, 0 },
		{ "../x", BENEATH_NO_SYMLINKS, -EXDEV },
		{ "/etc/passwd", BENEATH_NO_SYMLINKS, -EXDEV },
		{ "abs/f", BENEATH_NO_SYMLINKS, -ELOOP },
		{ "abs/f", BENEATH_IN_ROOT, 0 },
		{ "up/d/f", BENEATH_IN_ROOT, 0 },
		{ "/d/f", BENEATH_IN_ROOT, 0 },
		{ "/../../d/f", BENEATH_IN_ROOT, 0 },
		{ "/etc/passwd", BENEATH_IN_ROOT, -ENOENT },
	};
	const struct scratch *s = *state;
	size_t i;

	assert_int_equal(mkdirat(s->fd, "d", 0700), 0);
	scratch_file(s->fd, "d/f", "x");
	assert_int_equal(symlinkat("/d", s->fd, "abs"), 0);
	assert_int_equal(symlinkat("../../..", s->fd, "up"), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int fd = open_beneath(s->fd, cases[i].path, O_RDONLY, 0, cases[i].how);

		if (cases[i].want == 0)
			assert_true(fd >= 0);
		else
			assert_int_equal(fd, cases[i].want);
		(void)close_fd(fd);
	}
}

static void mkdirs_beneath_refuses_ways_out(void **state)
{
	static const struct {
		const char *path;
		const char *message; /* NULL: made */
	} cases[] = {
		{ "a/./b//c", NULL },
		{ "a/b/c", NULL },
		{ "a/../b", "create directory 'a/../b': has a '..'" },
		{ "/a", "create directory '/a': not a relative path" },
		{ "out/x", "create directory 'out/x' (at 'out'): Not a directory" },
		{ "file/x", "create directory 'file/x' (at 'file'): Not a directory" },
	};
	const struct scratch *s = *state;
	size_t i;

	assert_int_equal(symlinkat("/tmp", s->fd, "out"), 0);
	scratch_file(s->fd, "file", "");
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		int fd = -EBADF;
		int r = mkdirs_beneath(s->fd, cases[i].path, 0700, &fd, &err);

		if (cases[i].message) {
			assert_true(r < 0);
			assert_string_equal(err.message, cases[i].message);
		} else {
			assert_int_equal(r, 0);
			assert_true(fd >= 0);
		}
		(void)close_fd(fd);
	}
	assert_true(scratch_has(s->fd, "a/b/c"));
}

static void a_missing_name_is_removed_already(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };

	assert_int_equal(remove_tree_at(s->fd, "none", &err), 0);
	assert_int_equal(remove_tree_at(s->fd, "none/below", &err), 0);
}

static void only_names_of_entries_are_removed(void **state)
{
	static const char *const names[] = { "", ".", "..", "a/", "a/.." };
	const struct scratch *s = *state;
	size_t i;

	assert_int_equal(mkdirat(s->fd, "a", 0700), 0);
	for (i = 0; i < ARRAY_LEN(names); i++) {
		struct imbrex_error err = { 0 };

		assert_int_equal(remove_tree_at(s->fd, names[i], &err), IMBREX_EINVAL);
		assert_non_null(strstr(err.message, "not the name of an entry"));
	}
	assert_true(scratch_has(s->fd, "a"));
}

static void links_are_removed_and_not_followed(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };

	assert_int_equal(mkdirat(s->fd, "keep", 0700), 0);
	scratch_file(s->fd, "keep/f", "x");
	assert_int_equal(mkdirat(s->fd, "t", 0700), 0);
	assert_int_equal(symlinkat("../keep", s->fd, "t/link"), 0);
	assert_int_equal(symlinkat("keep", s->fd, "top"), 0);
	assert_int_equal(mkfifoat(s->fd, "t/fifo", 0600), 0);
	assert_int_equal(remove_tree_at(s->fd, "t", &err), 0);
	assert_int_equal(remove_tree_at(s->fd, "top", &err), 0);
	assert_false(scratch_has(s->fd, "t"));
	assert_false(scratch_has(s->fd, "top"));
	scratch_expect(s->fd, "keep/f", "x");
	assert_int_equal(symlinkat("keep", s->fd, "way"), 0);
	assert_true(remove_tree_at(s->fd, "way/f", &err) < 0);
	scratch_expect(s->fd, "keep/f", "x");
}

/* A chain of directories with a file and a second directory at each 100th level. */
static void make_deep(int top, unsigned int levels)
{
	int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned int i;

	for (i = 0; i < levels; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "deep", 0700), 0);
		if (i % 100 == 0) {
			scratch_file(fd, "file", "");
			assert_int_equal(mkdirat(fd, "side", 0700), 0);
			assert_int_equal(mkdirat(fd, "side/inner", 0700), 0);
		}
		next = openat(fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
}

static void ten_thousand_levels_need_few_fds(void **state)
{
	const struct scratch *s = *state;
	const struct rlimit few = { .rlim_cur = 64, .rlim_max = 64 };
	struct imbrex_error err = { 0 };
	int status;
	pid_t pid;

	assert_int_equal(mkdirat(s->fd, "t", 0700), 0);
	make_deep(s->fd, 1);
	make_deep(openat(s->fd, "t", O_RDONLY | O_CLOEXEC), 10000);
	pid = fork();
	if (pid == 0) {
		if (setrlimit(RLIMIT_NOFILE, &few) < 0)
			_exit(2);
		_exit(remove_tree_at(s->fd, "t", &err) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(scratch_has(s->fd, "t"));
}

static void twenty_thousand_files_go(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_CLOSE int dir = -EBADF;
	char name[32];
	unsigned int i;

	assert_int_equal(mkdirat(s->fd, "t", 0700), 0);
	dir = openat(s->fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < 20000; i++) {
		(void)snprintf(name, sizeof(name), "file-%u", i);
		assert_int_equal(mknodat(dir, name, S_IFREG | 0600, 0), 0);
	}
	assert_int_equal(remove_tree_at(s->fd, "t", &err), 0);
	assert_false(scratch_has(s->fd, "t"));
}

/* Runs in a child that is nobody: root would not notice the missing permissions. */
static int remove_as_nobody(int dirfd)
{
	struct imbrex_error err = { 0 };

	if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return 2;
	if (mkdirat(dirfd, "t", 0700) < 0 || mkdirat(dirfd, "t/closed", 0700) < 0 ||
		mkdirat(dirfd, "t/closed/inner", 0700) < 0 ||
		fchmodat(dirfd, "t/closed/inner", 0, 0) < 0 ||
		fchmodat(dirfd, "t/closed", 0500, 0) < 0 || fchmodat(dirfd, "t", 0400, 0) < 0)
		return 3;
	if (remove_tree_at(dirfd, "t", &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		return 4;
	}
	return scratch_has(dirfd, "t");
}

static void directories_without_permissions_are_opened_up(void **state)
{
	const struct scratch *s = *state;
	int status;
	pid_t pid;

	assert_int_equal(fchmod(s->fd, 0777), 0);
	pid = fork();
	if (pid == 0)
		_exit(remove_as_nobody(s->fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Swaps t/x between a full directory and a link to `keep`, until killed. */
static void swap_for_ever(int dirfd)
{
	for (;;) {
		(void)mkdirat(dirfd, "t", 0700);
		(void)mkdirat(dirfd, "t/x", 0700);
		(void)mkdirat(dirfd, "t/x/y", 0700);
		(void)!symlinkat("../keep", dirfd, "t/l");
		(void)renameat2(dirfd, "t/x", dirfd, "t/l", RENAME_EXCHANGE);
		(void)renameat2(dirfd, "t/x/y", dirfd, "moved", 0);
		(void)unlinkat(dirfd, "moved", AT_REMOVEDIR);
	}
}

static void a_directory_swapped_for_a_link_leads_nowhere(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	unsigned int i;
	int status;
	pid_t pid;
	int r;

	assert_int_equal(mkdirat(s->fd, "keep", 0700), 0);
	assert_int_equal(mkdirat(s->fd, "keep/k", 0700), 0);
	scratch_file(s->fd, "keep/k/f", "precious");
	scratch_file(s->fd, "keep/f", "precious");
	pid = fork();
	if (pid == 0)
		swap_for_ever(s->fd);
	for (i = 0; i < 500; i++) {
		r = remove_tree_at(s->fd, "t", &err);
		if (r < 0) /* the other side may win the race for emptiness */
			assert_int_equal(r, IMBREX_EBUSY);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	scratch_expect(s->fd, "keep/k/f", "precious");
	scratch_expect(s->fd, "keep/f", "precious");
	assert_int_equal(remove_tree_at(s->fd, "t", &err), 0);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		scratch_test(resolution_stays_inside),
		scratch_test(mkdirs_beneath_refuses_ways_out),
		scratch_test(a_missing_name_is_removed_already),
		scratch_test(only_names_of_entries_are_removed),
		scratch_test(links_are_removed_and_not_followed),
		scratch_test(ten_thousand_levels_need_few_fds),
		scratch_test(twenty_thousand_files_go),
		scratch_test(directories_without_permissions_are_opened_up),
		scratch_test(a_directory_swapped_for_a_link_leads_nowhere),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
