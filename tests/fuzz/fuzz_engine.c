/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine says of an image: accepted or refused with a message, and an id if accepted. */
#include <stdint.h>
#include <stdlib.h>

#include "transport/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ENGINE_IMAGE image = { 0 };
	struct imbrex_error err = { 0 };
	int r = engine_image_parse((const char *)data, size, &image, &err);

	if (r == 0 ? !hash_is_set(&image.id) : !err.message[0])
		abort();
	return 0;
}
