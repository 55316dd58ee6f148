/* SPDX-License-Identifier: Apache-2.0 */
/* The overlay driver: what it puts on disk, and what it makes of what lies there. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include "os/mountinfo.h"

#include "driver/overlay.h"
#include "os/fd.h"

static void text_of(struct fixture *f, const char *path, char *ret, size_t len)
{
	AUTO_STR text = STR_INIT(65536);

	assert_ok(read_file_at(f->root, path, text.max_len, &text, &f->err), &f->err);
	(void)snprintf(ret, len, "%s", str_text(&text));
}

static void a_layer_lies_on_disk_as_podman_lays_it(void **state)
{
	struct fixture *f = *state;
	char link[64], below[64], lower[256], want[256];
	char target[256] = "";
	struct stat st;

	fixture_layer(f, "base", NULL, &(struct node){ "etc", ENTRY_DIR, 0755 }, 1);
	fixture_layer(f, "child", "base", &(struct node){ "etc", ENTRY_WHITEOUT }, 1);
	text_of(f, "g/overlay/base/link", below, sizeof(below));
	text_of(f, "g/overlay/child/link", link, sizeof(link));
	text_of(f, "g/overlay/child/lower", lower, sizeof(lower));
	assert_int_equal(strlen(link), 26);
	(void)snprintf(want, sizeof(want), "l/%s", below);
	assert_string_equal(lower, want);
	(void)snprintf(want, sizeof(want), "g/overlay/l/%s", link);
	assert_true(readlinkat(f->root, want, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "../child/diff");
	assert_true(is_dir_at(f->root, "g/overlay/base/empty"));
	assert_false(exists_at(f->root, "g/overlay/child/empty"));
	assert_false(exists_at(f->root, "g/overlay/base/lower"));
	assert_int_equal(fstatat(f->root, "g/overlay/base/diff", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(fstatat(f->root, "g/overlay/base", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(f->root, "g/overlay/child/diff/etc", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
}

static void a_stage_that_is_freed_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	push(f, sink, &(struct node){ "a/b", ENTRY_FILE, 0644, .text = "x" });
	entry_sink_free(sink);
	driver_stage_free(stage);
	assert_int_equal(count_names(tempdir_fd(f->temp)), 0);
}

static void a_chain_of_layers_mounts_and_unmounts(void **state)
{
	struct fixture *f = *state;
	const struct node base[] = { { "a", ENTRY_FILE, 0644, .text = "one" },
		{ "d", ENTRY_DIR, 0755 }, { "d/gone", ENTRY_FILE, 0644, .text = "x" } };
	const struct node child[] = { { "a", ENTRY_FILE, 0600, .text = "two" },
		{ "d/gone", ENTRY_WHITEOUT } };
	char *path = NULL;

	fixture_layer(f, "base", NULL, base, 3);
	fixture_layer(f, "child", "base", child, 2);
	fixture_layer(f, "top", "child", NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "top", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_file(AT_FDCWD, path, "a", "two");
	assert_missing(AT_FDCWD, path, "d/gone");
	assert_ok(f->d->ops->unmount(f->d, "top", &f->err), &f->err);
	assert_missing(AT_FDCWD, path, "a");
	assert_ok(f->d->ops->unmount(f->d, "top", &f->err), &f->err);
	free(path);
	assert_ok(f->d->ops->mount(f->d, "base", &(struct driver_mount_opts){ .read_only = true },
			  &path, &f->err),
		&f->err);
	assert_file(AT_FDCWD, path, "a", "one");
	assert_ok(f->d->ops->unmount(f->d, "base", &f->err), &f->err);
	free(path);
}

static void lost_links_are_made_again(void **state)
{
	struct fixture *f = *state;
	char link[64], name[128];
	char *path = NULL;

	fixture_layer(f, "base", NULL, &(struct node){ "a", ENTRY_FILE, 0644, .text = "1" }, 1);
	fixture_layer(f, "child", "base", NULL, 0);
	text_of(f, "g/overlay/base/link", link, sizeof(link));
	(void)snprintf(name, sizeof(name), "g/overlay/l/%s", link);
	assert_int_equal(unlinkat(f->root, name, 0), 0);
	assert_ok(f->d->ops->mount(f->d, "child", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_file(AT_FDCWD, path, "a", "1");
	assert_ok(f->d->ops->unmount(f->d, "child", &f->err), &f->err);
	free(path);
	assert_int_equal(unlinkat(f->root, "g/overlay/base/link", 0), 0);
	fixture_layer(f, "other", "base", NULL, 0);
	text_of(f, "g/overlay/base/link", name, sizeof(name));
	assert_string_equal(name, link);
}

static void what_the_store_says_is_not_believed(void **state)
{
	static const struct {
		const char *file, *text;
		int status;
		const char *message;
	} cases[] = {
		{ "lower", "l/../../../etc", IMBREX_EFORMAT,
			"layer bad: file 'lower' has 'l/../../../etc'" },
		{ "lower", "/etc", IMBREX_EFORMAT, "layer bad: file 'lower' has '/etc'" },
		{ "lower", "l/AAAAAAAAAAAAAAAAAAAAAAAAA/:l/x", IMBREX_EFORMAT,
			"layer bad: file 'lower' has 'l/AAAAAAAAAAAAAAAAAAAAAAAAA/'" },
		{ "lower", "l/AAAAAAAAAAAAAAAAAAAAAAAAAA", IMBREX_ENOENT,
			"layer bad: below it: no layer has the link "
			"'l/AAAAAAAAAAAAAAAAAAAAAAAAAA'" },
		{ "link", "../../../../../../etc/pass", IMBREX_EFORMAT,
			"layer bad: file 'link' has '../../../../../../etc/pass'" },
		{ "link", "", IMBREX_EFORMAT, "layer bad: file 'link' has ''" },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char name[64];
		char *path = NULL;
		int r;

		fixture_layer(f, "bad", NULL, NULL, 0);
		(void)snprintf(name, sizeof(name), "g/overlay/bad/%s", cases[i].file);
		assert_ok(write_file_at(f->root, name, 0644, cases[i].text, strlen(cases[i].text),
				  &f->err),
			&f->err);
		r = f->d->ops->mount(f->d, "bad", &(struct driver_mount_opts){ 0 }, &path, &f->err);
		assert_int_equal(r, cases[i].status);
		assert_string_equal(f->err.message, cases[i].message);
	}
}

static void a_link_that_leads_elsewhere_is_an_error(void **state)
{
	static const char *const targets[] = { "/etc", "../../../etc/diff", "../child",
		"../../x/diff", "../.hidden/diff" };
	struct fixture *f = *state;
	char link[64], name[128], want[300];
	size_t i;

	fixture_layer(f, "base", NULL, NULL, 0);
	fixture_layer(f, "child", "base", NULL, 0);
	text_of(f, "g/overlay/base/link", link, sizeof(link));
	(void)snprintf(name, sizeof(name), "g/overlay/l/%s", link);
	for (i = 0; i < ARRAY_LEN(targets); i++) {
		char *path = NULL;

		(void)unlinkat(f->root, name, 0);
		assert_int_equal(symlinkat(targets[i], f->root, name), 0);
		assert_int_equal(f->d->ops->mount(f->d, "child", &(struct driver_mount_opts){ 0 },
					 &path, &f->err),
			IMBREX_EFORMAT);
		(void)snprintf(want, sizeof(want),
			"layer child: below it: link 'l/%s' leads to '%s'", link, targets[i]);
		assert_string_equal(f->err.message, want);
	}
}

static void a_symbolic_link_is_no_layer(void **state)
{
	struct fixture *f = *state;
	char want[512];
	char *path = NULL;

	fixture_layer(f, "base", NULL, NULL, 0);
	assert_int_equal(symlinkat("/etc", f->root, "g/overlay/evil"), 0);
	assert_int_equal(
		f->d->ops->mount(f->d, "evil", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		IMBREX_EFORMAT);
	(void)snprintf(want, sizeof(want), "layer evil: '%s/overlay/evil' is not a directory",
		f->graphroot);
	assert_string_equal(f->err.message, want);
	/* As diff directory of a lower layer. */
	fixture_layer(f, "child", "base", NULL, 0);
	assert_int_equal(unlinkat(f->root, "g/overlay/base/diff", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc", f->root, "g/overlay/base/diff"), 0);
	assert_int_equal(
		f->d->ops->mount(f->d, "child", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		IMBREX_EFORMAT);
	assert_string_equal(f->err.message, "layer base: 'diff' is not a directory");
}

static void ids_are_names_of_one_component(void **state)
{
	static const char *const ids[] = { "", ".", "..", "../x", "a/b", "l", "staging", "tempdirs",
		".has-mount-program" };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(ids); i++) {
		char want[128];

		assert_int_equal(f->d->ops->remove(f->d, ids[i], f->temp, &f->err), IMBREX_EINVAL);
		(void)snprintf(want, sizeof(want), "'%s' is not a layer id", ids[i]);
		assert_string_equal(f->err.message, want);
	}
}

static void removal_takes_the_link_and_spares_others(void **state)
{
	struct fixture *f = *state;
	char link[64], name[128];

	fixture_layer(f, "base", NULL, NULL, 0);
	fixture_layer(f, "thief", NULL, NULL, 0);
	text_of(f, "g/overlay/base/link", link, sizeof(link));
	/* A layer that calls itself by the link of another must not take that with it. */
	assert_ok(write_file_at(f->root, "g/overlay/thief/link", 0644, link, strlen(link), &f->err),
		&f->err);
	assert_ok(f->d->ops->remove(f->d, "thief", f->temp, &f->err), &f->err);
	(void)snprintf(name, sizeof(name), "g/overlay/l/%s", link);
	assert_true(is_symlink_at(f->root, name));
	assert_int_equal(count_names_at(f->root, "g/overlay/l"), 1);
	assert_ok(f->d->ops->remove(f->d, "base", f->temp, &f->err), &f->err);
	assert_int_equal(count_names_at(f->root, "g/overlay/l"), 0);
	assert_false(f->d->ops->exists(f->d, "base"));
	assert_ok(f->d->ops->remove(f->d, "base", f->temp, &f->err), &f->err);
}

static void publishing_replaces_an_orphan(void **state)
{
	struct fixture *f = *state;

	fixture_layer(f, "x", NULL, &(struct node){ "old", ENTRY_FILE, 0644, .text = "o" }, 1);
	fixture_layer(f, "x", NULL, &(struct node){ "new", ENTRY_FILE, 0644, .text = "n" }, 1);
	assert_false(exists_at(f->root, "g/overlay/x/diff/old"));
	assert_true(exists_at(f->root, "g/overlay/x/diff/new"));
	assert_int_equal(count_names_at(f->root, "g/overlay/l"), 1);
}

static void the_five_hundredth_layer_is_the_last(void **state)
{
	struct fixture *f = *state;
	struct driver_stage *stages[502] = { NULL };
	size_t i, n = ARRAY_LEN(stages);
	int r = 0;

	for (i = 0; i < n && r == 0; i++) {
		struct driver_parent parent = { .stage = i ? stages[i - 1] : NULL };

		assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stages[i], &f->err),
			&f->err);
		r = f->d->ops->stage_seal(stages[i], &parent, false, &f->err);
	}
	assert_int_equal(r, IMBREX_ELIMIT);
	assert_int_equal(i, 502);
	assert_string_equal(f->err.message, "501 layers below a new layer, limit is 500");
	for (i = 0; i < n; i++)
		driver_stage_free(stages[i]);
}

/* Super options of the mount of layer `id`, made with `options`. */
static void mounted_with(struct fixture *f, const char *id, const struct driver_mount_opts *opts,
	struct str *ret_super, struct str *ret_mount)
{
	AUTO_MOUNTINFO mounts = MOUNTINFO_INIT;
	AUTO_FREE char *path = NULL;
	const struct mount_entry *e;

	assert_ok(f->d->ops->mount(f->d, id, opts, &path, &f->err), &f->err);
	assert_ok(mountinfo_read(&mounts, &f->err), &f->err);
	e = mountinfo_find(&mounts, path);
	assert_non_null(e);
	assert_int_equal(str_puts(ret_super, e->super_options), 0);
	assert_int_equal(str_puts(ret_mount, e->options), 0);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
}

static void assert_words(struct fixture *f, const char *words, bool is_volatile, const char *want,
	const char *unwanted)
{
	AUTO_STRV options = { 0 };
	const struct driver_mount_opts opts = { .options = words ? &options : NULL,
		.volatile_upper = is_volatile };
	AUTO_STR text = STR_INIT(1u << 20);

	if (words)
		assert_int_equal(strv_add(&options, words), 0);
	mounted_with(f, "a", &opts, &text, &text);
	if (!strstr(str_text(&text), want) || (*unwanted && strstr(str_text(&text), unwanted)))
		print_error("%s\n", str_text(&text));
	assert_non_null(strstr(str_text(&text), want));
	assert_true(!*unwanted || !strstr(str_text(&text), unwanted));
}

static void mount_options_come_from_store_and_caller(void **state)
{
	AUTO_STRV options = { 0 };
	struct fixture *f;

	assert_int_equal(strv_add(&options, "overlay.mountopt=nodev,metacopy=on,noatime"), 0);
	f = fixture_new("overlay", &options);
	fixture_layer(f, "a", NULL, NULL, 0);
	assert_words(f, NULL, false, "nodev", "volatile");
	assert_words(f, NULL, false, "metacopy=on", "userxattr");
	assert_words(f, NULL, true, "volatile", "nosuid");
	/* The caller's replace the store's, but for the one that the kernel must have again. */
	assert_words(f, "nosuid", false, "nosuid", "nodev");
	assert_words(f, "nosuid", false, "metacopy=on", "noatime");
	assert_words(f, "index=off,volatile", false, "volatile", "nodev");
	assert_words(f, "ro", false, "lowerdir", "upperdir");
	fixture_free(f);
}

static void options_are_checked(void **state)
{
	static const struct {
		const char *option;
		int status;
		const char *message;
	} cases[] = {
		{ "overlay.nonsense=1", IMBREX_EINVAL, "unknown option 'overlay.nonsense'" },
		{ "nonsense=1", IMBREX_EINVAL, "unknown option 'overlay.nonsense'" },
		{ "aufs.mountopt=x", IMBREX_EINVAL,
			"storage option 'aufs.mountopt=x': there is no driver 'aufs'" },
		{ "mountopt", IMBREX_EINVAL,
			"storage option 'mountopt' is not of the form key=value" },
		{ "overlay.ignore_chown_errors=maybe", IMBREX_EINVAL,
			"option overlay.ignore_chown_errors: 'maybe' is neither true nor false" },
		{ "overlay.mount_program=fuse", IMBREX_EINVAL,
			"option overlay.mount_program: 'fuse' is not an absolute path" },
		{ "overlay.mount_program=/nowhere/fuse", IMBREX_ENOENT,
			"option overlay.mount_program: '/nowhere/fuse': No such file or "
			"directory" },
		{ "overlay.force_mask=9", IMBREX_EINVAL,
			"option overlay.force_mask: '9' is not shared, private or an octal mode" },
		{ "overlay.sync=always", IMBREX_EINVAL,
			"option overlay.sync: 'always' is neither none nor filesystem" },
		{ "overlay.size=10 parsec", IMBREX_EINVAL,
			"option overlay.size: '10 parsec' is not a size (10485760, 10m, 1.5G)" },
		{ "overlay.inodes=1k", IMBREX_EINVAL,
			"option overlay.inodes: '1k' is not a number" },
		{ "overlay.size=10G", 0, "" },
		{ "overlay.inodes=1000", 0, "" },
		{ "overlay.imagestore=rel", IMBREX_EINVAL,
			"option overlay.imagestore: 'rel' is not an absolute path" },
		{ "overlay.use_composefs=true", IMBREX_ENOTSUP,
			"option overlay.use_composefs is not supported" },
		{ "OVERLAY.MountOpt=nodev,metacopy=on", 0, "" },
		{ "overlay2.skip_mount_home=T", 0, "" },
		{ "vfs.ignore_chown_errors=not-looked-at", 0, "" },
		{ "overlay.force_mask=shared", 0, "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct overlay_options o = { 0 };
		struct imbrex_error err = { 0 };
		AUTO_STRV options = { 0 };

		assert_int_equal(strv_add(&options, cases[i].option), 0);
		assert_int_equal(overlay_options_parse(&o, &options, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
		overlay_options_done(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(a_layer_lies_on_disk_as_podman_lays_it),
		OVERLAY_TEST(a_stage_that_is_freed_leaves_nothing),
		OVERLAY_TEST(a_chain_of_layers_mounts_and_unmounts),
		OVERLAY_TEST(lost_links_are_made_again),
		OVERLAY_TEST(what_the_store_says_is_not_believed),
		OVERLAY_TEST(a_link_that_leads_elsewhere_is_an_error),
		OVERLAY_TEST(a_symbolic_link_is_no_layer),
		OVERLAY_TEST(ids_are_names_of_one_component),
		OVERLAY_TEST(removal_takes_the_link_and_spares_others),
		OVERLAY_TEST(publishing_replaces_an_orphan),
		OVERLAY_TEST(the_five_hundredth_layer_is_the_last),
		cmocka_unit_test(mount_options_come_from_store_and_caller),
		cmocka_unit_test(options_are_checked),
	};

	skip_unless_overlay_works();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
