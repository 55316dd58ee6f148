/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of ZFS: any bytes are passed on as they are or refused with a message, however cut. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "format/zfsstream.h"
#include "stream/count.h"
#include "stream/null.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look(void *ctx, const struct zfs_begin *b, struct imbrex_error *err)
{
	(*(int *)ctx)++;
	assert(!b->compound && b->to_guid);
	assert(strlen(b->to_name) < sizeof(b->to_name));
	return 0;
}

static int follow(const uint8_t *data, size_t size, size_t piece, uint64_t *ret_passed,
	struct imbrex_error *err)
{
	AUTO_SINK struct sink *s = NULL;
	struct sink *end = NULL, *count = NULL;
	int told = 0;
	size_t at, n;
	int r;

	r = null_sink_new(&end, err);
	assert(r == 0);
	*ret_passed = 0;
	r = count_sink_new(ret_passed, end, &count, err);
	assert(r == 0);
	r = zfs_stream_sink_new(look, &told, count, &s, err);
	assert(r == 0);
	for (at = 0; r == 0 && at < size; at += n) {
		n = MIN(piece, size - at);
		r = sink_write(s, data + at, n, err);
	}
	if (r == 0)
		r = sink_finish(s, err);
	assert(told <= 1 && (r < 0 || told == 1));
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imbrex_error a = { 0 }, b = { 0 };
	uint64_t passed, passed_again;
	int r = follow(data, size, SIZE_MAX, &passed, &a);

	assert(r < 0 ? a.message[0] != '\0' : passed == size);
	assert(follow(data, size, 61, &passed_again, &b) == r);
	assert(r < 0 || passed_again == size);
	assert(r == 0 || strcmp(a.message, b.message) == 0);
	return 0;
}
