/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary directories that survive their owner exactly until the next recovery. */
#include "os/tempdir.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "scratch.h"

static unsigned int count_prefix(int dirfd, const char *root, const char *prefix)
{
	DIR *dir = fdopendir(openat(dirfd, root, O_RDONLY | O_DIRECTORY));
	unsigned int n = 0;
	struct dirent *de;

	assert_non_null(dir);
	for (de = readdir(dir); de; de = readdir(dir))
		n += strncmp(de->d_name, prefix, strlen(prefix)) == 0;
	(void)closedir(dir);
	return n;
}

static void things_are_staged_by_number_and_removed_in_the_end(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_TEMPDIR *t = NULL;
	char name[TEMPDIR_NAME_BYTES];

	assert_int_equal(tempdir_new(s->fd, "R/tmp", &t, &err), 0);
	assert_int_equal(count_prefix(s->fd, "R/tmp", "lock-"), 1);
	assert_int_equal(count_prefix(s->fd, "R/tmp", "temp-dir-"), 1);
	assert_int_equal(mkdirat(s->fd, "layer", 0700), 0);
	scratch_file(s->fd, "layer/f", "x");
	assert_int_equal(tempdir_stage_deletion(t, s->fd, "layer", &err), 0);
	assert_true(scratch_has(tempdir_fd(t), "0-layer/f"));
	tempdir_stage_addition(t, name);
	assert_string_equal(name, "1-addition");
	assert_int_equal(tempdir_stage_deletion(t, s->fd, "none", &err), IMBREX_ENOENT);
	assert_string_equal(
		err.message, "move 'none' to a temporary directory: No such file or directory");
	assert_int_equal(tempdir_finish(t, &err), 0);
	t = NULL;
	assert_false(scratch_has(s->fd, "layer"));
	assert_int_equal(count_prefix(s->fd, "R/tmp", "lock-"), 0);
	assert_int_equal(count_prefix(s->fd, "R/tmp", "temp-dir-"), 0);
}

static void recovery_leaves_the_living_alone(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_TEMPDIR *t = NULL;

	assert_int_equal(tempdir_recover(s->fd, "R", &err), 0);
	assert_int_equal(tempdir_new(s->fd, "R", &t, &err), 0);
	assert_int_equal(tempdir_recover(s->fd, "R", &err), 0);
	assert_int_equal(count_prefix(s->fd, "R", "lock-"), 1);
	assert_int_equal(count_prefix(s->fd, "R", "temp-dir-"), 1);
}

static void what_a_killed_process_left_is_recovered(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct tempdir *t = NULL;

		if (tempdir_new(s->fd, "R", &t, NULL) < 0 ||
			mkdirat(tempdir_fd(t), "0-x", 0700) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(tempdir_recover(s->fd, "R", &err), 0);
	assert_int_equal(count_prefix(s->fd, "R", "temp-dir-"), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(mkdirat(s->fd, "R/temp-dir-77", 0700), 0); /* its lock never was made */
	scratch_file(s->fd, "R/lock-78", "");
	scratch_file(s->fd, "R/other", "");
	assert_int_equal(tempdir_recover(s->fd, "R", &err), 0);
	assert_int_equal(count_prefix(s->fd, "R", "temp-dir-"), 0);
	assert_int_equal(count_prefix(s->fd, "R", "lock-"), 0);
	assert_true(scratch_has(s->fd, "R/other"));
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static void names_move_into_the_parent_whatever_is_mounted_on_it_meanwhile(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_TEMPDIR *t = NULL;
	char home[300];
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip();
	(void)snprintf(home, sizeof(home), "%s/home", s->path);
	fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(mkdirat(fd, "home", 0700), 0);
	assert_int_equal(mount(home, home, NULL, MS_BIND, NULL), 0);
	assert_int_equal(tempdir_new(fd, "home/tmp", &t, &err), 0);
	assert_int_equal(mkdirat(tempdir_fd(t), "layer", 0700), 0);
	assert_int_equal(umount2(home, MNT_DETACH), 0);
	assert_int_equal(mount(home, home, NULL, MS_BIND, NULL), 0);
	assert_int_equal(renameat(tempdir_fd(t), "layer", tempdir_parent_fd(t), "moved"), 0);
	assert_true(scratch_has(fd, "home/moved"));
	assert_int_equal(tempdir_stage_deletion(t, tempdir_parent_fd(t), "moved", &err), 0);
	assert_int_equal(tempdir_finish(t, &err), 0);
	t = NULL;
	assert_int_equal(umount2(home, MNT_DETACH), 0);
	(void)close(fd);
}

static void one_bad_pair_does_not_stop_recovery(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };

	assert_int_equal(mkdirat(s->fd, "R", 0700), 0);
	assert_int_equal(mkdirat(s->fd, "R/lock-1", 0700), 0);
	assert_int_equal(mkdirat(s->fd, "R/temp-dir-2", 0700), 0);
	assert_true(tempdir_recover(s->fd, "R", &err) < 0);
	assert_string_equal(err.message, "'R': open lock file 'lock-1': Is a directory");
	assert_false(scratch_has(s->fd, "R/temp-dir-2"));
}

static void digits_live_as_long_as_their_owner(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	struct tempdir *t = NULL;
	char digits[32];
	int root;

	assert_int_equal(tempdir_new(s->fd, "R", &t, &err), 0);
	root = openat(s->fd, "R", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	(void)snprintf(digits, sizeof(digits), "%s", tempdir_digits(t));
	assert_true(tempdir_is_live(root, digits));
	assert_false(tempdir_is_live(root, "1"));
	tempdir_free(t);
	assert_false(tempdir_is_live(root, digits));
	/* Left by one who was killed. */
	scratch_file(root, "lock-12", "");
	assert_false(tempdir_is_live(root, "12"));
	(void)close(root);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		scratch_test(things_are_staged_by_number_and_removed_in_the_end),
		scratch_test(recovery_leaves_the_living_alone),
		scratch_test(what_a_killed_process_left_is_recovered),
		scratch_test(names_move_into_the_parent_whatever_is_mounted_on_it_meanwhile),
		scratch_test(one_bad_pair_does_not_stop_recovery),
		scratch_test(digits_live_as_long_as_their_owner),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
