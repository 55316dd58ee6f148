/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs that take objects of any kind, on one store: found, named, described, given documents
 * and directories, created and deleted. Records are compared as text: peers read them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "fixture.h"
#include "store/object.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

#define ID_A       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B       "abbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C       "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define ID_E       "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define DOC_DIGEST "sha256:30a4ab973ef8fd561d930d55502df855108ca0b081454b0e761d5141f3778780"
#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void ok(int r, const struct imbrex_error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

static void expect_error(
	int r, const struct imbrex_error *err, int status, int reason, const char *message)
{
	assert_int_equal(r, status);
	assert_int_equal(err->status, status);
	assert_int_equal(err->reason, reason);
	assert_string_equal(err->message, message);
}

static void layer(struct fixture *f, const char *id, const char *parent, const char *const *names)
{
	const struct imbrex_layer_opts opts = { .id = id, .names = names, .read_only = true };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *ret = NULL;

	ok(imbrex_layer_create(f->s, parent, &opts, &ret, &err), &err);
	assert_string_equal(ret, id);
}

static void image(struct fixture *f, const char *id, const char *top, const char *const *names)
{
	const struct imbrex_image_opts opts = { .id = id, .names = names };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *ret = NULL;

	ok(imbrex_image_create(f->s, top, &opts, &ret, &err), &err);
}

static void container(struct fixture *f, const char *id, const char *on, const char *const *names)
{
	const struct imbrex_container_opts opts = {
		.id = id, .names = names, .metadata = "", .exact_image = true
	};
	struct imbrex_error err = { 0 };
	AUTO_FREE char *ret = NULL;

	ok(imbrex_container_create(f->s, on, &opts, &ret, &err), &err);
}

/* Two layers, an image on them, a container on that. */
static void populate(struct fixture *f)
{
	layer(f, ID_A, NULL, NAMES("base"));
	layer(f, ID_B, "base", NULL);
	image(f, ID_C, ID_B, NAMES("img"));
	container(f, ID_E, "img", NAMES("box"));
}

static void expect_json(struct fixture *f, const char *name, unsigned int kinds, const char *before,
	const char *after)
{
	struct imbrex_error err = { 0 };
	AUTO_FREE char *json = NULL;
	const char *created;

	ok(imbrex_object_json(f->s, name, kinds, &json, &err), &err);
	created = strstr(json, ",\"created\":\"20");
	assert_non_null(created);
	if (strncmp(json, before, strlen(before)) != 0 ||
		(size_t)(created - json) != strlen(before))
		fail_msg("%s does not begin with %s", json, before);
	created = strchr(strchr(created, ':') + 2, '"') + 1;
	assert_string_equal(created, after);
}

static void expect_names(struct fixture *f, const char *name, unsigned int kinds, const char *want)
{
	struct imbrex_error err = { 0 };
	AUTO_STR got = STR_INIT(4096);
	char **names = NULL;
	size_t i;

	ok(imbrex_names_get(f->s, name, kinds, &names, &err), &err);
	for (i = 0; names[i]; i++)
		assert_int_equal(str_printf(&got, "%s%s", i ? " " : "", names[i]), 0);
	imbrex_strings_free(names);
	assert_string_equal(str_text(&got), want);
}

/* ---- finding ----------------------------------------------------------------------------- */

static void objects_are_found_by_id_name_and_beginning_in_the_order_of_kinds(void **state)
{
	static const struct {
		const char *name;
		unsigned int kinds;
		const char *id; /* NULL: an error */
		enum imbrex_kind kind;
		int status;
		int reason;
		const char *message;
	} cases[] = {
		{ ID_A, IMBREX_KIND_ANY, ID_A, IMBREX_KIND_LAYER, 0, 0, NULL },
		{ "base", IMBREX_KIND_ANY, ID_A, IMBREX_KIND_LAYER, 0, 0, NULL },
		{ "box", IMBREX_KIND_ANY, ID_E, IMBREX_KIND_CONTAINER, 0, 0, NULL },
		{ "cc", IMBREX_KIND_ANY, ID_C, IMBREX_KIND_IMAGE, 0, 0, NULL },
		{ "aa", IMBREX_KIND_LAYER, ID_A, IMBREX_KIND_LAYER, 0, 0, NULL },
		{ "same", IMBREX_KIND_ANY, ID_E, IMBREX_KIND_CONTAINER, 0, 0, NULL },
		{ "same", IMBREX_KIND_LAYER | IMBREX_KIND_IMAGE, ID_C, IMBREX_KIND_IMAGE, 0, 0,
			NULL },
		{ "same", IMBREX_KIND_LAYER, ID_A, IMBREX_KIND_LAYER, 0, 0, NULL },
		{ "a", IMBREX_KIND_LAYER, NULL, 0, IMBREX_EINVAL, IMBREX_REASON_LAYER_UNKNOWN,
			"layer id 'a' is the beginning of several ids" },
		{ "box", IMBREX_KIND_LAYER, NULL, 0, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer 'box' is not in the store" },
		{ "box", IMBREX_KIND_IMAGE, NULL, 0, IMBREX_ENOENT, IMBREX_REASON_IMAGE_UNKNOWN,
			"image 'box' is not in the store" },
		{ "base", IMBREX_KIND_CONTAINER, NULL, 0, IMBREX_ENOENT,
			IMBREX_REASON_CONTAINER_UNKNOWN, "container 'base' is not in the store" },
		{ "nobody", IMBREX_KIND_ANY, NULL, 0, IMBREX_ENOENT, IMBREX_REASON_NOT_ANY,
			"'nobody' is neither layer nor image nor container of the store" },
	};
	struct fixture *f = *state;
	struct imbrex_container *box = NULL;
	struct imbrex_error err = { 0 };
	enum imbrex_kind kind;
	size_t i;

	populate(f);
	ok(imbrex_names_change(
		   f->s, ID_A, IMBREX_KIND_LAYER, IMBREX_NAMES_ADD, NAMES("same"), &err),
		&err);
	ok(imbrex_names_change(
		   f->s, ID_C, IMBREX_KIND_IMAGE, IMBREX_NAMES_ADD, NAMES("same"), &err),
		&err);
	ok(imbrex_names_change(
		   f->s, ID_E, IMBREX_KIND_CONTAINER, IMBREX_NAMES_ADD, NAMES("same"), &err),
		&err);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *id = NULL;
		int r = imbrex_object_find(f->s, cases[i].name, cases[i].kinds, &kind, &id, &err);

		if (!cases[i].id) {
			expect_error(r, &err, cases[i].status, cases[i].reason, cases[i].message);
			continue;
		}
		ok(r, &err);
		assert_string_equal(id, cases[i].id);
		assert_int_equal(kind, cases[i].kind);
		assert_int_equal(
			imbrex_object_is_read_only(f->s, cases[i].name, cases[i].kinds, &err), 0);
	}
	/* A container is also known by its layer. */
	ok(imbrex_container_get(f->s, "box", &box, &err), &err);
	imbrex_containers_free(box, 1);
	ok(imbrex_container_get(f->s, ID_E, &box, &err), &err);
	{
		AUTO_FREE char *id = NULL;

		ok(imbrex_object_find(f->s, box->layer, IMBREX_KIND_CONTAINER, NULL, &id, &err),
			&err);
		assert_string_equal(id, ID_E);
	}
	imbrex_containers_free(box, 1);
}

static void records_have_the_members_that_peers_write_in_their_order(void **state)
{
	const struct imbrex_container_opts opts = { .id = "by-hand",
		.name = "one",
		.names = NAMES("two", "one"),
		.metadata = "{}",
		.is_volatile = true,
		.exact_image = true,
		.mount_opts = NAMES("nodev", "noexec"),
		.mount_label = "system_u:object_r:t:s0",
		.process_label = "system_u:system_r:t:s0" };
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *layers = NULL;
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *all = NULL;

	populate(f);
	expect_json(f, "base", IMBREX_KIND_LAYER, "{\"id\":\"" ID_A "\",\"names\":[\"base\"]", "}");
	expect_json(
		f, ID_B, IMBREX_KIND_LAYER, "{\"id\":\"" ID_B "\",\"parent\":\"" ID_A "\"", "}");
	expect_json(f, "img", IMBREX_KIND_IMAGE,
		"{\"id\":\"" ID_C "\",\"names\":[\"img\"],\"layer\":\"" ID_B "\"", "}");
	ok(imbrex_container_create(f->s, ID_C, &opts, &id, &err), &err);
	ok(imbrex_object_json(f->s, "two", IMBREX_KIND_CONTAINER, &all, &err), &err);
	assert_non_null(
		strstr(all, "{\"id\":\"by-hand\",\"names\":[\"one\",\"two\"],\"image\":\"" ID_C
			    "\",\"layer\":\""));
	assert_non_null(strstr(all, "\",\"metadata\":\"{}\",\"created\":\"20"));
	assert_non_null(strstr(all,
		"Z\",\"flags\":{\"MountLabel\":\"system_u:object_r:t:s0\",\"MountOpts\":[\"nodev\","
		"\"noexec\"],\"ProcessLabel\":\"system_u:system_r:t:s0\",\"Volatile\":true}}"));
	ok(imbrex_objects_json(f->s, IMBREX_KIND_LAYER, &layers, &err), &err);
	assert_int_equal(strncmp(layers, "[{\"id\":\"" ID_A, 70), 0);
	assert_non_null(strstr(layers, "\"mountlabel\":\"system_u:object_r:t:s0\",\"created\""));
	assert_true(str_ends(layers, "\"}]"));
	free(take_ptr(all));
	ok(imbrex_object_delete(f->s, "one", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	ok(imbrex_object_delete(f->s, "box", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	ok(imbrex_objects_json(f->s, IMBREX_KIND_CONTAINER, &all, &err), &err);
	assert_string_equal(all, "[]");
}

/* ---- creating ---------------------------------------------------------------------------- */

static void what_cannot_be_created_says_why_and_leaves_nothing(void **state)
{
	static const struct imbrex_id_map overlapping[] = { { 0, 1, 10 }, { 5, 40, 5 } };
	const struct {
		const char *parent;
		struct imbrex_layer_opts opts;
		int status;
		int reason;
		const char *message;
	} layers[] = {
		{ NULL, { .id = ID_A }, IMBREX_EEXIST, IMBREX_REASON_ID_IN_USE,
			"layer id '" ID_A "' is in use" },
		{ NULL, { .names = NAMES("new", "base") }, IMBREX_EEXIST, IMBREX_REASON_NAME_IN_USE,
			"layer name 'base' is taken by layer " ID_A },
		{ "nobody", { .id = NULL }, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer 'nobody' is not in the store" },
		{ NULL, { .id = "../x" }, IMBREX_EINVAL, 0,
			"'../x' cannot be the id of a layer: up to 128 letters, digits, '-' and "
			"'_' can" },
		{ NULL, { .id = "tempdirs" }, IMBREX_EINVAL, 0,
			"'tempdirs' cannot be the id of a layer: up to 128 letters, digits, '-' "
			"and '_' can" },
		{ NULL, { .maps = { .uids = overlapping, .n_uids = 2 } }, IMBREX_EINVAL, 0,
			"uid map ranges 0:1:10 and 5:40:5 overlap" },
	};
	const struct {
		const char *layer;
		struct imbrex_image_opts opts;
		int status;
		int reason;
		const char *message;
	} images[] = {
		{ ID_B, { .id = ID_C }, IMBREX_EEXIST, IMBREX_REASON_ID_IN_USE,
			"image id '" ID_C "' is in use" },
		{ ID_B, { .names = NAMES("img") }, IMBREX_EEXIST, IMBREX_REASON_NAME_IN_USE,
			"image name 'img' is taken by image " ID_C },
		{ "nobody", { .id = NULL }, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer 'nobody' is not in the store" },
		{ ID_B, { .created = "yesterday" }, IMBREX_EINVAL, 0, "'yesterday' is no time" },
	};
	const struct {
		const char *image;
		struct imbrex_container_opts opts;
		int status;
		int reason;
		const char *message;
	} containers[] = {
		{ "img", { .id = ID_E, .exact_image = true }, IMBREX_EEXIST,
			IMBREX_REASON_ID_IN_USE,
			"container on image img: container id '" ID_E "' is in use" },
		{ "img", { .name = "box", .exact_image = true }, IMBREX_EEXIST,
			IMBREX_REASON_NAME_IN_USE,
			"container on image img: container name 'box' is taken by "
			"container " ID_E },
		{ "nobody", { .exact_image = true }, IMBREX_ENOENT, IMBREX_REASON_IMAGE_UNKNOWN,
			"container on image nobody: image 'nobody' is not in the store" },
		{ "img", { .mount_label = "l" }, IMBREX_EINVAL, 0,
			"labels of mounts and of processes go together" },
		{ "img", { .maps = { .gids = overlapping, .n_gids = 2 }, .exact_image = true },
			IMBREX_EINVAL, 0,
			"container on image img: gid map ranges 0:1:10 and 5:40:5 overlap" },
	};
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_container *box = NULL;
	AUTO_FREE char *before = NULL;
	AUTO_FREE char *after = NULL;
	AUTO_FREE char *message = NULL;
	char *id = NULL;
	size_t i;
	int r;

	populate(f);
	before = fixture_text(f, "root/vfs-layers/layers.json");
	for (i = 0; i < ARRAY_LEN(layers); i++) {
		err = (struct imbrex_error){ 0 };
		r = imbrex_layer_create(f->s, layers[i].parent, &layers[i].opts, &id, &err);
		expect_error(r, &err, layers[i].status, layers[i].reason, layers[i].message);
	}
	for (i = 0; i < ARRAY_LEN(images); i++) {
		err = (struct imbrex_error){ 0 };
		r = imbrex_image_create(f->s, images[i].layer, &images[i].opts, &id, &err);
		expect_error(r, &err, images[i].status, images[i].reason, images[i].message);
	}
	for (i = 0; i < ARRAY_LEN(containers); i++) {
		err = (struct imbrex_error){ 0 };
		r = imbrex_container_create(
			f->s, containers[i].image, &containers[i].opts, &id, &err);
		expect_error(
			r, &err, containers[i].status, containers[i].reason, containers[i].message);
	}
	ok(imbrex_container_get(f->s, "box", &box, &err), &err);
	message = format_text(
		"layer %s is that of container " ID_E ": nothing can stand on it", box->layer);
	err = (struct imbrex_error){ 0 };
	r = imbrex_layer_create(f->s, box->layer, NULL, &id, &err);
	expect_error(r, &err, IMBREX_EINVAL, IMBREX_REASON_PARENT_IS_CONTAINER, message);
	imbrex_containers_free(box, 1);
	after = fixture_text(f, "root/vfs-layers/layers.json");
	assert_string_equal(before, after);
}

static void ids_of_callers_become_file_names_only_if_they_mean_nothing_else(void **state)
{
	static const struct {
		const char *id;
		bool safe;
	} cases[] = {
		{ ID_A, true },
		{ "layer-gzip", true },
		{ "A_1", true },
		{ "x", true },
		{ "", false },
		{ ".", false },
		{ "..", false },
		{ "a/b", false },
		{ "layers.json", false },
		{ "tmp", false },
		{ "l", false },
		{ "dir", false },
		{ "staging", false },
		{ "-x", false },
		{ "a b", false },
		{ "a\nb", false },
		{ ID_A ID_A, true },
		{ ID_A ID_A "a", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		if (object_id_is_safe(cases[i].id) != cases[i].safe)
			fail_msg("'%s' should be %s", cases[i].id, cases[i].safe ? "safe" : "not");
	}
}

static void a_layer_without_a_record_is_known_to_the_driver_alone(void **state)
{
	const struct imbrex_layer_opts opts = { .id = "bare", .no_record = true };
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *again = NULL;
	int r;

	ok(imbrex_layer_create(f->s, NULL, &opts, &id, &err), &err);
	assert_true(fixture_exists(f, "root/vfs/dir/bare"));
	r = imbrex_object_find(f->s, "bare", IMBREX_KIND_LAYER, NULL, &again, &err);
	assert_int_equal(r, IMBREX_ENOENT);
	r = imbrex_layer_create(f->s, NULL, &opts, &again, &err);
	expect_error(r, &err, IMBREX_EEXIST, IMBREX_REASON_ID_IN_USE, "layer id 'bare' is in use");
}

/* ---- names and metadata -------------------------------------------------------------------- */

static void names_are_set_added_before_and_removed_and_move_between_objects(void **state)
{
	const struct {
		enum imbrex_names_change change;
		const char *const *names;
		const char *a; /* names of layer A afterwards */
		const char *b;
	} steps[] = {
		{ IMBREX_NAMES_SET, NAMES("x", "y", "x"), "x y", "" },
		{ IMBREX_NAMES_ADD, NAMES("v", "w", "y"), "v w y x", "" },
		{ IMBREX_NAMES_REMOVE, NAMES("w", "none"), "v y x", "" },
		{ IMBREX_NAMES_ADD, NAMES("b1"), "b1 v y x", "b2" },
		{ IMBREX_NAMES_SET, NAMES("only"), "only", "b2" },
		{ IMBREX_NAMES_SET, (const char *const[]){ NULL }, "", "b2" },
	};
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	size_t i;
	int r;

	layer(f, ID_A, NULL, NULL);
	layer(f, ID_B, NULL, NULL);
	for (i = 0; i < ARRAY_LEN(steps); i++) {
		if (steps[i].change == IMBREX_NAMES_ADD && i == 3)
			ok(imbrex_names_change(f->s, ID_B, IMBREX_KIND_ANY, IMBREX_NAMES_SET,
				   NAMES("b1", "b2"), &err),
				&err);
		ok(imbrex_names_change(
			   f->s, ID_A, IMBREX_KIND_ANY, steps[i].change, steps[i].names, &err),
			&err);
		expect_names(f, ID_A, IMBREX_KIND_ANY, steps[i].a);
		expect_names(f, ID_B, IMBREX_KIND_ANY, steps[i].b);
	}
	r = imbrex_names_change(
		f->s, "nobody", IMBREX_KIND_ANY, IMBREX_NAMES_ADD, NAMES("x"), &err);
	expect_error(r, &err, IMBREX_ENOENT, IMBREX_REASON_NOT_ANY,
		"'nobody' is neither layer nor image nor container of the store");
}

static void an_image_remembers_its_names_the_last_of_the_list_first(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };

	image(f, ID_C, NULL, NAMES("img:1"));
	ok(imbrex_names_change(
		   f->s, ID_C, IMBREX_KIND_ANY, IMBREX_NAMES_ADD, NAMES("n1", "n2"), &err),
		&err);
	expect_json(f, ID_C, IMBREX_KIND_IMAGE,
		"{\"id\":\"" ID_C "\",\"names\":[\"n1\",\"n2\",\"img:1\"],"
		"\"names-history\":[\"img:1\",\"n2\",\"n1\"]",
		"}");
	ok(imbrex_names_change(f->s, ID_C, IMBREX_KIND_ANY, IMBREX_NAMES_REMOVE, NAMES("n1"), &err),
		&err);
	expect_json(f, ID_C, IMBREX_KIND_IMAGE,
		"{\"id\":\"" ID_C "\",\"names\":[\"n2\",\"img:1\"],"
		"\"names-history\":[\"img:1\",\"n2\",\"n1\"]",
		"}");
}

static void metadata_is_kept_with_each_kind_and_may_be_taken_away(void **state)
{
	static const char *const ids[] = { ID_A, ID_C, ID_E };
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	size_t i;

	populate(f);
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		AUTO_FREE char *none = NULL;
		AUTO_FREE char *text = NULL;
		AUTO_FREE char *gone = NULL;

		ok(imbrex_metadata_get(f->s, ids[i], IMBREX_KIND_ANY, &none, &err), &err);
		assert_string_equal(none, "");
		ok(imbrex_metadata_set(f->s, ids[i], IMBREX_KIND_ANY, "<a> & \"b\"\n", &err), &err);
		ok(imbrex_metadata_get(f->s, ids[i], IMBREX_KIND_ANY, &text, &err), &err);
		assert_string_equal(text, "<a> & \"b\"\n");
		ok(imbrex_metadata_set(f->s, ids[i], IMBREX_KIND_ANY, "", &err), &err);
		ok(imbrex_metadata_get(f->s, ids[i], IMBREX_KIND_ANY, &gone, &err), &err);
		assert_string_equal(gone, "");
	}
	expect_json(f, "base", IMBREX_KIND_LAYER, "{\"id\":\"" ID_A "\",\"names\":[\"base\"]", "}");
}

/* ---- documents and directories ------------------------------------------------------------- */

static void documents_are_set_read_and_replaced_with_what_the_record_says_of_them(void **state)
{
	static const struct {
		enum imbrex_kind kind;
		const char *id;
	} objects[] = { { IMBREX_KIND_LAYER, ID_A }, { IMBREX_KIND_IMAGE, ID_C },
		{ IMBREX_KIND_CONTAINER, ID_E } };
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	int64_t size;
	size_t len;
	size_t i;
	int r;

	populate(f);
	for (i = 0; i < ARRAY_LEN(objects); i++) {
		const enum imbrex_kind kind = objects[i].kind;
		const char *id = objects[i].id;
		AUTO_FREE char *digest = NULL;
		AUTO_FREE char *missing = NULL;
		AUTO_FREE char *data = NULL;
		char **keys = NULL;

		ok(imbrex_data_set(f->s, kind, id, "Some Key", "old", 3, &err), &err);
		ok(imbrex_data_set(f->s, kind, id, "other", "", 0, &err), &err);
		ok(imbrex_data_set(f->s, kind, id, "Some Key", "doc\n", 4, &err), &err);
		ok(imbrex_data_list(f->s, kind, id, &keys, &err), &err);
		assert_string_equal(keys[0], "Some Key");
		assert_string_equal(keys[1], "other");
		assert_null(keys[2]);
		imbrex_strings_free(keys);
		ok(imbrex_data_get(f->s, kind, id, "Some Key", &data, &len, &err), &err);
		assert_int_equal(len, 4);
		assert_string_equal(data, "doc\n");
		ok(imbrex_data_size(f->s, kind, id, "Some Key", &size, &err), &err);
		assert_int_equal(size, 4);
		ok(imbrex_data_digest(f->s, kind, id, "Some Key", &digest, &err), &err);
		assert_string_equal(digest, DOC_DIGEST);
		r = imbrex_data_get(f->s, kind, id, "none", &missing, &len, &err);
		assert_int_equal(r, IMBREX_ENOENT);
		assert_int_equal(err.reason, IMBREX_REASON_DATA_UNKNOWN);
		r = imbrex_data_size(f->s, kind, id, "none", &size, &err);
		assert_int_equal(err.reason, IMBREX_REASON_SIZE_UNKNOWN);
		r = imbrex_data_digest(f->s, kind, id, "none", &missing, &err);
		assert_int_equal(err.reason, IMBREX_REASON_DIGEST_UNKNOWN);
		r = imbrex_data_set(f->s, kind, id, "", "x", 1, &err);
		expect_error(r, &err, IMBREX_EINVAL, IMBREX_REASON_BAD_DATA_NAME,
			"a big data item needs a name");
	}
	assert_true(fixture_exists(f, "root/vfs-images/" ID_C "/=U29tZSBLZXk="));
	assert_true(fixture_exists(f, "root/vfs-layers/" ID_A "/other"));
	r = imbrex_data_set(f->s, IMBREX_KIND_IMAGE, "nobody", "k", "x", 1, &err);
	expect_error(r, &err, IMBREX_ENOENT, IMBREX_REASON_IMAGE_UNKNOWN,
		"document 'k': image 'nobody' is not in the store");
}

static void manifests_give_an_image_its_digests(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	char **digests = NULL;
	char **ids = NULL;

	image(f, ID_C, NULL, NULL);
	image(f, ID_B, NULL, NULL);
	ok(imbrex_data_set(f->s, IMBREX_KIND_IMAGE, ID_C, "config", "doc\n", 4, &err), &err);
	ok(imbrex_image_digests(f->s, ID_C, &digests, &err), &err);
	assert_null(digests[0]);
	imbrex_strings_free(digests);
	ok(imbrex_data_set(f->s, IMBREX_KIND_IMAGE, ID_C, "manifest", "doc\n", 4, &err), &err);
	ok(imbrex_data_set(f->s, IMBREX_KIND_IMAGE, ID_C, "manifest-2", "{}", 2, &err), &err);
	ok(imbrex_image_digests(f->s, ID_C, &digests, &err), &err);
	assert_string_equal(digests[0], DOC_DIGEST);
	assert_non_null(digests[1]);
	assert_null(digests[2]);
	ok(imbrex_images_by_digest(f->s, digests[1], &ids, &err), &err);
	assert_string_equal(ids[0], ID_C);
	assert_null(ids[1]);
	imbrex_strings_free(ids);
	imbrex_strings_free(digests);
	expect_json(f, ID_B, IMBREX_KIND_IMAGE, "{\"id\":\"" ID_B "\"", "}");
	ok(imbrex_images_by_digest(f->s, "sha256:none", &ids, &err), &err);
	assert_null(ids[0]);
	imbrex_strings_free(ids);
}

static void directories_are_made_on_demand_and_go_with_their_object(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *graph = NULL;
	AUTO_FREE char *run = NULL;
	AUTO_FREE char *want = NULL;
	AUTO_FREE char *none = NULL;
	struct stat st;
	int r;

	populate(f);
	ok(imbrex_object_dir(f->s, IMBREX_KIND_CONTAINER, "box", false, &graph, &err), &err);
	ok(imbrex_object_dir(f->s, IMBREX_KIND_CONTAINER, "box", true, &run, &err), &err);
	want = format_text("%s/vfs-containers/" ID_E "/userdata", f->runroot);
	assert_string_equal(run, want);
	assert_int_equal(stat(graph, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	r = imbrex_object_dir(f->s, IMBREX_KIND_LAYER, ID_A, false, &none, &err);
	expect_error(r, &err, IMBREX_EINVAL, 0, "only images and containers have directories");
	ok(imbrex_object_delete(f->s, "box", IMBREX_KIND_CONTAINER, NULL, NULL, &err), &err);
	assert_false(fixture_exists(f, "root/vfs-containers/" ID_E));
	assert_false(fixture_exists(f, "run/vfs-containers/" ID_E));
}

/* ---- deleting ------------------------------------------------------------------------------ */

static void nothing_goes_that_something_else_names(void **state)
{
	static const struct imbrex_delete_opts must = { .must_exist = true };
	static const struct {
		const char *name;
		unsigned int kinds;
		int reason;
		const char *message;
	} cases[] = {
		{ ID_A, IMBREX_KIND_LAYER, IMBREX_REASON_LAYER_HAS_CHILDREN,
			"layer " ID_A " is below layer " ID_B },
		{ "img", IMBREX_KIND_IMAGE, IMBREX_REASON_IMAGE_USED_BY_CONTAINER,
			"image " ID_C " is used by container " ID_E },
		{ "img", IMBREX_KIND_ANY, IMBREX_REASON_IMAGE_USED_BY_CONTAINER,
			"image " ID_C " is used by container " ID_E },
	};
	struct fixture *f = *state;
	struct imbrex_container *box = NULL;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *message = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *top = NULL;
	char **layers = NULL;
	size_t i;
	int r;

	populate(f);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		r = imbrex_object_delete(f->s, cases[i].name, cases[i].kinds, &must, NULL, &err);
		expect_error(r, &err, IMBREX_EBUSY, cases[i].reason, cases[i].message);
	}
	ok(imbrex_container_get(f->s, "box", &box, &err), &err);
	top = strdup(box->layer);
	imbrex_containers_free(box, 1);
	message = format_text("layer %s is used by container " ID_E, top);
	r = imbrex_object_delete(f->s, top, IMBREX_KIND_LAYER, &must, NULL, &err);
	expect_error(r, &err, IMBREX_EBUSY, IMBREX_REASON_LAYER_USED_BY_CONTAINER, message);

	ok(imbrex_mount(f->s, ID_E, NULL, &path, &err), &err);
	r = imbrex_object_delete(f->s, "box", IMBREX_KIND_CONTAINER, &must, &layers, &err);
	assert_int_equal(r, IMBREX_EBUSY);
	assert_int_equal(err.reason, IMBREX_REASON_LAYER_MOUNTED);
	ok(imbrex_object_delete(f->s, "box", IMBREX_KIND_CONTAINER,
		   &(struct imbrex_delete_opts){ .unmount = true }, &layers, &err),
		&err);
	assert_string_equal(layers[0], top);
	assert_null(layers[1]);
	imbrex_strings_free(layers);

	r = imbrex_object_delete(f->s, ID_B, IMBREX_KIND_LAYER, &must, NULL, &err);
	expect_error(r, &err, IMBREX_EBUSY, IMBREX_REASON_LAYER_USED_BY_IMAGE,
		"layer " ID_B " is used by image " ID_C);
	ok(imbrex_object_delete(f->s, "img", IMBREX_KIND_IMAGE,
		   &(struct imbrex_delete_opts){ .dry_run = true }, &layers, &err),
		&err);
	assert_string_equal(layers[0], ID_B);
	assert_string_equal(layers[1], ID_A);
	assert_null(layers[2]);
	imbrex_strings_free(layers);
	assert_true(fixture_exists(f, "root/vfs/dir/" ID_A));
	ok(imbrex_object_delete(f->s, "img", IMBREX_KIND_IMAGE,
		   &(struct imbrex_delete_opts){ .keep_layers = true }, &layers, &err),
		&err);
	assert_null(layers[0]);
	imbrex_strings_free(layers);
	ok(imbrex_object_delete(f->s, ID_B, IMBREX_KIND_LAYER, NULL, NULL, &err), &err);
	assert_false(fixture_exists(f, "root/vfs/dir/" ID_B));
	assert_true(fixture_exists(f, "root/vfs/dir/" ID_A));

	/* What is gone is what was wanted, unless somebody wants to know. */
	ok(imbrex_object_delete(f->s, ID_B, IMBREX_KIND_LAYER, NULL, NULL, &err), &err);
	r = imbrex_object_delete(f->s, ID_B, IMBREX_KIND_LAYER, &must, NULL, &err);
	expect_error(r, &err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
		"layer '" ID_B "' is not in the store");
}

static void an_image_takes_the_layers_along_that_nobody_else_needs(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	char **layers = NULL;

	layer(f, ID_A, NULL, NULL);
	layer(f, ID_B, ID_A, NULL);
	layer(f, "sibling", ID_A, NULL);
	image(f, "first", ID_B, NULL);
	image(f, "second", "sibling", NULL);
	image(f, "third", "sibling", NULL);
	ok(imbrex_object_delete(f->s, "first", IMBREX_KIND_IMAGE, NULL, &layers, &err), &err);
	assert_string_equal(layers[0], ID_B);
	assert_null(layers[1]);
	imbrex_strings_free(layers);
	ok(imbrex_object_delete(f->s, "second", IMBREX_KIND_IMAGE, NULL, &layers, &err), &err);
	assert_null(layers[0]);
	imbrex_strings_free(layers);
	ok(imbrex_object_delete(f->s, "third", IMBREX_KIND_IMAGE, NULL, &layers, &err), &err);
	assert_string_equal(layers[0], "sibling");
	assert_string_equal(layers[1], ID_A);
	assert_null(layers[2]);
	imbrex_strings_free(layers);
	assert_false(fixture_exists(f, "root/vfs/dir/" ID_A));
}

#define object_test(f) cmocka_unit_test_setup_teardown(f, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		object_test(objects_are_found_by_id_name_and_beginning_in_the_order_of_kinds),
		object_test(records_have_the_members_that_peers_write_in_their_order),
		object_test(what_cannot_be_created_says_why_and_leaves_nothing),
		cmocka_unit_test(ids_of_callers_become_file_names_only_if_they_mean_nothing_else),
		object_test(a_layer_without_a_record_is_known_to_the_driver_alone),
		object_test(names_are_set_added_before_and_removed_and_move_between_objects),
		object_test(an_image_remembers_its_names_the_last_of_the_list_first),
		object_test(metadata_is_kept_with_each_kind_and_may_be_taken_away),
		object_test(documents_are_set_read_and_replaced_with_what_the_record_says_of_them),
		object_test(manifests_give_an_image_its_digests),
		object_test(directories_are_made_on_demand_and_go_with_their_object),
		object_test(nothing_goes_that_something_else_names),
		object_test(an_image_takes_the_layers_along_that_nobody_else_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
