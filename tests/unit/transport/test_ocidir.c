/* SPDX-License-Identifier: Apache-2.0 */
/* Does ocidir.c find the image that was asked for in an OCI layout, and nothing outside it? */
#include "fixture.h"

#include "transport/ocidir.h"

#define INDEX_HEAD "{\"schemaVersion\":2,\"manifests\":["
#define INDEX_TAIL "]}"

/* One image in the layout; texts are owned. */
struct image {
	struct hash_value layer, config, manifest;
	char *manifest_text;
	size_t layer_len, config_len;
};

static const struct platform amd64 = { .os = "linux", .architecture = "amd64" };
static const struct platform arm64 = { .os = "linux", .architecture = "arm64" };

static void put_blob(const struct box *box, const void *data, size_t len)
{
	struct hash_value h = sha256_of(data, len);
	char name[160];

	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(&h));
	put(box, name, data, len);
}

static char *descriptor(const char *type, const struct hash_value *h, size_t len, const char *more)
{
	return format_text("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", type,
		digest_text(h), len, more);
}

static void put_image(const struct box *box, const char *text, const char *arch, struct image *ret)
{
	AUTO_STR layer = STR_INIT(FIXTURE_MAX);
	AUTO_FREE char *config = NULL;
	AUTO_FREE char *config_d = NULL;
	AUTO_FREE char *layer_d = NULL;

	layer_make(&layer, "file", text);
	ret->layer = sha256_of(layer.data, layer.len);
	ret->layer_len = layer.len;
	config = config_make(&ret->layer, 1, arch);
	ret->config = sha256_of(config, strlen(config));
	ret->config_len = strlen(config);
	config_d = descriptor(OCI_TYPE_CONFIG, &ret->config, strlen(config), "");
	layer_d = descriptor(OCI_TYPE_LAYER, &ret->layer, layer.len, "");
	ret->manifest_text = format_text("{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":%s,"
					 "\"layers\":[%s]}",
		OCI_TYPE_MANIFEST, config_d, layer_d);
	ret->manifest = sha256_of(ret->manifest_text, strlen(ret->manifest_text));
	put_blob(box, layer.data, layer.len);
	put_blob(box, config, strlen(config));
	put_blob(box, ret->manifest_text, strlen(ret->manifest_text));
}

static char *entry(const struct image *image, const char *more)
{
	return descriptor(OCI_TYPE_MANIFEST, &image->manifest, strlen(image->manifest_text), more);
}

static void put_index(const struct box *box, const char *entries)
{
	AUTO_FREE char *text = format_text("%s%s%s", INDEX_HEAD, entries, INDEX_TAIL);

	put_text(box, "index.json", text);
	put_text(box, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
}

/* Two images, tagged "one" and "docker.io/library/two:2". */
static void put_two(const struct box *box, struct image *one, struct image *two)
{
	AUTO_FREE char *a = NULL;
	AUTO_FREE char *b = NULL;
	AUTO_FREE char *both = NULL;

	put_image(box, "first", "amd64", one);
	put_image(box, "second", "amd64", two);
	a = entry(one, ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"one\"}");
	b = entry(two, ",\"annotations\":{\"org.opencontainers.image.ref.name\":"
		       "\"docker.io/library/two:2\"}");
	both = format_text("%s,%s", a, b);
	put_index(box, both);
}

static int get(const struct box *box, const char *tag, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	AUTO_SOURCE struct source *s = NULL;
	int r = ocidir_source_open(box->path, tag, &s, err);

	return r < 0 ? r : s->ops->manifest(s, want, ret, err);
}

static void expect_failure(const struct box *box, const char *tag, int status, const char *message)
{
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	char text[1024];

	(void)snprintf(text, sizeof(text), "oci:%s: %s", box->path, message);
	assert_int_equal(get(box, tag, &amd64, &m, &err), status);
	assert_string_equal(err.message, text);
}

static void a_tag_finds_its_image_byte_for_byte(void **state)
{
	const struct box *box = *state;
	struct image one, two;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };

	put_two(box, &one, &two);
	assert_int_equal(get(box, "docker.io/library/two:2", NULL, &m, &err), 0);
	assert_string_equal(str_text(&m.manifest), two.manifest_text);
	assert_true(hash_equal(&m.digest, &two.manifest));
	assert_string_equal(m.media_type, OCI_TYPE_MANIFEST);
	assert_string_equal(m.name, "docker.io/library/two:2");
	assert_int_equal(m.list.len, 0);
	source_manifest_done(&m);
	free(one.manifest_text);
	free(two.manifest_text);
}

static void a_bare_tag_is_named_after_the_directory(void **state)
{
	const struct box *box = *state;
	struct image one, two;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };

	put_two(box, &one, &two);
	assert_int_equal(get(box, "one", NULL, &m, &err), 0);
	assert_non_null(strstr(m.name, "localhost/transport-"));
	assert_true(str_ends(m.name, ":one"));
	source_manifest_done(&m);
	free(one.manifest_text);
	free(two.manifest_text);
}

static void a_digest_after_an_at_sign_finds_its_image(void **state)
{
	const struct box *box = *state;
	struct image one, two;
	struct source_manifest m = { 0 };
	AUTO_FREE char *tag = NULL;

	put_two(box, &one, &two);
	tag = format_text("@%s", digest_text(&one.manifest));
	assert_int_equal(get(box, tag, NULL, &m, NULL), 0);
	assert_true(hash_equal(&m.digest, &one.manifest));
	source_manifest_done(&m);
	free(one.manifest_text);
	free(two.manifest_text);
}

static void a_wrong_tag_lists_the_right_ones(void **state)
{
	const struct box *box = *state;
	struct image one, two;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };

	put_two(box, &one, &two);
	expect_failure(box, "three", IMBREX_ENOENT, "no image 'three' in index.json");
	assert_int_equal(get(box, "three", NULL, &m, &err), IMBREX_ENOENT);
	assert_string_equal(err.hint, "tags: one, docker.io/library/two:2");
	expect_failure(box, NULL, IMBREX_EINVAL, "index.json has 2 images: say which");
	free(one.manifest_text);
	free(two.manifest_text);
}

static void blobs_are_pushed_and_sizes_checked(void **state)
{
	const struct box *box = *state;
	struct image one, two;
	struct imbrex_error err = { 0 };
	AUTO_SOURCE struct source *s = NULL;
	AUTO_STR text = { 0 };
	struct oci_descriptor d = { 0 };
	char want[512];

	put_two(box, &one, &two);
	assert_int_equal(ocidir_source_open(box->path, "one", &s, &err), 0);
	d.digest = one.layer;
	d.size_bytes = one.layer_len;
	assert_int_equal(blob_text(s, &d, &text, &err), 0);
	assert_int_equal(text.len, one.layer_len);
	assert_memory_equal(text.data, "file", 4);
	d.size_bytes = 7;
	assert_int_equal(blob_text(s, &d, &text, &err), IMBREX_EDIGEST);
	(void)snprintf(want, sizeof(want),
		"blob %s: 'blobs/sha256/%s' has %zu bytes but 7 were announced",
		digest_short(&one.layer), digest_hex(&one.layer), one.layer_len);
	assert_string_equal(err.message, want);
	free(one.manifest_text);
	free(two.manifest_text);
}

static void the_platform_decides_in_an_index(void **state)
{
	const struct box *box = *state;
	struct image amd, arm;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *a = NULL;
	AUTO_FREE char *b = NULL;
	AUTO_FREE char *list = NULL;
	AUTO_FREE char *top = NULL;
	struct hash_value h;

	put_image(box, "amd", "amd64", &amd);
	put_image(box, "arm", "arm64", &arm);
	a = entry(&amd, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}");
	b = entry(&arm, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}");
	list = format_text("{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[%s,%s]}",
		OCI_TYPE_INDEX, a, b);
	h = sha256_of(list, strlen(list));
	put_blob(box, list, strlen(list));
	top = descriptor(OCI_TYPE_INDEX, &h, strlen(list), "");
	put_index(box, top);
	assert_int_equal(get(box, NULL, &arm64, &m, &err), 0);
	assert_true(hash_equal(&m.digest, &arm.manifest));
	assert_true(hash_equal(&m.list_digest, &h));
	assert_string_equal(str_text(&m.list), list);
	assert_string_equal(m.list_media_type, OCI_TYPE_INDEX);
	source_manifest_done(&m);
	assert_int_equal(get(box, NULL, &amd64, &m, &err), 0);
	assert_true(hash_equal(&m.digest, &amd.manifest));
	source_manifest_done(&m);

	/* the same two directly in index.json */
	free(top);
	top = format_text("%s,%s", a, b);
	put_index(box, top);
	assert_int_equal(get(box, NULL, &arm64, &m, &err), 0);
	assert_true(hash_equal(&m.digest, &arm.manifest));
	assert_int_equal(m.list.len, 0);
	source_manifest_done(&m);
	free(amd.manifest_text);
	free(arm.manifest_text);
}

static void deep_indexes_are_refused(void **state)
{
	const struct box *box = *state;
	struct image image;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	char *at;

	put_image(box, "x", "amd64", &image);
	at = entry(&image, "");
	for (int i = 0; i < 5; i++) {
		char *list =
			format_text("{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[%s]}",
				OCI_TYPE_INDEX, at);
		struct hash_value h = sha256_of(list, strlen(list));

		free(at);
		put_blob(box, list, strlen(list));
		at = descriptor(OCI_TYPE_INDEX, &h, strlen(list), "");
		free(list);
	}
	put_index(box, at);
	assert_int_equal(get(box, NULL, &amd64, &m, &err), IMBREX_ELIMIT);
	assert_non_null(strstr(err.message, "index"));
	free(at);
	free(image.manifest_text);
}

static void a_changed_manifest_is_refused(void **state)
{
	const struct box *box = *state;
	struct image image;
	AUTO_FREE char *top = NULL;
	char name[160];
	char want[512];
	struct hash_value actual;

	put_image(box, "x", "amd64", &image);
	top = entry(&image, "");
	put_index(box, top);
	image.manifest_text[strlen(image.manifest_text) - 1] = ' ';
	actual = sha256_of(image.manifest_text, strlen(image.manifest_text));
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(&image.manifest));
	put_text(box, name, image.manifest_text);
	(void)snprintf(want, sizeof(want), "document %s: content is %s",
		digest_text(&image.manifest), digest_text(&actual));
	expect_failure(box, NULL, IMBREX_EDIGEST, want);
	free(image.manifest_text);
}

static void links_and_pipes_in_place_of_blobs_are_refused(void **state)
{
	const struct box *box = *state;
	struct image image;
	AUTO_FREE char *top = NULL;
	char name[160];
	char want[512];

	put_image(box, "x", "amd64", &image);
	top = entry(&image, "");
	put_index(box, top);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(&image.manifest));
	assert_int_equal(unlinkat(box->fd, name, 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", box->fd, name), 0);
	(void)snprintf(want, sizeof(want), "blob %s: '%s' is a symbolic link",
		digest_short(&image.manifest), name);
	expect_failure(box, NULL, IMBREX_EFORMAT, want);
	assert_int_equal(unlinkat(box->fd, name, 0), 0);
	assert_int_equal(mkfifoat(box->fd, name, 0644), 0);
	(void)snprintf(want, sizeof(want), "blob %s: '%s' is not a regular file",
		digest_short(&image.manifest), name);
	expect_failure(box, NULL, IMBREX_EFORMAT, want);
	assert_int_equal(unlinkat(box->fd, name, 0), 0);
	(void)snprintf(want, sizeof(want), "blob %s: open '%s': No such file or directory",
		digest_short(&image.manifest), name);
	expect_failure(box, NULL, IMBREX_ENOENT, want);
	free(image.manifest_text);
}

static void what_is_no_layout_is_said_to_be_none(void **state)
{
	const struct box *box = *state;
	struct imbrex_error err = { 0 };
	struct source_manifest m = { 0 };

	assert_int_equal(get(box, NULL, &amd64, &m, &err), IMBREX_ENOENT);
	assert_non_null(strstr(err.message, "oci-layout"));
	put_text(box, "oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
	expect_failure(box, NULL, IMBREX_ENOTSUP, "oci-layout: version '2.0.0' is not 1.x");
	put_text(box, "oci-layout", "{}");
	expect_failure(box, NULL, IMBREX_EFORMAT, "oci-layout.imageLayoutVersion is missing");
	put_index(box, "");
	expect_failure(box, NULL, IMBREX_ENOENT, "no image in index.json");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_tag_finds_its_image_byte_for_byte),
		TEST(a_bare_tag_is_named_after_the_directory),
		TEST(a_digest_after_an_at_sign_finds_its_image),
		TEST(a_wrong_tag_lists_the_right_ones),
		TEST(blobs_are_pushed_and_sizes_checked),
		TEST(the_platform_decides_in_an_index),
		TEST(deep_indexes_are_refused),
		TEST(a_changed_manifest_is_refused),
		TEST(links_and_pipes_in_place_of_blobs_are_refused),
		TEST(what_is_no_layout_is_said_to_be_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
