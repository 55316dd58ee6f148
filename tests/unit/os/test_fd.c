/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads, writes, copies, and small files by name. */
#include "os/fd.h"

#include "base/str.h"
#include "os/clock.h"
#include "scratch.h"

static void a_file_reads_back_what_was_written(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_STR text = STR_INIT(0);

	assert_int_equal(write_file_at(s->fd, "f", 0600, "hello", 5, &err), 0);
	assert_int_equal(read_file_at(s->fd, "f", 5, &text, &err), 0);
	assert_string_equal(text.data, "hello");
}

static void a_large_file_is_read_whole_and_appended(void **state)
{
	const struct scratch *s = *state;
	AUTO_STR text = STR_INIT(16);
	AUTO_FREE char *big = malloc(300000);
	struct imbrex_error err = { 0 };

	assert_non_null(big);
	memset(big, 'x', 300000);
	assert_int_equal(str_puts(&text, "head"), 0);
	assert_int_equal(write_file_at(s->fd, "f", 0600, big, 300000, &err), 0);
	assert_int_equal(read_file_at(s->fd, "f", 300000, &text, &err), 0);
	assert_int_equal(text.len, 300004);
	assert_memory_equal(text.data, "headxxxx", 8);
}

static void what_is_no_small_regular_file_is_refused(void **state)
{
	static const struct {
		const char *name;
		int status;
		const char *message;
	} cases[] = {
		{ "big", IMBREX_ELIMIT, "'big' is larger than 4 bytes" },
		{ "fifo", IMBREX_EFORMAT, "'fifo' is not a regular file" },
		{ "dir", IMBREX_EFORMAT, "'dir' is not a regular file" },
		{ "link", IMBREX_EFORMAT, "'link' is a symbolic link" },
		{ "none", IMBREX_ENOENT, "open 'none': No such file or directory" },
	};
	const struct scratch *s = *state;
	size_t i;

	scratch_file(s->fd, "big", "12345");
	assert_int_equal(mkfifoat(s->fd, "fifo", 0600), 0);
	assert_int_equal(mkdirat(s->fd, "dir", 0700), 0);
	assert_int_equal(symlinkat("big", s->fd, "link"), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_STR text = STR_INIT(0);

		assert_int_equal(
			read_file_at(s->fd, cases[i].name, 4, &text, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
		assert_int_equal(text.len, 0);
	}
}

static void writing_does_not_go_through_a_link_or_into_a_fifo(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };

	scratch_file(s->fd, "victim", "old");
	assert_int_equal(symlinkat("victim", s->fd, "link"), 0);
	assert_int_equal(mkfifoat(s->fd, "fifo", 0600), 0);
	assert_true(write_file_at(s->fd, "link", 0600, "new", 3, &err) < 0);
	scratch_expect(s->fd, "victim", "old");
	assert_true(write_file_at(s->fd, "fifo", 0600, "new", 3, &err) < 0);
	assert_string_equal(err.message, "create 'fifo': No such device or address");
}

static void a_copy_has_exactly_the_asked_bytes(void **state)
{
	const struct scratch *s = *state;
	AUTO_CLOSE int from = -EBADF;
	AUTO_CLOSE int to = -EBADF;

	scratch_file(s->fd, "from", "0123456789");
	from = openat(s->fd, "from", O_RDONLY | O_CLOEXEC);
	to = openat(s->fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(copy_fd_range(from, to, 4), 0);
	assert_int_equal(copy_fd_range(from, to, 6), 0);
	scratch_expect(s->fd, "to", "0123456789");
	assert_int_equal(lseek(from, 0, SEEK_CUR), 10);
	assert_int_equal(copy_fd_range(from, to, 1), -ENODATA);
}

static void a_copy_into_a_pipe_works_without_copy_file_range(void **state)
{
	const struct scratch *s = *state;
	AUTO_CLOSE int from = -EBADF;
	char buf[8] = "";
	int ends[2];

	scratch_file(s->fd, "from", "0123");
	from = openat(s->fd, "from", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(copy_fd_range(from, ends[1], 4), 0);
	assert_int_equal(read(ends[0], buf, sizeof(buf)), 4);
	assert_string_equal(buf, "0123");
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void mkdirs_makes_what_is_missing_and_keeps_what_is_there(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	struct stat st;

	assert_int_equal(mkdirat(s->fd, "a", 0755), 0);
	assert_int_equal(mkdirs_at(s->fd, "a//b/c/", 0700, &err), 0);
	assert_int_equal(mkdirs_at(s->fd, "a/b/c", 0755, &err), 0);
	assert_int_equal(fstatat(s->fd, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(fstatat(s->fd, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	scratch_file(s->fd, "file", "");
	assert_true(mkdirs_at(s->fd, "file/x", 0700, &err) < 0);
	assert_string_equal(err.message, "create directory 'file': Not a directory");
}

static void the_kind_of_a_name_is_its_own(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_STR target = STR_INIT(100);

	assert_int_equal(symlinkat("nowhere", s->fd, "link"), 0);
	assert_true(is_symlink_at(s->fd, "link"));
	assert_true(exists_at(s->fd, "link"));
	assert_false(is_file_at(s->fd, "link"));
	assert_false(is_dir_at(s->fd, "link"));
	assert_false(exists_at(s->fd, "nowhere"));
	assert_true(is_dir_at(s->fd, "."));
	assert_int_equal(read_link_at(s->fd, "link", &target, &err), 0);
	assert_string_equal(target.data, "nowhere");
	assert_int_equal(read_link_at(s->fd, ".", &target, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "'.' is not a symbolic link");
}

static void a_boot_has_one_id(void **state)
{
	struct imbrex_error err = { 0 };
	char a[BOOT_ID_LEN + 1];
	char b[BOOT_ID_LEN + 1];

	assert_int_equal(read_boot_id(a, &err), 0);
	assert_int_equal(read_boot_id(b, &err), 0);
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), BOOT_ID_LEN);
	assert_true(now_realtime_ns() > 1000000000ull * 1600000000ull);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		scratch_test(a_file_reads_back_what_was_written),
		scratch_test(a_large_file_is_read_whole_and_appended),
		scratch_test(what_is_no_small_regular_file_is_refused),
		scratch_test(writing_does_not_go_through_a_link_or_into_a_fifo),
		scratch_test(a_copy_has_exactly_the_asked_bytes),
		scratch_test(a_copy_into_a_pipe_works_without_copy_file_range),
		scratch_test(mkdirs_makes_what_is_missing_and_keeps_what_is_there),
		scratch_test(the_kind_of_a_name_is_its_own),
		cmocka_unit_test(a_boot_has_one_id),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
