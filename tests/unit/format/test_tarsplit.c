/* SPDX-License-Identifier: Apache-2.0 */
/* Are tar-split lines written as containers/storage writes them, and read with care? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/limits.h"
#include "format/tar_harness.h"
#include "format/tarsplit/reader.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

static void sha256_hex(const struct str *s, char ret[HASH_HEX_MAX])
{
	struct hash_value sum;

	must(hash_bytes(HASH_SHA256, str_text(s), s->len, &sum));
	(void)hash_hex(&sum, ret);
}

/* docs/formats/tar-split.md, the worked example: made by Python, imported by podman. */
static void test_the_worked_example_is_byte_exact(UNUSED void **state)
{
	static const size_t chunks[] = { 1, 511, 512, 2048, 3000, 10240 };
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	char hex[HASH_HEX_MAX];
	size_t i;

	put_block(&tar, &(struct block){ .name = "a", .size = 3 });
	put_data(&tar, "hi\n", 3);
	while (tar.len < 10240)
		put_end(&tar);
	tar.len = 10240;
	sha256_hex(&tar, hex);
	assert_string_equal(
		hex, "c579ad70933a058a815026045782b9f677f61b079da697fd4f5cedfc757e370c");
	for (i = 0; i < ARRAY_LEN(chunks); i++) {
		struct outcome o;

		run_tar(&o, tar.data, tar.len, chunks[i], true);
		assert_int_equal(o.status, 0);
		assert_int_equal(o.json.len, 13832);
		sha256_hex(&o.json, hex);
		assert_string_equal(
			hex, "5d199dd1ca50271b697842449a5392a6011101f5f70267e5ebb847e62c5dd19c");
		outcome_done(&o);
	}
}

static void test_a_global_header_is_a_file_and_its_padding_comes_behind(UNUSED void **state)
{
	static const size_t want[] = { 528, 496 + 512, 507 + 1024, 100 };
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	const char *at;
	struct outcome o;
	size_t i;

	put_block(&tar, &(struct block){ .name = "././@PaxHeader", .type = 'g', .size = 16 });
	put_data(&tar, "16 comment=abcd\n", 16);
	put_block(&tar, &(struct block){ .name = "a", .size = 5 });
	put_data(&tar, "data\n", 5);
	put_end(&tar);
	for (i = 0; i < 100; i++)
		must(str_putc(&tar, '\0'));
	run_tar(&o, tar.data, tar.len, 64, true);
	assert_int_equal(o.status, 0);
	at = str_text(&o.json);
	for (i = 0; i < ARRAY_LEN(want); i++) {
		const char *start = strstr(at, "{\"type\":2,\"payload\":\"");

		assert_non_null(start);
		start += strlen("{\"type\":2,\"payload\":\"");
		at = strchr(start, '"');
		assert_int_equal(at - start, BASE64_ENCODED_LEN(want[i]));
	}
	assert_null(strstr(at, "\"type\":2"));
	assert_non_null(strstr(str_text(&o.json),
		"{\"type\":1,\"name\":\"././@PaxHeader\",\"payload\":null,\"position\":1}\n"));
	assert_non_null(
		strstr(str_text(&o.json), "{\"type\":1,\"name\":\"a\",\"size\":5,\"payload\":\""));
	outcome_done(&o);
}

static void test_names_are_escaped_as_go_does(UNUSED void **state)
{
	static const struct {
		const char *name;
		const char *json;
	} names[] = {
		{ "plain", "\"name\":\"plain\"" },
		{ "d<&>", "\"name\":\"d\\u003c\\u0026\\u003e\"" },
		{ "q\"b\\s/", "\"name\":\"q\\\"b\\\\s/\"" }, { "\t\n\r", "\"name\":\"\\t\\n\\r\"" },
		{ "\b\f\x01\x1f\x7f", "\"name\":\"\\u0008\\u000c\\u0001\\u001f\x7f\"" },
		{ "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa",
			"\"name\":\"\\u2028\\u2029\xe2\x80\xaa\"" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", "\"name\":\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "\xef\xbf\xbd", "\"name\":\"\xef\xbf\xbd\"" },
		{ "\xe9", "\"name_raw\":\"6Q==\"" },
		{ "a\xc0\xaf", "\"name_raw\":\"YcCv\"" },            /* overlong */
		{ "\xed\xa0\x80", "\"name_raw\":\"7aCA\"" },         /* surrogate */
		{ "\xf4\x90\x80\x80", "\"name_raw\":\"9JCAgA==\"" }, /* beyond U+10FFFF */
		{ "\xe2\x82", "\"name_raw\":\"4oI=\"" },             /* cut */
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		AUTO_STR again = STR_INIT(TEXT_MAX);
		AUTO_STR want = STR_INIT(TEXT_MAX);
		struct outcome o;

		put_block(&tar, &(struct block){ .name = names[i].name, .size = 1 });
		put_data(&tar, "x", 1);
		run_tar(&o, tar.data, tar.len, TEXT_MAX, true);
		assert_int_equal(o.status, 0);
		must(str_printf(&want, "{\"type\":1,%s,\"size\":1,", names[i].json));
		assert_non_null(strstr(str_text(&o.json), str_text(&want)));
		assert_int_equal(reassemble(&o, TEXT_MAX, &again, NULL), 0);
		assert_int_equal(again.len, tar.len);
		assert_memory_equal(again.data, tar.data, tar.len);
		outcome_done(&o);
	}
}

static void test_bytes_behind_the_end_come_in_segments_of_one_mebibyte(UNUSED void **state)
{
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	AUTO_STR again = STR_INIT(TEXT_MAX);
	struct outcome o;
	size_t n_lines = 0;
	const char *at;
	size_t i;

	for (i = 0; i < 2600; i++)
		put_end(&tar);
	run_tar(&o, tar.data, tar.len, 5000, true);
	for (at = str_text(&o.json); (at = strchr(at, '\n')); at++)
		n_lines++;
	assert_int_equal(n_lines, 1 + 3);
	assert_int_equal(reassemble(&o, 12345, &again, NULL), 0);
	assert_int_equal(again.len, tar.len);
	outcome_done(&o);
}

static void test_ids_are_sorted_unique_and_without_whiteouts(UNUSED void **state)
{
	static const struct {
		const char *name;
		const char *uid;
	} files[] = {
		{ "a", "0000144" },
		{ "b", "0000012" },
		{ "c", "0000144" },
		{ "d", "0000000" },
		{ "d/.wh.x", "0000777" },
		{ ".wh..wh..opq", "0000776" },
		{ "e/", "0000012" },
		{ ".wh.d/", "0000775" },
	};
	static const uint32_t want[] = { 0, 10, 100 };
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	const uint32_t *ids;
	struct outcome o;
	size_t n;
	size_t i;

	for (i = 0; i < ARRAY_LEN(files); i++)
		put_block(&tar, &(struct block){ .name = files[i].name,
					.patch_at = 108,
					.patch = files[i].uid,
					.patch_len = 7 });
	run_tar(&o, tar.data, tar.len, TEXT_MAX, true);
	tarsplit_writer_uids(o.writer, &ids, &n);
	assert_int_equal(n, ARRAY_LEN(want));
	assert_memory_equal(ids, want, sizeof(want));
	tarsplit_writer_gids(o.writer, &ids, &n);
	assert_int_equal(n, 1);
	assert_int_equal(ids[0], 0);
	outcome_done(&o);
}

static void test_many_ids_are_all_kept(UNUSED void **state)
{
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	const uint32_t *ids;
	struct outcome o;
	uint32_t i;
	size_t n;

	for (i = 0; i < 3000; i++) {
		char name[16];
		char uid[8];

		(void)snprintf(name, sizeof(name), "%" PRIu32, i);
		(void)snprintf(uid, sizeof(uid), "%07" PRIo32, i * 7919 % 2003);
		put_block(&tar,
			&(struct block){
				.name = name, .patch_at = 108, .patch = uid, .patch_len = 7 });
	}
	run_tar(&o, tar.data, tar.len, TEXT_MAX, true);
	tarsplit_writer_uids(o.writer, &ids, &n);
	assert_int_equal(n, 2003);
	for (i = 0; i < n; i++)
		assert_int_equal(ids[i], i);
	outcome_done(&o);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* "hi\n" for every name; "long" has more. */
static int open_hi(UNUSED void *ctx, const char *name, size_t len, struct imbrex_error *err)
{
	int fd;

	if (len != strlen(name))
		return fail_code(err, EINVAL, "length of '%s'", name);
	if (str_eq(name, "missing"))
		return fail_code(err, ENOENT, "open '%s'", name);
	fd = memfd_create("hi", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(
		write(fd, "hi\nhi\n", str_eq(name, "long") ? 6 : 3), str_eq(name, "long") ? 6 : 3);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void test_lines_are_read_tolerantly_but_not_blindly(UNUSED void **state)
{
	static const struct {
		const char *why;
		const char *json;
		const char *want; /* bytes, if accepted */
		const char *error;
	} cases[] = {
		{ "nothing", "", "" },
		{ "segment", "{\"type\":2,\"payload\":\"YWI=\",\"position\":0}\n", "ab" },
		{ "no newline at the end", "{\"type\":2,\"payload\":\"YWI=\",\"position\":0}",
			"ab" },
		{ "old empty trailer",
			"{\"type\":2,\"payload\":\"YQ==\",\"position\":0}\n"
			"{\"type\":2,\"payload\":\"\",\"position\":1}\n",
			"a" },
		{ "null segment", "{\"type\":2,\"payload\":null,\"position\":0}\n", "" },
		{ "segments of any cut",
			"{\"type\":2,\"payload\":\"YQ==\"}\n{\"type\":2,\"payload\":\"Yg==\"}\n",
			"ab" },
		{ "file", "{\"type\":1,\"name\":\"a\",\"size\":3,\"payload\":\"YUmYEAAAAAA=\"}\n",
			"hi\n" },
		{ "other order, unknown keys, spaces",
			" { \"x\" : [1,{}] , "
			"\"payload\":\"YUmYEAAAAAA=\",\"size\":3,\"name\":\"a\",\"type\":1}\n",
			"hi\n" },
		{ "escapes in payload",
			"{\"type\":1,\"name\":\"a\",\"size\":3,\"payload\":\"YUmYEAAAAAA\\u003d\"}"
			"\n",
			"hi\n" },
		{ "positions are not sorted by",
			"{\"type\":2,\"payload\":\"YQ==\",\"position\":9}\n"
			"{\"type\":2,\"payload\":\"Yg==\",\"position\":1}\n",
			"ab" },
		{ "raw name",
			"{\"type\":1,\"name_raw\":\"6Q==\",\"size\":3,\"payload\":\"YUmYEAAAAAA=\"}"
			"\n",
			"hi\n" },
		{ "empty file needs no content",
			"{\"type\":1,\"name\":\"missing\",\"payload\":null}\n", "" },
		{ "entry without a name", "{\"type\":1,\"payload\":null}\n", "" },
		{ "no JSON", "hello\n", NULL, "tar-split line 1: " },
		{ "empty line", "{\"type\":2,\"payload\":\"\"}\n\n", NULL, "tar-split line 2: " },
		{ "array", "[1]\n", NULL, "tar-split line 1: " },
		{ "two objects on a line", "{\"type\":2}{\"type\":2}\n", NULL,
			"tar-split line 1: " },
		{ "cut line", "{\"type\":2,\"payl", NULL, "tar-split line 1: " },
		{ "no type", "{\"payload\":\"\"}\n", NULL,
			"tar-split line 1: unknown entry type 0" },
		{ "type 3", "{\"type\":3}\n", NULL, "tar-split line 1: unknown entry type 3" },
		{ "type as text", "{\"type\":\"1\"}\n", NULL, "tar-split line 1: " },
		{ "negative type", "{\"type\":-1}\n", NULL, "tar-split line 1: " },
		{ "payload not base64", "{\"type\":2,\"payload\":\"a*==\"}\n", NULL,
			"tar-split line 1: the payload is not base64" },
		{ "payload without padding", "{\"type\":2,\"payload\":\"YQ\"}\n", NULL,
			"the payload is not base64" },
		{ "negative size", "{\"type\":1,\"name\":\"a\",\"size\":-3}\n", NULL,
			"tar-split line 1: " },
		{ "huge size",
			"{\"type\":1,\"name\":\"a\",\"size\":9999999999999,\"payload\":"
			"\"YUmYEAAAAAA=\"}\n",
			NULL,
			"tar-split line 1: the described tar archive is larger than "
			"1099511627776" },
		{ "size of 2^64", "{\"type\":1,\"name\":\"a\",\"size\":18446744073709551616}\n",
			NULL, "tar-split line 1: " },
		{ "no checksum", "{\"type\":1,\"name\":\"a\",\"size\":3,\"payload\":null}\n", NULL,
			"tar-split line 1: file 'a' has no checksum" },
		{ "checksum too short",
			"{\"type\":1,\"name\":\"a\",\"size\":3,\"payload\":\"YUk=\"}\n", NULL,
			"tar-split line 1: the checksum of 'a' has 2 bytes, not 8" },
		{ "NUL in the name", "{\"type\":1,\"name\":\"a\\u0000b\",\"payload\":null}\n", NULL,
			"tar-split line 1: the name holds a NUL byte" },
		{ "raw name not base64", "{\"type\":1,\"name_raw\":\"*\",\"payload\":null}\n", NULL,
			"tar-split line 1: the name is not base64" },
		{ "name twice",
			"{\"type\":1,\"name\":\"a\",\"payload\":null}\n{\"type\":1,\"name\":\"./a/"
			"\",\"payload\":null}\n",
			NULL, "tar-split line 2: tar entry './a/' occurs twice" },
		{ "wrong checksum",
			"{\"type\":1,\"name\":\"a\",\"size\":3,\"payload\":\"YUmYEAAAAAE=\"}\n",
			NULL, "content of 'a' does not match its recorded checksum" },
		{ "content too short",
			"{\"type\":1,\"name\":\"a\",\"size\":4,\"payload\":\"YUmYEAAAAAA=\"}\n",
			NULL, "content of 'a' is 1 bytes shorter than the 4 recorded" },
		{ "content too long",
			"{\"type\":1,\"name\":\"long\",\"size\":3,\"payload\":\"YUmYEAAAAAA=\"}\n",
			NULL, "content of 'long' is longer than the 3 bytes recorded" },
		{ "no content",
			"{\"type\":1,\"name\":\"missing\",\"size\":3,\"payload\":\"YUmYEAAAAAA=\"}"
			"\n",
			NULL, "open 'missing'" },
	};
	static const size_t chunks[] = { 1, 10, TEXT_MAX };
	size_t i;
	size_t k;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		for (k = 0; k < ARRAY_LEN(chunks); k++) {
			AUTO_STR got = STR_INIT(TEXT_MAX);
			struct imbrex_error err = { 0 };
			struct sink *s;
			int r;

			must(tarsplit_assemble_sink_new(
				open_hi, NULL, text_sink_new(&got), &s, NULL));
			r = push_all(s, cases[i].json, strlen(cases[i].json), chunks[k], &err);
			if (cases[i].want && (r < 0 || !str_eq(str_text(&got), cases[i].want)))
				fail_msg("%s: '%s' %s", cases[i].why, str_text(&got), err.message);
			if (cases[i].error && (r >= 0 || !strstr(err.message, cases[i].error)))
				fail_msg("%s: '%s'", cases[i].why, err.message);
		}
	}
}

/* podman writes such lines for links whose header has a size, and fails to read them. */
static void test_entries_without_payload_are_known_by_their_header(UNUSED void **state)
{
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	AUTO_STR json = STR_INIT(TEXT_MAX);
	AUTO_STR got = STR_INIT(TEXT_MAX);
	char text[BASE64_ENCODED_LEN(TAR_BLOCK_BYTES) + 1];
	struct imbrex_error err = { 0 };
	struct sink *s;

	put_block(&tar, &(struct block){ .name = "b", .type = '1', .link = "a", .size = 5 });
	text[base64_encode(tar.data, tar.len, text)] = '\0';
	must(str_printf(&json,
		"{\"type\":2,\"payload\":\"%s\",\"position\":0}\n"
		"{\"type\":1,\"name\":\"missing\",\"size\":5,\"payload\":\"AAAAAAAAAAA=\","
		"\"position\":1}\n",
		text));
	must(tarsplit_assemble_sink_new(open_hi, NULL, text_sink_new(&got), &s, NULL));
	assert_int_equal(push_all(s, json.data, json.len, TEXT_MAX, &err), 0);
	assert_int_equal(got.len, tar.len);
	assert_memory_equal(got.data, tar.data, tar.len);
}

static void test_lines_are_limited(UNUSED void **state)
{
	AUTO_STR json = STR_INIT(TEXT_MAX);
	AUTO_STR got = STR_INIT(TEXT_MAX);
	struct imbrex_error err = { 0 };
	struct sink *s;

	must(str_puts(&json, "{\"type\":2,\"payload\":\""));
	while (json.len <= LIMIT_TARSPLIT_LINE_BYTES)
		must(str_puts(
			&json, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
	must(tarsplit_assemble_sink_new(open_hi, NULL, text_sink_new(&got), &s, NULL));
	assert_int_equal(push_all(s, json.data, json.len, 100000, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "tar-split line 1 is longer than 8388608 bytes");
	must(str_puts(&json, "\"}\n"));
	must(tarsplit_assemble_sink_new(open_hi, NULL, text_sink_new(&got), &s, NULL));
	assert_int_equal(push_all(s, json.data, json.len, TEXT_MAX, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "tar-split line 1 is longer than 8388608 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_worked_example_is_byte_exact),
		cmocka_unit_test(test_a_global_header_is_a_file_and_its_padding_comes_behind),
		cmocka_unit_test(test_names_are_escaped_as_go_does),
		cmocka_unit_test(test_bytes_behind_the_end_come_in_segments_of_one_mebibyte),
		cmocka_unit_test(test_ids_are_sorted_unique_and_without_whiteouts),
		cmocka_unit_test(test_many_ids_are_all_kept),
		cmocka_unit_test(test_lines_are_read_tolerantly_but_not_blindly),
		cmocka_unit_test(test_entries_without_payload_are_known_by_their_header),
		cmocka_unit_test(test_lines_are_limited),
	};

	return cmocka_run_group_tests_name("tar-split", tests, NULL, NULL);
}
