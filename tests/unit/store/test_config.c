/* SPDX-License-Identifier: Apache-2.0 */
/* storage.conf, its drop-ins, its environment and the command line: who has the last word. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/beneath.h"
#include "store/config.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static char *dir; /* a fresh one for each test; HOME and XDG_CONFIG_HOME lie in it */

static char *at(const char *name)
{
	char *path = format_text("%s/%s", dir, name);

	assert_non_null(path);
	return path;
}

static void put_file(const char *name, const char *text)
{
	AUTO_FREE char *path = at(name);
	char *slash;
	FILE *f;

	for (slash = strchr(path + strlen(dir) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	const char *base = getenv("TMPDIR");
	AUTO_FREE char *config = NULL;

	dir = format_text("%s/imbrex-config-XXXXXX", base ? base : "/tmp");
	if (!dir || !mkdtemp(dir))
		return -1;
	config = at("config");
	(void)unsetenv("CONTAINERS_STORAGE_CONF");
	(void)unsetenv("CONTAINERS_STORAGE_CONF_OVERRIDE");
	(void)unsetenv("STORAGE_DRIVER");
	(void)unsetenv("STORAGE_OPTS");
	(void)unsetenv("XDG_DATA_HOME");
	(void)unsetenv("XDG_RUNTIME_DIR");
	return setenv("HOME", dir, 1) < 0 || setenv("XDG_CONFIG_HOME", config, 1) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct imbrex_error err = { 0 };
	char *name = strrchr(dir, '/');
	AUTO_CLOSE int base = -EBADF;
	int r;

	*name++ = '\0';
	base = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remove_tree_at(base, name, &err);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	free(dir);
	return r;
}

static void load(const struct storage_config_request *request, struct storage_config *ret)
{
	struct imbrex_error err = { 0 };

	if (storage_config_load(request, ret, &err) < 0)
		fail_msg("%s", err.message);
}

static void expect_options(const struct storage_config *c, const char *want)
{
	AUTO_STR text = STR_INIT(4096);
	size_t i;

	for (i = 0; i < c->driver_options.n; i++)
		assert_int_equal(
			str_printf(&text, "%s%s", i ? " " : "", c->driver_options.items[i]), 0);
	assert_string_equal(str_text(&text), want);
}

static void a_named_file_says_everything(void **state)
{
	AUTO_FREE char *path = at("my.conf");
	struct storage_config c = { 0 };

	put_file("my.conf", "[storage]\n"
			    "driver = \"overlay2\"\n"
			    "graphroot = \"/g\"\n"
			    "runroot = '/r'\n"
			    "driver_priority = [\"vfs\", \"overlay\"]\n"
			    "transient_store = false\n"
			    "unknown = {a = 1}\n"
			    "[storage.options]\n"
			    "size = \"1G\"\n"
			    "disable-volatile = true\n"
			    "additionalimagestores = [\"/a\", \"/b\"]\n"
			    "[storage.options.overlay]\n"
			    "mountopt = \"nodev\"\n"
			    "force_mask = \"0755\"\n"
			    "[storage.options.vfs]\n"
			    "ignore_chown_errors = \"true\"\n");
	load(&(struct storage_config_request){ .config_file = path }, &c);
	assert_string_equal(c.driver, "overlay");
	assert_string_equal(c.graphroot, "/g");
	assert_string_equal(c.runroot, "/r");
	assert_true(c.disable_volatile);
	assert_int_equal(c.driver_priority.n, 2);
	assert_string_equal(c.driver_priority.items[0], "vfs");
	expect_options(&c, "imagestore=/a imagestore=/b size=1G overlay.mountopt=nodev "
			   "overlay.force_mask=0755");
	assert_string_equal(c.sources.items[0], path);
	assert_int_equal(c.sources.n, 1);
	storage_config_done(&c);
}

static void the_environment_beats_the_file_and_the_command_line_beats_both(void **state)
{
	static const char *const options[] = { "overlay.mountopt=ro", NULL };
	AUTO_FREE char *path = at("my.conf");
	struct storage_config c = { 0 };

	put_file("my.conf", "[storage]\ndriver=\"btrfs\"\ngraphroot=\"/g\"\nrunroot=\"/r\"\n"
			    "[storage.options]\nmountopt=\"x\"\n");
	assert_int_equal(setenv("CONTAINERS_STORAGE_CONF", path, 1), 0);
	assert_int_equal(setenv("STORAGE_DRIVER", "vfs", 1), 0);
	load(&(struct storage_config_request){ 0 }, &c);
	assert_string_equal(c.driver, "vfs");
	assert_string_equal(c.graphroot, "/g");
	expect_options(&c, "mountopt=x");
	storage_config_done(&c);
	assert_int_equal(setenv("STORAGE_OPTS", "a=1,overlay.b=2", 1), 0);
	load(&(struct storage_config_request){ .driver = "overlay", .graphroot = "/other" }, &c);
	assert_string_equal(c.driver, "overlay");
	assert_string_equal(c.graphroot, "/other");
	assert_string_equal(c.runroot, "/r");
	expect_options(&c, "a=1 overlay.b=2");
	storage_config_done(&c);
	load(&(struct storage_config_request){ .options = options }, &c);
	expect_options(&c, "overlay.mountopt=ro");
	storage_config_done(&c);
}

static void the_table_of_zfs_has_a_size(void **state)
{
	AUTO_FREE char *path = at("my.conf");
	struct storage_config c = { 0 };

	put_file("my.conf", "[storage]\ndriver=\"zfs\"\ngraphroot=\"/g\"\nrunroot=\"/r\"\n"
			    "[storage.options.zfs]\nsize=\"10G\"\nfsname=\"tank/a\"\n"
			    "mountopt=\"nodev\"\n");
	assert_int_equal(setenv("CONTAINERS_STORAGE_CONF", path, 1), 0);
	load(&(struct storage_config_request){ 0 }, &c);
	expect_options(&c, "zfs.fsname=tank/a zfs.mountopt=nodev zfs.size=10G");
	storage_config_done(&c);
}

static void drop_ins_change_single_keys_in_the_order_of_their_names(void **state)
{
	struct storage_config c = { 0 };

	put_file("config/containers/storage.conf",
		"[storage]\ndriver=\"overlay\"\ngraphroot=\"/g\"\nrunroot=\"/r\"\n"
		"[storage.options]\nadditionalimagestores=[\"/one\"]\n"
		"[storage.options.overlay]\nmountopt=\"first\"\nsize=\"5\"\n");
	put_file("config/containers/storage.conf.d/20-b.conf", "[storage]\nrunroot=\"/r20\"\n");
	put_file("config/containers/storage.conf.d/10-a.conf",
		"[storage]\nrunroot=\"/r10\"\n"
		"[storage.options]\nadditionalimagestores=[\"/two\", {append=true}]\n"
		"[storage.options.overlay]\nmountopt=\"second\"\n");
	put_file("config/containers/storage.conf.d/30-c.txt", "this is not read");
	load(&(struct storage_config_request){ 0 }, &c);
	assert_string_equal(c.graphroot, "/g");
	assert_string_equal(c.runroot, "/r20");
	expect_options(&c, "imagestore=/one imagestore=/two overlay.size=5 "
			   "overlay.mountopt=second");
	storage_config_done(&c);
}

static void an_override_file_is_read_last_even_behind_a_named_one(void **state)
{
	AUTO_FREE char *path = at("my.conf");
	AUTO_FREE char *over = at("over.conf");
	struct storage_config c = { 0 };

	put_file("my.conf", "[storage]\ndriver=\"vfs\"\ngraphroot=\"/g\"\nrunroot=\"/r\"\n");
	put_file("over.conf", "[storage]\ngraphroot=\"/h\"\n");
	assert_int_equal(setenv("CONTAINERS_STORAGE_CONF_OVERRIDE", over, 1), 0);
	load(&(struct storage_config_request){ .config_file = path }, &c);
	assert_string_equal(c.graphroot, "/h");
	assert_string_equal(c.runroot, "/r");
	assert_int_equal(c.sources.n, 2);
	storage_config_done(&c);
}

static void configured_paths_expand_variables_and_given_ones_do_not(void **state)
{
	AUTO_FREE char *path = at("my.conf");
	AUTO_FREE char *want = at("x/1234");
	struct storage_config c = { 0 };

	put_file("my.conf", "[storage]\ngraphroot=\"$HOME/x/${UID}\"\nrunroot=\"/r$NOT_SET\"\n");
	load(&(struct storage_config_request){ .config_file = path, .uid = 1234 }, &c);
	assert_string_equal(c.graphroot, want);
	assert_string_equal(c.runroot, "/r");
	storage_config_done(&c);
	load(&(struct storage_config_request){ .config_file = path, .graphroot = "/$HOME" }, &c);
	assert_string_equal(c.graphroot, "/$HOME");
	storage_config_done(&c);
}

static void given_paths_that_do_not_exist_lose_dots_and_doubled_slashes(void **state)
{
	static const struct {
		const char *given, *want;
	} cases[] = {
		{ "/nosuch/./a//b/", "/nosuch/a/b" },
		{ "/nosuch/a/../b", "/nosuch/b" },
		{ "/../../nosuch", "/nosuch" },
		{ "/nosuch/..", "/" },
		{ "//nosuch/...", "/nosuch/..." },
	};
	AUTO_FREE char *path = at("none.conf");
	AUTO_FREE char *cwd = realpath(".", NULL);
	AUTO_FREE char *want = format_text("%s/nosuch/a", cwd);
	struct storage_config_request request = { .config_file = path, .runroot = "/r" };
	struct storage_config c = { 0 };
	size_t i;

	put_file("none.conf", "");
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		request.graphroot = cases[i].given;
		load(&request, &c);
		assert_string_equal(c.graphroot, cases[i].want);
		storage_config_done(&c);
	}
	request.graphroot = "./nosuch/./a";
	load(&request, &c);
	assert_string_equal(c.graphroot, want);
	storage_config_done(&c);
}

static void a_user_without_a_file_gets_directories_of_his_own(void **state)
{
	AUTO_FREE char *graph = at(".local/share/containers/storage");
	AUTO_FREE char *run = at("run/containers");
	AUTO_FREE char *runtime = at("run");
	AUTO_FREE char *path = at("empty.conf");
	struct storage_config c = { 0 };

	put_file("empty.conf", "");
	assert_int_equal(mkdir(runtime, 0700), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
	load(&(struct storage_config_request){ .config_file = path, .rootless = true, .uid = 1234 },
		&c);
	assert_string_equal(c.graphroot, graph);
	assert_string_equal(c.runroot, run);
	storage_config_done(&c);
	put_file("empty.conf", "[storage]\nrootless_storage_path=\"/mine/$UID\"\n");
	load(&(struct storage_config_request){ .config_file = path, .rootless = true, .uid = 1234 },
		&c);
	assert_string_equal(c.graphroot, "/mine/1234");
	storage_config_done(&c);
}

static void what_is_not_understood_is_named_with_file_line_and_column(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *message;
	} cases[] = {
		{ "[storage]\ndriver = 5\n", IMBREX_EFORMAT, "my.conf:2:10: " },
		{ "[storage]\ndriver = 5\n", IMBREX_EFORMAT, "driver" },
		{ "[storage\n", IMBREX_EFORMAT, "my.conf:1:9: " },
		{ "[storage]\ngraphroot = \"/a\nrunroot = 1\n", IMBREX_EFORMAT, "my.conf:2:" },
		{ "[storage]\ndriver_priority = [1]\n", IMBREX_EFORMAT, "my.conf:2:" },
		{ "[storage]\ntransient_store = \"yes\"\n", IMBREX_EFORMAT, "my.conf:2:19: " },
		{ "[storage.options.overlay]\nmountopt = [\"nodev\"]\n", IMBREX_EFORMAT,
			"my.conf:2:12: " },
		{ "[storage]\ndriver=\"a\"\ndriver=\"b\"\n", IMBREX_EFORMAT, "my.conf:3:" },
		{ "\xff\xfe[storage]", IMBREX_EFORMAT, "my.conf:1:1: " },
	};
	AUTO_FREE char *path = at("my.conf");
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct storage_config c = { 0 };

		put_file("my.conf", cases[i].text);
		assert_int_equal(
			storage_config_load(
				&(struct storage_config_request){ .config_file = path }, &c, &err),
			cases[i].status);
		if (!strstr(err.message, cases[i].message))
			fail_msg("'%s' does not say '%s'", err.message, cases[i].message);
	}
}

static void a_file_that_was_asked_for_must_exist_and_be_readable_text(void **state)
{
	AUTO_FREE char *path = at("none.conf");
	AUTO_FREE char *want = format_text("open '%s': No such file or directory", path);
	struct imbrex_error err = { 0 };
	struct storage_config c = { 0 };

	assert_int_equal(storage_config_load(
				 &(struct storage_config_request){ .config_file = path }, &c, &err),
		IMBREX_ENOENT);
	assert_string_equal(err.message, want);
	assert_int_equal(setenv("CONTAINERS_STORAGE_CONF", path, 1), 0);
	assert_int_equal(storage_config_load(&(struct storage_config_request){ 0 }, &c, &err),
		IMBREX_ENOENT);
	assert_int_equal(setenv("CONTAINERS_STORAGE_CONF", dir, 1), 0);
	assert_true(storage_config_load(&(struct storage_config_request){ 0 }, &c, &err) < 0);
	assert_non_null(strstr(err.message, "Is a directory"));
	assert_int_equal(setenv("CONTAINERS_STORAGE_CONF", "/dev/zero", 1), 0);
	assert_int_equal(storage_config_load(&(struct storage_config_request){ 0 }, &c, &err),
		IMBREX_ELIMIT);
	assert_non_null(strstr(err.message, "/dev/zero"));
}

static void an_image_store_that_is_the_graphroot_is_refused(void **state)
{
	AUTO_FREE char *path = at("my.conf");
	struct imbrex_error err = { 0 };
	struct storage_config c = { 0 };

	put_file("my.conf", "[storage]\ngraphroot=\"/g\"\nimagestore=\"/g\"\nrunroot=\"/r\"\n");
	assert_int_equal(storage_config_load(
				 &(struct storage_config_request){ .config_file = path }, &c, &err),
		IMBREX_EINVAL);
	assert_string_equal(err.message, "imagestore and graphroot are both '/g'");
}

#define config_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		config_test(a_named_file_says_everything),
		config_test(the_environment_beats_the_file_and_the_command_line_beats_both),
		config_test(the_table_of_zfs_has_a_size),
		config_test(drop_ins_change_single_keys_in_the_order_of_their_names),
		config_test(an_override_file_is_read_last_even_behind_a_named_one),
		config_test(configured_paths_expand_variables_and_given_ones_do_not),
		config_test(given_paths_that_do_not_exist_lose_dots_and_doubled_slashes),
		config_test(a_user_without_a_file_gets_directories_of_his_own),
		config_test(what_is_not_understood_is_named_with_file_line_and_column),
		config_test(a_file_that_was_asked_for_must_exist_and_be_readable_text),
		config_test(an_image_store_that_is_the_graphroot_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
