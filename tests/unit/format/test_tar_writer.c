/* SPDX-License-Identifier: Apache-2.0 */
/* Does the tar writer make the headers Go would make, and nothing that cannot be read back? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "format/tar/writer.h"
#include "format/tar_harness.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

static int write_entries(const struct entry *list, size_t n, const struct tar_writer_opts *opts,
	struct str *ret, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *w = NULL;
	size_t i;
	int r;

	must(tar_writer_new(text_sink_new(ret), opts, &w, NULL));
	for (i = 0; i < n; i++) {
		r = w->ops->begin(w, &list[i], err);
		if (r < 0)
			return r;
		if (list[i].type == ENTRY_FILE && list[i].size_bytes) {
			r = w->ops->data(w, "hi\n", 3, err);
			if (r < 0)
				return r;
		}
		r = w->ops->end(w, err);
		if (r < 0)
			return r;
	}
	return w->ops->finish(w, err);
}

static void test_small_entries_are_plain_ustar(UNUSED void **state)
{
	const struct entry e = { .path = "a",
		.type = ENTRY_FILE,
		.mode = 0644,
		.size_bytes = 3,
		.mtime_sec = 1,
		.mtime_nsec = 999999999 };
	const struct tar_header *h;
	AUTO_STR tar = STR_INIT(TEXT_MAX);

	assert_int_equal(write_entries(&e, 1, NULL, &tar, NULL), 0);
	assert_int_equal(tar.len, 4 * TAR_BLOCK_BYTES);
	h = (const struct tar_header *)(const void *)tar.data;
	assert_string_equal(h->name, "a");
	assert_memory_equal(h->mode,
		"0000644\0"
		"0000000\0"
		"0000000\0"
		"00000000003\0"
		"00000000001\0",
		48);
	assert_memory_equal(h->magic,
		"ustar\0"
		"00",
		8);
	assert_memory_equal(h->dev_major,
		"0000000\0"
		"0000000\0",
		16);
	assert_int_equal(h->checksum[6], 0);
	assert_int_equal(h->checksum[7], ' ');
	assert_true(tar_checksum_ok(h));
}

static void test_what_goes_in_comes_out(UNUSED void **state)
{
	static const struct entry_xattr xattrs[] = { { "user.b", "2", 1 },
		{ "user.a", "1\n=\0x", 5 } };
	char longest[LIMIT_PATH_BYTES + 1];
	char deep[200];
	size_t i;

	for (i = 0; i < LIMIT_PATH_BYTES; i++)
		longest[i] = i % 200 == 199 ? '/' : 'n';
	longest[LIMIT_PATH_BYTES] = '\0';
	memset(deep, 'd', sizeof(deep));
	deep[99] = '/';
	deep[199] = '\0';
	const struct entry list[] = {
		{ .path = ".", .type = ENTRY_DIR, .mode = 0755 },
		{ .path = "d",
			.type = ENTRY_DIR,
			.mode = 01777,
			.uid = 4294967294,
			.gid = 2097152 },
		{ .path = "d/f",
			.type = ENTRY_FILE,
			.mode = 04755,
			.size_bytes = 3,
			.mtime_sec = -5 },
		{ .path = "d/e",
			.type = ENTRY_FILE,
			.mtime_sec = 1ll << 40,
			.xattrs = xattrs,
			.n_xattrs = 2 },
		{ .path = "s", .type = ENTRY_SYMLINK, .mode = 0777, .link = "../\xc3\xa9" },
		{ .path = "h", .type = ENTRY_HARDLINK, .link = longest },
		{ .path = longest, .type = ENTRY_FIFO },
		{ .path = deep, .type = ENTRY_FILE },
		{ .path = "c", .type = ENTRY_CHAR, .dev_major = 4095, .dev_minor = 1048575 },
		{ .path = "b", .type = ENTRY_BLOCK, .dev_major = 8 },
		{ .path = "\xff\xfe", .type = ENTRY_FILE },
		{ .path = "d/gone", .type = ENTRY_WHITEOUT },
		{ .path = "gone", .type = ENTRY_WHITEOUT },
		{ .path = "d/o", .type = ENTRY_OPAQUE },
		{ .path = ".", .type = ENTRY_OPAQUE },
	};
	AUTO_STR want = STR_INIT(TEXT_MAX);
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	struct entry_sink *lister = listing_new(&want);
	struct outcome o;

	for (i = 0; i < ARRAY_LEN(list); i++) {
		must(lister->ops->begin(lister, &list[i], NULL));
		if (list[i].size_bytes)
			must(lister->ops->data(lister, "hi\n", 3, NULL));
		must(lister->ops->end(lister, NULL));
	}
	must(lister->ops->finish(lister, NULL));
	entry_sink_free(lister);
	/* The archive lists xattrs sorted, and NUL ends ours in the listing. */
	assert_int_equal(write_entries(list, ARRAY_LEN(list), NULL, &tar, NULL), 0);
	run_tar(&o, tar.data, tar.len, 100, true);
	assert_int_equal(o.status, 0);
	char *unsorted = strstr(want.data, " user.b=2 user.a=1\n=");

	assert_non_null(unsorted);
	memcpy(unsorted, " user.a=1\n= user.b=2", 20);
	assert_string_equal(str_text(&o.listing), str_text(&want));
	outcome_done(&o);
}

static void test_the_same_entries_give_the_same_bytes(UNUSED void **state)
{
	static const struct entry_xattr forth[] = { { "user.a", "1", 1 }, { "user.b", "2", 1 } };
	static const struct entry_xattr back[] = { { "user.b", "2", 1 }, { "user.a", "1", 1 } };
	const struct entry one = {
		.path = "x", .type = ENTRY_FILE, .xattrs = forth, .n_xattrs = 2
	};
	const struct entry two = { .path = "x", .type = ENTRY_FILE, .xattrs = back, .n_xattrs = 2 };
	AUTO_STR a = STR_INIT(TEXT_MAX);
	AUTO_STR b = STR_INIT(TEXT_MAX);

	assert_int_equal(write_entries(&one, 1, NULL, &a, NULL), 0);
	assert_int_equal(write_entries(&two, 1, NULL, &b, NULL), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
}

static void test_pax_records(UNUSED void **state)
{
	static const struct entry_xattr capability = { "security.capability", "\1\0\0\2", 4 };
	static const struct {
		struct entry e;
		const char *block; /* name of the pax header */
		const char *records;
		size_t len;
	} cases[] = {
		{ { .path = "dir/\xc3\xa9", .type = ENTRY_FILE }, "dir/PaxHeaders.0",
			"15 path=dir/\xc3\xa9\n", 15 },
		{ { .path = "dir/\xc3\xa9", .type = ENTRY_DIR }, "dir//PaxHeaders.0",
			"16 path=dir/\xc3\xa9/\n", 16 },
		{ { .path = "a", .type = ENTRY_FILE, .uid = 2097152 }, "PaxHeaders.0/a",
			"15 uid=2097152\n", 15 },
		{ { .path = "a", .type = ENTRY_FILE, .mtime_sec = -1 }, "PaxHeaders.0/a",
			"12 mtime=-1\n", 12 },
		{ { .path = "a", .type = ENTRY_FILE, .mtime_sec = -2, .mtime_nsec = 500000000 },
			"PaxHeaders.0/a", "14 mtime=-1.5\n", 14 },
		{ { .path = "a", .type = ENTRY_FILE, .mtime_sec = 7, .mtime_nsec = 1000 },
			"PaxHeaders.0/a", "18 mtime=7.000001\n", 18 },
		{ { .path = "a", .type = ENTRY_SYMLINK, .link = "\xc3\xa9" }, "PaxHeaders.0/a",
			"15 linkpath=\xc3\xa9\n", 15 },
		{ { .path = "a", .type = ENTRY_FILE, .xattrs = &capability, .n_xattrs = 1 },
			"PaxHeaders.0/a", "41 SCHILY.xattr.security.capability=\1\0\0\2\n", 41 },
		{ { .path = ".", .type = ENTRY_DIR, .gid = 4294967294 }, "PaxHeaders.0",
			"18 gid=4294967294\n", 18 },
	};
	const struct tar_writer_opts opts = { .keep_nsec = true };
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		const struct tar_header *h;
		int64_t size;

		assert_int_equal(write_entries(&cases[i].e, 1, &opts, &tar, NULL), 0);
		h = (const struct tar_header *)(const void *)tar.data;
		assert_int_equal(h->type, 'x');
		assert_true(tar_checksum_ok(h));
		assert_string_equal(h->name, cases[i].block);
		assert_int_equal(tar_number_parse(h->size, sizeof(h->size), &size), 0);
		assert_int_equal(size, cases[i].len);
		assert_memory_equal(tar.data + 512, cases[i].records, cases[i].len);
	}
}

static void test_whole_seconds_by_default(UNUSED void **state)
{
	const struct entry e = {
		.path = "a", .type = ENTRY_FILE, .mtime_sec = -2, .mtime_nsec = 999999999
	};
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	struct outcome o;

	assert_int_equal(write_entries(&e, 1, NULL, &tar, NULL), 0);
	run_tar(&o, tar.data, tar.len, TEXT_MAX, false);
	assert_string_equal(str_text(&o.listing), "file a 0000 0:0 -2 0\nend\n");
	outcome_done(&o);
}

static void test_what_tar_cannot_hold_is_refused(UNUSED void **state)
{
	static const struct entry_xattr equals = { "user.a=b", "1", 1 };
	static const struct entry_xattr empty = { "", "1", 1 };
	static const struct {
		struct entry e;
		const char *error;
	} cases[] = {
		{ { .path = "a", .type = ENTRY_FILE, .xattrs = &equals, .n_xattrs = 1 },
			"'a': a pax record cannot hold xattr 'user.a=b'" },
		{ { .path = "a", .type = ENTRY_FILE, .xattrs = &empty, .n_xattrs = 1 },
			"'a': a pax record cannot hold xattr ''" },
		{ { .path = "a", .type = ENTRY_FILE, .size_bytes = 2 },
			"'a': content is longer than announced" },
		{ { .path = "a", .type = ENTRY_FILE, .size_bytes = 5 },
			"'a': content is 2 bytes shorter than announced" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		struct imbrex_error err = { 0 };

		assert_true(write_entries(&cases[i].e, 1, NULL, &tar, &err) < 0);
		assert_string_equal(err.message, cases[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_entries_are_plain_ustar),
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_the_same_entries_give_the_same_bytes),
		cmocka_unit_test(test_pax_records),
		cmocka_unit_test(test_whole_seconds_by_default),
		cmocka_unit_test(test_what_tar_cannot_hold_is_refused),
	};

	return cmocka_run_group_tests_name("tar writer", tests, NULL, NULL);
}
