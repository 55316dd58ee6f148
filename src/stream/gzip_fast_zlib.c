/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for gzip_fast_isal.c in a build without ISA-L. */
#include "stream/compress.h"

int gzip_fast_sink_new(struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	return gzip_sink_new(1, next, ret, err);
}
