/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes, as options give them and as quota files have them: whatever the text, a size fits what it
 * is kept in, a failure says something and sets nothing, and what is digits only is the same number
 * to both.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "driver/btrfs.h"
#include "driver/options.h"

#define UNSET UINT64_C(0xfefefefefefefefe)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = strndup((const char *)data, size);
	struct imbrex_error err = { 0 };
	uint64_t option = UNSET;
	uint64_t quota = UNSET;
	int r;

	if (!text)
		return 0;
	r = option_bytes("size", text, &option, &err);
	expect(r == 0 ? option <= INT64_MAX : option == UNSET && err.message[0]);
	if (btrfs_limit_parse(text, strlen(text), &quota) < 0) {
		expect(quota == UNSET);
	} else {
		expect(text[0] && !text[strspn(text, "0123456789")]);
		expect(r == 0 ? option == quota : quota > INT64_MAX);
	}
	return 0;
}
