/* SPDX-License-Identifier: Apache-2.0 */
/* Ids through identity maps, both ways. */
#include "os/idmap.h"

#include <errno.h>

#include "scratch.h"

/* Two extents with a hole inside (100..199) and on the host. */
static const struct imbrex_id_map two[] = { { 0, 1000, 100 }, { 200, 50, 10 } };
static const struct imbrex_id_map all[] = { { 0, 0, UINT32_MAX } };
static const struct imbrex_id_map gids[] = { { 0, 7000, 65536 } };
/* The last id that exists, which a range with sloppy arithmetic would wrap at. */
static const struct imbrex_id_map top[] = { { UINT32_MAX - 2, UINT32_MAX - 2, 2 } };

static const struct id_maps with_hole = { two, ARRAY_LEN(two), gids, 1 };

static void ids_go_through_a_map_and_come_back(void **state)
{
	static const struct {
		struct id_maps maps;
		struct id_pair inside, host;
	} cases[] = {
		{ { two, 2, gids, 1 }, { 0, 0 }, { 1000, 7000 } },
		{ { two, 2, gids, 1 }, { 99, 65535 }, { 1099, 72535 } },
		{ { two, 2, gids, 1 }, { 200, 5 }, { 50, 7005 } },
		{ { two, 2, gids, 1 }, { 209, 5 }, { 59, 7005 } },
		{ { two, 2, NULL, 0 }, { 1, 4000000000u }, { 1001, 4000000000u } },
		{ { NULL, 0, gids, 1 }, { 4000000000u, 1 }, { 4000000000u, 7001 } },
		{ { NULL, 0, NULL, 0 }, { 5, 6 }, { 5, 6 } },
		{ { all, 1, all, 1 }, { 4294967294u, 0 }, { 4294967294u, 0 } },
		{ { top, 1, top, 1 }, { 4294967293u, 4294967294u }, { 4294967293u, 4294967294u } },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct id_pair ids = cases[i].inside;

		assert_int_equal(id_maps_to_host(&cases[i].maps, &ids), 0);
		assert_int_equal(ids.uid, cases[i].host.uid);
		assert_int_equal(ids.gid, cases[i].host.gid);
		assert_int_equal(id_maps_to_inside(&cases[i].maps, &ids), 0);
		assert_int_equal(ids.uid, cases[i].inside.uid);
		assert_int_equal(ids.gid, cases[i].inside.gid);
	}
}

static void ids_outside_of_a_map_are_refused_and_stay(void **state)
{
	static const struct id_pair not_inside[] = { { 100, 0 }, { 199, 0 }, { 210, 0 },
		{ 0, 65536 }, { UINT32_MAX, 0 } };
	static const struct id_pair not_outside[] = { { 999, 7000 }, { 1100, 7000 }, { 60, 7000 },
		{ 49, 7000 }, { 1000, 6999 }, { 0, 7000 } };
	size_t i;

	for (i = 0; i < ARRAY_LEN(not_inside); i++) {
		struct id_pair ids = not_inside[i];

		assert_int_equal(id_maps_to_host(&with_hole, &ids), -EOVERFLOW);
		assert_int_equal(ids.uid, not_inside[i].uid);
		assert_int_equal(ids.gid, not_inside[i].gid);
	}
	for (i = 0; i < ARRAY_LEN(not_outside); i++) {
		struct id_pair ids = not_outside[i];

		assert_int_equal(id_maps_to_inside(&with_hole, &ids), -EOVERFLOW);
		assert_int_equal(ids.uid, not_outside[i].uid);
		assert_int_equal(ids.gid, not_outside[i].gid);
	}
}

static void what_is_unknown_becomes_what_one_says(void **state)
{
	const struct id_pair unknown = { 65534, 65533 };
	struct id_pair ids = { 150, 3 };

	id_maps_to_host_or(&with_hole, &ids, &unknown);
	assert_int_equal(ids.uid, 65534);
	assert_int_equal(ids.gid, 7003);
	ids = (struct id_pair){ 3, 65536 };
	id_maps_to_host_or(&with_hole, &ids, &unknown);
	assert_int_equal(ids.uid, 1003);
	assert_int_equal(ids.gid, 65533);
	id_maps_to_host_or(NULL, &ids, &unknown);
	assert_int_equal(ids.uid, 1003);
}

static void no_map_changes_nothing(void **state)
{
	static const struct id_maps none = { 0 };
	struct id_pair ids = { UINT32_MAX, 3 };

	assert_int_equal(id_maps_to_host(NULL, &ids), 0);
	assert_int_equal(id_maps_to_inside(NULL, &ids), 0);
	assert_int_equal(ids.uid, UINT32_MAX);
	assert_int_equal(ids.gid, 3);
	assert_true(id_maps_empty(NULL));
	assert_true(id_maps_empty(&none));
	assert_false(id_maps_empty(&with_hole));
	assert_true(id_maps_equal(NULL, &none));
	assert_false(id_maps_equal(NULL, &with_hole));
	assert_false(id_maps_equal(&none, &with_hole));
}

static void root_is_what_inside_zero_is(void **state)
{
	static const struct imbrex_id_map one[] = { { 500, 1234, 1 } };
	static const struct imbrex_id_map late[] = { { 1, 1234, 10 } };
	const struct id_maps single = { one, 1, one, 1 };
	const struct id_maps rootless = { late, 1, gids, 1 };
	struct id_pair root = { 1, 1 };

	assert_int_equal(id_maps_root(&rootless, &root), -EOVERFLOW);
	assert_int_equal(root.uid, 1);
	assert_int_equal(id_maps_root(NULL, &root), 0);
	assert_int_equal(root.uid, 0);
	assert_int_equal(id_maps_root(&with_hole, &root), 0);
	assert_int_equal(root.uid, 1000);
	assert_int_equal(root.gid, 7000);
	assert_int_equal(id_maps_root(&single, &root), 0);
	assert_int_equal(root.uid, 1234);
}

static void ranges_that_join_are_contiguous(void **state)
{
	static const struct {
		struct imbrex_id_map map[2];
		size_t n;
		bool want;
	} cases[] = {
		{ { { 0 } }, 0, true },
		{ { { 5, 9, 1 } }, 1, true },
		{ { { 0, 100, 10 }, { 10, 110, 5 } }, 2, true },
		{ { { 0, 100, 10 }, { 10, 111, 5 } }, 2, false },
		{ { { 0, 100, 10 }, { 11, 110, 5 } }, 2, false },
		{ { { 10, 110, 5 }, { 0, 100, 10 } }, 2, false },
	};
	size_t i;

	assert_true(id_maps_contiguous(NULL));
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct id_maps uids = { cases[i].map, cases[i].n, NULL, 0 };
		const struct id_maps both = { NULL, 0, cases[i].map, cases[i].n };

		assert_int_equal(id_maps_contiguous(&uids), cases[i].want);
		assert_int_equal(id_maps_contiguous(&both), cases[i].want);
	}
}

static void a_copy_outlives_its_original(void **state)
{
	struct imbrex_id_map map[] = { { 0, 1000, 100 }, { 200, 50, 10 } };
	const struct id_maps from = { map, 2, map, 1 };
	struct id_maps_copy copy = { 0 };

	assert_int_equal(id_maps_copy(NULL, &copy), 0);
	assert_true(id_maps_empty(&copy.maps));
	assert_int_equal(id_maps_copy(&from, &copy), 0);
	assert_true(id_maps_equal(&copy.maps, &from));
	map[0].outside = 1;
	assert_false(id_maps_equal(&copy.maps, &from));
	map[0].outside = 1000;
	map[1].count++;
	assert_false(id_maps_equal(&copy.maps, &from));
	id_maps_copy_done(&copy);
	assert_true(id_maps_empty(&copy.maps));
}

static void the_kernel_says_who_is_unknown(void **state)
{
	const struct id_pair ids = id_overflow();
	unsigned int uid = 0;
	FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &uid), 1);
	(void)fclose(f);
	assert_int_equal(ids.uid, uid);
	assert_int_not_equal(ids.gid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_go_through_a_map_and_come_back),
		cmocka_unit_test(ids_outside_of_a_map_are_refused_and_stay),
		cmocka_unit_test(what_is_unknown_becomes_what_one_says),
		cmocka_unit_test(no_map_changes_nothing),
		cmocka_unit_test(root_is_what_inside_zero_is),
		cmocka_unit_test(ranges_that_join_are_contiguous),
		cmocka_unit_test(a_copy_outlives_its_original),
		cmocka_unit_test(the_kernel_says_who_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
