/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZO1X streams, which libsquashfs leaves to others: the default of enroot, and what the kernel and
 * squashfs-tools read.
 *
 * Pure functions on memory. Leaf tier.
 * Source: Linux Documentation/staging/lzo.rst (version 0 of the bit stream).
 */
#ifndef FORMAT_SQUASHFS_LZO_H
#define FORMAT_SQUASHFS_LZO_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* Bytes written to `out`; 0: does not fit in out_len; -ENOMEM. The same input gives the same
 * output. len <= 1 MiB. */
int lzo_compress(const uint8_t *in, size_t len, uint8_t *out, size_t out_len) MUST_CHECK;
/* Bytes written to `out`; -EBADMSG for a damaged stream or one that does not fit. */
int lzo_decompress(const uint8_t *in, size_t len, uint8_t *out, size_t out_len) MUST_CHECK;

#endif
