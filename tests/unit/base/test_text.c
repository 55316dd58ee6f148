/* SPDX-License-Identifier: Apache-2.0 */
/* Strings with a maximum, lists, maps, hexadecimal, base64, and names drawn at random. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strv.h"

static void a_string_grows_to_its_maximum_and_no_further(void **state)
{
	AUTO_STR s = STR_INIT(5);
	AUTO_FREE char *taken = NULL;
	char *room;

	assert_string_equal(str_text(&s), "");
	assert_int_equal(str_puts(&s, "abc"), 0);
	assert_int_equal(str_printf(&s, "%d", 12), 0);
	assert_int_equal(str_putc(&s, 'x'), -EFBIG);
	assert_int_equal(str_printf(&s, "%s", "y"), -EFBIG);
	assert_int_equal(str_append(&s, "zz", 2), -EFBIG);
	assert_int_equal(str_reserve(&s, SIZE_MAX, &room), -EFBIG);
	assert_string_equal(s.data, "abc12");
	assert_int_equal(s.len, 5);
	taken = str_take(&s);
	assert_string_equal(taken, "abc12");
	assert_int_equal(s.len, 0);
	free(taken);
	taken = str_take(&s);
	assert_string_equal(taken, "");
}

static void a_long_string_keeps_every_byte(void **state)
{
	AUTO_STR s = STR_INIT(1 << 20);
	size_t i;

	for (i = 0; i < 1 << 16; i++)
		assert_int_equal(str_putc(&s, (char)i), 0);
	assert_int_equal(s.len, 1 << 16);
	for (i = 0; i < 1 << 16; i++)
		assert_int_equal(s.data[i], (char)i);
	str_clear(&s);
	assert_string_equal(str_text(&s), "");
	assert_int_equal(str_printf(&s, "%0300d|%s", 1, "end"), 0);
	assert_int_equal(s.len, 304);
}

static void prefixes_and_suffixes(void **state)
{
	assert_string_equal(str_after("oci:x", "oci:"), "x");
	assert_string_equal(str_after("oci", "oci"), "");
	assert_null(str_after("oc", "oci"));
	assert_true(str_ends("a.json", ".json"));
	assert_true(str_ends(".json", ".json"));
	assert_false(str_ends("json", ".json"));
	assert_true(str_ends("x", ""));
}

static void a_list_keeps_its_order_through_changes(void **state)
{
	AUTO_STRV v = { 0 };
	AUTO_STRV copy = { 0 };

	assert_int_equal(strv_add(&v, "a"), 0);
	assert_int_equal(strv_addf(&v, "%s-%d", "b", 1), 0);
	assert_int_equal(strv_take(&v, strdup("c")), 0);
	assert_int_equal(strv_take(&v, NULL), -ENOMEM);
	assert_int_equal(strv_insert(&v, 0, "first"), 0);
	assert_int_equal(strv_insert(&v, 4, "last"), 0);
	assert_int_equal(v.n, 5);
	assert_null(v.items[5]);
	assert_int_equal(strv_find(&v, "b-1"), 2);
	assert_int_equal(strv_find(&v, "b"), -1);
	assert_true(strv_has(&v, "last"));
	assert_int_equal(strv_copy(&copy, &v), 0);
	strv_remove(&v, 2);
	strv_remove(&v, 3);
	assert_int_equal(v.n, 3);
	assert_string_equal(v.items[2], "c");
	assert_null(v.items[3]);
	assert_int_equal(copy.n, 5);
	assert_string_equal(copy.items[2], "b-1");
}

static void a_map_finds_what_was_put_and_nothing_else(void **state)
{
	static int values[5000];
	AUTO_MAP *m = map_new();
	void *found;
	char key[16];
	int i;

	assert_non_null(m);
	for (i = 0; i < 5000; i++) {
		int n = snprintf(key, sizeof(key), "k%d", i);

		assert_int_equal(map_add(m, key, (size_t)n, &values[i]), 0);
	}
	assert_int_equal(map_count(m), 5000);
	assert_int_equal(map_add(m, "k7", 2, NULL), -EEXIST);
	for (i = 0; i < 5000; i += 2) {
		int n = snprintf(key, sizeof(key), "k%d", i);

		map_remove(m, key, (size_t)n);
	}
	for (i = 0; i < 5000; i++) {
		int n = snprintf(key, sizeof(key), "k%d", i);

		assert_int_equal(map_get(m, key, (size_t)n, &found), i % 2);
		if (i % 2)
			assert_ptr_equal(found, &values[i]);
	}
	assert_int_equal(map_set(m, "k7", 2, &values[0]), 0);
	assert_true(map_get(m, "k7", 2, &found));
	assert_ptr_equal(found, &values[0]);
	/* a key is bytes: a NUL is one of them, and none at all is a key too */
	assert_int_equal(map_add(m, "a\0b", 3, &values[1]), 0);
	assert_false(map_get(m, "a", 1, NULL));
	assert_true(map_get(m, "a\0b", 3, NULL));
	assert_int_equal(map_add(m, "", 0, &values[2]), 0);
	assert_true(map_get(m, "", 0, &found));
	assert_ptr_equal(found, &values[2]);
	map_remove(m, "not there", 9);
	assert_int_equal(map_count(m), 2502);
}

static void hexadecimal_is_lower_case_and_exact(void **state)
{
	static const char *const bad[] = { "0", "000", "0G", "0A", " 0", "0x", "00 " };
	unsigned char bytes[2];
	char text[5];
	size_t i;

	hex_encode("\x00\xff", 2, text);
	assert_string_equal(text, "00ff");
	assert_int_equal(hex_decode("a07f", 4, bytes, 2), 0);
	assert_memory_equal(bytes, "\xa0\x7f", 2);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(hex_decode(bad[i], strlen(bad[i]), bytes, 1), -EINVAL);
	assert_true(hex_is_lower("09af", 4));
	assert_false(hex_is_lower("09AF", 4));
}

static void base64_is_strict_both_ways(void **state)
{
	static const struct {
		const char *bytes;
		const char *text;
	} good[] = { { "", "" }, { "f", "Zg==" }, { "of", "b2Y=" }, { "foo", "Zm9v" },
		{ "\xff\xff\xfe", "///+" } };
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zg==Zg==", "Z=g=", "Zm9v\n",
		" Zm9", "Zm9-" };
	char out[16];
	size_t len;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		len = base64_encode(good[i].bytes, strlen(good[i].bytes), out);
		assert_int_equal(len, strlen(good[i].text));
		assert_memory_equal(out, good[i].text, len);
		assert_int_equal(len, BASE64_ENCODED_LEN(strlen(good[i].bytes)));
		assert_int_equal(base64_decode(good[i].text, len, out, &len), 0);
		assert_int_equal(len, strlen(good[i].bytes));
		assert_memory_equal(out, good[i].bytes, len);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (base64_decode(bad[i], strlen(bad[i]), out, &len) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void random_names_have_their_form_and_differ(void **state)
{
	char id[2][ID_HEX_LEN + 1];
	char link[2][LINK_NAME_LEN + 1];
	char digits[11];

	assert_int_equal(random_id(id[0]), 0);
	assert_int_equal(random_id(id[1]), 0);
	assert_true(id_is_valid(id[0]) && id_is_valid(id[1]));
	assert_string_not_equal(id[0], id[1]);
	assert_int_equal(random_link_name(link[0]), 0);
	assert_int_equal(random_link_name(link[1]), 0);
	assert_string_not_equal(link[0], link[1]);
	assert_int_equal(strspn(link[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), LINK_NAME_LEN);
	assert_int_equal(random_digits(digits), 0);
	assert_int_equal(strspn(digits, "0123456789"), 10);
}

static void an_id_is_64_lower_case_digits(void **state)
{
	char id[ID_HEX_LEN + 2] = { 0 };

	memset(id, 'a', ID_HEX_LEN);
	assert_true(id_is_valid(id));
	id[ID_HEX_LEN] = 'a';
	assert_false(id_is_valid(id));
	id[ID_HEX_LEN] = '\0';
	id[5] = '/';
	assert_false(id_is_valid(id));
	id[5] = 'A';
	assert_false(id_is_valid(id));
	id[5] = '\0';
	assert_false(id_is_valid(id));
	assert_false(id_is_valid(""));
	assert_false(id_is_valid(".."));
}

static void digests_compare_and_print(void **state)
{
	struct hash_value a;
	struct hash_value b;
	struct hash_value none = { 0 };
	char text[HASH_TEXT_MAX];
	char hex[HASH_HEX_MAX];

	assert_int_equal(hash_bytes(HASH_SHA256, "", 0, &a), 0);
	assert_string_equal(hash_format(&a, text),
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(hash_bytes(HASH_SHA512, "abc", 3, &b), 0);
	assert_int_equal(strlen(hash_hex(&b, hex)), 128);
	assert_memory_equal(hex, "ddaf35a193617aba", 16);
	assert_true(hash_equal(&a, &a));
	assert_false(hash_equal(&a, &b));
	assert_false(hash_equal(&none, &none));
	assert_false(hash_is_set(&none));
	assert_string_equal(hash_format(&none, text), "");
	assert_int_equal(hash_bytes(HASH_NONE, "", 0, &a), -EINVAL);
	assert_int_equal(hash_len(HASH_SHA512), 64);
	assert_int_equal(hash_len((enum hash_algorithm)77), 0);
	assert_string_equal(hash_name(HASH_SHA256), "sha256");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_string_grows_to_its_maximum_and_no_further),
		cmocka_unit_test(a_long_string_keeps_every_byte),
		cmocka_unit_test(prefixes_and_suffixes),
		cmocka_unit_test(a_list_keeps_its_order_through_changes),
		cmocka_unit_test(a_map_finds_what_was_put_and_nothing_else),
		cmocka_unit_test(hexadecimal_is_lower_case_and_exact),
		cmocka_unit_test(base64_is_strict_both_ways),
		cmocka_unit_test(random_names_have_their_form_and_differ),
		cmocka_unit_test(an_id_is_64_lower_case_digits),
		cmocka_unit_test(digests_compare_and_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
