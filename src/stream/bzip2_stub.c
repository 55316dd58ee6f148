/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for bzip2.c in a build without libbz2. */
#include "stream/bzip2.h"

int bunzip2_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	return fail(err, IMBREX_ENOTSUP, "content is bzip2-compressed, but this build lacks bzip2");
}
