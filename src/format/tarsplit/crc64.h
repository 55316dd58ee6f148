/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-64 of ISO 3309 (reflected polynomial 0xd800000000000000, inverted in and out), as tar-split
 * records it. Not the CRC-64 of ECMA-182, which xz uses. Pure; any thread.
 *
 * Start with 0 and feed the result back: crc = crc64_iso(crc, buf, len).
 */
#ifndef FORMAT_TARSPLIT_CRC64_H
#define FORMAT_TARSPLIT_CRC64_H

#include <stddef.h>
#include <stdint.h>

#define CRC64_BYTES 8

/* By ISA-L (carry-less multiplication) where the build has it, else as below. */
uint64_t crc64_iso(uint64_t crc, const void *buf, size_t len);
/* Eight bytes a step from tables. */
uint64_t crc64_iso_tables(uint64_t crc, const void *buf, size_t len);
/* Big-endian, as stored. */
void crc64_store(uint64_t crc, unsigned char ret[CRC64_BYTES]);

#endif
