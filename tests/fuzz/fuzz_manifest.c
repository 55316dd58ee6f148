/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, indexes and configurations from any bytes. What is accepted is written, read again
 * and written again: both texts must be the same.
 */
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "oci/config.h"
#include "oci/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(const struct str *a, const struct str *b)
{
	if (a->len != b->len || memcmp(a->data, b->data, a->len) != 0)
		abort();
}

static void try_manifest(const char *text, size_t size)
{
	AUTO_STR first = STR_INIT(SIZE_MAX);
	AUTO_STR second = STR_INIT(SIZE_MAX);
	AUTO_OCI_MANIFEST m = { 0 };
	AUTO_OCI_MANIFEST again = { 0 };

	if (oci_manifest_parse(NULL, text, size, &m, NULL) < 0)
		return;
	if (m.n_layers > LIMIT_IMAGE_LAYERS || oci_manifest_write(&m, &first, NULL) < 0 ||
		oci_manifest_parse(NULL, first.data, first.len, &again, NULL) < 0 ||
		oci_manifest_write(&again, &second, NULL) < 0)
		abort();
	expect_same(&first, &second);
}

static void try_index(const char *text, size_t size)
{
	static const struct platform want = {
		.os = "linux", .architecture = "arm", .variant = "v7"
	};
	const struct oci_descriptor *entry;
	AUTO_STR first = STR_INIT(SIZE_MAX);
	AUTO_STR second = STR_INIT(SIZE_MAX);
	AUTO_OCI_INDEX index = { 0 };
	AUTO_OCI_INDEX again = { 0 };

	if (oci_index_parse(NULL, text, size, &index, NULL) < 0)
		return;
	if (oci_index_select(&index, &want, 0, &entry, NULL) == 0 && !hash_is_set(&entry->digest))
		abort();
	if (oci_index_write(&index, &first, NULL) < 0 ||
		oci_index_parse(NULL, first.data, first.len, &again, NULL) < 0 ||
		oci_index_write(&again, &second, NULL) < 0)
		abort();
	expect_same(&first, &second);
}

static void try_config(const char *text, size_t size)
{
	AUTO_STR first = STR_INIT(SIZE_MAX);
	AUTO_STR second = STR_INIT(SIZE_MAX);
	AUTO_OCI_CONFIG c = { 0 };
	AUTO_OCI_CONFIG again = { 0 };

	if (oci_config_parse(text, size, &c, NULL) < 0)
		return;
	if (oci_config_write(&c, &first, NULL) < 0 ||
		oci_config_parse(first.data, first.len, &again, NULL) < 0 ||
		oci_config_write(&again, &second, NULL) < 0)
		abort();
	expect_same(&first, &second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	/* Small enough that escaping cannot push the written form over its limit. */
	if (size > 256 * 1024)
		return 0;
	try_manifest(text, size);
	try_index(text, size);
	try_config(text, size);
	return 0;
}
