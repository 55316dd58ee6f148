/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest layers: one file, or nothing. Header only. */
#ifndef TEST_ONE_FILE_TAR_H
#define TEST_ONE_FILE_TAR_H

#include <stdio.h>
#include <string.h>

/* What one_file_tar() needs for a file of so many bytes. */
#define ONE_FILE_TAR_BYTES(size) (512u + ((size) + 511u) / 512u * 512u + 1024u)

/*
 * A file called and filled by `letter`; an empty archive without one. `out` is zeroed and large
 * enough. Returns its length. Source: POSIX.1-2017 pax, ustar.
 */
static inline size_t one_file_tar(char *out, char letter, size_t size)
{
	unsigned int sum = 0;
	size_t i;

	if (!letter)
		return 1024;
	out[0] = letter;
	(void)snprintf(out + 100, 8, "%07o", 0644);
	(void)snprintf(out + 108, 8, "%07o", 0);
	(void)snprintf(out + 116, 8, "%07o", 0);
	(void)snprintf(out + 124, 12, "%011zo", size);
	(void)snprintf(out + 136, 12, "%011o", 0);
	memset(out + 148, ' ', 8);
	out[156] = '0';
	memcpy(out + 257, "ustar\00000", 8);
	for (i = 0; i < 512; i++)
		sum += (unsigned char)out[i];
	(void)snprintf(out + 148, 8, "%06o", sum);
	memset(out + 512, letter, size);
	return ONE_FILE_TAR_BYTES(size);
}

#endif
