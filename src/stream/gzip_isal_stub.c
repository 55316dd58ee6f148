/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for gzip_isal.c in a build without ISA-L: zlib inflates. */
#include "stream/inflate.h"

const struct inflate_ops *inflate_isal(void)
{
	return NULL;
}
