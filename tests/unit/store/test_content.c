/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content of layers on its way out, in and across: what is refused and why, and that what is
 * refused leaves the layer as it was. What trees and tars look like is told in tests/driver and
 * tests/interop.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fixture.h"
#include "format/tar/writer.h"
#include "stream/fdsink.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static void ok(int r, const struct imbrex_error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

static void refused(int r, int status, const struct imbrex_error *err, const char *message)
{
	assert_true(r < 0);
	assert_string_equal(err->message, message);
	assert_int_equal(r, status);
}

/* A file that holds the tar of one file, at its beginning. */
static int one_file_tar(const char *name, const char *text)
{
	const struct entry e = {
		.path = name, .type = ENTRY_FILE, .mode = 0644, .size_bytes = strlen(text)
	};
	struct imbrex_error err = { 0 };
	struct entry_sink *tar = NULL;
	struct sink *file = NULL;
	int fd = memfd_create("tar", MFD_CLOEXEC);

	assert_true(fd >= 0);
	ok(fd_sink_new(dup(fd), &file, &err), &err);
	ok(tar_writer_new(file, NULL, &tar, &err), &err);
	ok(tar->ops->begin(tar, &e, &err), &err);
	ok(tar->ops->data(tar, text, strlen(text), &err), &err);
	ok(tar->ops->end(tar, &err), &err);
	ok(tar->ops->finish(tar, &err), &err);
	entry_sink_free(tar);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static int junk(const char *text)
{
	int fd = memfd_create("junk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void create(struct fixture *f, const char *id, const char *parent)
{
	const struct imbrex_layer_opts opts = { .id = id };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *made = NULL;

	ok(imbrex_layer_create(f->s, parent, &opts, &made, &err), &err);
}

static void apply(struct fixture *f, const char *id, const char *name, const char *text)
{
	AUTO_CLOSE int tar = one_file_tar(name, text);
	struct imbrex_error err = { 0 };
	int64_t bytes = -1;

	ok(imbrex_layer_apply(f->s, id, tar, &bytes, &err), &err);
	assert_int_equal(bytes, 2048);
}

static void expect_file(const struct fixture *f, const char *id, const char *name, const char *want)
{
	AUTO_FREE char *path = format_text("root/vfs/dir/%s/%s", id, name);
	AUTO_FREE char *text = fixture_text(f, path);

	assert_string_equal(text, want);
}

static void a_second_diff_lies_over_the_first(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *first = NULL;
	AUTO_FREE char *second = NULL;

	create(f, "one", NULL);
	apply(f, "one", "a", "1");
	first = fixture_text(f, "root/vfs-layers/layers.json");
	apply(f, "one", "b", "2");
	second = fixture_text(f, "root/vfs-layers/layers.json");
	expect_file(f, "one", "a", "1");
	expect_file(f, "one", "b", "2");
	assert_non_null(strstr(first, "\"diff-digest\":\"sha256:"));
	assert_non_null(strstr(second, "\"diff-digest\":\"sha256:"));
	assert_string_not_equal(first, second);
	assert_true(fixture_exists(f, "root/vfs-layers/one.tar-split.gz"));
}

static void junk_leaves_content_and_record_as_they_were(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	AUTO_CLOSE int fd = junk("This is long enough to be looked at.");
	AUTO_FREE char *before = NULL;
	AUTO_FREE char *after = NULL;

	create(f, "one", NULL);
	apply(f, "one", "a", "1");
	before = fixture_text(f, "root/vfs-layers/layers.json");
	refused(imbrex_layer_apply(f->s, "one", fd, NULL, &err), IMBREX_EFORMAT, &err,
		"tar archive ends at byte 36, within a header");
	after = fixture_text(f, "root/vfs-layers/layers.json");
	assert_string_equal(before, after);
	expect_file(f, "one", "a", "1");
	apply(f, "one", "b", "2");
}

static void what_is_mounted_is_not_exchanged(void **state)
{
	const struct imbrex_mount_opts layers = { .kinds = IMBREX_KIND_LAYER };
	AUTO_CLOSE int tar = one_file_tar("b", "2");
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *path = NULL;

	create(f, "one", NULL);
	create(f, "two", "one");
	ok(imbrex_mount(f->s, "two", &layers, &path, &err), &err);
	refused(imbrex_layer_apply(f->s, "two", tar, NULL, &err), IMBREX_EBUSY, &err,
		"layer two is mounted");
	assert_int_equal(err.reason, IMBREX_REASON_LAYER_MOUNTED);
	refused(imbrex_layer_apply(f->s, "one", tar, NULL, &err), IMBREX_EBUSY, &err,
		"layer one is in use: layer two, which is mounted, stands on it");
	ok(imbrex_unmount_kind(f->s, "two", IMBREX_KIND_LAYER, false, NULL, &err), &err);
	ok(imbrex_layer_apply(f->s, "one", tar, NULL, &err), &err);
}

static void unknown_layers_and_directories_are_named(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_change *changes;
	int64_t size;
	size_t n;

	create(f, "one", NULL);
	refused(imbrex_layer_apply(f->s, "no", 0, NULL, &err), IMBREX_ENOENT, &err,
		"layer 'no' is not in the store");
	assert_int_equal(err.reason, IMBREX_REASON_LAYER_UNKNOWN);
	refused(imbrex_layer_changes(f->s, "one", "no", &changes, &n, &err), IMBREX_ENOENT, &err,
		"layer 'no' is not in the store");
	refused(imbrex_layer_diff_size(f->s, "no", NULL, &size, &err), IMBREX_ENOENT, &err,
		"layer 'no' is not in the store");
	refused(imbrex_layer_apply_dir(f->s, "one", "/nowhere/at/all", &err), IMBREX_ENOENT, &err,
		"open directory '/nowhere/at/all': No such file or directory");
}

static void only_gzip_and_zstd_are_written(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	AUTO_CLOSE int out = junk("");

	create(f, "one", NULL);
	refused(imbrex_layer_diff(f->s, "one", NULL, IMBREX_COMPRESSION_XZ, out, &err),
		IMBREX_ENOTSUP, &err, "imbrex does not write xz, only gzip and zstd");
	ok(imbrex_layer_diff(f->s, "one", NULL, IMBREX_COMPRESSION_ZSTD, out, &err), &err);
	assert_true(lseek(out, 0, SEEK_CUR) > 0);
}

/* The signal is the program's own business; here it is ignored. */
static void a_closed_pipe_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	int ends[2];

	create(f, "one", NULL);
	assert_int_equal(pipe(ends), 0);
	(void)close(ends[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	assert_true(
		imbrex_layer_diff(f->s, "one", NULL, IMBREX_COMPRESSION_NONE, ends[1], &err) < 0);
	assert_string_equal(err.message, "layer one: write: Broken pipe");
	(void)signal(SIGPIPE, SIG_DFL);
	(void)close(ends[1]);
}

static void copies_stay_inside_the_layer(void **state)
{
	const struct imbrex_copy_opts keep = { .uid = -1, .gid = -1 };
	struct fixture *f = *state;
	AUTO_FREE char *link = format_text("%s/root/vfs/dir/one/out", f->dir);
	AUTO_FREE char *secret = format_text("%s/secret", f->dir);
	AUTO_FREE char *outside = format_text("one:/out/secret");
	AUTO_FREE char *message = NULL;
	const char *const from_host[] = { secret, NULL };
	const char *const from_layer[] = { outside, NULL };
	struct imbrex_error err = { 0 };

	create(f, "one", NULL);
	create(f, "two", NULL);
	ok(write_file_at(AT_FDCWD, secret, 0600, "s", 1, &err), &err);
	assert_int_equal(symlink(f->dir, link), 0);
	/* Out of the layer by its link: there is nothing of that name inside. */
	message = format_text("copy 'one:/out/secret' to 'two:/x': open 'one:/out/secret': "
			      "No such file or directory");
	refused(imbrex_copy(f->s, from_layer, "two:/x", &keep, &err), IMBREX_ENOENT, &err, message);
	/* And into it: the link leads nowhere inside, and is not followed outside. */
	assert_true(imbrex_copy(f->s, from_host, "one:/out/new", &keep, &err) < 0);
	assert_false(fixture_exists(f, "new"));
	ok(imbrex_copy(f->s, from_host, "one:/deep/er/", &keep, &err), &err);
	expect_file(f, "one", "deep/er/secret", "s");
}

static void copies_that_cannot_be_are_refused(void **state)
{
	const struct imbrex_copy_opts keep = { .uid = -1, .gid = -1 };
	struct fixture *f = *state;
	AUTO_FREE char *file = format_text("%s/file", f->dir);
	const char *const a_file[] = { file, NULL };
	const char *const a_layer[] = { "one:/", NULL };
	const char *const a_device[] = { "/dev/null", NULL };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *message = NULL;

	create(f, "one", NULL);
	ok(write_file_at(AT_FDCWD, file, 0600, "s", 1, &err), &err);
	message = format_text(
		"copy '%s' to 'one:/': cannot overwrite directory '/' with file '%s'", file, file);
	ok(imbrex_copy(f->s, a_file, "one:/", &keep, &err), &err);
	free(take_ptr(message));
	message = format_text(
		"copy '%s' to 'one:': cannot overwrite directory '' with file '%s'", file, file);
	refused(imbrex_copy(f->s, a_file, "one:", &keep, &err), IMBREX_EEXIST, &err, message);
	refused(imbrex_copy(f->s, a_layer, "one:/in", &keep, &err), IMBREX_EINVAL, &err,
		"copy 'one:/' to 'one:/in': cannot copy a directory into itself");
	refused(imbrex_copy(f->s, a_device, "one:/null", &keep, &err), IMBREX_EINVAL, &err,
		"copy '/dev/null' to 'one:/null': '/dev/null' is neither a file nor a directory");
	free(take_ptr(message));
	message = format_text(
		"copy 'one:/' to '%s': cannot overwrite file '%s' with directory '/'", file, file);
	refused(imbrex_copy(f->s, a_layer, file, &keep, &err), IMBREX_EEXIST, &err, message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_second_diff_lies_over_the_first, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(junk_leaves_content_and_record_as_they_were,
			fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_mounted_is_not_exchanged, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(unknown_layers_and_directories_are_named,
			fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
			only_gzip_and_zstd_are_written, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
			a_closed_pipe_is_an_error, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
			copies_stay_inside_the_layer, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
			copies_that_cannot_be_are_refused, fixture_set_up, fixture_tear_down),
	};

	if (geteuid() != 0) {
		print_message("skipped: owners need root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
