/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-64/ISO from tables, "slicing by eight": table[k][b] is the CRC of b and k zero bytes. */
#include "format/tarsplit/crc64.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0xd800000000000000ull

static uint64_t tables[8][256]; /* constant after fill_tables() */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
	unsigned int i;
	unsigned int k;

	for (i = 0; i < 256; i++) {
		uint64_t crc = i;

		for (k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		tables[0][i] = crc;
	}
	for (k = 1; k < 8; k++) {
		for (i = 0; i < 256; i++)
			tables[k][i] = tables[0][tables[k - 1][i] & 255] ^ tables[k - 1][i] >> 8;
	}
}

uint64_t crc64_iso_tables(uint64_t crc, const void *buf, size_t len)
{
	const unsigned char *at = buf;
	unsigned int k;

	(void)pthread_once(&once, fill_tables);
	crc = ~crc;
	for (; len >= 8; len -= 8, at += 8) {
		uint64_t word;
		uint64_t next = 0;

		memcpy(&word, at, sizeof(word));
		word = le64toh(word) ^ crc;
		for (k = 0; k < 8; k++)
			next ^= tables[7 - k][word >> 8 * k & 255];
		crc = next;
	}
	for (; len; len--, at++)
		crc = tables[0][(crc ^ *at) & 255] ^ crc >> 8;
	return ~crc;
}

void crc64_store(uint64_t crc, unsigned char ret[CRC64_BYTES])
{
	uint64_t be = htobe64(crc);

	memcpy(ret, &be, sizeof(be));
}
