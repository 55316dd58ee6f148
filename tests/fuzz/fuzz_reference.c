/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references from any text: what is accepted is a fixed point, in its full and in its
 * familiar form. Platforms are tried on the same text.
 */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "oci/platform.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(const char *text, const char *full)
{
	AUTO_REFERENCE ref = { 0 };
	AUTO_FREE char *again = NULL;

	if (!text || reference_parse(text, &ref, NULL) < 0)
		abort();
	again = reference_text(&ref);
	if (!again || strcmp(again, full) != 0)
		abort();
}

static void try_reference(
	const char *text, int (*parse)(const char *, struct reference *, struct imbrex_error *))
{
	AUTO_REFERENCE ref = { 0 };
	AUTO_FREE char *full = NULL;
	AUTO_FREE char *familiar = NULL;

	if (parse(text, &ref, NULL) < 0)
		return;
	full = reference_text(&ref);
	familiar = reference_familiar(&ref);
	/* Names become paths and URLs; a tag cannot begin with a dot. */
	if (!full || strstr(ref.domain, "..") || strstr(ref.path, "..") || strstr(full, "//"))
		abort();
	/* Defaults may have made the text longer than a reference may be. */
	if (strlen(full) <= 1024 && strlen(ref.path) <= 255)
		expect_same(full, full);
	if (strlen(full) <= 1024 && strlen(ref.path) <= 255)
		expect_same(familiar, full);
}

static void try_platform(const char *text)
{
	char formatted[PLATFORM_TEXT_MAX];
	char again[PLATFORM_TEXT_MAX];
	struct platform p;
	struct platform q;

	if (platform_parse(text, &p, NULL) < 0)
		return;
	if (platform_parse(platform_format(&p, formatted), &q, NULL) < 0 ||
		strcmp(formatted, platform_format(&q, again)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = strndup((const char *)data, size);

	if (!text)
		return 0;
	try_reference(text, reference_parse);
	try_reference(text, reference_parse_local);
	try_platform(text);
	return 0;
}
