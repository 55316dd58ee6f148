/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does libarchive see the same entries, in the vectors and in what our writer makes of them?
 * Argument: the folder of vectors. Where the two read one archive differently on purpose, the
 * table below says so.
 */
#include <archive.h>
#include <archive_entry.h>
#include <glob.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "format/tar/writer.h"
#include "format/tar_harness.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

static const struct {
	const char *vector;
	const char *why;
	bool also_rewritten; /* the difference stays when our writer has made the archive */
} different[] = {
	{ "/big-numbers/python-pax", "libarchive adds the fraction of a negative time", true },
	{ "/global-header/hand.tar", "the same", true },
	{ "/global-header/hand-path", "libarchive applies global records, Go does not" },
	{ "/gnu-prefix/", "only Go takes a prefix from a GNU header" },
	{ "/hardlink-size/", "libarchive guesses whether payload follows a hard link" },
	{ "/end/hand-unpadded", "libarchive wants the padding" },
	{ "/dir-size/", "libarchive skips payload behind directories" },
};

static const char *vectors;
static glob_t found;

static bool is_different(const char *path, bool rewritten)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(different); i++) {
		if (strstr(path, different[i].vector) &&
			(!rewritten || different[i].also_rewritten))
			return true;
	}
	return false;
}

static void read_whole(const char *path, struct str *ret)
{
	FILE *file = fopen(path, "rb");
	char buf[4096];
	size_t n;

	if (!file)
		fail_msg("cannot open %s", path);
	while ((n = fread(buf, 1, sizeof(buf), file)) > 0)
		must(str_append(ret, buf, n));
	(void)fclose(file);
}

/* The name without "./", doubled and trailing slashes, as our listings have it. */
static void put_clean(struct str *text, const char *name)
{
	char clean[8192];
	size_t len = 0;

	while (*name) {
		size_t n = strcspn(name, "/");

		if (n && !(n == 1 && *name == '.')) {
			assert_true(len + n + 1 < sizeof(clean));
			if (len)
				clean[len++] = '/';
			memcpy(clean + len, name, n);
			len += n;
		}
		name += n;
		name += *name == '/';
	}
	clean[len] = '\0';
	list_name(text, len ? clean : ".");
}

static uint64_t content_crc(struct archive *a)
{
	const void *buf;
	uint64_t crc = 0;
	la_int64_t offset;
	size_t len;

	while (archive_read_data_block(a, &buf, &len, &offset) == ARCHIVE_OK)
		crc = crc64_iso_tables(crc, buf, len);
	return crc;
}

static const char *type_name(struct archive_entry *e)
{
	if (archive_entry_hardlink(e))
		return "hardlink";
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return "file";
	case AE_IFDIR:
		return "dir";
	case AE_IFLNK:
		return "symlink";
	case AE_IFCHR:
		return "char";
	case AE_IFBLK:
		return "block";
	case AE_IFIFO:
		return "fifo";
	default:
		return "?";
	}
}

static void list_entry(struct archive *a, struct archive_entry *e, struct str *text)
{
	const char *type = type_name(e);
	uint64_t crc;

	must(str_printf(text, "%s ", type));
	put_clean(text, archive_entry_pathname(e));
	must(str_printf(text, " %04o %" PRId64 ":%" PRId64 " %" PRId64,
		(unsigned int)archive_entry_perm(e), (int64_t)archive_entry_uid(e),
		(int64_t)archive_entry_gid(e), (int64_t)archive_entry_mtime(e)));
	if (archive_entry_mtime_nsec(e))
		must(str_printf(text, "+%09ld", archive_entry_mtime_nsec(e)));
	if (archive_entry_hardlink(e)) {
		must(str_puts(text, " -> "));
		put_clean(text, archive_entry_hardlink(e));
	} else if (archive_entry_symlink(e)) {
		must(str_puts(text, " -> "));
		list_name(text, archive_entry_symlink(e));
	}
	if (str_eq(type, "char") || str_eq(type, "block"))
		must(str_printf(text, " %u,%u", (unsigned int)archive_entry_rdevmajor(e),
			(unsigned int)archive_entry_rdevminor(e)));
	if (str_eq(type, "file")) {
		must(str_printf(text, " %" PRId64, (int64_t)archive_entry_size(e)));
		crc = content_crc(a);
		if (crc)
			must(str_printf(text, " crc=%016" PRIx64, crc));
	}
	must(str_putc(text, '\n'));
}

static void list_by_libarchive(const char *tar, size_t len, struct str *text)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int r;

	assert_non_null(a);
	assert_int_equal(archive_read_support_format_tar(a), ARCHIVE_OK);
	assert_int_equal(archive_read_open_memory(a, tar, len), ARCHIVE_OK);
	for (;;) {
		r = archive_read_next_header(a, &e);
		if (r == ARCHIVE_EOF)
			break;
		if (r < ARCHIVE_WARN)
			fail_msg("libarchive: %s", archive_error_string(a));
		list_entry(a, e, text);
	}
	must(str_puts(text, "end\n"));
	(void)archive_read_free(a);
}

/* libarchive knows no whiteouts and gives xattrs elsewhere: bring our listing to its terms. */
static void to_its_terms(const char *listing, struct str *ret)
{
	while (*listing) {
		size_t len = strcspn(listing, "\n");
		char line[16384];
		char *xattr;
		char *size;

		assert_true(len < sizeof(line));
		memcpy(line, listing, len);
		line[len] = '\0';
		listing += len + 1;
		xattr = strstr(line, " user.");
		size = xattr ? strstr(xattr, " 2 crc") : NULL;
		if (size)
			memmove(xattr, size, strlen(size) + 1);
		if (strncmp(line, "whiteout gone/", 14) == 0)
			must(str_printf(ret, "file gone/.wh.%s 0\n", line + 14));
		else if (strncmp(line, "opaque gone", 11) == 0)
			must(str_printf(ret, "file gone/.wh..wh..opq%s 0\n", line + 11));
		else
			must(str_printf(ret, "%s\n", line));
	}
}

static void test_libarchive_sees_the_same_entries(UNUSED void **state)
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < found.gl_pathc; i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		AUTO_STR theirs = STR_INIT(TEXT_MAX);
		AUTO_STR ours = STR_INIT(TEXT_MAX);
		struct outcome o;

		if (is_different(found.gl_pathv[i], /* rewritten= */ false))
			continue;
		read_whole(found.gl_pathv[i], &tar);
		run_tar(&o, tar.data, tar.len, tar.len, false);
		assert_int_equal(o.status, 0);
		to_its_terms(str_text(&o.listing), &ours);
		list_by_libarchive(tar.data, tar.len, &theirs);
		if (strcmp(str_text(&ours), str_text(&theirs)) != 0)
			fail_msg("%s: we see\n%slibarchive sees\n%s", found.gl_pathv[i],
				str_text(&ours), str_text(&theirs));
		outcome_done(&o);
		n++;
	}
	assert_true(n > 15);
}

static void test_libarchive_reads_what_we_write(UNUSED void **state)
{
	const struct tar_writer_opts opts = { .keep_nsec = true };
	size_t i;

	for (i = 0; i < found.gl_pathc; i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		AUTO_STR again = STR_INIT(TEXT_MAX);
		AUTO_STR theirs = STR_INIT(TEXT_MAX);
		AUTO_STR ours = STR_INIT(TEXT_MAX);
		struct entry_sink *writer;
		struct sink *reader;
		struct imbrex_error err;
		struct outcome first;
		struct outcome second;

		read_whole(found.gl_pathv[i], &tar);
		must(tar_writer_new(text_sink_new(&again), &opts, &writer, NULL));
		must(tar_reader_new(writer, NULL, &reader, NULL));
		if (push_all(reader, tar.data, tar.len, 999, &err) < 0)
			fail_msg("%s: %s", found.gl_pathv[i], err.message);
		run_tar(&first, tar.data, tar.len, tar.len, false);
		run_tar(&second, again.data, again.len, again.len, false);
		assert_string_equal(str_text(&first.listing), str_text(&second.listing));
		to_its_terms(str_text(&second.listing), &ours);
		list_by_libarchive(again.data, again.len, &theirs);
		if (!is_different(found.gl_pathv[i], /* rewritten= */ true))
			assert_string_equal(str_text(&ours), str_text(&theirs));
		outcome_done(&first);
		outcome_done(&second);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libarchive_sees_the_same_entries),
		cmocka_unit_test(test_libarchive_reads_what_we_write),
	};
	char pattern[4096];
	int r;

	if (argc != 2)
		return 2;
	vectors = argv[1];
	if (!setlocale(LC_CTYPE, "C.UTF-8")) {
		(void)puts("skipped: libarchive needs the locale C.UTF-8 for names of pax headers");
		return 77;
	}
	(void)snprintf(pattern, sizeof(pattern), "%s/*/*.tar", vectors);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 1;
	r = cmocka_run_group_tests_name("tar by libarchive", tests, NULL, NULL);
	globfree(&found);
	return r;
}
