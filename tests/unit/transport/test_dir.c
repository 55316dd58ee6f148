/* SPDX-License-Identifier: Apache-2.0 */
/* Is the directory layout of containers/image read, and nothing outside it? */
#include "fixture.h"
#include "transport/dir.h"

struct copied {
	struct hash_value layer, config, manifest;
	char *manifest_text; /* owned */
	size_t layer_len;
};

static void put_copied(const struct box *box, struct copied *ret)
{
	AUTO_STR layer = STR_INIT(FIXTURE_MAX);
	AUTO_FREE char *config = NULL;

	layer_make(&layer, "file", "text");
	ret->layer = sha256_of(layer.data, layer.len);
	ret->layer_len = layer.len;
	config = config_make(&ret->layer, 1, "amd64");
	ret->config = sha256_of(config, strlen(config));
	ret->manifest_text = format_text(
		"{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"%s\","
		"\"size\":%zu,\"digest\":\"%s\"},\"layers\":[{\"mediaType\":\"%s.gzip\",\"size\":%"
		"zu,"
		"\"digest\":\"%s\"}]}",
		OCI_TYPE_DOCKER_MANIFEST, OCI_TYPE_DOCKER_CONFIG, strlen(config),
		digest_text(&ret->config), OCI_TYPE_DOCKER_LAYER, layer.len,
		digest_text(&ret->layer));
	ret->manifest = sha256_of(ret->manifest_text, strlen(ret->manifest_text));
	put(box, digest_hex(&ret->layer), layer.data, layer.len);
	put_text(box, digest_hex(&ret->config), config);
	put_text(box, "manifest.json", ret->manifest_text);
	put_text(box, "version", "Directory Transport Version: 1.1\n");
}

static int get(const struct box *box, struct source_manifest *ret, struct imbrex_error *err)
{
	AUTO_SOURCE struct source *s = NULL;
	int r = dir_source_open(box->path, &s, err);

	return r < 0 ? r : s->ops->manifest(s, NULL, ret, err);
}

static void manifest_and_blobs_come_byte_for_byte(void **state)
{
	const struct box *box = *state;
	AUTO_SOURCE struct source *s = NULL;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	struct oci_descriptor d = { 0 };
	AUTO_STR text = { 0 };
	struct copied c;

	put_copied(box, &c);
	assert_int_equal(dir_source_open(box->path, &s, &err), 0);
	assert_int_equal(s->ops->manifest(s, NULL, &m, &err), 0);
	assert_string_equal(str_text(&m.manifest), c.manifest_text);
	assert_string_equal(m.media_type, OCI_TYPE_DOCKER_MANIFEST);
	assert_true(hash_equal(&m.digest, &c.manifest));
	assert_non_null(str_after(m.name, "localhost/transport-"));
	assert_true(str_ends(m.name, ":latest"));
	d.digest = c.layer;
	d.size_bytes = c.layer_len;
	assert_int_equal(blob_text(s, &d, &text, &err), 0);
	assert_int_equal(text.len, c.layer_len);
	source_manifest_done(&m);
	free(c.manifest_text);
}

static void a_list_leads_to_the_manifest_of_the_platform(void **state)
{
	const struct box *box = *state;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *list = NULL;
	char name[200];
	struct copied c;
	const struct platform amd64 = { .os = "linux", .architecture = "amd64" };
	AUTO_SOURCE struct source *s = NULL;

	put_copied(box, &c);
	(void)snprintf(name, sizeof(name), "%s.manifest.json", digest_hex(&c.manifest));
	put_text(box, name, c.manifest_text);
	list = format_text(
		"{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[{\"mediaType\":"
		"\"%s\",\"size\":%zu,\"digest\":\"%s\",\"platform\":{\"architecture\":"
		"\"amd64\",\"os\":\"linux\"}}]}",
		OCI_TYPE_DOCKER_LIST, OCI_TYPE_DOCKER_MANIFEST, strlen(c.manifest_text),
		digest_text(&c.manifest));
	put_text(box, "manifest.json", list);
	assert_int_equal(dir_source_open(box->path, &s, &err), 0);
	assert_int_equal(s->ops->manifest(s, &amd64, &m, &err), 0);
	assert_true(hash_equal(&m.digest, &c.manifest));
	assert_string_equal(str_text(&m.list), list);
	source_manifest_done(&m);
	free(c.manifest_text);
}

static void broken_layouts_are_refused(void **state)
{
	const struct box *box = *state;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_SOURCE struct source *s = NULL;
	struct oci_descriptor d = { 0 };
	AUTO_STR text = { 0 };
	char want[600];
	struct copied c;

	put_copied(box, &c);
	put_text(box, "version", "Directory Transport Version: 2.0\n");
	assert_int_equal(get(box, &m, &err), IMBREX_ENOTSUP);
	(void)snprintf(want, sizeof(want), "dir:%s: version: '2.0' is not 1.x", box->path);
	assert_string_equal(err.message, want);
	put_text(box, "version", "something");
	assert_int_equal(get(box, &m, &err), IMBREX_EFORMAT);
	(void)snprintf(want, sizeof(want),
		"dir:%s: version: does not begin with 'Directory Transport Version: '", box->path);
	assert_string_equal(err.message, want);
	assert_int_equal(unlinkat(box->fd, "version", 0), 0);
	assert_int_equal(unlinkat(box->fd, digest_hex(&c.layer), 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", box->fd, digest_hex(&c.layer)), 0);
	assert_int_equal(dir_source_open(box->path, &s, &err), 0);
	assert_int_equal(s->ops->manifest(s, NULL, &m, &err), 0);
	d.digest = c.layer;
	d.size_bytes = c.layer_len;
	assert_int_equal(blob_text(s, &d, &text, &err), IMBREX_EFORMAT);
	(void)snprintf(want, sizeof(want), "blob %s: '%s' is a symbolic link",
		digest_short(&c.layer), digest_hex(&c.layer));
	assert_string_equal(err.message, want);
	source_manifest_done(&m);
	put_text(box, "manifest.json", "{");
	assert_int_equal(get(box, &m, &err), IMBREX_EFORMAT);
	free(c.manifest_text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
	const struct CMUnitTest tests[] = {
		TEST(manifest_and_blobs_come_byte_for_byte),
		TEST(a_list_leads_to_the_manifest_of_the_platform),
		TEST(broken_layouts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
