/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real mounts, in a mount namespace of our own: overlays of many layers by both roads, binds,
 * changes, id maps, messages, and removal of trees with mounts inside.
 */
#include "os/mountfd.h"

#include <errno.h>
#include <sched.h>

#include "base/macros.h"
#include "base/str.h"
#include "base/strv.h"
#include "os/mountinfo.h"
#include "os/probe.h"
#include "os/userns.h"
#include "scratch.h"

#define MANY 300

/* Directories l0 .. l<n-1> with a file f<i> each, and u, w, m: absolute paths in `ret`. */
static void make_layers(const struct scratch *s, unsigned int n, struct strv *ret)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "l%u", i);
		assert_int_equal(mkdirat(s->fd, name, 0755), 0);
		(void)snprintf(name, sizeof(name), "l%u/f%u", i, i);
		scratch_file(s->fd, name, name);
		assert_int_equal(strv_addf(ret, "%s/l%u", s->path, i), 0);
	}
	assert_int_equal(mkdirat(s->fd, "u", 0755), 0);
	assert_int_equal(mkdirat(s->fd, "w", 0755), 0);
	assert_int_equal(mkdirat(s->fd, "m", 0755), 0);
}

static void overlay_of_many(const struct scratch *s, bool old_kernel)
{
	AUTO_STRV layers = { 0 };
	AUTO_FREE char *upper = format_text("%s/u", s->path);
	AUTO_FREE char *work = format_text("%s/w", s->path);
	struct overlay_spec spec = {
		.n_lowers = MANY,
		.upper = upper,
		.work = work,
		.attrs = MOUNT_ATTR_NODEV,
		.old_kernel = old_kernel,
	};
	AUTO_MOUNTINFO info = MOUNTINFO_INIT;
	const struct mount_entry *e;
	struct imbrex_error err = { 0 };
	AUTO_CLOSE int fd = -EBADF;
	char path[300];

	make_layers(s, MANY, &layers);
	spec.lowers = (const char *const *)layers.items;
	fd = overlay_mount_new(&spec, &err);
	assert_string_equal(err.message, "");
	assert_true(fd >= 0);
	assert_int_equal(is_mount_point(s->fd, "m"), 0);
	assert_int_equal(mount_attach(fd, s->fd, "m", &err), 0);
	assert_int_equal(is_mount_point(s->fd, "m"), 1);
	scratch_expect(s->fd, "m/f0", "l0/f0");
	scratch_expect(s->fd, "m/f299", "l299/f299");
	scratch_file(s->fd, "m/new", "new");
	scratch_expect(s->fd, "u/new", "new");
	assert_int_equal(mountinfo_read(&info, &err), 0);
	(void)snprintf(path, sizeof(path), "%s/m", s->path);
	e = mountinfo_find(&info, path);
	assert_non_null(e);
	assert_string_equal(e->fs_type, "overlay");
	assert_non_null(strstr(e->options, "nodev"));
	fd = close_fd(fd);
	assert_int_equal(unmount_at(s->fd, "m", /* detach= */ false, &err), 0);
	assert_int_equal(unmount_at(s->fd, "m", false, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "'m' is not a mount point");
}

static void an_overlay_has_hundreds_of_lowers(void **state)
{
	overlay_of_many(*state, /* old_kernel= */ false);
}

static void an_old_kernel_gets_hundreds_of_lowers_too(void **state)
{
	overlay_of_many(*state, /* old_kernel= */ true);
}

static void names_with_separators_are_passed_by_fd(void **state)
{
	static const bool roads[] = { false, true };
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *a = format_text("%s/a:b,c\\d", s->path);
	AUTO_FREE char *b = format_text("%s/%0250d", s->path, 1);
	AUTO_FREE char *file = NULL;
	const char *const lowers[] = { a, b };
	struct overlay_spec spec = { .lowers = lowers, .n_lowers = 2 };
	size_t i;

	assert_int_equal(mkdir(a, 0755), 0);
	assert_int_equal(mkdir(b, 0755), 0);
	assert_int_equal(mkdirat(s->fd, "m", 0755), 0);
	file = format_text("%s/file", b);
	assert_non_null(file);
	scratch_file(AT_FDCWD, file, "x");
	for (i = 0; i < ARRAY_LEN(roads); i++) {
		AUTO_CLOSE int fd = -EBADF;

		spec.old_kernel = roads[i];
		fd = overlay_mount_new(&spec, &err);
		assert_string_equal(err.message, "");
		assert_true(fd >= 0);
		assert_int_equal(mount_attach(fd, s->fd, "m", &err), 0);
		scratch_expect(s->fd, "m/file", "x");
		assert_int_equal(unmount_at(s->fd, "m", /* detach= */ true, &err), 0);
	}
}

static void a_refused_overlay_says_why(void **state)
{
	const struct scratch *s = *state;
	static const char *const bogus[] = { "bogus=1" };
	AUTO_STRV layers = { 0 };
	struct overlay_spec spec = { .n_lowers = 2 };
	struct imbrex_error err = { 0 };

	make_layers(s, 2, &layers);
	spec.lowers = (const char *const *)layers.items;
	spec.upper = "/nowhere";
	assert_int_equal(overlay_mount_new(&spec, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "overlay upper and work directory go together");
	spec.work = "/nowhere";
	assert_int_equal(overlay_mount_new(&spec, &err), IMBREX_ENOENT);
	assert_non_null(strstr(err.message, "overlay upperdir '/nowhere'"));
	spec.old_kernel = true;
	assert_int_equal(overlay_mount_new(&spec, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "overlay directory '/nowhere': No such file or directory");
	spec = (struct overlay_spec){ .lowers = spec.lowers, .n_lowers = 2 };
	spec.options = (struct mount_options){ bogus, 1 };
	assert_int_equal(overlay_mount_new(&spec, &err), IMBREX_EINVAL);
	assert_non_null(strstr(err.message, "mount option 'bogus=1'"));
	spec.n_lowers = 501;
	assert_int_equal(overlay_mount_new(&spec, &err), IMBREX_ELIMIT);
	spec.n_lowers = 0;
	assert_int_equal(overlay_mount_new(&spec, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "overlay without a lower directory");
}

static void a_bind_is_made_read_only_before_anyone_sees_it(void **state)
{
	const struct scratch *s = *state;
	const struct mount_change ro = { .set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE };
	struct imbrex_error err = { 0 };
	AUTO_CLOSE int fd = -EBADF;

	assert_int_equal(mkdirat(s->fd, "from", 0755), 0);
	assert_int_equal(mkdirat(s->fd, "to", 0755), 0);
	scratch_file(s->fd, "from/f", "x");
	fd = mount_clone(s->fd, "from", /* recursive= */ true, &err);
	assert_true(fd >= 0);
	assert_int_equal(mount_change(fd, "", &ro, &err), 0);
	assert_int_equal(mount_attach(fd, s->fd, "to", &err), 0);
	scratch_expect(s->fd, "to/f", "x");
	assert_int_equal(openat(s->fd, "to/f", O_WRONLY), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(symlinkat("to", s->fd, "link"), 0);
	assert_true(mount_clone(s->fd, "none", false, &err) < 0);
	assert_string_equal(err.message, "bind mount of 'none': No such file or directory");
	fd = close_fd(fd);
	assert_int_equal(unmount_at(s->fd, "to", false, &err), 0);
}

static void an_id_mapped_bind_shows_other_owners(void **state)
{
	const struct scratch *s = *state;
	const struct imbrex_id_map map = { .inside = 0, .outside = 100000, .count = 65536 };
	const struct id_maps maps = { &map, 1, &map, 1 };
	struct mount_change change = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_CLOSE int userns = -EBADF;
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;

	scratch_file(s->fd, "f", "x");
	assert_int_equal(mkdirat(s->fd, "to", 0755), 0);
	userns = userns_new(&maps, &err);
	assert_true(userns >= 0);
	fd = mount_clone(s->fd, "", false, &err);
	assert_true(fd >= 0);
	change.userns_fd = userns;
	if (mount_change(fd, "", &change, &err) < 0) {
		print_message("no id-mapped mounts here: %s\n", err.message);
		skip();
	}
	assert_int_equal(mount_attach(fd, s->fd, "to", &err), 0);
	assert_int_equal(fstatat(s->fd, "to/f", &st, 0), 0);
	assert_int_equal(st.st_uid, 100000);
	assert_int_equal(unmount_at(s->fd, "to", /* detach= */ true, &err), 0);
}

/* As root of a user namespace: an overlay with user.overlay.* attributes. */
static int overlay_inside(void *ctx)
{
	const struct overlay_spec *spec = ctx;
	struct imbrex_error err = { 0 };
	int fd = overlay_mount_new(spec, &err);

	if (fd < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	return fd < 0;
}

static void an_overlay_works_inside_a_user_namespace(void **state)
{
	const struct scratch *s = *state;
	const struct imbrex_id_map map = { .inside = 0, .outside = 0, .count = 1 };
	const struct id_maps maps = { &map, 1, &map, 1 };
	AUTO_STRV layers = { 0 };
	AUTO_FREE char *upper = format_text("%s/u", s->path);
	AUTO_FREE char *work = format_text("%s/w", s->path);
	struct overlay_spec spec = { .upper = upper, .work = work, .userxattr = true };
	struct imbrex_error err = { 0 };
	int status;

	make_layers(s, 3, &layers);
	spec.lowers = (const char *const *)layers.items;
	spec.n_lowers = 3;
	assert_int_equal(userns_run(&maps, CLONE_NEWNS, overlay_inside, &spec, &status, &err), 0);
	assert_int_equal(status, 0);
}

static void mount_words_become_attributes(void **state)
{
	uint64_t attrs = 0;

	assert_true(mount_attr_from_word("nodev", &attrs));
	assert_true(mount_attr_from_word("ro", &attrs));
	assert_true(mount_attr_from_word("noatime", &attrs));
	assert_true(attrs == (MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME));
	assert_true(mount_attr_from_word("rw", &attrs));
	assert_true(mount_attr_from_word("relatime", &attrs));
	assert_true(attrs == MOUNT_ATTR_NODEV);
	assert_false(mount_attr_from_word("metacopy=on", &attrs));
}

static void mounts_are_left_alone_unless_told(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_CLOSE int dir = -EBADF;
	char path[300];
	int r;

	assert_int_equal(mkdirat(s->fd, "keep", 0700), 0);
	scratch_file(s->fd, "keep/f", "x");
	assert_int_equal(mkdirat(s->fd, "t", 0700), 0);
	assert_int_equal(mkdirat(s->fd, "t/m", 0700), 0);
	scratch_file(s->fd, "t/file", "");
	(void)snprintf(path, sizeof(path), "%s/keep", s->path);
	dir = openat(s->fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fchdir(dir), 0);
	assert_int_equal(mount(path, "m", NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(path, "m", NULL, MS_BIND, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/keep/f", s->path);
	assert_int_equal(mount(path, "file", NULL, MS_BIND, NULL), 0);
	assert_int_equal(chdir("/"), 0);
	r = remove_tree_at(s->fd, "t", &err);
	assert_int_equal(r, IMBREX_EBUSY);
	assert_non_null(strstr(err.message, "remove 't/"));
	assert_int_equal(remove_tree_detach_at(s->fd, "t", &err), 0);
	assert_false(scratch_has(s->fd, "t"));
	scratch_expect(s->fd, "keep/f", "x");
}

/* Where SELinux is off the file system refuses it: so both roads pass it on, commas and all. */
static void a_label_reaches_the_file_system(void **state)
{
	const struct scratch *s = *state;
	AUTO_STRV layers = { 0 };
	AUTO_FREE char *upper = format_text("%s/u", s->path);
	AUTO_FREE char *work = format_text("%s/w", s->path);
	struct overlay_spec spec = { .upper = upper,
		.work = work,
		.n_lowers = 2,
		.label = "system_u:object_r:container_file_t:s0:c1,c2" };
	int road;

	if (selinux_is_on()) {
		print_message("skipped: SELinux is on, and might take the label\n");
		skip();
	}
	make_layers(s, 2, &layers);
	spec.lowers = (const char *const *)layers.items;
	for (road = 0; road < 2; road++) {
		struct imbrex_error err = { 0 };

		spec.old_kernel = road;
		assert_true(overlay_mount_new(&spec, &err) < 0);
		assert_int_equal(err.errnum, EINVAL);
		if (!spec.old_kernel)
			assert_non_null(strstr(err.message, "mount option 'context'"));
	}
	spec.label = NULL;
	{
		struct imbrex_error err = { 0 };
		AUTO_CLOSE int fd = overlay_mount_new(&spec, &err);

		assert_true(fd >= 0);
	}
}

int main(void)
{
	const struct CMUnitTest group[] = {
		scratch_test(an_overlay_has_hundreds_of_lowers),
		scratch_test(a_label_reaches_the_file_system),
		scratch_test(an_old_kernel_gets_hundreds_of_lowers_too),
		scratch_test(names_with_separators_are_passed_by_fd),
		scratch_test(a_refused_overlay_says_why),
		scratch_test(a_bind_is_made_read_only_before_anyone_sees_it),
		scratch_test(an_id_mapped_bind_shows_other_owners),
		scratch_test(an_overlay_works_inside_a_user_namespace),
		scratch_test(mounts_are_left_alone_unless_told),
		cmocka_unit_test(mount_words_become_attributes),
	};

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		(void)fprintf(stderr, "skipped: not permitted to make a mount namespace\n");
		return 77;
	}
	return cmocka_run_group_tests(group, NULL, NULL);
}
