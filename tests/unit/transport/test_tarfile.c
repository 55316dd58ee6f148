/* SPDX-License-Identifier: Apache-2.0 */
/* Does a plain tarball become an image whose layer is that tarball, always the same one? */
#include "fixture.h"
#include "transport/tarfile.h"

#include <zlib.h>

static const struct platform arm64 = { .os = "linux", .architecture = "arm64" };

static void put_gzip(const struct box *box, const char *name, const struct str *tar)
{
	gzFile f = gzopen(box_path(box, name), "wb");

	assert_int_equal(gzwrite(f, tar->data, (unsigned int)tar->len), tar->len);
	assert_int_equal(gzclose(f), Z_OK);
}

/* The image at `path` is one layer with the bytes of `tar`; returns the image id. */
static struct hash_value expect_layer(const char *path, const struct str *tar, const char *name)
{
	AUTO_SOURCE struct source *s = NULL;
	AUTO_OCI_MANIFEST parsed = { 0 };
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	struct hash_value want = sha256_of(tar->data, tar->len);
	AUTO_STR text = { 0 };

	assert_int_equal(tarfile_source_open(path, &s, &err), 0);
	assert_int_equal(s->ops->manifest(s, &arm64, &m, &err), 0);
	if (name)
		assert_string_equal(m.name, name);
	else
		assert_null(m.name);
	assert_int_equal(oci_manifest_parse(m.media_type, str_text(&m.manifest), m.manifest.len,
				 &parsed, &err),
		0);
	assert_int_equal(parsed.n_layers, 1);
	assert_true(hash_equal(&parsed.layers[0].digest, &want));
	assert_int_equal(parsed.layers[0].size_bytes, tar->len);
	for (int i = 0; i < 2; i++) { /* as often as one likes */
		assert_int_equal(blob_text(s, &parsed.layers[0], &text, &err), 0);
		assert_int_equal(text.len, tar->len);
		assert_memory_equal(text.data, tar->data, tar->len);
	}
	assert_int_equal(blob_text(s, &parsed.config, &text, &err), 0);
	assert_non_null(strstr(str_text(&text), "\"architecture\":\"arm64\""));
	assert_non_null(strstr(str_text(&text), "\"created\":\"1970-01-01T00:00:00Z\""));
	assert_non_null(strstr(str_text(&text), digest_text(&want)));
	want = sha256_of(text.data, text.len);
	assert_true(hash_equal(&want, &parsed.config.digest));
	source_manifest_done(&m);
	return want;
}

static void the_layer_is_the_tarball_compressed_or_not(void **state)
{
	const struct box *box = *state;
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	struct hash_value plain, packed;

	layer_make(&tar, "etc/hostname", "box");
	put(box, "Root.tar", tar.data, tar.len);
	put_gzip(box, "other.tar.gz", &tar);
	plain = expect_layer(box_path(box, "Root.tar"), &tar, "localhost/root:latest");
	packed = expect_layer(box_path(box, "other.tar.gz"), &tar, "localhost/other:latest");
	assert_true(hash_equal(&plain, &packed));
}

static void standard_input_is_kept(void **state)
{
	const struct box *box = *state;
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	int saved = dup(STDIN_FILENO);
	int ends[2];

	layer_make(&tar, "etc/hostname", "box");
	assert_true(tar.len < 65536);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write_all(ends[1], tar.data, tar.len), 0);
	assert_int_equal(close(ends[1]), 0);
	assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	(void)close(ends[0]);
	(void)expect_layer("-", &tar, NULL);
	if (saved >= 0) {
		assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
		(void)close(saved);
	}
	assert_non_null(box);
}

static void what_is_no_layer_is_refused(void **state)
{
	const struct box *box = *state;
	struct source *s;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	char want[600];

	put_text(box, "text", "hello");
	assert_int_equal(tarfile_source_open(box_path(box, "text"), &s, &err), 0);
	assert_int_equal(s->ops->manifest(s, NULL, &m, &err), IMBREX_EFORMAT);
	(void)snprintf(want, sizeof(want), "tar:%s: ", box_path(box, "text"));
	assert_non_null(str_after(err.message, want));
	source_free(s);
	assert_int_equal(tarfile_source_open(box->path, &s, &err), IMBREX_EFORMAT);
	(void)snprintf(want, sizeof(want), "'%s' is a directory", box->path);
	assert_string_equal(err.message, want);
	(void)snprintf(want, sizeof(want), "use rootfs:%s", box->path);
	assert_string_equal(err.hint, want);
}

static void a_file_that_changes_in_between_is_noticed(void **state)
{
	const struct box *box = *state;
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	AUTO_STR after = STR_INIT(FIXTURE_MAX);
	AUTO_SOURCE struct source *s = NULL;
	AUTO_OCI_MANIFEST parsed = { 0 };
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	struct sink *end = NULL;
	AUTO_SINK struct sink *digest = NULL;
	AUTO_STR text = { 0 };
	char want[600];

	layer_make(&tar, "a", "before");
	layer_make(&after, "a", "behind");
	put(box, "a.tar", tar.data, tar.len);
	assert_int_equal(tarfile_source_open(box_path(box, "a.tar"), &s, &err), 0);
	assert_int_equal(s->ops->manifest(s, NULL, &m, &err), 0);
	assert_int_equal(oci_manifest_parse(m.media_type, str_text(&m.manifest), m.manifest.len,
				 &parsed, &err),
		0);
	put(box, "a.tar", after.data, after.len);
	assert_int_equal(buffer_sink_new(FIXTURE_MAX, &text, &end, &err), 0);
	assert_int_equal(
		digest_sink_new(HASH_SHA256, &parsed.layers[0].digest, NULL, end, &digest, &err),
		0);
	assert_int_equal(s->ops->blob(s, &parsed.layers[0], digest, &err), IMBREX_EDIGEST);
	(void)snprintf(want, sizeof(want),
		"tar:%s changed since it was read first: ", box_path(box, "a.tar"));
	assert_non_null(str_after(err.message, want));
	source_manifest_done(&m);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_layer_is_the_tarball_compressed_or_not),
		TEST(standard_input_is_kept),
		TEST(what_is_no_layer_is_refused),
		TEST(a_file_that_changes_in_between_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
