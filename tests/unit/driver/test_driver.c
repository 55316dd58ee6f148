/* SPDX-License-Identifier: Apache-2.0 */
/* Which driver a graphroot gets. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver_fixture.h"

struct choice {
	const char *prior[3]; /* directories in the graphroot */
	const char *name;
	const char *priority; /* one name, or NULL for the default list */
	const char *want;     /* driver, or NULL */
	int status;
	const char *message; /* %s is the graphroot, * at the end whatever follows */
};

static const char no_zfs[] = "this kernel has no ZFS: there is no /dev/zfs";

static const struct choice choices[] = {
	{ { NULL }, "vfs", NULL, "vfs", 0, NULL },
	{ { NULL }, "aufs", NULL, NULL, IMBREX_EINVAL, "there is no storage driver 'aufs'" },
	{ { NULL }, "btrfs", NULL, NULL, IMBREX_ENOTSUP,
		"the driver btrfs needs btrfs, and '%s' lies on *" },
	{ { "zfs" }, NULL, NULL, NULL, IMBREX_ENOTSUP, no_zfs },
	{ { "btrfs" }, "", NULL, NULL, IMBREX_ENOTSUP,
		"the driver btrfs needs btrfs, and '%s' lies on *" },
	{ { "zfs", "btrfs" }, NULL, NULL, NULL, IMBREX_EEXIST,
		"'%s' holds several storage drivers: btrfs, zfs" },
	{ { "btrfs", "vfs" }, NULL, NULL, NULL, IMBREX_EEXIST,
		"'%s' holds several storage drivers: btrfs, vfs" },
	{ { "vfs" }, NULL, "vfs", "vfs", 0, NULL },
	{ { NULL }, NULL, "vfs", "vfs", 0, NULL },
	{ { NULL }, NULL, "zfs", NULL, IMBREX_ENOTSUP, no_zfs },
	{ { "zfs", "vfs" }, "vfs", NULL, "vfs", 0, NULL },
};

static void the_driver_follows_name_content_and_priority(void **state)
{
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(choices); i++) {
		const struct choice *c = &choices[i];
		char dir[] = "/tmp/imbrex-choice-XXXXXX";
		struct driver_config config = { .graphroot = dir, .runroot = dir };
		AUTO_DRIVER struct driver *d = NULL;
		AUTO_STRV priority = { 0 };
		/* Where ZFS is, it is the file system that is wrong. */
		const char *message = c->message == no_zfs && access("/dev/zfs", F_OK) == 0
					      ? "'%s' lies on *"
					      : c->message;
		struct imbrex_error err = { 0 };
		char want[512];
		int root;

		assert_non_null(mkdtemp(dir));
		root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		for (k = 0; k < ARRAY_LEN(c->prior) && c->prior[k]; k++)
			assert_int_equal(mkdirat(root, c->prior[k], 0700), 0);
		if (c->priority)
			assert_int_equal(strv_add(&priority, c->priority), 0);
		assert_int_equal(driver_open(c->name, &priority, &config, &d, &err), c->status);
		if (c->want) {
			assert_string_equal(d->ops->name, c->want);
		} else {
			const char *mark = strstr(message, "%s");

			(void)snprintf(want, sizeof(want), "%.*s%s%s",
				mark ? (int)(mark - message) : (int)strlen(message), message,
				mark ? dir : "", mark ? mark + 2 : "");
			if (str_ends(want, "*") && strlen(err.message) >= strlen(want))
				(void)snprintf(err.message + strlen(want) - 1, 2, "*");
			assert_string_equal(err.message, want);
		}
		for (k = 0; k < 4; k++)
			assert_ok(remove_tree_at(root,
					  ((const char *[]){ "vfs", "zfs", "btrfs", "overlay" })[k],
					  &err),
				&err);
		(void)close(root);
		assert_int_equal(rmdir(dir), 0);
	}
}

static void the_temporary_directory_lies_in_the_home(void **state)
{
	struct fixture *f = fixture_new("vfs", NULL);
	char root[64];

	driver_temp_root(f->d, root, sizeof(root));
	assert_string_equal(root, "vfs/tempdirs");
	fixture_free(f);
}

static void vfs_checks_its_options(void **state)
{
	static const struct {
		const char *option;
		int status;
		const char *message;
	} cases[] = {
		{ "vfs.mountopt=nodev", IMBREX_EINVAL, "unknown option 'vfs.mountopt'" },
		{ "vfs.ignore_chown_errors=x", IMBREX_EINVAL,
			"option vfs.ignore_chown_errors: 'x' is neither true nor false" },
		{ "vfs.imagestore=rel", IMBREX_EINVAL,
			"option vfs.imagestore: 'rel' is not an absolute path" },
		{ "overlay.mountopt=nodev", 0, "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char dir[] = "/tmp/imbrex-choice-XXXXXX";
		AUTO_STRV options = { 0 };
		struct driver_config config = {
			.graphroot = dir, .runroot = dir, .options = &options
		};
		AUTO_DRIVER struct driver *d = NULL;
		struct imbrex_error err = { 0 }, ignored;
		int root;

		assert_non_null(mkdtemp(dir));
		assert_int_equal(strv_add(&options, cases[i].option), 0);
		assert_int_equal(driver_open("vfs", NULL, &config, &d, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
		root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_ok(remove_tree_at(root, "vfs", &ignored), &ignored);
		(void)close(root);
		assert_int_equal(rmdir(dir), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_driver_follows_name_content_and_priority),
		cmocka_unit_test(the_temporary_directory_lies_in_the_home),
		cmocka_unit_test(vfs_checks_its_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
