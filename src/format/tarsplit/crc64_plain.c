/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-64/ISO for builds without ISA-L. */
#include "format/tarsplit/crc64.h"

uint64_t crc64_iso(uint64_t crc, const void *buf, size_t len)
{
	return crc64_iso_tables(crc, buf, len);
}
