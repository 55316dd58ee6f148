/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Squashfs images: any bytes are read or refused with a message, and entries keep the promises of
 * tree/entry.h. The last byte is not part of the image: it says how many threads unpack.
 */
#include "../unit/format/squashfs_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STR image = STR_INIT(MEMORY_MAX);
	struct imbrex_error err = { 0 };
	struct squashfs_file file;
	struct lister l;
	int r;

	if (size < 2 || size > 1024 * 1024 || str_append(&image, data, size - 1) < 0)
		return 0;
	file = memory_file(&image);
	lister_init(&l);
	r = squashfs_read(&file, data[size - 1] % 3, &l.base, &err);
	assert(r == 0 ? l.finished : err.message[0] != 0);
	lister_free(&l.base);
	return 0;
}
