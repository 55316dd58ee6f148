/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both inflate decoders must agree on success and on output. The first byte of the input chooses
 * how the rest is split into writes for the second decoder.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "config.h"
#include "stream/buffer.h"
#include "stream/gzip.h"

#define OUTPUT_MAX (16u * 1024u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int unpack(enum gunzip_backend backend, const uint8_t *data, size_t size, size_t piece,
	struct str *ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *s = NULL;
	struct sink *end;
	int r;

	r = buffer_sink_new(OUTPUT_MAX, ret, &end, err);
	if (r < 0)
		return r;
	r = gunzip_sink_new_with(backend, end, &s, err);
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

static bool agree(
	int ra, const struct imbrex_error *err_a, const struct str *a, int rb, const struct str *b)
{
	if (ra < 0 && rb == 0)
		return strstr(err_a->message, "malformed deflate data");
	if (ra < 0)
		return true;
	return rb == 0 && a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
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
	ra = unpack(GUNZIP_ZLIB, data + 1, size - 1, size, &a, &err_a);
	rb = unpack(HAVE_ISAL ? GUNZIP_ISAL : GUNZIP_ZLIB, data + 1, size - 1, data[0] + 1u, &b,
		&err_b);
	if (!agree(ra, &err_a, &a, rb, &b)) {
		(void)fprintf(stderr, "decoders differ: %d '%s', %d '%s'\n", ra, err_a.message, rb,
			err_b.message);
		abort();
	}
	return 0;
}
