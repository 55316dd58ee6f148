/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Are writable layers of overlay held to what they may take, each by a project of its own? Needs
 * TMPDIR on XFS or ext4 with project quotas; else skipped (77) with the reason.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include "os/clock.h"
#include "os/projquota.h"

#define MIB       (UINT64_C(1024) * 1024)
#define PROCESSES 8
#define EACH      12

static int setup(void **state)
{
	return overlay_setup_test(state);
}

static int setup_limited(void **state)
{
	static char text[] = "overlay.size=8M";
	static char *items[] = { text };
	static const struct strv options = { .items = items, .n = 1 };

	*state = fixture_new("overlay", &options);
	return 0;
}

/* A directory of a layer; "." and ".": the home of all. */
static int open_at(struct fixture *f, const char *id, const char *name)
{
	AUTO_FREE char *path = format_text("g/overlay/%s/%s", id, name);
	int fd = openat(f->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct fsxattr attributes(struct fixture *f, const char *id, const char *name)
{
	AUTO_CLOSE int fd = open_at(f, id, name);
	struct fsxattr attr;

	assert_int_equal(ioctl(fd, FS_IOC_FSGETXATTR, &attr), 0);
	return attr;
}

static uint32_t project(struct fixture *f, const char *id)
{
	return attributes(f, id, ".").fsx_projid;
}

static struct project_limits limits_of(struct fixture *f, uint32_t number)
{
	struct project_limits limits;

	assert_int_equal(project_ask(f->root, number, &limits, NULL), 0);
	return limits;
}

static struct driver_stage *stage(struct fixture *f, const char *option, bool image)
{
	AUTO_STRV options = { 0 };
	const struct driver_layer_opts opts = { .options = &options, .image = image };
	struct driver_stage *s = NULL;

	if (option)
		assert_int_equal(strv_add(&options, option), 0);
	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, &opts, &s, &f->err), &f->err);
	return s;
}

static void make(struct fixture *f, const char *id, const char *option, bool image)
{
	struct driver_stage *s = stage(f, option, image);

	assert_ok(f->d->ops->stage_seal(s, NULL, true, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(s, id, &f->err), &f->err);
	driver_stage_free(s);
}

static void a_writable_layer_has_a_project_of_its_own(void **state)
{
	struct fixture *f = *state;
	uint32_t number;

	make(f, "image", NULL, true);
	make(f, "box", NULL, false);
	make(f, "other", NULL, false);
	number = project(f, "box");
	assert_true(number > 10000);
	assert_int_equal(project(f, "image"), 0);
	assert_int_not_equal(project(f, "other"), number);
	assert_int_equal(attributes(f, "box", "diff").fsx_projid, number);
	assert_int_equal(attributes(f, "box", "work").fsx_projid, number);
	assert_true(attributes(f, "box", "diff").fsx_xflags & FS_XFLAG_PROJINHERIT);
	/* What is made to mount and unmount a layer is not counted. */
	assert_int_equal(attributes(f, "box", "merged").fsx_projid, 0);
	assert_int_equal(limits_of(f, number).size_bytes, 0);
	assert_int_equal(limits_of(f, number).inodes, 0);
}

static void a_layer_made_in_place_has_one_too(void **state)
{
	char text[] = "size=3M";
	char *items[] = { text };
	const struct strv options = { .items = items, .n = 1 };
	const struct driver_layer_opts opts = { .options = &options };
	struct fixture *f = *state;

	assert_ok(f->d->ops->create(f->d, "box", NULL, &opts, true, &f->err), &f->err);
	assert_int_equal(limits_of(f, project(f, "box")).size_bytes, 3 * MIB);
}

/* Files that can be made in the layer, at most `max`. */
static size_t make_files(struct fixture *f, const char *id, size_t max)
{
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int root = -EBADF;
	char name[16];
	size_t n;

	assert_ok(f->d->ops->mount(f->d, id, &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	for (n = 0; n < max; n++) {
		int fd;

		(void)snprintf(name, sizeof(name), "f%zu", n);
		fd = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0) {
			assert_true(errno == ENOSPC || errno == EDQUOT);
			break;
		}
		(void)close(fd);
	}
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
	return n;
}

static void inodes_are_limited(void **state)
{
	struct fixture *f = *state;

	make(f, "box", "inodes=50", false);
	make(f, "free", NULL, false);
	/* The directories of the layer count as well. */
	assert_in_range(make_files(f, "box", 100), 40, 50);
	assert_int_equal(make_files(f, "free", 100), 100);
}

static void options_of_the_driver_are_for_layers_that_say_nothing(void **state)
{
	struct fixture *f = *state;

	make(f, "image", NULL, true);
	make(f, "default", NULL, false);
	make(f, "less", "size=4M", false);
	make(f, "none", "overlay.size=0", false);
	make(f, "more", "inodes=1000", false);
	assert_int_equal(project(f, "image"), 0);
	assert_int_equal(limits_of(f, project(f, "default")).size_bytes, 8 * MIB);
	assert_int_equal(limits_of(f, project(f, "less")).size_bytes, 4 * MIB);
	assert_int_equal(limits_of(f, project(f, "none")).size_bytes, 0);
	assert_int_equal(limits_of(f, project(f, "more")).size_bytes, 8 * MIB);
	assert_int_equal(limits_of(f, project(f, "more")).inodes, 1000);
}

static void limits_that_are_no_numbers_are_refused(void **state)
{
	static const struct {
		const char *option;
		int status;
		const char *message;
	} cases[] = {
		{ "size=much", IMBREX_EINVAL, "option size: 'much' is not a size" },
		{ "size=-1", IMBREX_EINVAL, "option size: '-1' is not a size" },
		{ "size=9999999P", IMBREX_ELIMIT, "option size: '9999999P' does not fit" },
		{ "inodes=1k", IMBREX_EINVAL, "option inodes: '1k' is not a number" },
		{ "inodes=-5", IMBREX_EINVAL, "option inodes: '-5' is not a number" },
		{ "inodes=18446744073709551616", IMBREX_EINVAL, "is not a number" },
		{ "colour=red", IMBREX_EINVAL, "layer option 'colour' is unknown" },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STRV options = { 0 };
		const struct driver_layer_opts opts = { .options = &options };
		struct driver_stage *s = NULL;

		assert_int_equal(strv_add(&options, cases[i].option), 0);
		assert_int_equal(f->d->ops->stage_new(f->d, f->temp, NULL, &opts, &s, &f->err),
			cases[i].status);
		assert_non_null(strstr(f->err.message, cases[i].message));
	}
}

/* In a process of its own, with a driver of its own, as another program would. */
static void make_many(struct fixture *f, unsigned int who)
{
	struct fixture mine = *f;
	char id[32];
	unsigned int i;

	if (driver_open("overlay", NULL, &f->config, &mine.d, &mine.err) < 0 ||
		tempdir_new(AT_FDCWD, format_text("%s/overlay/tempdirs", f->graphroot), &mine.temp,
			&mine.err) < 0)
		_exit(1);
	for (i = 0; i < EACH; i++) {
		struct driver_stage *s = NULL;

		(void)snprintf(id, sizeof(id), "p%ui%u", who, i);
		if (mine.d->ops->stage_new(mine.d, mine.temp, NULL, NULL, &s, &mine.err) < 0 ||
			mine.d->ops->stage_seal(s, NULL, false, &mine.err) < 0 ||
			mine.d->ops->stage_publish(s, id, &mine.err) < 0)
			_exit(2);
		driver_stage_free(s);
	}
	tempdir_free(mine.temp);
	_exit(0);
}

static void processes_at_once_never_share_a_number(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[PROCESSES * EACH];
	unsigned int i, k;
	char id[32];

	for (i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			make_many(f, i);
	}
	for (i = 0; i < PROCESSES; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (i = 0; i < PROCESSES * EACH; i++) {
		(void)snprintf(id, sizeof(id), "p%ui%u", i / EACH, i % EACH);
		numbers[i] = project(f, id);
		assert_int_not_equal(numbers[i], 0);
		for (k = 0; k < i; k++)
			assert_int_not_equal(numbers[i], numbers[k]);
	}
}

static void a_limit_goes_with_its_layer(void **state)
{
	struct fixture *f = *state;
	uint32_t number;

	make(f, "box", "size=4M", false);
	number = project(f, "box");
	assert_int_equal(limits_of(f, number).size_bytes, 4 * MIB);
	assert_ok(f->d->ops->remove(f->d, "box", f->temp, &f->err), &f->err);
	assert_int_equal(limits_of(f, number).size_bytes, 0);
	/* A stage that is given up takes its own along as well. */
	driver_stage_free(stage(f, "size=4M", false));
	assert_int_equal(limits_of(f, number).size_bytes, 0);
}

/* XFS counts a removed inode until it finds the time to free it. */
static bool is_free_in_time(struct fixture *f, uint32_t number)
{
	const uint64_t until = now_monotonic_ns() + 30 * UINT64_C(1000000000);
	struct project_usage usage;

	do {
		assert_int_equal(project_ask(f->root, number, NULL, &usage), 0);
		if (!usage.inodes && !usage.size_bytes)
			return true;
		(void)sched_yield();
	} while (now_monotonic_ns() < until);
	return false;
}

static void what_a_death_leaves_is_in_nobodys_way(void **state)
{
	struct fixture *f = *state;
	uint32_t number = 0;
	int report[2], status;
	pid_t pid;

	assert_int_equal(pipe(report), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint32_t found = 0;
		struct fixture mine = *f;
		int fd;

		if (tempdir_new(AT_FDCWD, format_text("%s/overlay/tempdirs", f->graphroot),
			    &mine.temp, &mine.err) < 0)
			_exit(1);
		(void)stage(&mine, "size=4M", false);
		fd = openat(
			tempdir_fd(mine.temp), "0-addition", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || project_of(fd, &found) < 0)
			_exit(2);
		_exit(write(report[1], &found, sizeof(found)) == sizeof(found) ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(report[0], &number, sizeof(number)), sizeof(number));
	(void)close(report[0]);
	(void)close(report[1]);
	assert_int_not_equal(number, 0);
	assert_int_equal(limits_of(f, number).size_bytes, 4 * MIB);
	assert_ok(tempdir_recover(f->root, "g/overlay/tempdirs", &f->err), &f->err);
	assert_true(is_free_in_time(f, number));
}

/* A full layer whose directory passes its project on, as containers/storage makes it. */
static void a_full_layer_of_a_peer_is_unmounted(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int dir = -EBADF;

	make(f, "box", "inodes=20", false);
	dir = open_at(f, "box", ".");
	assert_int_equal(project_pass_on(dir, project(f, "box")), 0);
	/* Unmounting makes a directory. On ext4 root may go past the limit, on XFS nobody. */
	assert_true(make_files(f, "box", 100) < 20);
	assert_true(is_dir_at(dir, "merged"));
}

/* An administrator has given the store a project, which all that is made in it would inherit. */
static void a_store_with_a_project_keeps_to_it(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int home = open_at(f, ".", ".");
	AUTO_CLOSE int temps = open_at(f, ".", "tempdirs");
	uint32_t number;

	assert_int_equal(project_pass_on(home, 4321), 0);
	assert_int_equal(project_pass_on(temps, 4321), 0);
	tempdir_free(f->temp);
	f->temp = NULL;
	driver_close(f->d);
	f->d = NULL;
	assert_ok(driver_open("overlay", NULL, &f->config, &f->d, &f->err), &f->err);
	assert_ok(tempdir_new(f->root, "g/overlay/tempdirs", &f->temp, &f->err), &f->err);
	make(f, "box", NULL, false);
	number = project(f, "box");
	assert_in_range(number, 4322, 4321 + 65536);
	assert_int_equal(attributes(f, ".", ".").fsx_projid, 4321);
	assert_int_equal(make_files(f, "box", 5), 5);
	assert_ok(f->d->ops->remove(f->d, "box", f->temp, &f->err), &f->err);
	assert_missing(f->root, "g/overlay", "box");
}

static void skip_without_quotas(void)
{
	const char *tmp = getenv("TMPDIR");
	AUTO_CLOSE int fd = open(tmp ? tmp : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : projquota_check(fd);

	if (r == 0)
		return;
	print_message(
		"skipped: no project quotas below '%s': %s\n", tmp ? tmp : "/tmp", strerror(-r));
	exit(r == -EOPNOTSUPP || r == -EPERM || r == -ENOLCK ? 77 : 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_writable_layer_has_a_project_of_its_own),
		TEST(a_layer_made_in_place_has_one_too),
		TEST(inodes_are_limited),
		cmocka_unit_test_setup_teardown(
			options_of_the_driver_are_for_layers_that_say_nothing, setup_limited,
			fixture_teardown),
		TEST(limits_that_are_no_numbers_are_refused),
		TEST(processes_at_once_never_share_a_number),
		TEST(a_limit_goes_with_its_layer),
		TEST(what_a_death_leaves_is_in_nobodys_way),
		TEST(a_full_layer_of_a_peer_is_unmounted),
		TEST(a_store_with_a_project_keeps_to_it),
	};

	skip_without_quotas();
	skip_unless_overlay_works();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
