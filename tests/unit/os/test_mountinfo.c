/* SPDX-License-Identifier: Apache-2.0 */
/* The mountinfo reader. */
#include "os/mountinfo.h"

#include "base/macros.h"
#include "scratch.h"

static const char sample[] =
	"21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	"36 21 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:3 - ext3 /dev/a\\134b rw,errors=x\n"
	"40 21 0:39 / /mnt rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u,volatile\n"
	"41 40 0:40 / /mnt rw - tmpfs  rw\n";

static void fields_are_read_and_escapes_undone(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;

	assert_int_equal(mountinfo_parse(sample, sizeof(sample) - 1, &m, &err), 0);
	assert_int_equal(m.n, 4);
	assert_int_equal(m.entries[1].id, 36);
	assert_int_equal(m.entries[1].parent_id, 21);
	assert_int_equal(m.entries[1].dev_major, 98);
	assert_string_equal(m.entries[1].root, "/mnt1");
	assert_string_equal(m.entries[1].target, "/mnt 2");
	assert_string_equal(m.entries[1].options, "rw,noatime");
	assert_string_equal(m.entries[1].propagation, "master:1 shared:3");
	assert_string_equal(m.entries[1].fs_type, "ext3");
	assert_string_equal(m.entries[1].source, "/dev/a\\b");
	assert_string_equal(m.entries[1].super_options, "rw,errors=x");
	assert_string_equal(m.entries[2].propagation, "");
	assert_string_equal(m.entries[3].source, "");
	assert_string_equal(m.entries[3].super_options, "rw");
}

static void the_uppermost_mount_is_found(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	const char *value;
	size_t len;

	assert_int_equal(mountinfo_parse(sample, sizeof(sample) - 1, &m, &err), 0);
	assert_int_equal(mountinfo_find(&m, "/mnt")->id, 41);
	assert_null(mountinfo_find(&m, "/mn"));
	assert_int_equal(mountinfo_find_holding(&m, "/mnt/x/y")->id, 41);
	assert_int_equal(mountinfo_find_holding(&m, "/mntx")->id, 21);
	value = mount_option_find(m.entries[2].super_options, "upperdir", &len);
	assert_non_null(value);
	assert_int_equal(len, 2);
	assert_memory_equal(value, "/u", 2);
	assert_non_null(mount_option_find(m.entries[2].super_options, "volatile", &len));
	assert_int_equal(len, 0);
	assert_null(mount_option_find(m.entries[2].super_options, "upper", &len));
}

static void a_bad_line_is_named(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "\n", "mountinfo line 1: bad number of fields" },
		{ "1 2 3:4 / /x\n", "mountinfo line 1: bad number of fields" },
		{ "x 2 3:4 / /x rw - t s o\n", "mountinfo line 1: bad mount id" },
		{ "1 -2 3:4 / /x rw - t s o\n", "mountinfo line 1: bad parent id" },
		{ "1 2 34 / /x rw - t s o\n", "mountinfo line 1: bad device number" },
		{ "1 2 3:99999999999 / /x rw - t s o\n", "mountinfo line 1: bad device number" },
		{ "1 2 3:4 / /x rw shared:1 t s o\n", "mountinfo line 1: bad separator" },
		{ "1 2 3:4 / /x rw -\n", "mountinfo line 1: bad file system type" },
		{ "1 2 3:4 / /x rw - t s o\n18446744073709551616 2 3:4 / /x rw - t s o\n",
			"mountinfo line 2: bad mount id" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_MOUNTINFO m = MOUNTINFO_INIT;

		assert_int_equal(mountinfo_parse(cases[i].text, strlen(cases[i].text), &m, &err),
			IMBREX_EFORMAT);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void this_machine_has_a_root(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;

	assert_int_equal(mountinfo_read(&m, &err), 0);
	assert_non_null(mountinfo_find(&m, "/"));
	assert_non_null(mountinfo_find(&m, "/proc"));
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(fields_are_read_and_escapes_undone),
		cmocka_unit_test(the_uppermost_mount_is_found),
		cmocka_unit_test(a_bad_line_is_named),
		cmocka_unit_test(this_machine_has_a_root),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
