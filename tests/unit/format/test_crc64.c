/* SPDX-License-Identifier: Apache-2.0 */
/* Are both ways of counting CRC-64/ISO right, and equal however the bytes are cut? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "format/tarsplit/crc64.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

typedef uint64_t (*crc_fn)(uint64_t crc, const void *buf, size_t len);
static const crc_fn ways[] = { crc64_iso, crc64_iso_tables };

static void test_known_values(UNUSED void **state)
{
	static const struct {
		const char *text;
		uint64_t crc;
	} known[] = {
		{ "", 0 },
		{ "hi\n", 0x6149981000000000 },
		{ "123456789", 0xb90956c775a41001 },
	};
	size_t i;
	size_t k;

	for (i = 0; i < ARRAY_LEN(known); i++) {
		for (k = 0; k < ARRAY_LEN(ways); k++)
			assert_true(
				ways[k](0, known[i].text, strlen(known[i].text)) == known[i].crc);
	}
}

static void test_cuts_do_not_matter_and_both_ways_agree(UNUSED void **state)
{
	static unsigned char bytes[5000];
	uint64_t whole;
	size_t i;
	size_t k;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 2654435761u >> 13);
	whole = crc64_iso(0, bytes, sizeof(bytes));
	for (i = 0; i < sizeof(bytes); i += 37) {
		for (k = 0; k < ARRAY_LEN(ways); k++) {
			uint64_t crc = ways[k](0, bytes, i);

			assert_true(ways[1 - k](crc, bytes + i, sizeof(bytes) - i) == whole);
		}
	}
}

static void test_stored_form_is_big_endian(UNUSED void **state)
{
	static const unsigned char want[] = { 0x61, 0x49, 0x98, 0x10, 0, 0, 0, 0 };
	unsigned char got[CRC64_BYTES];

	crc64_store(0x6149981000000000, got);
	assert_memory_equal(got, want, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_cuts_do_not_matter_and_both_ways_agree),
		cmocka_unit_test(test_stored_form_is_big_endian),
	};

	return cmocka_run_group_tests_name("crc64", tests, NULL, NULL);
}
