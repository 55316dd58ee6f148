/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlay by way of a mount program: identity maps, and force_mask, where modes and owners lie in
 * xattrs and the program shows them.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include "tree_text.h"

#define PROGRAM "/usr/bin/fuse-overlayfs"

static struct strv plain_options, masked_options, native_options;

static const struct imbrex_id_map range[] = { { 0, 100000, 65536 } };
static const struct id_maps plain = { range, 1, range, 1 };
static const struct imbrex_id_map pieces[] = { { 0, 200000, 10 }, { 11, 150000, 1000 } };
static const struct id_maps broken = { pieces, 2, range, 1 };
static const struct imbrex_id_map one[] = { { 0, 4321, 1 } };
static const struct id_maps single = { one, 1, one, 1 };

static int plain_setup(void **state)
{
	*state = fixture_new("overlay", &plain_options);
	return 0;
}

static int masked_setup(void **state)
{
	*state = fixture_new("overlay", &masked_options);
	return 0;
}

static int native_setup(void **state)
{
	*state = fixture_new("overlay", &native_options);
	return 0;
}

static void assert_shown(struct fixture *f, const char *id, const struct driver_mount_opts *opts,
	const struct id_pair *root_owner, const char *want)
{
	AUTO_STR text = STR_INIT(1u << 20);
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;
	struct stat st;

	assert_ok(f->d->ops->mount(f->d, id, opts, &path, &f->err), &f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fstat(root, &st), 0);
	tree_text(root, 0, &text);
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
	assert_string_equal(str_text(&text), want);
	assert_int_equal(st.st_uid, root_owner->uid);
	assert_int_equal(st.st_gid, root_owner->gid);
}

static const struct node tree[] = {
	{ "a", ENTRY_FILE, 0644, 5, 6, .text = "x", .mtime = 7 },
	{ "d", ENTRY_DIR, 0755, 1, 2, .mtime = 7 },
	{ "d/s", ENTRY_SYMLINK, 0777, 3, 4, .link = "a", .mtime = 7 },
};

static void only_contiguous_maps_are_shown(void **state)
{
	struct fixture *f = *state;

	assert_true(f->d->ops->shifts(f->d, &plain));
	assert_true(f->d->ops->shifts(f->d, &single));
	assert_false(f->d->ops->shifts(f->d, &broken));
}

static void the_program_maps_what_it_shows(void **state)
{
	const struct id_pair root = { 100000, 100000 };
	const struct id_pair squashed = { 4321, 4321 };
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	fixture_layer(f, "top", "base", NULL, 0);
	assert_shown(f, "top", &(struct driver_mount_opts){ .maps = &plain }, &root,
		"a 100644 100005:100006 7.000000000 'x'\n"
		"d 40755 100001:100002\n"
		"d/s 120777 100003:100004 7.000000000 -> a\n");
	assert_shown(f, "top", &(struct driver_mount_opts){ .maps = &single }, &squashed,
		"a 100644 4321:4321 7.000000000 'x'\n"
		"d 40755 4321:4321\n"
		"d/s 120777 4321:4321 7.000000000 -> a\n");
}

static void owners_change_through_the_program(void **state)
{
	const struct driver_layer_opts opts = { .maps = &broken };
	const struct driver_parent parent = { .id = "base" };
	const struct id_pair root = { 200000, 100000 };
	struct driver_stage *stage = NULL;
	struct fixture *f = *state;

	/* Without the symbolic link, whose time the program does not copy up. */
	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree) - 1);
	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, &opts, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_map(stage, NULL, &broken, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, "m", &f->err), &f->err);
	driver_stage_free(stage);
	assert_int_equal(count_names_at(f->root, "g/overlay/m/diff"), 0);
	assert_shown(f, "m", &(struct driver_mount_opts){ .maps = &broken, .mapped = true }, &root,
		"a 100644 200005:100006 7.000000000 'x'\n"
		"d 40755 200001:100002\n");
}

static const struct node secrets[] = {
	{ "c", ENTRY_CHAR, 0620, 0, 5, .dev_major = 1, .dev_minor = 3, .mtime = 7 },
	{ "d", ENTRY_DIR, 01700, 5, 6, .mtime = 7 },
	{ "d/f", ENTRY_FILE, 04711, 7, 8, .text = "x", .mtime = 7 },
	{ "d/h", ENTRY_HARDLINK, 04711, 7, 8, .link = "d/f", .mtime = 7 },
	{ "p", ENTRY_FIFO, 0600, 9, 9, .mtime = 7 },
	{ "s", ENTRY_SYMLINK, 0777, .link = "d/f", .mtime = 7 },
};

static void assert_xattr(struct fixture *f, const char *path, mode_t mode, const char *want)
{
	AUTO_FREE char *full = format_text("%s/%s", f->dir, path);
	char value[128] = "";
	struct stat st;

	assert_true(getxattr(full, "user.containers.override_stat", value, sizeof(value) - 1) > 0);
	assert_string_equal(value, want);
	assert_int_equal(stat(full, &st), 0);
	assert_int_equal(st.st_mode, mode);
	assert_int_equal(st.st_uid, 0);
}

static void force_mask_keeps_the_truth_in_xattrs(void **state)
{
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, secrets, ARRAY_LEN(secrets));
	fixture_layer(f, "top", "base", NULL, 0);
	assert_xattr(f, "g/overlay/base/diff", S_IFDIR | 0755, "0:0:0755:dir");
	assert_xattr(f, "g/overlay/base/diff/c", S_IFREG | 0755, "0:5:0620:char-1-3");
	assert_xattr(f, "g/overlay/base/diff/d", S_IFDIR | 0755, "5:6:1700:dir");
	assert_xattr(f, "g/overlay/base/diff/d/f", S_IFREG | 0755, "7:8:4711:file");
	assert_xattr(f, "g/overlay/base/diff/p", S_IFREG | 0755, "9:9:0600:pipe");
	/* A layer without entries says what the one below says of the root. */
	assert_xattr(f, "g/overlay/top/diff", S_IFDIR | 0755, "0:0:0755:dir");
}

static void a_program_shows_what_force_mask_keeps(void **state)
{
	const struct id_pair root = { 0, 0 };
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, secrets + 1, 3);
	fixture_layer(f, "top", "base", NULL, 0);
	assert_shown(f, "top", &(struct driver_mount_opts){ 0 }, &root,
		"d 41700 5:6 user.containers.override_stat=353a363a313730303a646972\n"
		"d/f 104711 7:8 7.000000000 'x' "
		"user.containers.override_stat=373a383a343731313a66696c65\n"
		"d/h 104711 7:8 7.000000000 'x' = d/f "
		"user.containers.override_stat=373a383a343731313a66696c65\n");
}

static void a_diff_tells_what_force_mask_keeps(void **state)
{
	const struct driver_layer_opts opts = { .image = true };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, secrets, ARRAY_LEN(secrets));
	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, &opts, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	assert_ok(f->d->ops->diff(f->d, "base", NULL, NULL, NULL, sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, NULL, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, "copy", &f->err), &f->err);
	driver_stage_free(stage);
	assert_xattr(f, "g/overlay/copy/diff/c", S_IFREG | 0755, "0:5:0620:char-1-3");
	assert_xattr(f, "g/overlay/copy/diff/d", S_IFDIR | 0755, "5:6:1700:dir");
	assert_xattr(f, "g/overlay/copy/diff/d/f", S_IFREG | 0755, "7:8:4711:file");
	assert_xattr(f, "g/overlay/copy/diff/p", S_IFREG | 0755, "9:9:0600:pipe");
}

static void a_masked_writable_layer_needs_a_program(void **state)
{
	const struct driver_layer_opts image = { .image = true };
	struct driver_stage *stage = NULL;
	struct fixture *f = *state;

	assert_int_equal(f->d->ops->create(f->d, "a", NULL, NULL, false, &f->err), IMBREX_ENOTSUP);
	assert_string_equal(f->err.message,
		"option overlay.force_mask: writable layers need overlay.mount_program");
	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, &image, &stage, &f->err), &f->err);
	driver_stage_free(stage);
}

#define PLAIN(name)  cmocka_unit_test_setup_teardown(name, plain_setup, fixture_teardown)
#define MASKED(name) cmocka_unit_test_setup_teardown(name, masked_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(only_contiguous_maps_are_shown),
		PLAIN(the_program_maps_what_it_shows),
		PLAIN(owners_change_through_the_program),
		MASKED(force_mask_keeps_the_truth_in_xattrs),
		MASKED(a_program_shows_what_force_mask_keeps),
		MASKED(a_diff_tells_what_force_mask_keeps),
		cmocka_unit_test_setup_teardown(
			a_masked_writable_layer_needs_a_program, native_setup, fixture_teardown),
	};
	int r;

	if (geteuid() != 0 || access(PROGRAM, X_OK) < 0 || access("/dev/fuse", R_OK | W_OK) < 0) {
		print_message("skipped: needs root, fuse-overlayfs and /dev/fuse\n");
		return 77;
	}
	skip_unless_overlay_works();
	if (strv_add(&plain_options, "overlay.mount_program=" PROGRAM) < 0 ||
		strv_add(&masked_options, "overlay.mount_program=" PROGRAM) < 0 ||
		strv_add(&masked_options, "overlay.force_mask=shared") < 0 ||
		strv_add(&native_options, "overlay.force_mask=0755") < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	strv_done(&plain_options);
	strv_done(&masked_options);
	strv_done(&native_options);
	return r;
}
