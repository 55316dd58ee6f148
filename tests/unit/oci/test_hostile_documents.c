/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents made to hurt: each with the reason why it is hostile and the message it must get.
 * Nothing here may be accepted, crash, or take more than its share of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "oci/config.h"
#include "oci/manifest.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

#define HEX  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CONF "{\"mediaType\":\"" OCI_TYPE_CONFIG "\",\"digest\":\"sha256:" HEX "\",\"size\":7}"
#define DESCRIPTOR(type, digest, size) \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define LAYER(digest, size) DESCRIPTOR(OCI_TYPE_LAYER_GZIP, digest, size)
#define MANIFEST(layers)                                                                \
	"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"config\":" CONF \
	",\"layers\":[" layers "]}"
#define INDEX(entries) \
	"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX "\",\"manifests\":[" entries "]}"
#define CONFIG(rest) "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}" rest "}"

struct hostile {
	const char *why;
	const char *announced;
	const char *text;
	int status;
	const char *message;
};

static const struct hostile manifests[] = {
	{ "no document", NULL, "", IMBREX_EFORMAT,
		"manifest: byte 0: expected a value, found the end of the text" },
	{ "not JSON, an error page", NULL, "<html>", IMBREX_EFORMAT,
		"manifest: byte 0: expected a value, found '<'" },
	{ "not an object", NULL, "[]", IMBREX_EFORMAT,
		"manifest: expected an object, found an array" },
	{ "null", NULL, "null", IMBREX_EFORMAT, "manifest is missing" },
	{ "byte order mark", NULL, "\xef\xbb\xbf{}", IMBREX_EFORMAT,
		"manifest: byte 0: expected a value, found a byte order mark" },
	{ "UTF-16", NULL, "\xff\xfe{", IMBREX_EFORMAT,
		"manifest: byte 0: expected a value, found byte 0xff" },
	{ "something behind the document", NULL, MANIFEST("") "{}", IMBREX_EFORMAT,
		"expected the end of the text, found '{'" },
	{ "the same key twice", NULL, "{\"schemaVersion\":2,\"layers\":[],\"layers\":[]}",
		IMBREX_EFORMAT, "a key occurs twice in one object" },
	{ "the same key twice, one escaped", NULL,
		"{\"schemaVersion\":2,\"layers\":[],\"l\\u0061yers\":[]}", IMBREX_EFORMAT,
		"a key occurs twice in one object" },
	{ "the same key twice for a decoder that ignores case", NULL,
		"{\"schemaVersion\":2,\"layers\":[],\"Layers\":[]}", IMBREX_EFORMAT,
		"manifest: the key 'Layers' must be written 'layers'" },
	{ "likewise inside a descriptor", NULL,
		MANIFEST("{\"mediaType\":\"" OCI_TYPE_LAYER "\",\"digest\":\"sha256:" HEX
			 "\",\"DIGEST\":\"x\",\"size\":1}"),
		IMBREX_EFORMAT, "manifest.layers[0]: the key 'DIGEST' must be written 'digest'" },
	{ "bytes that are not UTF-8", NULL, "{\"schemaVersion\":2,\"x\":\"\xc0\xaf\"}",
		IMBREX_EFORMAT, "not UTF-8" },
	{ "NUL in a string", NULL, "{\"schemaVersion\":2,\"mediaType\":\"a\\u0000b\"}",
		IMBREX_EFORMAT, "a string holds a NUL character" },
	{ "both a manifest and an index", NULL,
		"{\"schemaVersion\":2,\"config\":" CONF ",\"layers\":[],\"manifests\":[]}",
		IMBREX_EFORMAT,
		"manifest: an image manifest must not have the member 'manifests'" },
	{ "an index with a config", NULL,
		"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX "\",\"config\":" CONF
		",\"manifests\":[]}",
		IMBREX_EFORMAT, "manifest: an index must not have the member 'config'" },
	{ "an index with layers, announced as index", OCI_TYPE_INDEX,
		"{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}", IMBREX_EFORMAT,
		"manifest: an index must not have the member 'layers'" },
	{ "a manifest with schema 1 members", NULL,
		"{\"schemaVersion\":2,\"config\":" CONF ",\"layers\":[],\"fsLayers\":[]}",
		IMBREX_EFORMAT, "manifest: an image manifest must not have the member 'fsLayers'" },
	{ "announced as one kind, is the other", OCI_TYPE_INDEX, MANIFEST(""), IMBREX_EFORMAT,
		"manifest: announced as '" OCI_TYPE_INDEX
		"', but its mediaType is '" OCI_TYPE_MANIFEST "'" },
	{ "OCI announced as Docker", OCI_TYPE_DOCKER_MANIFEST, MANIFEST(""), IMBREX_EFORMAT,
		"manifest: announced as '" OCI_TYPE_DOCKER_MANIFEST "', but its mediaType is" },
	{ "a config announced as what it is", OCI_TYPE_CONFIG, "{\"schemaVersion\":2}",
		IMBREX_ENOTSUP,
		"manifest: '" OCI_TYPE_CONFIG "' is no image manifest and no index" },
	{ "a type nobody knows", NULL, "{\"schemaVersion\":2,\"mediaType\":\"x/y\"}",
		IMBREX_ENOTSUP, "manifest: 'x/y' is no image manifest and no index" },
	{ "neither layers nor manifests", NULL, "{\"schemaVersion\":2}", IMBREX_EFORMAT,
		"manifest: has neither layers nor manifests" },
	{ "no schema version", NULL, "{\"layers\":[]}", IMBREX_EFORMAT,
		"manifest.schemaVersion is missing" },
	{ "schema version as text", NULL, "{\"schemaVersion\":\"2\",\"layers\":[]}", IMBREX_EFORMAT,
		"manifest.schemaVersion: expected an integer, found a string" },
	{ "schema version of the future", NULL, "{\"schemaVersion\":3,\"layers\":[]}",
		IMBREX_EFORMAT, "manifest.schemaVersion is 3, not 2" },
	{ "schema 1 by version", NULL, "{\"schemaVersion\":1,\"fsLayers\":[],\"history\":[]}",
		IMBREX_ENOTSUP, "manifest: Docker schema 1 is not supported" },
	{ "schema 1 by type", "application/vnd.docker.distribution.manifest.v1+prettyjws", "{}",
		IMBREX_ENOTSUP, "manifest: Docker schema 1 is not supported" },
	{ "no config", NULL, "{\"schemaVersion\":2,\"layers\":[]}", IMBREX_EFORMAT,
		"manifest.config is missing" },
	{ "an artifact", NULL,
		"{\"schemaVersion\":2,\"config\":" DESCRIPTOR(
			"application/vnd.oci.empty.v1+json", "sha256:" HEX, "2") ",\"layers\":[]}",
		IMBREX_ENOTSUP,
		"manifest.config: 'application/vnd.oci.empty.v1+json' is no image configuration" },
	{ "a config of more than is read", NULL,
		"{\"schemaVersion\":2,\"config\":" DESCRIPTOR(
			OCI_TYPE_CONFIG, "sha256:" HEX, "8388609") ",\"layers\":[]}",
		IMBREX_ELIMIT,
		"manifest.config: 8388609 bytes are more than the limit of 8388608" },
	{ "layers that are no array", NULL,
		"{\"schemaVersion\":2,\"config\":" CONF ",\"layers\":{\"0\":1}}", IMBREX_EFORMAT,
		"manifest.layers: expected an array, found an object" },
	{ "a layer that is null", NULL, MANIFEST("null"), IMBREX_EFORMAT,
		"manifest.layers[0] is missing" },
	{ "a layer type nobody knows", NULL,
		MANIFEST(DESCRIPTOR("application/x-tar", "sha256:" HEX, "1")), IMBREX_ENOTSUP,
		"manifest.layers[0]: 'application/x-tar' is no layer of a known kind" },
	{ "an encrypted layer", NULL,
		MANIFEST(DESCRIPTOR(OCI_TYPE_LAYER_GZIP "+encrypted", "sha256:" HEX, "1")),
		IMBREX_ENOTSUP, "is no layer that can be read: it is encrypted" },
	{ "a config as layer", NULL, MANIFEST(CONF), IMBREX_ENOTSUP,
		"is no layer of a known kind" },
	{ "a negative size", NULL, MANIFEST(LAYER("sha256:" HEX, "-1")), IMBREX_EFORMAT,
		"manifest.layers[0].size is negative" },
	{ "a size with a fraction", NULL, MANIFEST(LAYER("sha256:" HEX, "1.5")), IMBREX_EFORMAT,
		"manifest.layers[0].size: expected an integer, found a number with a fraction" },
	{ "a size with an exponent", NULL, MANIFEST(LAYER("sha256:" HEX, "1e3")), IMBREX_EFORMAT,
		"manifest.layers[0].size: expected an integer" },
	{ "a size beyond 64 bits", NULL, MANIFEST(LAYER("sha256:" HEX, "18446744073709551617")),
		IMBREX_EFORMAT, "a number is too large" },
	{ "a size that overflows when added to", NULL,
		MANIFEST(LAYER("sha256:" HEX, "9223372036854775807")), IMBREX_ELIMIT,
		"manifest.layers[0]: 9223372036854775807 bytes are more than the limit of" },
	{ "a size as text", NULL, MANIFEST(LAYER("sha256:" HEX, "\"1\"")), IMBREX_EFORMAT,
		"manifest.layers[0].size: expected an integer, found a string" },
	{ "no size", NULL,
		MANIFEST("{\"mediaType\":\"" OCI_TYPE_LAYER "\",\"digest\":\"sha256:" HEX "\"}"),
		IMBREX_EFORMAT, "manifest.layers[0].size is missing" },
	{ "no digest", NULL, MANIFEST("{\"mediaType\":\"" OCI_TYPE_LAYER "\",\"size\":1}"),
		IMBREX_EFORMAT, "manifest.layers[0].digest is missing" },
	{ "no media type", NULL, MANIFEST("{\"digest\":\"sha256:" HEX "\",\"size\":1}"),
		IMBREX_EFORMAT, "manifest.layers[0].mediaType is missing" },
	{ "a digest that is a path", NULL, MANIFEST(LAYER("../../etc/passwd", "1")), IMBREX_EFORMAT,
		"manifest.layers[0].digest: digest '../../etc/passwd' is not <algorithm>:<hex>" },
	{ "a digest that is a path behind the colon", NULL,
		MANIFEST(LAYER(
			"sha256:../../../../../../../../../../../../../../../../../../../../etcx",
			"1")),
		IMBREX_EFORMAT, "is not lower-case hexadecimal" },
	{ "an algorithm nobody knows", NULL, MANIFEST(LAYER("md5:" HEX, "1")), IMBREX_ENOTSUP,
		"the algorithm is neither sha256 nor sha512" },
	{ "upper-case digits", NULL,
		MANIFEST(LAYER(
			"sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
			"1")),
		IMBREX_EFORMAT, "is not lower-case hexadecimal" },
	{ "too few digits", NULL, MANIFEST(LAYER("sha256:aa", "1")), IMBREX_EFORMAT,
		"manifest.layers[0].digest: digest 'sha256:aa': 2 digits, but sha256 has 64" },
	{ "too many digits", NULL, MANIFEST(LAYER("sha256:" HEX "aa", "1")), IMBREX_EFORMAT,
		"66 digits, but sha256 has 64" },
	{ "no digits", NULL, MANIFEST(LAYER("sha256:", "1")), IMBREX_EFORMAT,
		"0 digits, but sha256 has 64" },
	{ "a terminal escape in a digest", NULL, MANIFEST(LAYER("\\u001b[2J", "1")), IMBREX_EFORMAT,
		"digest '?[2J' is not <algorithm>:<hex>" },
	{ "annotations that are no texts", NULL,
		"{\"schemaVersion\":2,\"config\":" CONF
		",\"layers\":[],\"annotations\":{\"a\":{}}}",
		IMBREX_EFORMAT, "manifest.annotations.a: expected a string, found an object" },
};

static const struct hostile indexes[] = {
	{ "a manifest where an index was expected", NULL, MANIFEST(""), IMBREX_EFORMAT,
		"manifest: a single image stands where an index was expected" },
	{ "a platform with a path in it", NULL,
		INDEX("{\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"digest\":\"sha256:" HEX
		      "\",\"size\":1,\"platform\":{\"os\":\"../x\",\"architecture\":\"amd64\"}}"),
		IMBREX_EFORMAT, "manifest.manifests[0]: platform: '../x' is no operating system" },
	{ "a platform beyond all names", NULL,
		INDEX("{\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"digest\":\"sha256:" HEX
		      "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"" HEX
		      "\"}}"),
		IMBREX_EFORMAT, "is no architecture" },
	{ "a platform that is a text", NULL,
		INDEX("{\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"digest\":\"sha256:" HEX
		      "\",\"size\":1,\"platform\":\"linux/amd64\"}"),
		IMBREX_EFORMAT,
		"manifest.manifests[0].platform: expected an object, found a string" },
	{ "an entry that is a number", NULL, INDEX("7"), IMBREX_EFORMAT,
		"manifest.manifests[0]: expected an object, found an integer" },
};

static const struct hostile configs[] = {
	{ "no object", NULL, "7", IMBREX_EFORMAT, "config: expected an object, found an integer" },
	{ "no rootfs", NULL, "{}", IMBREX_EFORMAT, "config.rootfs is missing" },
	{ "another kind of rootfs", NULL, "{\"rootfs\":{\"type\":\"base+layers\"}}", IMBREX_ENOTSUP,
		"config.rootfs.type: 'base+layers' is not supported, only 'layers'" },
	{ "a second list of diff IDs for a decoder that ignores case", NULL,
		"{\"rootfs\":{\"diff_ids\":[],\"Diff_IDs\":[]}}", IMBREX_EFORMAT,
		"config.rootfs: the key 'Diff_IDs' must be written 'diff_ids'" },
	{ "a diff ID that is a path", NULL, "{\"rootfs\":{\"diff_ids\":[\"sha256:../..\"]}}",
		IMBREX_EFORMAT, "config.rootfs.diff_ids[0]: digest 'sha256:../..': 5 digits" },
	{ "diff IDs that are no texts", NULL, "{\"rootfs\":{\"diff_ids\":[[]]}}", IMBREX_EFORMAT,
		"config.rootfs.diff_ids[0]: expected a string, found an array" },
	{ "Env that is no list", NULL, CONFIG(",\"config\":{\"Env\":\"A=b\"}"), IMBREX_EFORMAT,
		"config.config.Env: expected an array, found a string" },
	{ "Env that holds a number", NULL, CONFIG(",\"config\":{\"Env\":[\"A=b\",1]}"),
		IMBREX_EFORMAT, "config.config.Env[1]: expected a string, found an integer" },
	{ "Cmd with NUL", NULL, CONFIG(",\"config\":{\"Cmd\":[\"a\\u0000b\"]}"), IMBREX_EFORMAT,
		"a string holds a NUL character" },
	{ "Volumes that is a list", NULL, CONFIG(",\"config\":{\"Volumes\":[\"/\"]}"),
		IMBREX_EFORMAT, "config.config.Volumes: expected an object, found an array" },
	{ "User that is a number", NULL, CONFIG(",\"config\":{\"User\":0}"), IMBREX_EFORMAT,
		"config.config.User: expected a string, found an integer" },
	{ "history that lies about its type", NULL, CONFIG(",\"history\":[{\"empty_layer\":1}]"),
		IMBREX_EFORMAT,
		"config.history[0].empty_layer: expected a boolean, found an integer" },
	{ "an architecture with a newline", NULL, CONFIG(",\"architecture\":\"a\\nb\""),
		IMBREX_EFORMAT, "config: platform: 'a?b' is no architecture" },
};

static void expect(const struct hostile *h, int r, const struct imbrex_error *err)
{
	if (r != h->status || !strstr(err->message, h->message))
		fail_msg("%s: %s '%s'", h->why, imbrex_status_name(r), err->message);
	assert_int_equal(err->status, r);
}

static void hostile_manifests_are_refused(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(manifests); i++) {
		const struct hostile *h = &manifests[i];
		struct imbrex_error err = { 0 };
		struct oci_manifest m;

		expect(h, oci_manifest_parse(h->announced, h->text, strlen(h->text), &m, &err),
			&err);
	}
}

static void hostile_indexes_are_refused(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(indexes); i++) {
		const struct hostile *h = &indexes[i];
		struct imbrex_error err = { 0 };
		struct oci_index index;

		expect(h, oci_index_parse(h->announced, h->text, strlen(h->text), &index, &err),
			&err);
	}
}

static void hostile_configs_are_refused(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(configs); i++) {
		const struct hostile *h = &configs[i];
		struct imbrex_error err = { 0 };
		struct oci_config c;

		expect(h, oci_config_parse(h->text, strlen(h->text), &c, &err), &err);
	}
}

static void nested_too_deep_is_refused_before_anything_recurses(void **state)
{
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	struct imbrex_error err = { 0 };
	struct oci_manifest m;
	char *at;

	assert_int_equal(str_reserve(&text, 4000000, &at), 0);
	memset(at, '[', 4000000);
	text.len = 4000000;
	assert_int_equal(oci_manifest_parse(NULL, text.data, text.len, &m, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "manifest: byte 64: nested more than 64 levels deep");
}

static void more_layers_than_can_be_mounted_are_a_limit(void **state)
{
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	AUTO_STR config = STR_INIT(LIMIT_CONFIG_BYTES);
	struct imbrex_error err = { 0 };
	struct oci_manifest m;
	struct oci_config c;
	int r;
	int i;

	r = str_puts(&text, "{\"schemaVersion\":2,\"config\":" CONF ",\"layers\":[");
	r |= str_puts(&config, "{\"rootfs\":{\"diff_ids\":[");
	for (i = 0; i < 10000; i++) {
		r |= str_printf(&text, "%s%s", i ? "," : "", LAYER("sha256:" HEX, "1"));
		r |= str_printf(&config, "%s\"sha256:" HEX "\"", i ? "," : "");
	}
	r |= str_puts(&text, "]}");
	r |= str_puts(&config, "]}}");
	assert_int_equal(r, 0);
	assert_int_equal(oci_manifest_parse(NULL, text.data, text.len, &m, &err), IMBREX_ELIMIT);
	assert_string_equal(
		err.message, "manifest.layers: 10000 layers are more than the limit of 500");
	assert_int_equal(oci_config_parse(config.data, config.len, &c, &err), IMBREX_ELIMIT);
	assert_string_equal(
		err.message, "config.rootfs.diff_ids: 10000 layers are more than the limit of 500");
}

static void a_document_beyond_its_limit_is_not_parsed(void **state)
{
	AUTO_STR text = STR_INIT(2 * LIMIT_CONFIG_BYTES);
	struct imbrex_error err = { 0 };
	struct oci_manifest m;
	struct oci_config c;
	char *at;

	assert_int_equal(str_reserve(&text, LIMIT_CONFIG_BYTES + 1, &at), 0);
	memset(at, ' ', LIMIT_CONFIG_BYTES + 1);
	assert_int_equal(
		oci_manifest_parse(NULL, at, LIMIT_MANIFEST_BYTES + 1, &m, &err), IMBREX_ELIMIT);
	assert_string_equal(
		err.message, "manifest: 4194305 bytes are more than the limit of 4194304");
	assert_int_equal(oci_config_parse(at, LIMIT_CONFIG_BYTES + 1, &c, &err), IMBREX_ELIMIT);
	assert_string_equal(
		err.message, "config: 8388609 bytes are more than the limit of 8388608");
}

static void indexes_that_lead_to_indexes_end_at_the_limit(void **state)
{
	static const char text[] = INDEX(DESCRIPTOR(OCI_TYPE_INDEX, "sha256:" HEX, "100"));
	const struct oci_descriptor *entry = NULL;
	struct imbrex_error err = { 0 };
	AUTO_OCI_INDEX index = { 0 };

	assert_int_equal(oci_index_parse(NULL, text, sizeof(text) - 1, &index, &err), 0);
	assert_int_equal(oci_index_select(&index, NULL, 0, &entry, &err), 0);
	assert_int_equal(oci_index_select(&index, NULL, 1, &entry, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "index: nested more than 2 levels deep");
}

static void an_entry_that_promises_a_huge_manifest_is_a_limit(void **state)
{
	static const char text[] = INDEX(DESCRIPTOR(OCI_TYPE_MANIFEST, "sha256:" HEX, "4194305"));
	const struct oci_descriptor *entry = NULL;
	struct imbrex_error err = { 0 };
	AUTO_OCI_INDEX index = { 0 };

	assert_int_equal(oci_index_parse(NULL, text, sizeof(text) - 1, &index, &err), 0);
	assert_int_equal(oci_index_select(&index, NULL, 0, &entry, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "index: manifest sha256:aaaaaaaaaaaa of 4194305 bytes is "
					 "larger than the limit of 4194304");
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(hostile_manifests_are_refused),
		cmocka_unit_test(hostile_indexes_are_refused),
		cmocka_unit_test(hostile_configs_are_refused),
		cmocka_unit_test(nested_too_deep_is_refused_before_anything_recurses),
		cmocka_unit_test(more_layers_than_can_be_mounted_are_a_limit),
		cmocka_unit_test(a_document_beyond_its_limit_is_not_parsed),
		cmocka_unit_test(indexes_that_lead_to_indexes_end_at_the_limit),
		cmocka_unit_test(an_entry_that_promises_a_huge_manifest_is_a_limit),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
