/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zfs-cycles [N [TEST [SECONDS]]]: a container's life N times over (100). Nothing is left, and what
 * each asks of ZFS stays the same, however many came before and however many others there are.
 * TEST: a pattern, of those to run. SECONDS: as many lives as begin in that time, and no more than
 * N.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "zfs_fixture.h"

#include "os/clock.h"
#include "os/mountinfo.h"

static unsigned long n_cycles = 100;
static uint64_t seconds_max = UINT32_MAX;

static void live(struct real *r, unsigned long i)
{
	const struct driver_parent parent = { .id = "base" };
	const struct driver_mount_opts how = { 0 };
	AUTO_FREE char *id = format_text("c%lu", i);
	AUTO_FREE char *path = NULL;
	struct fixture *f = r->f;

	assert_non_null(id);
	assert_ok(f->d->ops->create(f->d, id, &parent, NULL, true, &f->err), &f->err);
	assert_ok(f->d->ops->mount(f->d, id, &how, &path, &f->err), &f->err);
	{
		AUTO_CLOSE int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_ok(write_file_at(root, "f", 0644, "x", 1, &f->err), &f->err);
	}
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
	assert_ok(f->d->ops->remove(f->d, id, f->temp, &f->err), &f->err);
}

static size_t count_zfs_mounts(void)
{
	struct mountinfo m = MOUNTINFO_INIT;
	struct imbrex_error err = { 0 };
	size_t i, n = 0;

	assert_ok(mountinfo_read(&m, &err), &err);
	for (i = 0; i < m.n; i++)
		n += str_eq(m.entries[i].fs_type, "zfs");
	mountinfo_done(&m);
	return n;
}

static void cycles_by(enum zfs_road road, unsigned long n)
{
	const struct node file = { "f", ENTRY_FILE, 0644, .text = "x", .mtime = 7 };
	size_t first = 0, datasets, mounts;
	uint64_t begun, quarter = 0;
	struct real r;
	unsigned long i;

	real_setup(&r, road);
	fixture_layer(r.f, "base", NULL, &file, 1);
	datasets = count_all(&r);
	mounts = count_zfs_mounts();
	begun = now_monotonic_ns();
	for (i = 0; i < n && now_monotonic_ns() - begun < seconds_max * 1000000000; i++) {
		size_t before = r.calls;

		live(&r, i);
		if (i == 0)
			first = r.calls - before;
		/* A busy moment costs a try: rarely, and never twice for the same reason. */
		assert_in_range(r.calls - before, first, first + 4);
		if (i == n / 4)
			quarter = now_monotonic_ns() - begun;
		if ((i + 1) % 1000 == 0)
			print_message("%lu cycles in %u s\n", i + 1,
				(unsigned int)((now_monotonic_ns() - begun) / 1000000000));
	}
	assert_true(i > 0);
	print_message("%lu cycles: %zu calls each, %u ms each (%u in the first quarter)\n", i,
		first, (unsigned int)((now_monotonic_ns() - begun) / i / 1000000),
		(unsigned int)(quarter / (n / 4 + 1) / 1000000));
	assert_int_equal(count_all(&r), datasets);
	assert_int_equal(count_zfs_mounts(), mounts);
	assert_int_equal(count_names_at(r.f->root, "g/zfs/graph"), 0);
	assert_ok(r.f->d->ops->remove(r.f->d, "base", r.f->temp, &r.f->err), &r.f->err);
	assert_int_equal(count_all(&r), 0);
	real_teardown(&r);
}

static void cycles_by_library_leave_nothing(void **state)
{
	cycles_by(ZFS_ROAD_LIBRARY, n_cycles);
}

static void cycles_by_command_leave_nothing(void **state)
{
	cycles_by(ZFS_ROAD_COMMAND, n_cycles / 10 + 2);
}

/* What one container's life asks of ZFS, among `n` others. */
static size_t calls_among(struct real *r, unsigned int n)
{
	static unsigned long next = 1000000;
	unsigned int i;
	size_t before;

	for (i = 0; i < n; i++) {
		AUTO_FREE char *id = format_text("other%lu", next++);

		assert_ok(r->f->d->ops->create(r->f->d, id, &(struct driver_parent){ .id = "base" },
				  NULL, true, &r->f->err),
			&r->f->err);
	}
	before = r->calls;
	live(r, next++);
	return r->calls - before;
}

static void cost_does_not_grow_with_the_number_of_layers(void **state)
{
	const struct node file = { "f", ENTRY_FILE, 0644, .text = "x", .mtime = 7 };
	AUTO_STRV ids = { 0 };
	struct real r;
	size_t alone, i;

	real_setup(&r, ZFS_ROAD_ANY);
	fixture_layer(r.f, "base", NULL, &file, 1);
	alone = calls_among(&r, 0);
	assert_in_range(calls_among(&r, 10), alone, alone + 4);
	assert_ok(r.f->d->ops->list(r.f->d, &ids, &r.f->err), &r.f->err);
	assert_int_equal(ids.n, 11);
	for (i = 0; i < ids.n; i++)
		if (!str_eq(ids.items[i], "base"))
			assert_ok(r.f->d->ops->remove(r.f->d, ids.items[i], r.f->temp, &r.f->err),
				&r.f->err);
	assert_ok(r.f->d->ops->remove(r.f->d, "base", r.f->temp, &r.f->err), &r.f->err);
	assert_int_equal(count_all(&r), 0);
	real_teardown(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(cycles_by_library_leave_nothing),
		cmocka_unit_test(cycles_by_command_leave_nothing),
		cmocka_unit_test(cost_does_not_grow_with_the_number_of_layers),
	};

	skip_unless_zfs();
	if (argc > 1)
		n_cycles = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	if (argc > 3)
		seconds_max = strtoul(argv[3], NULL, 10);
	return cmocka_run_group_tests(group, NULL, NULL);
}
