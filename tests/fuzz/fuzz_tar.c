/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar: any bytes are read or refused with a message, the same however they arrive; entries keep
 * the promises of tree/entry.h; what is accepted comes back from tar-split byte for byte.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../unit/format/tar_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const char *data, size_t size)
{
	AUTO_STR again = STR_INIT(TEXT_MAX);
	struct imbrex_error err = { 0 };
	struct outcome whole;
	struct outcome cut;

	run_tar(&whole, data, size, TEXT_MAX, true);
	run_tar(&cut, data, size, 509, true);
	assert(whole.status == cut.status);
	assert(strcmp(whole.err.message, cut.err.message) == 0);
	assert(whole.status == 0 || whole.err.message[0]);
	if (whole.status == 0) {
		assert(whole.spy.bytes.len == size);
		assert(strcmp(str_text(&whole.json), str_text(&cut.json)) == 0);
		assert(strcmp(str_text(&whole.listing), str_text(&cut.listing)) == 0);
		if (reassemble(&whole, 4096, &again, &err) < 0)
			abort();
		assert(again.len == size);
		assert(size == 0 || memcmp(again.data, data, size) == 0);
	}
	outcome_done(&whole);
	outcome_done(&cut);
}

/* Few mutations get past a checksum: set it right wherever a block claims to be a header. */
static void fix_checksums(char *data, size_t size)
{
	size_t at;

	for (at = 0; at + TAR_BLOCK_BYTES <= size; at += TAR_BLOCK_BYTES) {
		struct tar_header h;

		memcpy(&h, data + at, sizeof(h));
		if (memcmp(h.magic, "ustar", 5) != 0)
			continue;
		(void)tar_number_format(h.checksum, 7, tar_checksum(&h));
		h.checksum[7] = ' ';
		memcpy(data + at, &h, sizeof(h));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STR fixed = STR_INIT(TEXT_MAX);

	if (size > 1024 * 1024)
		return 0;
	run((const char *)data, size);
	must(str_append(&fixed, data, size));
	fix_checksums(fixed.data, fixed.len);
	run(str_text(&fixed), fixed.len);
	return 0;
}
