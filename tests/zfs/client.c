/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client on real ZFS: both roads do the same, and say the same where it goes wrong. Then what
 * each takes, as a figure and no test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "zfs_fixture.h"

#include "os/clock.h"

struct client {
	struct zfs *z;
	struct zfs_name fs, a, b, snap;
	struct imbrex_error err;
};

static struct client client_of(enum zfs_road road)
{
	struct client c = { 0 };

	assert_ok(zfs_open(&(struct zfs_options){ .road = road }, &c.z, &c.err), &c.err);
	assert_ok(zfs_name_dataset(&c.fs, getenv("IMBREX_ZFS"), &c.err), &c.err);
	assert_ok(zfs_name_child(&c.a, &c.fs, "a", &c.err), &c.err);
	assert_ok(zfs_name_child(&c.b, &c.fs, "b", &c.err), &c.err);
	assert_ok(zfs_name_snapshot(&c.snap, &c.a, "s", &c.err), &c.err);
	/* Of a test that failed. */
	(void)!zfs_destroy_tree(c.z, &c.b, &c.err);
	(void)!zfs_destroy_tree(c.z, &c.a, &c.err);
	return c;
}

static const struct zfs_property items[] = { { "mountpoint", "legacy" }, { "imbrex:test", "a=b c" },
	{ "quota", "104857600" }, { "setuid", "off" }, { "canmount", "noauto" } };
static const struct zfs_properties props = { items, 5 };

static void assert_value(struct client *c, const struct zfs_name *name, const char *property,
	const char *want, bool want_local)
{
	AUTO_FREE char *value = NULL;
	bool local;

	assert_ok(zfs_get(c->z, name, property, &value, &local, &c->err), &c->err);
	assert_string_equal(value, want);
	assert_int_equal(local, want_local);
}

static void live_and_die(struct client *c)
{
	struct zfs_name moved;

	assert_int_equal(zfs_exists(c->z, &c->a, &c->err), 0);
	assert_ok(zfs_create(c->z, &c->a, &props, &c->err), &c->err);
	assert_int_equal(zfs_exists(c->z, &c->a, &c->err), 1);
	assert_value(c, &c->a, "quota", "104857600", true);
	assert_value(c, &c->a, "mountpoint", "legacy", true);
	assert_value(c, &c->a, "imbrex:test", "a=b c", true);
	assert_value(c, &c->a, "setuid", "off", true);
	assert_value(c, &c->a, "canmount", "noauto", true);
	assert_value(c, &c->a, "imbrex:other", "-", false);
	assert_ok(zfs_snapshot(c->z, &c->snap, &c->err), &c->err);
	assert_ok(zfs_clone(c->z, &c->snap, &c->b, &props, &c->err), &c->err);
	assert_value(c, &c->b, "origin", c->snap.text, false);
	assert_value(c, &c->b, "quota", "104857600", true);
	/* A clone is in the way, then it is not. */
	assert_int_equal(zfs_destroy_tree(c->z, &c->a, &c->err), IMBREX_EBUSY);
	assert_int_equal(c->err.errnum, 0);
	assert_non_null(strstr(c->err.message, "has dependent clones"));
	assert_ok(zfs_promote(c->z, &c->b, &c->err), &c->err);
	assert_ok(zfs_destroy(c->z, &c->a, &c->err), &c->err);
	assert_ok(zfs_name_snapshot(&c->snap, &c->b, "s", &c->err), &c->err);
	/* Held, so that it stays until it is let go. */
	assert_ok(zfs_hold(c->z, &c->snap, "tag", &c->err), &c->err);
	assert_int_equal(zfs_destroy(c->z, &c->snap, &c->err), IMBREX_EBUSY);
	assert_ok(zfs_destroy_later(c->z, &c->snap, &c->err), &c->err);
	assert_int_equal(zfs_exists(c->z, &c->snap, &c->err), 1);
	assert_ok(zfs_release(c->z, &c->snap, "tag", &c->err), &c->err);
	assert_int_equal(zfs_exists(c->z, &c->snap, &c->err), 0);
	assert_ok(zfs_name_child(&moved, &c->fs, "moved", &c->err), &c->err);
	assert_ok(zfs_rename(c->z, &c->b, &moved, &c->err), &c->err);
	assert_int_equal(zfs_exists(c->z, &c->b, &c->err), 0);
	assert_ok(zfs_destroy_tree(c->z, &moved, &c->err), &c->err);
}

static void every_failure_has_its_status(struct client *c)
{
	struct zfs_name far, missing;

	assert_ok(zfs_name_snapshot(&missing, &c->a, "none", &c->err), &c->err);
	assert_ok(zfs_name_child(&far, &c->a, "far", &c->err), &c->err);
	assert_int_equal(zfs_destroy(c->z, &c->a, &c->err), IMBREX_ENOENT);
	assert_non_null(strstr(c->err.message, c->a.text));
	assert_int_equal(zfs_destroy_tree(c->z, &c->a, &c->err), IMBREX_ENOENT);
	assert_int_equal(zfs_create(c->z, &far, &props, &c->err), IMBREX_ENOENT);
	assert_ok(zfs_create(c->z, &c->a, &props, &c->err), &c->err);
	assert_int_equal(zfs_create(c->z, &c->a, &props, &c->err), IMBREX_EEXIST);
	assert_non_null(strstr(c->err.message, c->a.text));
	assert_int_equal(zfs_clone(c->z, &missing, &c->b, &props, &c->err), IMBREX_ENOENT);
	assert_int_equal(zfs_destroy_later(c->z, &missing, &c->err), IMBREX_ENOENT);
	assert_ok(zfs_snapshot(c->z, &c->snap, &c->err), &c->err);
	assert_int_equal(zfs_snapshot(c->z, &c->snap, &c->err), IMBREX_EEXIST);
	assert_ok(zfs_create(c->z, &far, &props, &c->err), &c->err);
	assert_ok(zfs_destroy_tree(c->z, &c->a, &c->err), &c->err);
}

static void a_mounted_one_is_busy(struct client *c)
{
	char at[] = "/tmp/imbrex-zfs-XXXXXX";

	assert_non_null(mkdtemp(at));
	assert_ok(zfs_create(c->z, &c->a, &(struct zfs_properties){ items, 1 }, &c->err), &c->err);
	assert_int_equal(mount(c->a.text, at, "zfs", 0, NULL), 0);
	{
		AUTO_CLOSE int fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(umount2(at, MNT_DETACH), 0);
		assert_int_equal(zfs_destroy_tree(c->z, &c->a, &c->err), IMBREX_EBUSY);
		assert_int_equal(c->err.errnum, EBUSY);
		/* It may move, though. */
		assert_ok(zfs_rename(c->z, &c->a, &c->b, &c->err), &c->err);
	}
	assert_ok(zfs_destroy_tree(c->z, &c->b, &c->err), &c->err);
	assert_int_equal(rmdir(at), 0);
}

static void streams_carry_content_and_leave_properties(struct client *c)
{
	AUTO_CLOSE int first = memfd_create("first", MFD_CLOEXEC);
	AUTO_CLOSE int more = memfd_create("more", MFD_CLOEXEC);
	const struct zfs_property safe[] = { { "mountpoint", "none" }, { "canmount", "off" } };
	const struct zfs_receive_opts opts = { .resumable = true, .props = { safe, 2 } };
	struct zfs_name second, got;

	assert_ok(zfs_name_snapshot(&second, &c->a, "t", &c->err), &c->err);
	assert_ok(zfs_create(c->z, &c->a, &props, &c->err), &c->err);
	assert_ok(zfs_snapshot(c->z, &c->snap, &c->err), &c->err);
	assert_ok(zfs_snapshot(c->z, &second, &c->err), &c->err);
	assert_ok(zfs_send(c->z, &c->snap, NULL, first, &c->err), &c->err);
	assert_ok(zfs_send(c->z, &second, &c->snap, more, &c->err), &c->err);
	assert_int_equal(lseek(first, 0, SEEK_SET) | lseek(more, 0, SEEK_SET), 0);
	assert_ok(zfs_receive(c->z, &c->b, first, &opts, &c->err), &c->err);
	assert_ok(
		zfs_receive(c->z, &c->b, more, &(struct zfs_receive_opts){ 0 }, &c->err), &c->err);
	assert_ok(zfs_name_snapshot(&got, &c->b, "t", &c->err), &c->err);
	assert_int_equal(zfs_exists(c->z, &got, &c->err), 1);
	assert_value(c, &c->b, "mountpoint", "none", true);
	assert_value(c, &c->b, "imbrex:test", "-", false);
	/* No stream. */
	assert_int_equal(lseek(first, 7, SEEK_SET), 7);
	assert_int_equal(zfs_receive(c->z, &second, first, &opts, &c->err) < 0, 1);
	assert_non_null(strstr(c->err.message, "invalid"));
	assert_ok(zfs_destroy_tree(c->z, &c->a, &c->err), &c->err);
	assert_ok(zfs_destroy_tree(c->z, &c->b, &c->err), &c->err);
}

#define BOTH(name)                                             \
	static void name##_by_command(void **state)            \
	{                                                      \
		struct client c = client_of(ZFS_ROAD_COMMAND); \
		name(&c);                                      \
		zfs_close(c.z);                                \
	}                                                      \
	static void name##_by_library(void **state)            \
	{                                                      \
		struct client c = client_of(ZFS_ROAD_LIBRARY); \
		name(&c);                                      \
		zfs_close(c.z);                                \
	}
BOTH(live_and_die)
BOTH(every_failure_has_its_status)
BOTH(a_mounted_one_is_busy)
BOTH(streams_carry_content_and_leave_properties)

static unsigned int ms_since(uint64_t then)
{
	return (unsigned int)((now_monotonic_ns() - then) / 1000000);
}

static void measure(enum zfs_road road, const char *name)
{
	struct client c = client_of(road);
	uint64_t then = now_monotonic_ns();
	unsigned int i, create;

	assert_ok(zfs_create(c.z, &c.a, &(struct zfs_properties){ items, 2 }, &c.err), &c.err);
	create = ms_since(then);
	then = now_monotonic_ns();
	for (i = 0; i < 5; i++) {
		assert_ok(zfs_snapshot(c.z, &c.snap, &c.err), &c.err);
		assert_ok(
			zfs_clone(c.z, &c.snap, &c.b, &(struct zfs_properties){ items, 2 }, &c.err),
			&c.err);
		assert_ok(zfs_destroy_later(c.z, &c.snap, &c.err), &c.err);
		assert_ok(zfs_destroy_tree(c.z, &c.b, &c.err), &c.err);
	}
	i = ms_since(then) / 5;
	assert_ok(zfs_destroy_tree(c.z, &c.a, &c.err), &c.err);
	print_message(
		"%s: create %u ms; snapshot, clone, deferred destroy, destroy %u ms a round\n",
		name, create, i);
	zfs_close(c.z);
}

static void what_each_road_takes(void **state)
{
	measure(ZFS_ROAD_COMMAND, "zfs(8)");
	measure(ZFS_ROAD_LIBRARY, "libzfs_core");
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(live_and_die_by_command),
		cmocka_unit_test(live_and_die_by_library),
		cmocka_unit_test(every_failure_has_its_status_by_command),
		cmocka_unit_test(every_failure_has_its_status_by_library),
		cmocka_unit_test(a_mounted_one_is_busy_by_command),
		cmocka_unit_test(a_mounted_one_is_busy_by_library),
		cmocka_unit_test(streams_carry_content_and_leave_properties_by_command),
		cmocka_unit_test(streams_carry_content_and_leave_properties_by_library),
		cmocka_unit_test(what_each_road_takes),
	};

	skip_unless_zfs();
	return cmocka_run_group_tests(group, NULL, NULL);
}
