/* SPDX-License-Identifier: Apache-2.0 */
/* tar-split lines: any bytes are read or refused with a message, the same however they arrive. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../unit/format/tar_harness.h"
#include "format/tarsplit/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_segment(void *ctx, const void *buf, size_t len, struct imbrex_error *err)
{
	(void)err;
	assert(len > 0);
	must(str_append(ctx, buf, len));
	return 0;
}

static int take_file(void *ctx, const struct tarsplit_file *file, struct imbrex_error *err)
{
	(void)err;
	assert(strlen(file->name) == file->name_len);
	must(str_printf(
		ctx, "<%s %" PRIu64 " %" PRIx64 ">", file->name, file->size_bytes, file->crc));
	return 0;
}

static int read_lines(
	const uint8_t *data, size_t size, size_t chunk, struct str *ret, struct imbrex_error *err)
{
	const struct tarsplit_events events = {
		.ctx = ret, .segment = take_segment, .file = take_file
	};
	struct sink *s;

	must(tarsplit_reader_new(&events, &s, NULL));
	return push_all(s, (const char *)data, size, chunk, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STR whole = STR_INIT(TEXT_MAX);
	AUTO_STR cut = STR_INIT(TEXT_MAX);
	struct imbrex_error whole_err = { 0 };
	struct imbrex_error cut_err = { 0 };
	int r;

	r = read_lines(data, size, TEXT_MAX, &whole, &whole_err);
	assert(read_lines(data, size, 7, &cut, &cut_err) == r);
	assert(r == 0 || whole_err.message[0]);
	assert(strcmp(whole_err.message, cut_err.message) == 0);
	assert(whole.len == cut.len);
	assert(whole.len == 0 || memcmp(whole.data, cut.data, whole.len) == 0);
	return 0;
}
