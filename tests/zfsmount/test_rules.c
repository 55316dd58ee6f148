/* SPDX-License-Identifier: Apache-2.0 */
/* What the mount helper believes of its configuration, of datasets and of mount points. */
#include "zfsmount/zfsmount.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/str.h"

/* "path suid dev", or the message. */
static void told(const char *text, const char *user, char *ret, size_t size)
{
	AUTO_MOUNT_CONFIG c = { 0 };
	struct imbrex_error err = { 0 };

	if (mount_config_parse(text, strlen(text), "F", 1000, user, &c, &err) < 0)
		(void)snprintf(ret, size, "%s", err.message);
	else
		(void)snprintf(ret, size, "%s%s%s", c.data_path, c.suid ? " suid" : "",
			c.dev ? " dev" : "");
}

static void the_configuration_says_where_and_how(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "ENROOT_DATA_PATH /var/lib/enroot\n", "/var/lib/enroot" },
		{ "  ENROOT_DATA_PATH=/a/b", "/a/b" },
		/* The first counts, as for enroot. */
		{ "ENROOT_DATA_PATH /a\nENROOT_DATA_PATH /b\n", "/a" },
		{ "#ENROOT_DATA_PATH /a\nENROOT_DATA_PATH\t/b  # here\n", "/b" },
		{ "ENROOT_DATA_PATH \"/a b/c\"\n", "/a b/c" },
		{ "ENROOT_DATA_PATH /x/user-$(id -u)\n", "/x/user-1000" },
		{ "ENROOT_DATA_PATH \"/x/${UID}/$(id -un)/$USER\"\n", "/x/1000/joe/joe" },
		{ "ENROOT_DATA_PATH '/x'\nENROOT_ZFS_MOUNT_OPTIONS suid\n", "/x suid" },
		{ "ENROOT_ZFS_MOUNT_OPTIONS nosuid,dev\nENROOT_DATA_PATH /x\n", "/x dev" },
		{ "ENROOT_ZFS_MOUNT_OPTIONS exec\nENROOT_DATA_PATH /x\n",
			"F: ENROOT_ZFS_MOUNT_OPTIONS has 'exec', which is none of nosuid, nodev, "
			"suid, dev" },
		{ "", "ENROOT_DATA_PATH is not set in F" },
		{ "ENROOT_DATA_PATHS /a\n", "ENROOT_DATA_PATH is not set in F" },
		/* What a shell would make of it, only a shell knows. */
		{ "ENROOT_DATA_PATH $(cat /etc/hostname)\n",
			"F: the value of ENROOT_DATA_PATH is not understood: '$(cat "
			"/etc/hostname)'" },
		{ "ENROOT_DATA_PATH ~/enroot\n",
			"F: the value of ENROOT_DATA_PATH is not understood: '~/enroot'" },
		{ "ENROOT_DATA_PATH ${HOME}/enroot\n",
			"F: the value of ENROOT_DATA_PATH is not understood: '${HOME}/enroot'" },
		{ "ENROOT_DATA_PATH /x/$UIDS\n",
			"F: the value of ENROOT_DATA_PATH is not understood: '/x/$UIDS'" },
		{ "ENROOT_DATA_PATH '/a\n",
			"F: the value of ENROOT_DATA_PATH is not understood: ''/a'" },
		{ "ENROOT_DATA_PATH /a /b\n",
			"F: the value of ENROOT_DATA_PATH is not understood: '/a /b'" },
		{ "ENROOT_DATA_PATH a/b\n",
			"F: ENROOT_DATA_PATH is no absolute path without '.' and '..': 'a/b'" },
		{ "ENROOT_DATA_PATH /a/../b\n",
			"F: ENROOT_DATA_PATH is no absolute path without '.' and '..': '/a/../b'" },
		{ "ENROOT_DATA_PATH /\n",
			"F: ENROOT_DATA_PATH is no absolute path without '.' and '..': '/'" },
	};
	char got[1200];
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		told(cases[i].text, "joe", got, sizeof(got));
		assert_string_equal(got, cases[i].want);
	}
}

static void a_user_of_an_odd_name_has_none(void **state)
{
	static const char *const names[] = { "..", ".", "a/../../etc", "", NULL };
	char got[1200];
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		told("ENROOT_DATA_PATH /x/$USER\n", names[i], got, sizeof(got));
		assert_string_equal(
			got, "F: the value of ENROOT_DATA_PATH is not understood: '/x/$USER'");
	}
}

static void a_file_that_others_can_change_is_refused(void **state)
{
	static const char text[] = "ENROOT_DATA_PATH /a\n";
	char path[] = "/tmp/imbrex-zfsmount.XXXXXX";
	int fd = mkstemp(path);
	AUTO_MOUNT_CONFIG c = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *want = format_text(
		"%s: it must be a file that only root can change (owner 0, mode 0644)", path);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, 0664), 0);
	assert_int_equal(mount_config_read(path, 1000, &c, &err), IMBREX_EPERM);
	assert_string_equal(err.message, want);
	assert_int_equal(fchmod(fd, 0644), 0);
	if (geteuid() == 0) {
		assert_int_equal(mount_config_read(path, 1000, &c, &err), 0);
		assert_string_equal(c.data_path, "/a");
		assert_int_equal(fchown(fd, 1000, 1000), 0);
	}
	assert_int_equal(mount_config_read(path, 1000, &c, &err), IMBREX_EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mount_config_read(path, 1000, &c, &err), IMBREX_ENOENT);
	(void)close(fd);
}

static const char mounts[] = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
			     "2 1 0:30 / /var/lib/enroot rw - zfs tank/enroot rw\n"
			     "3 2 0:31 / /var/lib/enroot/one rw - zfs tank/enroot/one rw\n"
			     "4 2 0:32 / /mnt/two rw - zfs tank/enroot/two rw\n"
			     /* A part of it bound elsewhere is no mount of it. */
			     "5 1 0:33 /sub /mnt/sub rw - zfs tank/enroot/three rw\n"
			     /* Somebody's own file system, called like a dataset. */
			     "6 1 0:34 / /home/joe/mnt rw - fuse.zfs tank/enroot/four rw\n"
			     "7 1 0:35 / /x rw - zfs tank/a#b rw\n";

static void a_dataset_lies_below_that_of_the_data(void **state)
{
	static const struct {
		uint64_t mount;
		const char *dataset, *want;
	} cases[] = {
		{ 2, "tank/enroot/one", "" },
		{ 2, "tank/enroot/.templates/x", "" },
		{ 2, "tank/enroot", "dataset tank/enroot is not under tank/enroot" },
		{ 2, "tank/enroots", "dataset tank/enroots is not under tank/enroot" },
		{ 2, "tank/home", "dataset tank/home is not under tank/enroot" },
		{ 1, "tank/enroot/one", "no ZFS dataset is mounted at or above /var/lib/enroot" },
		{ 6, "tank/enroot/four/x",
			"no ZFS dataset is mounted at or above /var/lib/enroot" },
		{ 7, "tank/a/x", "no ZFS dataset is mounted at or above /var/lib/enroot" },
		{ 9, "tank/enroot/one", "no ZFS dataset is mounted at or above /var/lib/enroot" },
	};
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	size_t i;

	assert_int_equal(mountinfo_parse(mounts, strlen(mounts), &m, NULL), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct zfs_name name, parent;
		int r;

		assert_int_equal(zfs_name_dataset(&name, cases[i].dataset, &err), 0);
		r = rule_parent(&m, cases[i].mount, "/var/lib/enroot", &parent, &err);
		if (r == 0)
			r = rule_below(&name, &parent, &err);
		assert_int_equal(r < 0, cases[i].want[0] != '\0');
		assert_string_equal(err.message, cases[i].want);
	}
}

static void names_that_lead_elsewhere_are_no_datasets(void **state)
{
	static const char *const names[] = { "tank/enroot/../home", "tank/enroot/one@pristine",
		"tank/enroot/", "tank//one", "tank/enroot/one;reboot", "tank/enroot/$(id)", "", "/",
		"tank/enroot/one\n" };
	struct zfs_name name;
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		assert_true(zfs_name_dataset(&name, names[i], NULL) < 0);
}

static void a_mount_point_lies_plainly_below_the_data(void **state)
{
	static const struct {
		const char *mount_point, *want; /* the rest, or the message */
		bool good;
	} cases[] = {
		{ "/data/one", "one", true },
		{ "/data/.templates/x", ".templates/x", true },
		{ "/real/data/one", "one", true },
		{ "/data", "mountpoint /data is not under /data", false },
		{ "/data/", "mountpoint /data/ is not under /data", false },
		{ "/database/one", "mountpoint /database/one is not under /data", false },
		{ "/data/../etc", "mountpoint /data/../etc is not under /data", false },
		{ "/data/a/./b", "mountpoint /data/a/./b is not under /data", false },
		{ "/data//etc", "mountpoint /data//etc is not under /data", false },
		{ "/etc", "mountpoint /etc is not under /data", false },
		{ "legacy", "could not get mountpoint of t/a (is it set to a path?)", false },
		{ "none", "could not get mountpoint of t/a (is it set to a path?)", false },
		{ "", "could not get mountpoint of t/a (is it set to a path?)", false },
	};
	const struct zfs_name name = { "t/a" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		const char *rest = NULL;
		int r = rule_place(cases[i].mount_point, "/data", "/real/data", &name, &rest, &err);

		assert_int_equal(r == 0, cases[i].good);
		assert_string_equal(r == 0 ? rest : err.message, cases[i].want);
	}
}

static void mounts_are_told_by_kind_and_root(void **state)
{
	static const struct {
		const char *dataset, *target; /* NULL: not mounted */
	} cases[] = {
		{ "tank/enroot/one", "/var/lib/enroot/one" },
		{ "tank/enroot/two", "/mnt/two" },
		{ "tank/enroot/three", NULL },
		{ "tank/enroot/four", NULL },
		{ "tank/enroot/on", NULL },
	};
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	size_t i;

	assert_int_equal(mountinfo_parse(mounts, strlen(mounts), &m, NULL), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct mount_entry *e;
		struct zfs_name name;

		assert_int_equal(zfs_name_dataset(&name, cases[i].dataset, NULL), 0);
		e = rule_mounted(&m, &name);
		assert_int_equal(e != NULL, cases[i].target != NULL);
		if (e)
			assert_string_equal(e->target, cases[i].target);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(the_configuration_says_where_and_how),
		cmocka_unit_test(a_user_of_an_odd_name_has_none),
		cmocka_unit_test(a_file_that_others_can_change_is_refused),
		cmocka_unit_test(a_dataset_lies_below_that_of_the_data),
		cmocka_unit_test(names_that_lead_elsewhere_are_no_datasets),
		cmocka_unit_test(a_mount_point_lies_plainly_below_the_data),
		cmocka_unit_test(mounts_are_told_by_kind_and_root),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
