/* SPDX-License-Identifier: Apache-2.0 */
/* Whole replacement of a file. */
#include "os/atomic.h"

#include <dirent.h>

#include "scratch.h"

static unsigned int count_entries(int dirfd)
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY));
	unsigned int n = 0;
	struct dirent *de;

	assert_non_null(dir);
	for (de = readdir(dir); de; de = readdir(dir))
		n += de->d_name[0] != '.' || strlen(de->d_name) > 2;
	(void)closedir(dir);
	return n;
}

static void a_file_is_replaced_with_its_mode(void **state)
{
	static const enum atomic_sync syncs[] = { ATOMIC_SYNC, ATOMIC_SYNC_FILE, ATOMIC_VOLATILE };
	const struct scratch *s = *state;
	size_t i;

	scratch_file(s->fd, "f", "old and longer");
	for (i = 0; i < ARRAY_LEN(syncs); i++) {
		struct imbrex_error err = { 0 };
		struct stat told;
		struct stat is;

		assert_int_equal(
			atomic_write_at(s->fd, "f", 0666, "new", 3, syncs[i], &told, &err), 0);
		scratch_expect(s->fd, "f", "new");
		assert_int_equal(fstatat(s->fd, "f", &is, 0), 0);
		assert_int_equal(is.st_mode & 07777, 0666);
		assert_int_equal(is.st_ino, told.st_ino);
		assert_int_equal(is.st_mtim.tv_nsec, told.st_mtim.tv_nsec);
		assert_int_equal(count_entries(s->fd), 1);
	}
}

static void an_abort_leaves_the_old_file_and_no_other(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };

	scratch_file(s->fd, "f", "old");
	{
		AUTO_ATOMIC_FILE f = ATOMIC_FILE_INIT;

		assert_int_equal(atomic_file_open(&f, s->fd, "f", &err), 0);
		assert_int_equal(strncmp(f.temp, ".tmp-f", 6), 0);
		assert_int_equal(strlen(f.temp), 16);
		assert_int_equal(atomic_file_write(&f, "new", 3, &err), 0);
		assert_int_equal(count_entries(s->fd), 2);
	}
	scratch_expect(s->fd, "f", "old");
	assert_int_equal(count_entries(s->fd), 1);
}

static void a_failed_rename_leaves_no_temporary(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };

	assert_int_equal(mkdirat(s->fd, "dir", 0700), 0);
	assert_true(atomic_write_at(s->fd, "dir", 0600, "x", 1, ATOMIC_SYNC, NULL, &err) < 0);
	assert_string_equal(err.message, "write 'dir': rename into place: Is a directory");
	assert_int_equal(count_entries(s->fd), 1);
}

static void the_longest_name_works_and_paths_do_not(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	char name[NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[NAME_MAX] = '\0';
	assert_int_equal(atomic_write_at(s->fd, name, 0600, "x", 1, ATOMIC_SYNC, NULL, &err), 0);
	scratch_expect(s->fd, name, "x");
	assert_int_equal(atomic_write_at(s->fd, "a/b", 0600, "x", 1, ATOMIC_SYNC, NULL, &err),
		IMBREX_EINVAL);
	assert_string_equal(err.message, "write 'a/b': not the name of a file");
}

int main(void)
{
	const struct CMUnitTest group[] = {
		scratch_test(a_file_is_replaced_with_its_mode),
		scratch_test(an_abort_leaves_the_old_file_and_no_other),
		scratch_test(a_failed_rename_leaves_no_temporary),
		scratch_test(the_longest_name_works_and_paths_do_not),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
