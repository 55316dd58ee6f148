/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes and configurations that are as they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "oci/config.h"
#include "oci/digest.h"
#include "oci/manifest.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

#define OCI_CONFIG_DESCRIPTOR \
	"{\"mediaType\":\"" OCI_TYPE_CONFIG "\",\"digest\":\"sha256:" HEX_A "\",\"size\":7}"

/* A manifest written by us: reading and writing it again gives the same bytes. */
static const char written_manifest[] =
	"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST
	"\",\"config\":" OCI_CONFIG_DESCRIPTOR ",\"layers\":[{\"mediaType\":\"" OCI_TYPE_LAYER_GZIP
	"\",\"digest\":\"sha256:" HEX_B "\",\"size\":123,\"annotations\":{\"a\":\"1\",\"b\":\"<2>"
	"\"}}],\"annotations\":{\"k\":\"v\"}}";

static void a_manifest_is_read(void **state)
{
	/* Pretty-printed, with members nobody asks for. */
	static const char text[] =
		"{\n  \"schemaVersion\": 2,\n  \"config\": " OCI_CONFIG_DESCRIPTOR
		",\n \"subject\": null, \"x\": [1.5],\n  \"layers\": [\n"
		"{\"mediaType\":\"" OCI_TYPE_LAYER "\",\"digest\":\"sha256:" HEX_A "\",\"size\":0,"
		"\"urls\":[\"http://example.com/x\"]},\n"
		"{\"mediaType\":\"" OCI_TYPE_LAYER_ZSTD "\",\"digest\":\"sha512:" HEX_A HEX_B
		"\",\"size\":1099511627776},\n"
		"{\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\","
		"\"digest\":\"sha256:" HEX_B "\",\"size\":3}]}\n";
	struct imbrex_error err = { 0 };
	AUTO_OCI_MANIFEST m = { 0 };

	if (oci_manifest_parse(NULL, text, sizeof(text) - 1, &m, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(m.media, OCI_MEDIA_MANIFEST);
	assert_int_equal(m.config.size_bytes, 7);
	assert_string_equal(digest_hex(&m.config.digest), HEX_A);
	assert_int_equal(m.n_layers, 3);
	assert_int_equal(m.layers[0].compression, OCI_TAR);
	assert_false(m.layers[0].foreign);
	assert_int_equal(m.layers[1].compression, OCI_TAR_ZSTD);
	assert_int_equal(m.layers[1].digest.algorithm, HASH_SHA512);
	assert_true(m.layers[1].size_bytes == LIMIT_LAYER_BYTES);
	assert_int_equal(m.layers[2].compression, OCI_TAR_GZIP);
	assert_true(m.layers[2].foreign);
}

static void a_manifest_is_written_as_it_was_read(void **state)
{
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	AUTO_OCI_MANIFEST m = { 0 };
	struct oci_descriptor copy;

	assert_int_equal(oci_manifest_parse(OCI_TYPE_MANIFEST, written_manifest,
				 sizeof(written_manifest) - 1, &m, NULL),
		0);
	assert_string_equal(oci_pairs_get(&m.layers[0].annotations, "a"), "1");
	assert_string_equal(oci_pairs_get(&m.annotations, "k"), "v");
	assert_null(oci_pairs_get(&m.annotations, "v"));
	assert_int_equal(oci_manifest_write(&m, &text, NULL), 0);
	assert_string_equal(text.data,
		"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST
		"\",\"config\":" OCI_CONFIG_DESCRIPTOR
		",\"layers\":[{\"mediaType\":\"" OCI_TYPE_LAYER_GZIP "\",\"digest\":\"sha256:" HEX_B
		"\",\"size\":123,\"annotations\":{\"a\":\"1\",\"b\":\"\\u003c2\\u003e\"}}],"
		"\"annotations\":{\"k\":\"v\"}}");
	assert_int_equal(oci_descriptor_copy(&m.layers[0], &copy, NULL), 0);
	assert_string_equal(copy.media_type, OCI_TYPE_LAYER_GZIP);
	assert_true(hash_equal(&copy.digest, &m.layers[0].digest));
	oci_descriptor_done(&copy);
}

static void media_types_are_known_in_any_case_and_with_parameters(void **state)
{
	static const struct {
		const char *text;
		enum oci_media media;
	} cases[] = {
		{ OCI_TYPE_MANIFEST, OCI_MEDIA_MANIFEST },
		{ " " OCI_TYPE_INDEX "; charset=utf-8", OCI_MEDIA_INDEX },
		{ "Application/vnd.docker.distribution.manifest.V2+json",
			OCI_MEDIA_DOCKER_MANIFEST },
		{ OCI_TYPE_DOCKER_LIST ";x", OCI_MEDIA_DOCKER_LIST },
		{ OCI_TYPE_DOCKER_CONFIG, OCI_MEDIA_DOCKER_CONFIG },
		{ "application/vnd.docker.distribution.manifest.v1+prettyjws",
			OCI_MEDIA_DOCKER_SCHEMA1 },
		{ "application/json", OCI_MEDIA_GENERIC },
		{ "", OCI_MEDIA_GENERIC },
		{ OCI_TYPE_LAYER "+bzip2", OCI_MEDIA_OTHER },
		{ OCI_TYPE_LAYER "x", OCI_MEDIA_OTHER },
		{ "x", OCI_MEDIA_OTHER },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(oci_media_parse(cases[i].text, NULL, NULL), cases[i].media);
}

static void the_kind_of_a_document_is_found_from_what_is_said(void **state)
{
	static const char untyped_manifest[] = "{\"schemaVersion\":2,\"layers\":[]}";
	static const char untyped_index[] = "{\"schemaVersion\":2,\"manifests\":[]}";
	static const char docker_list[] =
		"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_DOCKER_LIST "\",\"manifests\":[]}";
	static const struct {
		const char *announced;
		const char *text;
		enum oci_media media;
	} cases[] = {
		{ NULL, untyped_manifest, OCI_MEDIA_MANIFEST },
		{ NULL, untyped_index, OCI_MEDIA_INDEX },
		{ "application/json", untyped_index, OCI_MEDIA_INDEX },
		{ OCI_TYPE_DOCKER_MANIFEST, untyped_manifest, OCI_MEDIA_DOCKER_MANIFEST },
		{ NULL, docker_list, OCI_MEDIA_DOCKER_LIST },
		{ OCI_TYPE_DOCKER_LIST "; charset=utf-8", docker_list, OCI_MEDIA_DOCKER_LIST },
		{ "text/plain", written_manifest, OCI_MEDIA_MANIFEST },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		enum oci_media media = OCI_MEDIA_OTHER;

		assert_int_equal(oci_document_media(cases[i].announced, cases[i].text,
					 strlen(cases[i].text), &media, NULL),
			0);
		assert_int_equal(media, cases[i].media);
	}
}

#define ENTRY(hex, platform)                                                \
	"{\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"digest\":\"sha256:" hex \
	"\",\"size\":5" platform "}"
#define PLATFORM(arch, os, rest) \
	",\"platform\":{\"architecture\":\"" arch "\",\"os\":\"" os "\"" rest "}"
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
#define HEX_C          "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static void the_entry_for_the_platform_is_chosen(void **state)
{
	static const struct {
		const char *text;
		const char *want;
		const char *hex;     /* NULL: fails */
		const char *message; /* then */
	} cases[] = {
		{ INDEX(ENTRY(HEX_A, PLATFORM("arm64", "linux", ",\"variant\":\"v8\"")) "," ENTRY(
			  HEX_B, PLATFORM("amd64", "linux", ""))),
			"linux/amd64", HEX_B },
		{ INDEX(ENTRY(HEX_A, PLATFORM("arm64", "linux", ",\"variant\":\"v8\"")) "," ENTRY(
			  HEX_B, PLATFORM("amd64", "linux", ""))),
			"linux/arm64", HEX_A },
		{ INDEX(ENTRY(HEX_A, PLATFORM("arm", "linux", ",\"variant\":\"v5\"")) "," ENTRY(
			  HEX_B, PLATFORM("arm", "linux", ",\"variant\":\"v6\"")) "," ENTRY(HEX_C,
			  PLATFORM("arm", "linux", ",\"variant\":\"v8\""))),
			"linux/arm/v7", HEX_B },
		{ INDEX(ENTRY(HEX_A, PLATFORM("amd64", "linux", "")) "," ENTRY(
			  HEX_B, PLATFORM("amd64", "linux", ""))),
			"linux/amd64", HEX_A },
		{ INDEX(ENTRY(HEX_A, "")), "linux/amd64", HEX_A },
		{ INDEX(ENTRY(HEX_A, "") "," ENTRY(HEX_B, PLATFORM("amd64", "linux", ""))),
			"linux/amd64", HEX_B },
		{ INDEX(ENTRY(HEX_A, PLATFORM("unknown", "unknown", ""))), "linux/amd64", NULL,
			"index: no image for linux/amd64: it holds none at all" },
		{ INDEX(ENTRY(HEX_A,
			  PLATFORM("amd64", "linux", "") ",\"annotations\":{\"vnd.docker."
							 "reference.type\":"
							 "\"attestation-manifest\"}")),
			"linux/amd64", NULL,
			"index: no image for linux/amd64: it holds none at all" },
		{ INDEX(ENTRY(HEX_A, PLATFORM("arm64", "linux", "")) "," ENTRY(
			  HEX_B, PLATFORM("amd64", "windows", ",\"os.version\":\"10\""))),
			"linux/amd64", NULL,
			"index: no image for linux/amd64, only for linux/arm64, windows/amd64" },
		{ INDEX(""), "linux/s390x", NULL,
			"index: no image for linux/s390x: it holds none at all" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct oci_descriptor *found = NULL;
		struct imbrex_error err = { 0 };
		AUTO_OCI_INDEX index = { 0 };
		struct platform want;

		assert_int_equal(platform_parse(cases[i].want, &want, &err), 0);
		if (oci_index_parse(NULL, cases[i].text, strlen(cases[i].text), &index, &err) < 0)
			fail_msg("%s", err.message);
		if (cases[i].hex) {
			assert_int_equal(oci_index_select(&index, &want, 0, &found, &err), 0);
			assert_string_equal(digest_hex(&found->digest), cases[i].hex);
		} else {
			assert_int_equal(
				oci_index_select(&index, &want, 0, &found, &err), IMBREX_ENOENT);
			assert_string_equal(err.message, cases[i].message);
		}
	}
}

static void an_index_is_written_as_it_was_read(void **state)
{
	static const char text[] = "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX
				   "\",\"manifests\":[{\"mediaType\":"
				   "\"" OCI_TYPE_MANIFEST "\",\"digest\":\"sha256:" HEX_A
				   "\",\"size\":5,\"annotations\":{"
				   "\"org.opencontainers.image.ref.name\":\"x:1\"},\"platform\":{"
				   "\"architecture\":\"arm\","
				   "\"os\":\"linux\",\"variant\":\"v7\"}}]}";
	AUTO_STR out = STR_INIT(LIMIT_MANIFEST_BYTES);
	AUTO_OCI_INDEX index = { 0 };

	assert_int_equal(oci_index_parse(NULL, text, sizeof(text) - 1, &index, NULL), 0);
	assert_int_equal(oci_index_write(&index, &out, NULL), 0);
	assert_string_equal(out.data, text);
}

static const char written_config[] =
	"{\"created\":\"2026-11-20T18:49:11+02:00\",\"author\":\"me\",\"architecture\":\"arm\","
	"\"os\":\"linux\",\"variant\":\"v7\",\"config\":{\"User\":\"1000:100\",\"ExposedPorts\":{"
	"\"443/tcp\":{},\"80/tcp\":{}},\"Env\":[\"PATH=/bin\",\"X=a b\"],\"Entrypoint\":[\"/e\"],"
	"\"Cmd\":[\"a\",\"\"],\"Volumes\":{\"/data\":{}},\"WorkingDir\":\"/w\",\"Labels\":{\"a\":"
	"\"1\",\"b\":\"2\"},\"StopSignal\":\"SIGTERM\"},\"rootfs\":{\"type\":\"layers\",\"diff_"
	"ids\":["
	"\"sha256:" HEX_A "\",\"sha256:" HEX_B
	"\"]},\"history\":[{\"created\":\"2026-11-20T18:49:11Z\","
	"\"created_by\":\"RUN "
	"x\"},{\"comment\":\"c\",\"empty_layer\":true},{\"created_by\":\"COPY\"}]}";

static void a_config_is_read_and_written_as_it_was(void **state)
{
	AUTO_STR out = STR_INIT(LIMIT_CONFIG_BYTES);
	struct imbrex_error err = { 0 };
	AUTO_OCI_CONFIG c = { 0 };

	if (oci_config_parse(written_config, sizeof(written_config) - 1, &c, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(c.platform.variant, "v7");
	assert_string_equal(c.user, "1000:100");
	assert_string_equal(c.env.items[1], "X=a b");
	assert_int_equal(c.cmd.n, 2);
	assert_string_equal(oci_pairs_get(&c.labels, "b"), "2");
	assert_int_equal(c.n_diff_ids, 2);
	assert_string_equal(digest_hex(&c.diff_ids[1]), HEX_B);
	assert_int_equal(c.n_history, 3);
	assert_true(c.history[1].empty_layer);
	assert_int_equal(oci_config_check_layers(&c, 2, &err), 0);
	assert_int_equal(oci_config_check_layers(&c, 3, &err), IMBREX_EFORMAT);
	assert_string_equal(
		err.message, "config.rootfs.diff_ids: 2 diff IDs, but the manifest has 3 layers");
	assert_int_equal(oci_config_write(&c, &out, NULL), 0);
	assert_string_equal(out.data, written_config);
}

static void a_config_may_leave_out_almost_everything(void **state)
{
	static const char text[] =
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null},\"config\":{"
		"\"Env\":null,\"Labels\":null,\"Cmd\":null,\"Volumes\":null},"
		"\"history\":null,\"container_config\":{\"Env\":7}}";
	AUTO_STR out = STR_INIT(LIMIT_CONFIG_BYTES);
	struct imbrex_error err = { 0 };
	AUTO_OCI_CONFIG c = { 0 };

	if (oci_config_parse(text, sizeof(text) - 1, &c, &err) < 0)
		fail_msg("%s", err.message);
	assert_null(c.user);
	assert_int_equal(c.n_diff_ids, 0);
	assert_int_equal(oci_config_write(&c, &out, NULL), 0);
	assert_string_equal(out.data, "{\"architecture\":\"\",\"os\":\"\",\"config\":{},"
				      "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(a_manifest_is_read),
		cmocka_unit_test(a_manifest_is_written_as_it_was_read),
		cmocka_unit_test(media_types_are_known_in_any_case_and_with_parameters),
		cmocka_unit_test(the_kind_of_a_document_is_found_from_what_is_said),
		cmocka_unit_test(the_entry_for_the_platform_is_chosen),
		cmocka_unit_test(an_index_is_written_as_it_was_read),
		cmocka_unit_test(a_config_is_read_and_written_as_it_was),
		cmocka_unit_test(a_config_may_leave_out_almost_everything),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
