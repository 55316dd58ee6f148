/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes by directory fd and name. */
#include "os/xattr.h"

#include "base/str.h"
#include "scratch.h"

static void a_value_of_any_size_comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 256, 257, 3000 };
	const struct scratch *s = *state;
	char value[3000];
	size_t i;

	memset(value, 'v', sizeof(value));
	scratch_file(s->fd, "f", "");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		AUTO_STR got = STR_INIT(65536);

		assert_int_equal(setxattr_at(s->fd, "f", "user.a", value, sizes[i]), 0);
		assert_int_equal(getxattr_at(s->fd, "f", "user.a", &got), 0);
		assert_int_equal(got.len, sizes[i]);
		assert_memory_equal(str_text(&got), value, sizes[i]);
	}
	assert_int_equal(removexattr_at(s->fd, "f", "user.a"), 0);
	assert_int_equal(removexattr_at(s->fd, "f", "user.a"), -ENODATA);
}

static void a_link_has_attributes_of_its_own(void **state)
{
	const struct scratch *s = *state;
	AUTO_STR got = STR_INIT(65536);

	scratch_file(s->fd, "f", "");
	assert_int_equal(symlinkat("f", s->fd, "link"), 0);
	assert_int_equal(setxattr_at(s->fd, "f", "user.a", "x", 1), 0);
	assert_int_equal(getxattr_at(s->fd, "link", "user.a", &got), -ENODATA);
	assert_int_equal(setxattr_at(s->fd, "link", "user.a", "x", 1), -EPERM);
	if (geteuid() == 0)
		assert_int_equal(setxattr_at(s->fd, "link", "trusted.t", "y", 1), 0);
	assert_int_equal(getxattr_at(s->fd, "f", "trusted.t", &got), -ENODATA);
}

static void the_directory_and_path_only_fds_work(void **state)
{
	const struct scratch *s = *state;
	AUTO_STR got = STR_INIT(65536);
	AUTO_STR names = STR_INIT(65536);
	AUTO_CLOSE int fd = -EBADF;

	scratch_file(s->fd, "f", "");
	assert_int_equal(setxattr_at(s->fd, "", "user.dir", "d", 1), 0);
	fd = openat(s->fd, "f", O_PATH | O_CLOEXEC);
	assert_int_equal(setxattr_at(fd, "", "user.b", "1", 1), 0);
	assert_int_equal(getxattr_at(s->fd, "f", "user.b", &got), 0);
	assert_string_equal(str_text(&got), "1");
	assert_int_equal(listxattr_at(s->fd, "f", &names), 0);
	assert_memory_equal(str_text(&names), "user.b", sizeof("user.b"));
}

static void a_path_is_no_name(void **state)
{
	const struct scratch *s = *state;

	assert_int_equal(setxattr_at(s->fd, "a/b", "user.a", "", 0), -EINVAL);
	assert_int_equal(setxattr_at(s->fd, ".", "user.a", "", 0), -EINVAL);
	assert_int_equal(setxattr_at(s->fd, "none", "user.a", "", 0), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		scratch_test(a_value_of_any_size_comes_back),
		scratch_test(a_link_has_attributes_of_its_own),
		scratch_test(the_directory_and_path_only_fds_work),
		scratch_test(a_path_is_no_name),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
