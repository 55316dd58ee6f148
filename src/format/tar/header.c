/* SPDX-License-Identifier: Apache-2.0 */
/* Header blocks of tar; see the header. */
#include "format/tar/header.h"

#include <string.h>

bool tar_block_is_zero(const void *block)
{
	static const char zero[TAR_BLOCK_BYTES];

	return memcmp(block, zero, sizeof(zero)) == 0;
}

uint32_t tar_checksum(const struct tar_header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += bytes[i];
	for (i = 0; i < sizeof(h->checksum); i++)
		sum = sum - (unsigned char)h->checksum[i] + ' ';
	return sum;
}

/* What old programs with a signed char stored. */
static int64_t signed_checksum(const struct tar_header *h)
{
	const signed char *bytes = (const signed char *)h;
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += bytes[i];
	for (i = 0; i < sizeof(h->checksum); i++)
		sum = sum - (signed char)h->checksum[i] + ' ';
	return sum;
}

static int parse_octal(const char *field, size_t len, int64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	while (i < len && (field[i] == ' ' || field[i] == '\0'))
		i++;
	while (len > i && (field[len - 1] == ' ' || field[len - 1] == '\0'))
		len--;
	for (; i < len && field[i]; i++) {
		if (field[i] < '0' || field[i] > '7')
			return -EINVAL;
		if (value >> 60)
			return -ERANGE;
		value = value << 3 | (uint64_t)(field[i] - '0');
	}
	*ret = (int64_t)value;
	return 0;
}

/* Two's complement, big-endian, in all bits but the top one, which says that it is so. */
static int parse_base256(const unsigned char *field, size_t len, int64_t *ret)
{
	unsigned char flip = field[0] & 0x40 ? 0xff : 0;
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char byte = field[i] ^ flip;

		if (i == 0)
			byte &= 0x7f;
		if (value >> 56)
			return -ERANGE;
		value = value << 8 | byte;
	}
	if (value >> 63)
		return -ERANGE;
	*ret = flip ? (int64_t)~value : (int64_t)value;
	return 0;
}

bool tar_checksum_ok(const struct tar_header *h)
{
	int64_t stored;

	if (parse_octal(h->checksum, sizeof(h->checksum), &stored) < 0)
		return false;
	return stored == tar_checksum(h) || stored == signed_checksum(h);
}

enum tar_dialect tar_dialect(const struct tar_header *h)
{
	const char *block = (const char *)h;

	if (memcmp(h->magic, "ustar", 6) == 0)
		return memcmp(block + TAR_STAR_TRAILER_OFFSET, "tar", 4) == 0 ? TAR_DIALECT_STAR
									      : TAR_DIALECT_USTAR;
	if (memcmp(h->magic, "ustar ", 6) == 0 && memcmp(h->version, " ", 2) == 0)
		return TAR_DIALECT_GNU;
	return TAR_DIALECT_V7;
}

int tar_number_parse(const char *field, size_t len, int64_t *ret)
{
	if ((unsigned char)field[0] & 0x80)
		return parse_base256((const unsigned char *)field, len, ret);
	return parse_octal(field, len, ret);
}

bool tar_number_format(char *field, size_t len, int64_t value)
{
	size_t i = len - 1;

	if (value < 0 || (i * 3 < 63 && value >> (i * 3)))
		return false;
	field[i] = '\0';
	while (i--) {
		field[i] = (char)('0' + (value & 7));
		value >>= 3;
	}
	return true;
}
