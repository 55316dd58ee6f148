/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstd unpacks to the same, or fails, however the input is split. The first byte of the input
 * chooses the split.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "stream/buffer.h"
#include "stream/zstd.h"

#define OUTPUT_MAX (16u * 1024u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int unpack(
	const uint8_t *data, size_t size, size_t piece, struct str *ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *s = NULL;
	struct sink *end;
	int r;

	r = buffer_sink_new(OUTPUT_MAX, ret, &end, err);
	if (r < 0)
		return r;
	r = unzstd_sink_new(end, &s, err);
	if (r < 0) {
		sink_free(end);
		return r;
	}
	while (size) {
		size_t n = MIN(size, piece);

		r = sink_write(s, data, n, err);
		if (r < 0)
			return r;
		data += n;
		size -= n;
	}
	return sink_finish(s, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STR a = STR_INIT(OUTPUT_MAX);
	AUTO_STR b = STR_INIT(OUTPUT_MAX);
	struct imbrex_error err_a = { 0 };
	struct imbrex_error err_b = { 0 };
	int ra;
	int rb;

	if (size < 2)
		return 0;
	ra = unpack(data + 1, size - 1, size, &a, &err_a);
	rb = unpack(data + 1, size - 1, data[0] + 1u, &b, &err_b);
	if ((ra == 0) != (rb == 0) || a.len != b.len ||
		(a.len && memcmp(a.data, b.data, a.len) != 0)) {
		(void)fprintf(stderr, "splits differ: %d '%s', %d '%s'\n", ra, err_a.message, rb,
			err_b.message);
		abort();
	}
	return 0;
}
