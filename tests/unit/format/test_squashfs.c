/* SPDX-License-Identifier: Apache-2.0 */
/* Squashfs images: what goes in comes out, always the same bytes, and damage is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/squashfs/lzo.h"
#include "squashfs_memory.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

static struct squashfs_options options(const char *const *words)
{
	struct squashfs_options o;
	struct imbrex_error err = { 0 };

	squashfs_options_init(&o);
	if (squashfs_options_parse(&o, words, &err) < 0)
		fail_msg("%s", err.message);
	return o;
}

static void push(struct entry_sink *to, const struct entry *e, const char *content)
{
	struct imbrex_error err = { 0 };
	uint64_t left = e->size_bytes;

	if (to->ops->begin(to, e, &err) < 0)
		fail_msg("%s", err.message);
	while (left > 0) {
		size_t n = MIN(left, (uint64_t)strlen(content));

		assert_int_equal(to->ops->data(to, content, n, &err), 0);
		left -= n;
	}
	assert_int_equal(to->ops->end(to, &err), 0);
}

/* One of each kind, sizes on both sides of a block, and a chain of directories. */
static void push_tree(struct entry_sink *to)
{
	static const struct entry_xattr xattrs[] = {
		{ "user.a", "one", 3 },
		{ "security.capability", "two", 3 },
	};
	static const struct entry entries[] = {
		{ .path = ".", .type = ENTRY_DIR, .mode = 0755, .mtime_sec = 7 },
		{ .path = "a",
			.type = ENTRY_DIR,
			.mode = 01777,
			.uid = 5,
			.gid = 6,
			.xattrs = xattrs,
			.n_xattrs = 1 },
		{ .path = "a/small",
			.type = ENTRY_FILE,
			.mode = 04755,
			.size_bytes = 5,
			.xattrs = xattrs,
			.n_xattrs = 2 },
		{ .path = "a/empty", .type = ENTRY_FILE, .mode = 0 },
		{ .path = "a/large",
			.type = ENTRY_FILE,
			.mode = 0644,
			.size_bytes = 700001,
			.uid = 100000 },
		{ .path = "a/block", .type = ENTRY_FILE, .mode = 0644, .size_bytes = 131072 },
		{ .path = "a/link", .type = ENTRY_HARDLINK, .link = "a/small" },
		{ .path = "sym", .type = ENTRY_SYMLINK, .mode = 0777, .link = "/no/where" },
		{ .path = "chr", .type = ENTRY_CHAR, .mode = 0666, .dev_major = 1, .dev_minor = 3 },
		{ .path = "blk",
			.type = ENTRY_BLOCK,
			.mode = 0660,
			.dev_major = 259,
			.dev_minor = 70000,
			.xattrs = xattrs,
			.n_xattrs = 1 },
		{ .path = "fifo", .type = ENTRY_FIFO, .mode = 0600 },
		{ .path = "deep/er/and/deeper",
			.type = ENTRY_FILE,
			.mode = 0644,
			.mtime_sec = 4000000000 },
		{ .path = "zlink", .type = ENTRY_HARDLINK, .link = "a/link" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(entries); i++)
		push(to, &entries[i], "abcdefghijklmnopqrstuvwxyz0123456789");
}

static void write_image(const struct squashfs_options *o, struct str *ret)
{
	struct squashfs_file file = memory_file(ret);
	struct imbrex_error err = { 0 };
	struct entry_sink *to;
	int r;

	r = squashfs_writer_new(&file, o, &to, &err);
	if (r == IMBREX_ENOTSUP) {
		print_message("%s\n", err.message);
		exit(77);
	}
	assert_int_equal(r, 0);
	push_tree(to);
	if (to->ops->finish(to, &err) < 0)
		fail_msg("%s", err.message);
	entry_sink_free(to);
	assert_int_equal(file.size_bytes, ret->len);
}

static int read_image(
	struct str *image, unsigned int n_threads, struct lister *ret, struct imbrex_error *err)
{
	struct squashfs_file file = memory_file(image);

	lister_init(ret);
	return squashfs_read(&file, n_threads, &ret->base, err);
}

static const char *const words_of[][6] = {
	{ NULL },
	{ "-comp", "lzo", "-noD", "-exit-on-error", NULL },
	{ "-comp", "lzo", NULL },
	{ "-comp", "xz", "-b", "64K", NULL },
	{ "-comp", "zstd", "-Xcompression-level", "3", NULL },
	{ "-comp", "lz4", "-Xhc", NULL },
	{ "-no-compression", NULL },
	{ "-no-fragments", "-no-exports", "-no-duplicates", NULL },
};

static const char *const expected[] = {
	"2 . 755 0:0 7 0 - 0,0 {} 0\n2 a 1777 5:6 0 0 - 0,0 {user.a=one } 0\n",
	"\n6 blk 660 0:0 0 0 - 259,70000 {user.a=one } 0\n",
	"\n5 chr 666 0:0 0 0 - 1,3 {} 0\n",
	"\n2 deep 755 0:0 0 0 - 0,0 {} 0\n",
	"\n7 fifo 600 0:0 0 0 - 0,0 {} 0\n",
	"\n3 sym 777 0:0 0 0 /no/where 0,0 {} 0\n",
	"\n1 zlink 4755 0:0 0 5 - 0,0 {user.a=one security.capability=two } 584f463\n",
	"\n2 deep/er 755 0:0 0 0 - 0,0 {} 0\n",
	"\n1 deep/er/and/deeper 644 0:0 4000000000 0 - 0,0 {} 0\n",
	"\n1 a/block 644 0:0 0 131072 - 0,0 {} edc969c7124fa6e0\n",
	"\n1 a/empty 0 0:0 0 0 - 0,0 {} 0\n",
	"\n1 a/large 644 100000:0 0 700001 - 0,0 {} be17cf07ed6a04c1\n",
	"\n4 a/link 4755 0:0 0 0 zlink ",
	"\n4 a/small 4755 0:0 0 0 zlink ",
};

static void check_listing(const struct lister *l)
{
	size_t i;

	assert_true(l->finished);
	for (i = 0; i < ARRAY_LEN(expected); i++) {
		if (!strstr(str_text(&l->text), expected[i]))
			fail_msg("no '%s' in\n%s", expected[i], str_text(&l->text));
	}
}

static void test_what_goes_in_comes_out(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(words_of); i++) {
		struct squashfs_options o = options(words_of[i]);
		AUTO_STR first = STR_INIT(MEMORY_MAX);
		AUTO_STR again = STR_INIT(MEMORY_MAX);
		struct imbrex_error err = { 0 };
		struct lister one, many;

		o.processors = 1;
		write_image(&o, &first);
		o.processors = 3;
		write_image(&o, &again);
		assert_int_equal(first.len, again.len);
		assert_memory_equal(first.data, again.data, first.len);
		assert_int_equal(first.len % 4096, 0);
		if (read_image(&first, 1, &one, &err) < 0 || read_image(&first, 3, &many, &err) < 0)
			fail_msg("%s", err.message);
		check_listing(&one);
		assert_string_equal(str_text(&one.text), str_text(&many.text));
		lister_free(&one.base);
		lister_free(&many.base);
	}
}

static void test_owners_and_times_can_be_set_for_all(void **state)
{
	static const char *const words[] = { "-all-root", "-all-time", "11", "-mkfs-time", "12",
		NULL };
	struct squashfs_options o = options(words);
	AUTO_STR image = STR_INIT(MEMORY_MAX);
	struct imbrex_error err = { 0 };
	struct lister l;

	write_image(&o, &image);
	assert_int_equal(read_image(&image, 1, &l, &err), 0);
	assert_non_null(strstr(str_text(&l.text), "2 a 1777 0:0 11 0 "));
	assert_non_null(strstr(str_text(&l.text), "2 deep/er 755 0:0 11 0 "));
	assert_int_equal(image.data[8], 12);
	lister_free(&l.base);
}

static void test_words_that_are_not_understood_are_refused(void **state)
{
	static const struct {
		const char *words[3];
		const char *message;
	} cases[] = {
		{ { "-comp", "brotli", NULL }, "mksquashfs option '-comp': bad value 'brotli'" },
		{ { "-comp", NULL }, "mksquashfs option '-comp' needs a value" },
		{ { "-b", "100000", NULL }, "mksquashfs option '-b': bad value '100000'" },
		{ { "-b", "2M", NULL }, "mksquashfs option '-b': bad value '2M'" },
		{ { "-ef", "list", NULL }, "mksquashfs option '-ef' is not supported" },
		{ { "-all-time", "4294967296", NULL },
			"mksquashfs option '-all-time': bad value '4294967296'" },
		{ { "-processors", "0", NULL }, "mksquashfs option '-processors': bad value '0'" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct squashfs_options o;

		squashfs_options_init(&o);
		assert_int_equal(squashfs_options_parse(&o, cases[i].words, &err), IMBREX_EINVAL);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void test_entries_that_no_image_can_hold_are_refused(void **state)
{
	static const struct {
		struct entry entry;
		const char *message;
	} cases[] = {
		{ { .path = "a/small", .type = ENTRY_FILE }, "squashfs: 'a/small' comes twice" },
		{ { .path = "a", .type = ENTRY_FILE }, "squashfs: 'a' comes twice" },
		{ { .path = "sym/x", .type = ENTRY_FILE },
			"squashfs: entry 'sym/x' lies below something that is no directory" },
		{ { .path = "h", .type = ENTRY_HARDLINK, .link = "nowhere" },
			"squashfs: hard link 'h' to 'nowhere', which is not there" },
		{ { .path = "h", .type = ENTRY_HARDLINK, .link = "a" },
			"squashfs: hard link 'h' to 'a', which is no file" },
		{ { .path = "w", .type = ENTRY_WHITEOUT },
			"squashfs: 'w': an image holds no whiteouts" },
	};
	struct squashfs_options o = options(NULL);
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR image = STR_INIT(MEMORY_MAX);
		struct squashfs_file file = memory_file(&image);
		struct imbrex_error err = { 0 };
		struct entry_sink *to;

		assert_int_equal(squashfs_writer_new(&file, &o, &to, &err), 0);
		push_tree(to);
		assert_true(to->ops->begin(to, &cases[i].entry, &err) < 0);
		assert_string_equal(err.message, cases[i].message);
		entry_sink_free(to);
	}
}

/* ---- damage ---------------------------------------------------------------------------- */

static void read_damaged(struct str *image, int status, const char *message)
{
	struct imbrex_error err = { 0 };
	struct lister l;
	int r = read_image(image, 2, &l, &err);

	lister_free(&l.base);
	if (r != status || !strstr(err.message, message))
		fail_msg("%d: '%s', expected '%s'", r, err.message, message);
}

static size_t find(const struct str *image, const char *pattern, size_t len)
{
	const char *at = memmem(image->data, image->len, pattern, len);

	assert_non_null(at);
	return (size_t)(at - image->data);
}

/* The bytes of tables can be found in an image that compresses nothing. */
static void write_plain(struct str *ret)
{
	static const char *const words[] = { "-no-compression", NULL };
	struct squashfs_options o = options(words);

	write_image(&o, ret);
}

static void test_a_directory_that_holds_its_parent_is_a_loop(void **state)
{
	AUTO_STR image = STR_INIT(MEMORY_MAX);
	uint64_t root;
	size_t at;

	write_plain(&image);
	memcpy(&root, image.data + 32, sizeof(root));
	/* In the listing of "deep": offset, difference, type 1, size - 1, "er". */
	at = find(&image,
		"\x01\x00\x01\x00"
		"er",
		6);
	memcpy(image.data + at - 4, &root, 2);
	read_damaged(&image, IMBREX_EFORMAT, "'deep/er': squashfs: the directory is also '.'");
}

static void test_names_are_names_and_in_order(void **state)
{
	static const struct {
		const char *name, *message;
	} cases[] = {
		{ "..", "squashfs: '..' is no name of a file" },
		{ "a/", "squashfs: 'a/' is no name of a file" },
		{ "a", "squashfs: 'a' is no name of a file" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR image = STR_INIT(MEMORY_MAX);
		size_t at;

		write_plain(&image);
		at = find(&image,
			"\x01\x00\x01\x00"
			"er",
			6);
		memcpy(image.data + at + 4, cases[i].name, strlen(cases[i].name) + (i == 2));
		read_damaged(&image, IMBREX_EFORMAT, cases[i].message);
	}
	{
		AUTO_STR image = STR_INIT(MEMORY_MAX);

		write_plain(&image);
		memcpy(image.data + find(&image, "fifo", 4), "chr0", 4);
		read_damaged(&image, IMBREX_EFORMAT, "'chr0' comes after 'deep' in a directory");
	}
}

static void test_counts_and_offsets_beyond_the_image_are_refused(void **state)
{
	static const struct {
		size_t offset, len;
		uint64_t value;
		int status;
		const char *message;
	} cases[] = {
		{ 0, 4, 0, IMBREX_EFORMAT, "no squashfs image" },
		{ 12, 4, 3, IMBREX_EFORMAT, "squashfs: read the super block" },
		{ 20, 2, 9, IMBREX_ENOTSUP, "" },
		{ 26, 2, 0, IMBREX_EFORMAT, "squashfs: " },
		{ 28, 2, 3, IMBREX_ENOTSUP, "not version 4.0" },
		{ 32, 8, UINT64_MAX, IMBREX_EFORMAT, "squashfs: " },
		{ 40, 8, UINT64_MAX / 2, IMBREX_EFORMAT, "the image is cut off" },
		{ 48, 8, UINT64_MAX - 3, IMBREX_EFORMAT, "squashfs: read owners" },
		{ 56, 8, UINT64_MAX - 3, IMBREX_EFORMAT, "squashfs: read the table of attributes" },
		{ 64, 8, UINT64_MAX, IMBREX_EFORMAT, "tables are out of order" },
		{ 72, 8, UINT64_MAX, IMBREX_EFORMAT, "tables are out of order" },
		{ 80, 8, UINT64_MAX - 3, IMBREX_EFORMAT, "squashfs: read fragments" },
		{ 16, 4, 0, IMBREX_EFORMAT, "squashfs: fragment 0 of 0" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR image = STR_INIT(MEMORY_MAX);

		write_plain(&image);
		memcpy(image.data + cases[i].offset, &cases[i].value, cases[i].len);
		read_damaged(&image, cases[i].status, cases[i].message);
	}
}

/* Whatever byte is wrong: a message, or a tree; never a crash, a loop or a half-told entry. */
static void test_any_damaged_byte_is_survived(void **state)
{
	size_t k, i;

	for (k = 0; k < ARRAY_LEN(words_of); k++) {
		struct squashfs_options o = options(words_of[k]);
		AUTO_STR image = STR_INIT(MEMORY_MAX);
		size_t size;

		write_image(&o, &image);
		memcpy(&size, image.data + 40, sizeof(size));
		for (i = 0; i < size; i += 1 + (i < size - 2000 && i > 96 ? 997 : 3)) {
			struct imbrex_error err = { 0 };
			char before = image.data[i];
			struct lister l;
			int r;

			image.data[i] ^= (char)(1 << (i % 8));
			r = read_image(&image, 1, &l, &err);
			assert_true(r == 0 ? l.finished : err.message[0] != 0);
			lister_free(&l.base);
			image.data[i] = before;
		}
	}
}

static void test_an_image_that_is_cut_off_is_refused(void **state)
{
	struct squashfs_options o = options(NULL);
	AUTO_STR image = STR_INIT(MEMORY_MAX);
	size_t len;

	write_image(&o, &image);
	memcpy(&len, image.data + 40, sizeof(len));
	image.len = len - 1;
	read_damaged(&image, IMBREX_EFORMAT, "the image is cut off");
	image.len = 95;
	read_damaged(&image, IMBREX_EFORMAT, "too short");
}

/* ---- lzo ------------------------------------------------------------------------------- */

static void test_lzo_comes_back_and_refuses_damage(void **state)
{
	static uint8_t in[4096], packed[8192], out[4096];
	size_t n, k;
	int r;

	srand(1);
	for (k = 0; k < 20000; k++) {
		size_t words = 1 + (size_t)rand() % 9;
		size_t i;

		n = 1 + (size_t)rand() % (k % 50 ? 300 : sizeof(in));
		for (i = 0; i < n; i++)
			in[i] = (uint8_t)((size_t)rand() % words);
		r = lzo_compress(in, n, packed, sizeof(packed));
		assert_true(r > 0);
		assert_int_equal(lzo_decompress(packed, (size_t)r, out, n), n);
		assert_memory_equal(in, out, n);
		/* Neither too little room nor a wrong bit may write beyond it. */
		assert_true(lzo_compress(in, n, out, (size_t)r / 2) == 0);
		assert_true(lzo_decompress(packed, (size_t)r, out, n - 1) < 0);
		assert_true(lzo_decompress(packed, (size_t)r - 1, out, n) < 0);
		packed[(size_t)rand() % (size_t)r] ^= (uint8_t)(1 << rand() % 8);
		r = lzo_decompress(packed, (size_t)r, out, n);
		assert_true(r <= (int)n);
	}
}

static void test_lzo_reads_each_kind_of_beginning(void **state)
{
	uint8_t out[128];

	/* The end alone; four literals in front; a match of 35 bytes at distance 1. */
	assert_true(lzo_decompress((const uint8_t *)"\x11\x00\x00", 3, out, sizeof(out)) == 0);
	assert_true(lzo_decompress((const uint8_t *)"\x15"
						    "abcd\x11\x00\x00",
			    8, out, sizeof(out)) == 4);
	assert_memory_equal(out, "abcd", 4);
	assert_true(lzo_decompress((const uint8_t *)"\x12"
						    "a\x20\x02\x00\x00\x11\x00\x00",
			    9, out, sizeof(out)) == 36);
	assert_true(out[35] == 'a');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_owners_and_times_can_be_set_for_all),
		cmocka_unit_test(test_words_that_are_not_understood_are_refused),
		cmocka_unit_test(test_entries_that_no_image_can_hold_are_refused),
		cmocka_unit_test(test_a_directory_that_holds_its_parent_is_a_loop),
		cmocka_unit_test(test_names_are_names_and_in_order),
		cmocka_unit_test(test_counts_and_offsets_beyond_the_image_are_refused),
		cmocka_unit_test(test_any_damaged_byte_is_survived),
		cmocka_unit_test(test_an_image_that_is_cut_off_is_refused),
		cmocka_unit_test(test_lzo_comes_back_and_refuses_damage),
		cmocka_unit_test(test_lzo_reads_each_kind_of_beginning),
	};

	return cmocka_run_group_tests_name("squashfs", tests, NULL, NULL);
}
