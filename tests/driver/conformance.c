/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver-conformance --driver NAME [--root DIR] [--option KEY=VALUE]... [GROUP...]
 *
 * What every storage driver must do, whatever lies on disk. --root is a directory on the file
 * system to test (default: TMPDIR, or /tmp), options are the driver's own. Environment:
 * IMBREX_DRIVER_ROOT in place of --root. Groups: content layers differences deaths limits; all
 * without any.
 *
 * Status: 0, 1, or 77 with the reason where the driver does not work.
 */
#include "conformance.h"

#include <getopt.h>
#include <stdlib.h>

#include "os/mountinfo.h"

const char *driver_name;
static const char *place;
static struct strv options;

bool driver_stacks(void)
{
	return str_eq(driver_name, "overlay");
}

int conformance_setup(void **state)
{
	*state = fixture_new_at(place, driver_name, &options);
	return 0;
}

/* On or below the test's directory. */
static void assert_no_mounts(struct fixture *f)
{
	struct mountinfo mounts = MOUNTINFO_INIT;
	size_t i;

	assert_ok(mountinfo_read(&mounts, &f->err), &f->err);
	for (i = 0; i < mounts.n; i++)
		if (strncmp(mounts.entries[i].target, f->dir, strlen(f->dir)) == 0) {
			print_error("a mount is left: %s\n", mounts.entries[i].target);
			assert_true(false);
		}
	mountinfo_done(&mounts);
}

int conformance_teardown(void **state)
{
	struct fixture *f = *state;

	fixture_remove_layers(f);
	if (f->d->ops->retire)
		assert_ok(f->d->ops->retire(f->d, &f->err), &f->err);
	assert_no_mounts(f);
	fixture_free(f);
	return 0;
}

void layer_text(struct fixture *f, const char *id, unsigned int flags, struct str *out)
{
	const struct driver_mount_opts opts = { .read_only = true };
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;

	assert_ok(f->d->ops->mount(f->d, id, &opts, &path, &f->err), &f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	tree_text(root, flags, out);
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
}

void assert_layer(struct fixture *f, const char *id, const char *want)
{
	AUTO_STR text = STR_INIT(1u << 20);

	layer_text(f, id, 0, &text);
	assert_string_equal(str_text(&text), want);
}

void assert_layers_equal(struct fixture *f, const char *have_id, const char *want_id)
{
	AUTO_STR have = STR_INIT(1u << 20);
	AUTO_STR want = STR_INIT(1u << 20);

	layer_text(f, want_id, TREE_DIR_TIMES, &want);
	layer_text(f, have_id, TREE_DIR_TIMES, &have);
	assert_string_equal(str_text(&have), str_text(&want));
}

int open_mounted(struct fixture *f, const char *id, char **ret_path)
{
	AUTO_FREE char *path = NULL;
	int root;

	assert_ok(f->d->ops->mount(f->d, id, &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	if (ret_path)
		*ret_path = take_ptr(path);
	return root;
}

void make_changed_layers(struct fixture *f)
{
	const struct node base[] = { DIR_("a", 0755), FILE("a/same", 0644, "s"), DIR_("d", 0755),
		FILE("d/gone", 0644, "g"), FILE("d/keep", 0644, "k"), FILE("f", 0644, "f"),
		DIR_("gone", 0755), FILE("gone/x", 0644, "x"), FILE("was-file", 0644, "w"),
		DIR_("was-dir", 0755), FILE("was-dir/x", 0644, "x") };
	const struct node child[] = { DIR_("d", 0755), { "d/gone", ENTRY_WHITEOUT },
		FILE("d/new", 0644, "12345"),
		{ "d/new2", ENTRY_HARDLINK, 0644, .link = "d/new", .mtime = 7 },
		FILE("f", 0600, "f"), { "gone", ENTRY_WHITEOUT }, DIR_("h", 0755),
		FILE("h/x", 0644, "abc"), DIR_("was-file", 0755), FILE("was-file/y", 0644, "y"),
		FILE("was-dir", 0644, "w") };

	fixture_layer(f, "base", NULL, base, ARRAY_LEN(base));
	fixture_layer(f, "child", "base", child, ARRAY_LEN(child));
}

static const struct {
	const char *name;
	int (*run)(void);
} groups[] = {
	{ "content", test_content },
	{ "layers", test_layers },
	{ "differences", test_differences },
	{ "deaths", test_deaths },
	{ "limits", test_limits },
};

static int usage(void)
{
	print_error("usage: driver-conformance --driver NAME [--root DIR] [--option KEY=VALUE]... "
		    "[GROUP...]\n");
	return 2;
}

static int run_group(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(groups); i++)
		if (str_eq(groups[i].name, name))
			return groups[i].run();
	exit(usage());
}

int main(int argc, char **argv)
{
	static const struct option words[] = { { "driver", required_argument, NULL, 'd' },
		{ "root", required_argument, NULL, 'r' },
		{ "option", required_argument, NULL, 'o' }, { NULL, 0, NULL, 0 } };
	int c, failed = 0;
	size_t i;

	place = getenv("IMBREX_DRIVER_ROOT");
	while ((c = getopt_long(argc, argv, "", words, NULL)) >= 0)
		if (c == 'd')
			driver_name = optarg;
		else if (c == 'r')
			place = optarg;
		else if (c != 'o' || strv_add(&options, optarg) < 0)
			return usage();
	if (!driver_name)
		return usage();
	if (geteuid() != 0) {
		print_message("skipped: owners and devices need root\n");
		return 77;
	}
	skip_unless_driver_works(place, driver_name, &options);
	for (i = 0; optind == argc && i < ARRAY_LEN(groups); i++)
		failed += groups[i].run();
	for (; optind < argc; optind++)
		failed += run_group(argv[optind]);
	strv_done(&options);
	return failed ? 1 : 0;
}
