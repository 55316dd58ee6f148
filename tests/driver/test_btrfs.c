/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is only true of btrfs: subvolumes on disk, nested ones, views, limits, and stores that
 * somebody has prepared. Runs below tests/loopfs btrfs.
 */
#include <fcntl.h>
#include <linux/btrfs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include "os/mountfd.h"
#include "os/mountinfo.h"
#include "os/qgroup.h"
#include "os/subvolume.h"

#define HOME "g/btrfs/subvolumes"

static int setup(void **state)
{
	*state = fixture_new("btrfs", NULL);
	return 0;
}

static int open_at(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		print_error("open '%s': %s\n", path, strerror(errno));
	assert_true(fd >= 0);
	return fd;
}

/* A subvolume `path`, which may be deep. */
static void make_subvolume(struct fixture *f, const char *dir, const char *name)
{
	AUTO_CLOSE int fd = open_at(f->root, dir);

	assert_int_equal(subvolume_create(fd, name), 0);
}

static struct subvolume_facts facts_of(struct fixture *f, const char *path)
{
	AUTO_CLOSE int fd = open_at(f->root, path);
	struct subvolume_facts facts;

	assert_true(subvolume_is(fd));
	assert_int_equal(subvolume_read(fd, &facts), 0);
	return facts;
}

static mode_t mode_of(struct fixture *f, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(f->root, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

/* An empty layer that may be written to, with options. */
static int create(struct fixture *f, const char *id, const char *parent_id, const char *option)
{
	const struct driver_parent parent = { .id = parent_id };
	AUTO_STRV options = { 0 };
	const struct driver_layer_opts opts = { .options = &options };

	if (option)
		assert_int_equal(strv_add(&options, option), 0);
	return f->d->ops->create(f->d, id, &parent, &opts, true, &f->err);
}

/* The same driver, opened with an option. */
static int open_again(struct fixture *f, const char *option)
{
	static struct strv options;

	strv_done(&options);
	assert_int_equal(strv_add(&options, option), 0);
	driver_close(f->d);
	f->d = NULL;
	f->config.options = &options;
	return driver_open("btrfs", NULL, &f->config, &f->d, &f->err);
}

/* ---- on disk -----------------------------------------------------------------------------------
 */

static void a_layer_is_a_snapshot_of_its_parent(void **state)
{
	struct fixture *f = *state;
	struct subvolume_facts base, child;

	fixture_layer(f, "base", NULL, NULL, 0);
	fixture_layer(f, "child", "base", NULL, 0);
	assert_int_equal(create(f, "box", "child", NULL), 0);
	assert_int_equal(mode_of(f, "g/btrfs"), 0700);
	assert_int_equal(mode_of(f, HOME), 0700);
	assert_int_equal(mode_of(f, HOME "/base"), 0555);
	assert_false(exists_at(f->root, "g/btrfs/quotas"));
	base = facts_of(f, HOME "/base");
	child = facts_of(f, HOME "/child");
	assert_memory_equal(child.origin_uuid, base.uuid, sizeof(base.uuid));
	assert_memory_equal(facts_of(f, HOME "/box").origin_uuid, child.uuid, sizeof(child.uuid));
}

static void a_layer_takes_the_subvolumes_in_it_along(void **state)
{
	struct fixture *f = *state;
	char path[1024] = HOME "/a";
	size_t i;

	fixture_layer(f, "a", NULL, NULL, 0);
	make_subvolume(f, HOME "/a", "one");
	make_subvolume(f, HOME "/a", "two");
	assert_int_equal(mkdirat(f->root, HOME "/a/two/d", 0700), 0);
	make_subvolume(f, HOME "/a/two/d", "three");
	/* Marked read-only, as snapshots of backups are. */
	{
		AUTO_CLOSE int dir = open_at(f->root, HOME "/a/one");

		assert_ok(write_file_at(dir, "f", 0644, "x", 1, &f->err), &f->err);
	}
	{
		AUTO_CLOSE int dir = open_at(f->root, HOME "/a/one");
		uint64_t flags = BTRFS_SUBVOL_RDONLY;

		assert_int_equal(ioctl(dir, BTRFS_IOC_SUBVOL_SETFLAGS, &flags), 0);
	}
	/* Deeper than is looked for. */
	for (i = 0; i < 12; i++) {
		make_subvolume(f, path, "n");
		(void)strncat(path, "/n", sizeof(path) - strlen(path) - 1);
	}
	assert_ok(f->d->ops->remove(f->d, "a", f->temp, &f->err), &f->err);
	assert_int_equal(count_names_at(f->root, HOME), 0);
	assert_ok(tempdir_finish(take_ptr(f->temp), &f->err), &f->err);
	assert_int_equal(count_names_at(f->root, "g/btrfs/tempdirs"), 0);
}

static void a_child_has_no_subvolumes_of_its_parent(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int dir = -EBADF;

	fixture_layer(f, "a", NULL, NULL, 0);
	make_subvolume(f, HOME "/a", "sub");
	dir = open_at(f->root, HOME "/a/sub");
	assert_ok(write_file_at(dir, "f", 0644, "x", 1, &f->err), &f->err);
	assert_int_equal(create(f, "b", "a", NULL), 0);
	assert_true(is_dir_at(f->root, HOME "/b/sub"));
	assert_int_equal(count_names_at(f->root, HOME "/b/sub"), 0);
	assert_ok(f->d->ops->remove(f->d, "b", f->temp, &f->err), &f->err);
	assert_true(exists_at(f->root, HOME "/a/sub/f"));
}

static void what_a_dead_writer_staged_is_collected(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int graph = open_at(f->root, "g");
	AUTO_CLOSE int temp = -EBADF;

	assert_int_equal(mkdirat(f->root, "g/btrfs/tempdirs/temp-dir-4711", 0700), 0);
	temp = open_at(f->root, "g/btrfs/tempdirs/temp-dir-4711");
	assert_int_equal(subvolume_create(temp, "0-addition"), 0);
	make_subvolume(f, "g/btrfs/tempdirs/temp-dir-4711/0-addition", "nested");
	assert_ok(tempdir_recover(graph, "btrfs/tempdirs", &f->err), &f->err);
	assert_false(exists_at(f->root, "g/btrfs/tempdirs/temp-dir-4711"));
}

/* As user 1234, who owns all of it but has no right to destroy a subvolume. */
static void a_user_may_empty_what_he_may_not_destroy(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	pid_t pid;

	assert_int_equal(mkdirat(f->root, "r/his", 0700), 0);
	assert_int_equal(fchownat(f->root, "r/his", 1234, 1234, 0), 0);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		AUTO_CLOSE int his = openat(f->root, "r/his", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int sub;

		if (setgid(1234) < 0 || setuid(1234) < 0 || subvolume_create(his, "s") < 0)
			_exit(1);
		sub = openat(his, "s", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (subvolume_create(sub, "nested") < 0 || mkdirat(sub, "d", 0) < 0 ||
			write_file_at(sub, "f", 0600, "x", 1, NULL) < 0)
			_exit(2);
		(void)close(sub);
		if (subvolume_destroy(his, "s") != -EPERM)
			_exit(3);
		_exit(remove_tree_at(his, "s", NULL) < 0 || exists_at(his, "s") ? 4 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- views -------------------------------------------------------------------------------------
 */

static void a_view_takes_no_writes_and_goes_with_its_layer(void **state)
{
	const struct driver_mount_opts opts = { .read_only = true };
	struct fixture *f = *state;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *again = NULL;
	AUTO_FREE char *plain = NULL;
	AUTO_FREE char *file = NULL;
	char name[512];

	fixture_layer(f, "a", NULL, NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "a", &opts, &path, &f->err), &f->err);
	assert_true(str_ends(path, "/r/btrfs/a/merged"));
	file = format_text("%s/new", path);
	assert_int_equal(mkdir(file, 0700), -1);
	assert_int_equal(errno, EROFS);
	/* One view for all. The tree itself stays as it is. */
	assert_ok(f->d->ops->mount(f->d, "a", &opts, &again, &f->err), &f->err);
	assert_string_equal(again, path);
	assert_ok(f->d->ops->mount(f->d, "a", &(struct driver_mount_opts){ 0 }, &plain, &f->err),
		&f->err);
	assert_true(str_ends(plain, "/" HOME "/a"));
	(void)snprintf(name, sizeof(name), "%s/new", plain);
	assert_ok(write_file_at(AT_FDCWD, name, 0600, "", 0, &f->err), &f->err);
	/* Nobody unmounted it. */
	assert_ok(f->d->ops->remove(f->d, "a", f->temp, &f->err), &f->err);
	assert_int_equal(is_mount_point(AT_FDCWD, path), -ENOENT);
	assert_int_equal(count_names_at(f->root, "r/btrfs"), 0);
}

static void mount_options_are_those_of_a_mount(void **state)
{
	static const struct {
		const char *words[3];
		const char *want; /* options of the mount, or message */
	} cases[] = {
		{ { "nodev", "nosuid" }, "rw,nosuid,nodev,relatime" },
		{ { "ro", "noexec" }, "ro,noexec,relatime" },
		{ { "rw", "noatime" }, "rw,noatime" },
		{ { "rw" }, NULL },
		{ { "subvol=/" }, "the driver btrfs has no mount option 'subvol=/'" },
		{ { "nodev", "bind" }, "the driver btrfs has no mount option 'bind'" },
	};
	struct fixture *f = *state;
	size_t i, k;

	fixture_layer(f, "a", NULL, NULL, 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STRV words = { 0 };
		const struct driver_mount_opts opts = { .options = &words };
		struct mountinfo mounts = MOUNTINFO_INIT;
		AUTO_FREE char *path = NULL;
		int r;

		for (k = 0; k < 3 && cases[i].words[k]; k++)
			assert_int_equal(strv_add(&words, cases[i].words[k]), 0);
		r = f->d->ops->mount(f->d, "a", &opts, &path, &f->err);
		if (cases[i].want && strchr(cases[i].want, ' ')) {
			assert_int_equal(r, IMBREX_ENOTSUP);
			assert_string_equal(f->err.message, cases[i].want);
			continue;
		}
		assert_ok(r, &f->err);
		assert_int_equal(is_mount_point(AT_FDCWD, path), cases[i].want != NULL);
		assert_ok(mountinfo_read(&mounts, &f->err), &f->err);
		for (k = 0; cases[i].want && k < mounts.n; k++)
			if (str_eq(mounts.entries[k].target, path))
				assert_string_equal(mounts.entries[k].options, cases[i].want);
		mountinfo_done(&mounts);
		assert_ok(f->d->ops->unmount(f->d, "a", &f->err), &f->err);
	}
}

/* ---- limits ------------------------------------------------------------------------------------
 */

static uint64_t limit_of(struct fixture *f, const char *id)
{
	AUTO_FREE char *path = format_text(HOME "/%s", id);
	AUTO_CLOSE int fd = open_at(f->root, path);
	uint64_t limit = 77, used;

	assert_int_equal(qgroup_read(fd, &limit, &used), 0);
	return limit;
}

static void a_limit_is_the_kernels_and_is_written_down(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int fd = -EBADF;

	fixture_layer(f, "base", NULL, NULL, 0);
	assert_ok(create(f, "box", "base", "size=1.5m"), &f->err);
	assert_file(f->root, "g/btrfs/quotas", "box", "1572864");
	assert_int_equal(mode_of(f, "g/btrfs/quotas"), 0700);
	assert_int_equal(mode_of(f, "g/btrfs/quotas/box"), 0644);
	assert_int_equal(limit_of(f, "box"), 1572864);
	/* Neither what is below, nor what comes after it. */
	assert_int_equal(limit_of(f, "base"), 0);
	assert_ok(create(f, "more", "box", NULL), &f->err);
	assert_int_equal(limit_of(f, "more"), 0);
	/* Mounting sets it from there again. */
	fd = open_at(f->root, HOME "/box");
	assert_int_equal(qgroup_limit(fd, 0), 0);
	assert_int_equal(limit_of(f, "box"), 0);
	assert_ok(f->d->ops->mount(f->d, "box", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_int_equal(limit_of(f, "box"), 1572864);
	assert_ok(f->d->ops->remove(f->d, "box", f->temp, &f->err), &f->err);
	assert_missing(f->root, "g/btrfs/quotas", "box");
}

static void the_driver_may_limit_all_containers(void **state)
{
	struct fixture *f = *state;

	assert_ok(open_again(f, "btrfs.size=2m"), &f->err);
	fixture_layer(f, "image", NULL, NULL, 0);
	assert_ok(create(f, "box", "image", NULL), &f->err);
	assert_ok(create(f, "own", "image", "size=3m"), &f->err);
	assert_false(exists_at(f->root, "g/btrfs/quotas/image"));
	assert_int_equal(limit_of(f, "box"), 2 << 20);
	assert_int_equal(limit_of(f, "own"), 3 << 20);
}

static void a_limit_that_is_too_small_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_again(f, "btrfs.min_space=lots"), IMBREX_EINVAL);
	assert_string_equal(f->err.message,
		"option btrfs.min_space: 'lots' is not a size (10485760, 10m, 1.5G)");
	assert_ok(open_again(f, "btrfs.min_space=1m"), &f->err);
	assert_int_equal(create(f, "box", NULL, "size=1048575"), IMBREX_EINVAL);
	assert_string_equal(f->err.message,
		"layer option 'size': 1048575 bytes are less than btrfs.min_space, 1048576");
	assert_int_equal(create(f, "box", NULL, "size=0"), IMBREX_EINVAL);
	assert_int_equal(create(f, "box", NULL, "inodes=5"), IMBREX_EINVAL);
	assert_string_equal(f->err.message, "layer option 'inodes' is unknown");
	assert_int_equal(create(f, "box", NULL, "size=99999999p"), IMBREX_ELIMIT);
	assert_int_equal(count_names_at(f->root, HOME), 0);
	assert_false(exists_at(f->root, "g/btrfs/quotas"));
	assert_ok(create(f, "box", NULL, "size=1048576"), &f->err);
}

static int keep_problem(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	return strv_add(ctx, p->text);
}

static void junk_in_a_quota_file_is_no_limit(void **state)
{
	static const char *const junk[] = { "", "10m", "-1", "18446744073709551616", "1572864\n",
		"1572864 ", "\xff\xfe",
		"9999999999999999999999999999999999999999999999999999999999999999999" };
	struct fixture *f = *state;
	AUTO_CLOSE int quotas = -EBADF;
	size_t i;

	assert_ok(create(f, "box", NULL, "size=1m"), &f->err);
	quotas = open_at(f->root, "g/btrfs/quotas");
	for (i = 0; i < ARRAY_LEN(junk); i++) {
		AUTO_FREE char *path = NULL;
		AUTO_STRV problems = { 0 };

		assert_ok(write_file_at(quotas, "box", 0644, junk[i], strlen(junk[i]), &f->err),
			&f->err);
		assert_ok(f->d->ops->mount(
				  f->d, "box", &(struct driver_mount_opts){ 0 }, &path, &f->err),
			&f->err);
		/* What the kernel holds it to already stays. */
		assert_int_equal(limit_of(f, "box"), 1 << 20);
		assert_ok(f->d->ops->check(f->d, "box", NULL, keep_problem, &problems, &f->err),
			&f->err);
		assert_int_equal(problems.n, 1);
		assert_string_equal(problems.items[0],
			"its quota file says no number of bytes: no limit is set");
		assert_ok(f->d->ops->repair(f->d, "box", NULL, &f->err), &f->err);
		assert_missing(f->root, "g/btrfs/quotas", "box");
	}
	/* What is no file is not read, and a link leads nowhere. */
	assert_int_equal(symlinkat("/etc/passwd", quotas, "box"), 0);
	assert_ok(f->d->ops->remove(f->d, "box", f->temp, &f->err), &f->err);
	assert_missing(f->root, "g/btrfs/quotas", "box");
	assert_true(exists_at(AT_FDCWD, "/etc/passwd"));
}

static void limits_of_layers_that_are_gone_are_garbage(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int quotas = -EBADF;
	AUTO_STRV problems = { 0 };

	assert_ok(create(f, "box", NULL, "size=1m"), &f->err);
	quotas = open_at(f->root, "g/btrfs/quotas");
	assert_ok(write_file_at(quotas, "gone", 0644, "1", 1, &f->err), &f->err);
	assert_ok(write_file_at(quotas, ".tmp-box123", 0644, "1", 1, &f->err), &f->err);
	assert_int_equal(mkdirat(quotas, "directory", 0700), 0);
	assert_ok(f->d->ops->garbage(f->d, false, keep_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 2);
	assert_string_equal(problems.items[0], "the quota of a layer that is gone");
	assert_ok(f->d->ops->garbage(f->d, true, keep_problem, &problems, &f->err), &f->err);
	assert_missing(f->root, "g/btrfs/quotas", "gone");
	assert_missing(f->root, "g/btrfs/quotas", ".tmp-box123");
	assert_true(exists_at(quotas, "box"));
	assert_true(exists_at(quotas, "directory"));
}

/* ---- stores that somebody has prepared
 * ----------------------------------------------------------- */

static void a_link_in_place_of_a_directory_is_refused(void **state)
{
	static const char *const names[] = { "g/btrfs/subvolumes", "g/btrfs" };
	struct fixture *f = *state;
	size_t i;

	tempdir_free(take_ptr(f->temp));
	driver_close(take_ptr(f->d));
	assert_int_equal(mkdirat(f->root, "r/elsewhere", 0777), 0);
	for (i = 0; i < ARRAY_LEN(names); i++) {
		char want[512];

		assert_ok(remove_tree_at(f->root, names[i], &f->err), &f->err);
		assert_int_equal(symlinkat("../../r/elsewhere", f->root, names[i]), 0);
		assert_int_equal(
			driver_open("btrfs", NULL, &f->config, &f->d, &f->err), IMBREX_EFORMAT);
		(void)snprintf(want, sizeof(want), "'%s%s' is not a directory", f->graphroot,
			names[i] + 1);
		assert_string_equal(f->err.message, want);
	}
	assert_int_equal(count_names_at(f->root, "r/elsewhere"), 0);
	assert_int_equal(unlinkat(f->root, "g/btrfs", 0), 0);
	assert_ok(driver_open("btrfs", NULL, &f->config, &f->d, &f->err), &f->err);
}

static void a_link_in_place_of_the_quotas_is_not_followed(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = NULL;
	char want[512];

	fixture_layer(f, "a", NULL, NULL, 0);
	assert_int_equal(mkdirat(f->root, "r/elsewhere", 0777), 0);
	assert_int_equal(symlinkat("../../r/elsewhere", f->root, "g/btrfs/quotas"), 0);
	assert_int_equal(create(f, "box", "a", "size=1m"), IMBREX_EFORMAT);
	(void)snprintf(want, sizeof(want), "'%s/btrfs/quotas' is not a directory", f->graphroot);
	assert_string_equal(f->err.message, want);
	assert_false(exists_at(f->root, HOME "/box"));
	assert_ok(f->d->ops->mount(f->d, "a", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_int_equal(count_names_at(f->root, "r/elsewhere"), 0);
}

static void a_layer_that_is_no_directory_is_told(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = NULL;
	AUTO_STRV problems = { 0 };
	char want[512];
	size_t i;

	assert_int_equal(symlinkat("/", f->root, HOME "/link"), 0);
	assert_ok(write_file_at(f->root, HOME "/file", 0644, "", 0, &f->err), &f->err);
	for (i = 0; i < 2; i++) {
		const char *id = i ? "file" : "link";

		assert_int_equal(f->d->ops->mount(f->d, id, &(struct driver_mount_opts){ 0 }, &path,
					 &f->err),
			IMBREX_EFORMAT);
		(void)snprintf(want, sizeof(want),
			"layer %s: '%s/btrfs/subvolumes/%s' is not a directory", id, f->graphroot,
			id);
		assert_string_equal(f->err.message, want);
		assert_int_equal(create(f, "child", id, NULL), IMBREX_EFORMAT);
		assert_ok(f->d->ops->check(f->d, id, NULL, keep_problem, &problems, &f->err),
			&f->err);
		assert_string_equal(problems.items[i], want);
		assert_ok(f->d->ops->remove(f->d, id, f->temp, &f->err), &f->err);
	}
	assert_int_equal(count_names_at(f->root, HOME), 0);
}

static void names_that_are_no_ids_are_refused(void **state)
{
	static const char *const names[] = { "", ".", "..", "../quotas", "a/b", "/", "/etc",
		".hidden",
		("0123456789012345678901234567890123456789012345678901234567890123456789"
		 "0123456789012345678901234567890123456789012345678901234567890") };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = NULL;

		assert_int_equal(create(f, names[i], NULL, NULL), IMBREX_EINVAL);
		assert_non_null(strstr(f->err.message, "is not a layer id"));
		assert_int_equal(f->d->ops->mount(f->d, names[i], &(struct driver_mount_opts){ 0 },
					 &path, &f->err),
			IMBREX_EINVAL);
		assert_int_equal(
			f->d->ops->remove(f->d, names[i], f->temp, &f->err), IMBREX_EINVAL);
		assert_false(f->d->ops->exists(f->d, names[i]));
	}
	assert_int_equal(count_names_at(f->root, HOME), 0);
}

/* Somebody has copied a store with cp or rsync. */
static void a_plain_directory_is_a_layer_too(void **state)
{
	struct fixture *f = *state;
	AUTO_STRV problems = { 0 };

	assert_int_equal(mkdirat(f->root, HOME "/plain", 0750), 0);
	assert_ok(write_file_at(f->root, HOME "/plain/f", 0644, "x", 1, &f->err), &f->err);
	fixture_layer(f, "child", "plain", &(struct node){ "g", ENTRY_FILE, 0644, .text = "y" }, 1);
	assert_ok(create(f, "box", "plain", "size=1m"), &f->err);
	assert_true(facts_of(f, HOME "/child").id != facts_of(f, HOME "/box").id);
	assert_file(f->root, HOME "/child", "f", "x");
	assert_file(f->root, HOME "/box", "f", "x");
	assert_int_equal(mode_of(f, HOME "/box"), 0750);
	assert_ok(f->d->ops->check(f->d, "plain", NULL, keep_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 0);
	assert_ok(f->d->ops->remove(f->d, "plain", f->temp, &f->err), &f->err);
	assert_missing(f->root, HOME, "plain");
}

static void a_layer_on_another_file_system_is_not_entered(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *target = format_text("%s/btrfs/subvolumes/a/m", f->graphroot);
	AUTO_CLOSE int other = -EBADF;

	/* Somebody has mounted into a layer: what is there is not the layer's to lose. */
	fixture_layer(f, "a", NULL, NULL, 0);
	assert_int_equal(mkdirat(f->root, HOME "/a/m", 0700), 0);
	assert_int_equal(mount("tmpfs", target, "tmpfs", 0, NULL), 0);
	other = open_at(AT_FDCWD, target);
	assert_ok(write_file_at(other, "precious", 0644, "x", 1, &f->err), &f->err);
	assert_ok(f->d->ops->remove(f->d, "a", f->temp, &f->err), &f->err);
	assert_ok(tempdir_finish(take_ptr(f->temp), &f->err), &f->err);
	assert_true(exists_at(other, "precious"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_layer_is_a_snapshot_of_its_parent),
		TEST(a_layer_takes_the_subvolumes_in_it_along),
		TEST(a_child_has_no_subvolumes_of_its_parent),
		TEST(what_a_dead_writer_staged_is_collected),
		TEST(a_user_may_empty_what_he_may_not_destroy),
		TEST(a_view_takes_no_writes_and_goes_with_its_layer),
		TEST(mount_options_are_those_of_a_mount),
		TEST(a_limit_is_the_kernels_and_is_written_down),
		TEST(the_driver_may_limit_all_containers),
		TEST(a_limit_that_is_too_small_is_refused),
		TEST(junk_in_a_quota_file_is_no_limit),
		TEST(limits_of_layers_that_are_gone_are_garbage),
		TEST(a_link_in_place_of_a_directory_is_refused),
		TEST(a_link_in_place_of_the_quotas_is_not_followed),
		TEST(a_layer_that_is_no_directory_is_told),
		TEST(names_that_are_no_ids_are_refused),
		TEST(a_plain_directory_is_a_layer_too),
		TEST(a_layer_on_another_file_system_is_not_entered),
	};

	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		return 77;
	}
	skip_unless_driver_works(getenv("TMPDIR"), "btrfs", NULL);
	return cmocka_run_group_tests_name("btrfs", tests, NULL, NULL);
}
