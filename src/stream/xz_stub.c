/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for xz.c in a build without liblzma. */
#include "stream/xz.h"

int unxz_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	return fail(err, IMBREX_ENOTSUP, "content is xz-compressed, but this build lacks xz");
}
