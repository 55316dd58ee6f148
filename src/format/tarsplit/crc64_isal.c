/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-64/ISO by ISA-L, whose convention for start values is ours. */
#include <isa-l/crc64.h>

#include "format/tarsplit/crc64.h"

uint64_t crc64_iso(uint64_t crc, const void *buf, size_t len)
{
	return crc64_iso_refl(crc, buf, len);
}
