/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Id maps at the store's level, with a driver that cannot map when it mounts: what records say,
 * which copy of an image's top layer a container stands on, and who owns what. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fixture.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define MAP_1                                                                  \
	"\"uidmap\":[{\"container_id\":0,\"host_id\":100000,\"size\":65536}]," \
	"\"gidmap\":[{\"container_id\":0,\"host_id\":200000,\"size\":65536}]"

static const struct imbrex_id_map uids_1[] = { { 0, 100000, 65536 } };
static const struct imbrex_id_map gids_1[] = { { 0, 200000, 65536 } };
static const struct imbrex_id_map ids_2[] = { { 0, 300000, 10 }, { 10, 400000, 10 } };
static const struct imbrex_id_maps maps_1 = {
	.uids = uids_1, .n_uids = 1, .gids = gids_1, .n_gids = 1
};
static const struct imbrex_id_maps maps_2 = {
	.uids = ids_2, .n_uids = 2, .gids = ids_2, .n_gids = 2
};
static const struct imbrex_id_maps host = { .host_uids = true, .host_gids = true };

static void ok(int r, const struct imbrex_error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

static void put_file(struct fixture *f, const char *layer, const char *name, uid_t uid, gid_t gid)
{
	AUTO_FREE char *path = format_text("%s/vfs/dir/%s/%s", f->graphroot, layer, name);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chown(path, uid, gid), 0);
}

static void expect_owner(
	struct fixture *f, const char *layer, const char *name, uid_t uid, gid_t gid)
{
	AUTO_FREE char *path = format_text("%s/vfs/dir/%s/%s", f->graphroot, layer, name);
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static char *create(struct fixture *f, const char *name, const struct imbrex_id_maps *maps)
{
	const struct imbrex_container_opts opts = {
		.name = name, .maps = *maps, .exact_image = true
	};
	struct imbrex_container *c = NULL;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *id = NULL;
	char *layer;

	ok(imbrex_container_create(f->s, "img", &opts, &id, &err), &err);
	ok(imbrex_container_get(f->s, id, &c, &err), &err);
	layer = strdup(c->layer);
	imbrex_containers_free(c, 1);
	return layer;
}

static char *parent_of(struct fixture *f, const char *layer)
{
	struct imbrex_layer *l = NULL;
	struct imbrex_error err = { 0 };
	char *parent;

	ok(imbrex_layer_get(f->s, layer, &l, &err), &err);
	parent = strdup(l->parent);
	imbrex_layers_free(l, 1);
	return parent;
}

static void populate(struct fixture *f)
{
	const struct imbrex_layer_opts layer = { .id = ID_A, .read_only = true };
	const struct imbrex_image_opts image = { .id = ID_C,
		.names = (const char *const[]){ "img", NULL } };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *a = NULL;
	AUTO_FREE char *c = NULL;

	ok(imbrex_layer_create(f->s, NULL, &layer, &a, &err), &err);
	put_file(f, ID_A, "file", 5, 6);
	ok(imbrex_image_create(f->s, ID_A, &image, &c, &err), &err);
}

static void containers_share_a_copy_of_the_top_layer_for_each_map(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_image *image = NULL;
	AUTO_FREE char *json = NULL;
	char **layers = NULL;

	if (geteuid() != 0)
		skip();
	populate(f);
	{
		AUTO_FREE char *one = create(f, "one", &maps_1);
		AUTO_FREE char *two = create(f, "two", &maps_1);
		AUTO_FREE char *three = create(f, "three", &maps_2);
		AUTO_FREE char *plain = create(f, "plain", &(struct imbrex_id_maps){ 0 });
		AUTO_FREE char *on_host = create(f, "host", &host);
		AUTO_FREE char *copy = parent_of(f, one);
		AUTO_FREE char *same = parent_of(f, two);
		AUTO_FREE char *other = parent_of(f, three);
		AUTO_FREE char *below_copy = parent_of(f, copy);
		AUTO_FREE char *below_plain = parent_of(f, plain);
		AUTO_FREE char *below_host = parent_of(f, on_host);

		assert_string_equal(copy, same);
		assert_string_not_equal(copy, other);
		/* A copy stands beside its template. */
		assert_string_equal(below_copy, "");
		assert_string_equal(below_plain, ID_A);
		assert_string_equal(below_host, ID_A);
		expect_owner(f, one, "file", 100005, 200006);
		expect_owner(f, three, "file", 300005, 300006);
		expect_owner(f, plain, "file", 5, 6);
		ok(imbrex_image_get(f->s, "img", &image, &err), &err);
		assert_string_equal(image->mapped_layers[0], copy);
		assert_string_equal(image->mapped_layers[1], other);
		assert_null(image->mapped_layers[2]);
		imbrex_images_free(image, 1);

		/* A copy may go by itself; the image forgets it. */
		ok(imbrex_object_delete(f->s, "three", IMBREX_KIND_CONTAINER, NULL, NULL, &err),
			&err);
		ok(imbrex_object_delete(f->s, other, IMBREX_KIND_LAYER, NULL, NULL, &err), &err);
		ok(imbrex_image_get(f->s, "img", &image, &err), &err);
		assert_string_equal(image->mapped_layers[0], copy);
		assert_null(image->mapped_layers[1]);
		imbrex_images_free(image, 1);
		ok(imbrex_object_json(f->s, copy, IMBREX_KIND_LAYER, &json, &err), &err);
		assert_true(str_ends(json, "\"," MAP_1 "}"));
		free(take_ptr(json));
		ok(imbrex_object_json(f->s, "one", IMBREX_KIND_CONTAINER, &json, &err), &err);
		assert_non_null(strstr(json, "Z\"," MAP_1 ",\"flags\":{"));
		free(take_ptr(json));
		ok(imbrex_object_json(f->s, "plain", IMBREX_KIND_CONTAINER, &json, &err), &err);
		assert_null(strstr(json, "uidmap"));
	}
	ok(imbrex_object_delete(f->s, "one", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	ok(imbrex_object_delete(f->s, "two", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	ok(imbrex_object_delete(f->s, "plain", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	ok(imbrex_object_delete(f->s, "host", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	ok(imbrex_object_delete(f->s, "img", IMBREX_KIND_IMAGE, NULL, &layers, &err), &err);
	assert_non_null(layers[0]);
	assert_string_equal(layers[1], ID_A);
	assert_null(layers[2]);
	imbrex_strings_free(layers);
}

static void layers_have_the_map_asked_for_or_that_of_their_parent(void **state)
{
	const struct {
		const char *id;
		const char *parent;
		struct imbrex_id_maps maps;
		bool mapped;
	} cases[] = {
		{ "asked", ID_A, maps_1, true },
		{ "inherited", "asked", { 0 }, true },
		{ "back", "inherited", host, false },
		{ "alone", NULL, maps_1, true },
		{ "nothing", NULL, { 0 }, false },
		{ "both", ID_A,
			{ .uids = uids_1,
				.n_uids = 1,
				.gids = gids_1,
				.n_gids = 1,
				.host_uids = true,
				.host_gids = true },
			false },
	};
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	size_t i;

	if (geteuid() != 0)
		skip();
	populate(f);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct imbrex_layer_opts opts = { .id = cases[i].id, .maps = cases[i].maps };
		struct imbrex_layer *l = NULL;
		AUTO_FREE char *id = NULL;

		ok(imbrex_layer_create(f->s, cases[i].parent, &opts, &id, &err), &err);
		ok(imbrex_layer_get(f->s, id, &l, &err), &err);
		assert_int_equal(l->n_uid_map, cases[i].mapped);
		assert_int_equal(l->n_gid_map, cases[i].mapped);
		if (cases[i].mapped) {
			assert_int_equal(l->uid_map[0].outside, 100000);
			assert_int_equal(l->gid_map[0].outside, 200000);
		}
		imbrex_layers_free(l, 1);
		expect_owner(f, id, "", cases[i].mapped ? 100000 : 0, cases[i].mapped ? 200000 : 0);
		if (cases[i].parent)
			expect_owner(f, id, "file", cases[i].mapped ? 100005 : 5,
				cases[i].mapped ? 200006 : 6);
	}
}

static void owners_of_the_way_to_a_layer_are_told_if_they_are_outside_of_its_map(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *layer = NULL;
	AUTO_FREE char *path = NULL;
	uint32_t *uids = NULL;
	uint32_t *gids = NULL;
	size_t n_uids = 7;
	size_t n_gids = 7;
	int r;

	if (geteuid() != 0)
		skip();
	populate(f);
	layer = create(f, "box", &maps_1);
	r = imbrex_layer_parent_owners(f->s, layer, &uids, &n_uids, &gids, &n_gids, &err);
	assert_int_equal(r, IMBREX_EINVAL);
	assert_int_equal(err.reason, IMBREX_REASON_LAYER_NOT_MOUNTED);
	ok(imbrex_mount(f->s, "box", NULL, &path, &err), &err);
	ok(imbrex_container_parent_owners(f->s, "box", &uids, &n_uids, &gids, &n_gids, &err), &err);
	assert_int_equal(n_uids, 1);
	assert_int_equal(uids[0], 0);
	assert_int_equal(n_gids, 1);
	assert_int_equal(gids[0], 0);
	free(uids);
	free(gids);
	ok(imbrex_layer_parent_owners(f->s, ID_A, &uids, &n_uids, &gids, &n_gids, &err), &err);
	assert_int_equal(n_uids, 0);
	assert_null(uids);
	ok(imbrex_unmount(f->s, "box", true, NULL, &err), &err);
}

static int create_auto(struct fixture *f, const struct imbrex_auto_ids *ids, const char *name,
	struct imbrex_container **ret, struct imbrex_error *err)
{
	const struct imbrex_container_opts opts = {
		.name = name, .maps = { .automatic = ids }, .exact_image = true
	};
	AUTO_FREE char *id = NULL;
	int r;

	r = imbrex_container_create(f->s, "img", &opts, &id, err);
	return r < 0 ? r : imbrex_container_get(f->s, id, ret, err);
}

static void each_container_gets_ids_that_no_other_has(void **state)
{
	static const struct imbrex_id_map extra[] = { { 3, 77, 1 } };
	static const struct imbrex_auto_ids with_extra = {
		.size = 10, .extra_uids = extra, .n_extra_uids = 1
	};
	static const struct imbrex_auto_ids as_needed = { 0 };
	static const struct imbrex_auto_ids too_many = { .size = 4000000000u };
	struct fixture *f = *state;
	struct imbrex_container *a = NULL;
	struct imbrex_container *b = NULL;
	struct imbrex_container *c = NULL;
	struct imbrex_error err = { 0 };
	int r;

	if (geteuid() != 0)
		skip();
	populate(f);
	put_file(f, ID_A, "etc", 0, 0); /* no directory: nobody is named there */
	r = create_auto(f, &as_needed, "a", &a, &err);
	if (r < 0) {
		assert_int_equal(r, IMBREX_ELIMIT);
		assert_int_equal(err.reason, IMBREX_REASON_NOT_ENOUGH_IDS);
		assert_string_equal(err.message,
			"container on image img: user 'containers' has no ids in /etc/subuid for "
			"user namespaces of containers");
		print_message("only that: 'containers' has no ids in /etc/subuid here\n");
		skip();
	}
	assert_int_equal(a->n_uid_map, 1);
	assert_int_equal(a->uid_map[0].inside, 0);
	assert_int_equal(a->uid_map[0].count, 1024);
	assert_int_equal(a->gid_map[0].count, 1024);
	ok(create_auto(f, &with_extra, "b", &b, &err), &err);
	assert_int_equal(b->n_uid_map, 3);
	assert_int_equal(b->uid_map[0].outside, a->uid_map[0].outside + 1024);
	assert_int_equal(b->uid_map[0].count, 3);
	assert_int_equal(b->uid_map[1].inside, 4);
	assert_int_equal(b->uid_map[1].count, 6);
	assert_int_equal(b->uid_map[2].outside, 77);
	assert_int_equal(b->n_gid_map, 1);
	assert_int_equal(b->gid_map[0].count, 10);
	r = create_auto(f, &too_many, "d", &c, &err);
	assert_int_equal(r, IMBREX_ELIMIT);
	assert_int_equal(err.reason, IMBREX_REASON_NOT_ENOUGH_IDS);
	/* What is free again is taken again. */
	ok(imbrex_object_delete(f->s, "a", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	ok(create_auto(f, &as_needed, "c", &c, &err), &err);
	assert_int_equal(c->uid_map[0].outside, a->uid_map[0].outside);
	imbrex_containers_free(a, 1);
	imbrex_containers_free(b, 1);
	imbrex_containers_free(c, 1);
}

/* What the driver has a copy stand on is not what its record says: no damage, and not repaired. */
static void a_copy_that_stands_on_its_template_is_whole(void **state)
{
	const struct imbrex_check_opts repair = { .repair = true, .max_age_sec = -1 };
	struct fixture *f = *state;
	struct imbrex_problem *found = NULL;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *layer = NULL;
	size_t n = 0;

	if (geteuid() != 0)
		skip();
	(void)setenv("_CONTAINERS_OVERLAY_DISABLE_IDMAP", "yes", 1);
	imbrex_store_close(f->s);
	f->driver = "overlay";
	(void)free(f->graphroot);
	f->graphroot = format_text("%s/overlay", f->dir);
	f->s = fixture_open(f, NULL, &err);
	if (!f->s) {
		print_message("%s\n", err.message);
		skip();
	}
	{
		const struct imbrex_layer_opts opts = { .id = ID_A, .read_only = true };
		const struct imbrex_image_opts image = { .id = ID_C,
			.names = (const char *const[]){ "img", NULL } };
		AUTO_FREE char *a = NULL;
		AUTO_FREE char *c = NULL;

		ok(imbrex_layer_create(f->s, NULL, &opts, &a, &err), &err);
		ok(imbrex_image_create(f->s, ID_A, &image, &c, &err), &err);
	}
	layer = create(f, "box", &maps_1);
	ok(imbrex_check(f->s, NULL, &found, &n, &err), &err);
	if (n)
		fail_msg("%s: %s", found[0].id, found[0].text);
	imbrex_problems_free(found, n);
	ok(imbrex_check(f->s, &repair, &found, &n, &err), &err);
	if (n)
		fail_msg("%s: %s", found[0].id, found[0].text);
	imbrex_problems_free(found, n);
}

#define map_test(f) cmocka_unit_test_setup_teardown(f, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		map_test(containers_share_a_copy_of_the_top_layer_for_each_map),
		map_test(layers_have_the_map_asked_for_or_that_of_their_parent),
		map_test(each_container_gets_ids_that_no_other_has),
		map_test(a_copy_that_stands_on_its_template_is_whole),
		map_test(owners_of_the_way_to_a_layer_are_told_if_they_are_outside_of_its_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
