/* SPDX-License-Identifier: Apache-2.0 */
/* Users of a hostile image: the grammar of a user, odd lines, and files that are no files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/limits.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "run/passwd.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# a comment\n"
			     "\n"
			     "short:x:5\n"
			     "neg:x:-1:0::/:/bin/sh\n"
			     "huge:x:4294967296:0::/:/bin/sh\n"
			     "minus1:x:4294967295:0::/:/bin/sh\n"
			     ":x:7:7::/:/bin/sh\n"
			     "bob:x:1000:1001:Bob,,,:/home/bob:/bin/sh\n"
			     "bob:x:0:0:second:/evil:/bin/sh\n"
			     "rel:x:1002:1002::home/rel:/bin/sh\n"
			     "extra:x:1003:1003::/home/extra:/bin/sh:more:fields\n"
			     "last:x:1004:1004::/home/last:/bin/sh";
static const char group[] = "root:x:0:\n"
			    "wheel:x:10:root,bob\n"
			    "bo:x:11:bo,bobby,xbob\n"
			    "bad:x:zz:bob\n"
			    "audio:x:29:alice,bob,carol\n"
			    "nomembers:x:30\n"
			    "staff:x:50:bob";

static int resolve(const char *spec, struct run_user *ret, struct imbrex_error *err)
{
	return run_user_resolve(
		spec, passwd, sizeof(passwd) - 1, group, sizeof(group) - 1, ret, err);
}

static void users_are_found_by_name_and_number(void **state)
{
	static const struct {
		const char *spec;
		uid_t uid;
		gid_t gid;
		size_t n_groups;
		const char *home;
	} cases[] = {
		{ "root", 0, 0, 1, "/root" },
		{ "0", 0, 0, 1, "/root" },
		{ "bob", 1000, 1001, 3, "/home/bob" },
		{ "1000", 1000, 1001, 3, "/home/bob" },
		{ "bob:wheel", 1000, 10, 0, "/home/bob" },
		{ "bob:77", 1000, 77, 0, "/home/bob" },
		{ "4294967294:4294967294", 4294967294u, 4294967294u, 0, NULL },
		{ "555", 555, 0, 0, NULL },
		{ "00555", 555, 0, 0, NULL },
		{ "rel", 1002, 1002, 0, NULL },
		{ "extra", 1003, 1003, 0, "/home/extra" },
		{ "last", 1004, 1004, 0, "/home/last" },
		{ "0:nomembers", 0, 30, 0, "/root" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_RUN_USER u = { 0 };

		print_message("%s\n", cases[i].spec);
		assert_int_equal(resolve(cases[i].spec, &u, &err), 0);
		assert_int_equal(u.uid, cases[i].uid);
		assert_int_equal(u.gid, cases[i].gid);
		assert_int_equal(u.n_groups, cases[i].n_groups);
		if (cases[i].home)
			assert_string_equal(u.home, cases[i].home);
		else
			assert_null(u.home);
	}
}

static void supplementary_groups_match_whole_names(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER u = { 0 };

	assert_int_equal(resolve("bob", &u, &err), 0);
	assert_int_equal(u.groups[0], 10);
	assert_int_equal(u.groups[1], 29);
	assert_int_equal(u.groups[2], 50);
}

static void users_that_cannot_be_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *spec;
		int status;
		const char *message;
	} cases[] = {
		{ "", IMBREX_EINVAL, "user '' is not USER or USER:GROUP" },
		{ ":", IMBREX_EINVAL, "user ':' is not USER or USER:GROUP" },
		{ ":0", IMBREX_EINVAL, "user ':0' is not USER or USER:GROUP" },
		{ "0:", IMBREX_EINVAL, "user '0:' is not USER or USER:GROUP" },
		{ "0:0:0", IMBREX_EINVAL, "user '0:0:0' is not USER or USER:GROUP" },
		{ "4294967295", IMBREX_EINVAL, "user id '4294967295' is not below 4294967295" },
		{ "18446744073709551616", IMBREX_EINVAL,
			"user id '18446744073709551616' is not below 4294967295" },
		{ "0:4294967296", IMBREX_EINVAL, "group id '4294967296' is not below 4294967295" },
		{ "-1", IMBREX_ENOENT, "user '-1' is not in /etc/passwd of the image" },
		{ "+0", IMBREX_ENOENT, "user '+0' is not in /etc/passwd of the image" },
		{ "0x0", IMBREX_ENOENT, "user '0x0' is not in /etc/passwd of the image" },
		{ " root", IMBREX_ENOENT, "user ' root' is not in /etc/passwd of the image" },
		{ "nobody", IMBREX_ENOENT, "user 'nobody' is not in /etc/passwd of the image" },
		{ "minus1", IMBREX_ENOENT, "user 'minus1' is not in /etc/passwd of the image" },
		{ "huge", IMBREX_ENOENT, "user 'huge' is not in /etc/passwd of the image" },
		{ "neg", IMBREX_ENOENT, "user 'neg' is not in /etc/passwd of the image" },
		{ "short", IMBREX_ENOENT, "user 'short' is not in /etc/passwd of the image" },
		{ "root:nogroup", IMBREX_ENOENT,
			"group 'nogroup' is not in /etc/group of the image" },
		{ "root:bad", IMBREX_ENOENT, "group 'bad' is not in /etc/group of the image" },
		{ "ro\not", IMBREX_ENOENT, "user 'ro?ot' is not in /etc/passwd of the image" },
		{ "$(id)", IMBREX_ENOENT, "user '$(id)' is not in /etc/passwd of the image" },
	};
	struct imbrex_error err;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_RUN_USER u = { 0 };

		err = (struct imbrex_error){ 0 };
		assert_int_equal(resolve(cases[i].spec, &u, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void a_user_text_of_kilobytes_is_refused(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER u = { 0 };
	char spec[4096];

	memset(spec, 'a', sizeof(spec));
	spec[sizeof(spec) - 1] = '\0';
	assert_int_equal(resolve(spec, &u, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "user has more than 513 bytes");
}

static void lines_with_nul_bytes_and_no_files_at_all_are_passed_over(void **state)
{
	static const char nul[] = "ev\0il:x:0:0::/:/bin/sh\nevil:x:9:9::/:/x\n";
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER u = { 0 };

	assert_int_equal(run_user_resolve("evil", nul, sizeof(nul) - 1, NULL, 0, &u, &err), 0);
	assert_int_equal(u.uid, 9);
	run_user_done(&u);
	assert_int_equal(run_user_resolve("0", NULL, 0, NULL, 0, &u, &err), 0);
	assert_int_equal(run_user_resolve("root", NULL, 0, NULL, 0, &u, &err), IMBREX_ENOENT);
}

static void a_bomb_of_groups_meets_the_limit(void **state)
{
	static const char me[] = "u:x:1:1::/:/bin/sh\n";
	static char text[70000 * 9 + 1];
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER u = { 0 };
	size_t i;

	for (i = 0; i < 70000; i++)
		memcpy(text + i * 9, "g:x:100:u", 9);
	for (i = 0; i < 70000; i++)
		text[i * 9 + 6] = '\n'; /* cut to "g:x:10" and ":u" lines: none counts */
	assert_int_equal(
		run_user_resolve("u", me, sizeof(me) - 1, text, sizeof(text) - 1, &u, &err), 0);
	assert_int_equal(u.n_groups, 0);
	run_user_done(&u);
	for (i = 0; i < 70000; i++)
		memcpy(text + i * 9, "g:x:10:u\n", 9);
	assert_int_equal(
		run_user_resolve("u", me, sizeof(me) - 1, text, sizeof(text) - 1, &u, &err),
		IMBREX_ELIMIT);
	assert_string_equal(err.message, "user 'u' is in more than 65536 groups");
}

struct rootdir {
	char path[64];
	int fd;
};

static int make_root(void **state)
{
	static struct rootdir root;

	(void)snprintf(root.path, sizeof(root.path), "/tmp/imbrex-passwd-XXXXXX");
	assert_non_null(mkdtemp(root.path));
	root.fd = open(root.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root.fd, "etc", 0755), 0);
	*state = &root;
	return 0;
}

static int remove_root(void **state)
{
	struct rootdir *root = *state;
	AUTO_CLOSE int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct imbrex_error err;

	(void)close(root->fd);
	assert_int_equal(remove_tree_at(tmp, strrchr(root->path, '/') + 1, &err), 0);
	return 0;
}

static void expect_lookup(int fd, int status, const char *message)
{
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER u = { 0 };

	assert_int_equal(run_user_lookup(fd, "0:0", &u, &err), status);
	assert_string_equal(err.message, message);
}

static void a_fifo_as_passwd_is_refused_and_never_waits(void **state)
{
	struct rootdir *root = *state;

	assert_int_equal(mkfifoat(root->fd, "etc/passwd", 0644), 0);
	expect_lookup(root->fd, IMBREX_EFORMAT, "'/etc/passwd' of the image is not a regular file");
}

static void a_directory_as_group_is_refused(void **state)
{
	struct rootdir *root = *state;

	assert_int_equal(mkdirat(root->fd, "etc/group", 0755), 0);
	expect_lookup(root->fd, IMBREX_EFORMAT, "'/etc/group' of the image is not a regular file");
}

static void a_passwd_of_gigabytes_is_refused_unread(void **state)
{
	struct rootdir *root = *state;
	int fd = openat(root->fd, "etc/passwd", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_int_equal(ftruncate(fd, 1ll << 32), 0);
	(void)close(fd);
	expect_lookup(
		root->fd, IMBREX_ELIMIT, "'/etc/passwd' of the image has more than 1048576 bytes");
}

static void a_link_to_a_host_file_stays_inside(void **state)
{
	struct rootdir *root = *state;
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER u = { 0 };

	/* On the machine both exist and name root; inside they dangle: no such file. */
	assert_int_equal(symlinkat("../../../../../../etc/passwd-", root->fd, "etc/passwd"), 0);
	assert_int_equal(symlinkat("/proc/self/root/etc/group", root->fd, "etc/group"), 0);
	assert_int_equal(run_user_lookup(root->fd, "root", &u, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "user 'root' is not in /etc/passwd of the image");
}

static void a_link_to_itself_is_an_error(void **state)
{
	struct rootdir *root = *state;

	assert_int_equal(symlinkat("passwd", root->fd, "etc/passwd"), 0);
	expect_lookup(root->fd, IMBREX_EFAIL,
		"open '/etc/passwd' of the image: Too many levels of symbolic links");
}

static void a_link_inside_is_followed(void **state)
{
	struct rootdir *root = *state;
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER u = { 0 };

	assert_int_equal(write_file_at(root->fd, "real", 0644, "x:x:8:9::/h:/s\n", 15, &err), 0);
	assert_int_equal(symlinkat("/real", root->fd, "etc/passwd"), 0);
	assert_int_equal(run_user_lookup(root->fd, "x", &u, &err), 0);
	assert_int_equal(u.gid, 9);
}

#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_found_by_name_and_number),
		cmocka_unit_test(supplementary_groups_match_whole_names),
		cmocka_unit_test(users_that_cannot_be_are_refused_with_a_reason),
		cmocka_unit_test(a_user_text_of_kilobytes_is_refused),
		cmocka_unit_test(lines_with_nul_bytes_and_no_files_at_all_are_passed_over),
		cmocka_unit_test(a_bomb_of_groups_meets_the_limit),
		IN_ROOT(a_fifo_as_passwd_is_refused_and_never_waits),
		IN_ROOT(a_directory_as_group_is_refused),
		IN_ROOT(a_passwd_of_gigabytes_is_refused_unread),
		IN_ROOT(a_link_to_a_host_file_stays_inside),
		IN_ROOT(a_link_to_itself_is_an_error),
		IN_ROOT(a_link_inside_is_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
