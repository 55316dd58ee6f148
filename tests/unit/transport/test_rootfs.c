/* SPDX-License-Identifier: Apache-2.0 */
/* Does a directory tree become one layer that holds all of it, the same one every time? */
#include "fixture.h"
#include "transport/open.h"
#include "transport/rootfs.h"

#include <sys/xattr.h>

#include "format/tar/reader.h"

/* Writes entries down as text. */
struct listing {
	struct entry_sink sink;
	struct str *text; /* borrowed */
	uint64_t bytes;   /* of the present entry */
};

static int list_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct listing *l = CONTAINER_OF(s, struct listing, sink);

	assert_int_equal(str_printf(l->text, "%d %o %s", e->type, e->mode, e->path), 0);
	if (e->link)
		assert_int_equal(str_printf(l->text, " -> %s", e->link), 0);
	if (e->type == ENTRY_FILE)
		assert_int_equal(str_printf(l->text, " %d@%d.%09d", (int)e->size_bytes,
					 (int)e->mtime_sec, (int)e->mtime_nsec),
			0);
	for (size_t i = 0; i < e->n_xattrs; i++)
		assert_int_equal(
			str_printf(l->text, " %s=%.*s", e->xattrs[i].name,
				(int)e->xattrs[i].value_len, (const char *)e->xattrs[i].value),
			0);
	assert_int_equal(str_puts(l->text, "\n"), 0);
	return 0;
}

static int list_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return 0;
}

static int list_end(struct entry_sink *s, struct imbrex_error *err)
{
	return 0;
}

static void list_free(struct entry_sink *s)
{
	free(CONTAINER_OF(s, struct listing, sink));
}

static const struct entry_sink_ops list_ops = {
	.begin = list_begin,
	.data = list_data,
	.end = list_end,
	.finish = list_end,
	.free = list_free,
};

static void list_tar(const struct str *tar, struct str *ret)
{
	struct listing *l = calloc(1, sizeof(*l));
	AUTO_SINK struct sink *reader = NULL;

	assert_non_null(l);
	l->sink.ops = &list_ops;
	l->text = ret;
	assert_int_equal(tar_reader_new(&l->sink, NULL, &reader, NULL), 0);
	assert_int_equal(sink_write(reader, tar->data, tar->len, NULL), 0);
	assert_int_equal(sink_finish(reader, NULL), 0);
}

static void set_time(const struct box *box, const char *name, int sec, int nsec)
{
	const struct timespec times[2] = { { .tv_sec = sec, .tv_nsec = nsec },
		{ .tv_sec = sec, .tv_nsec = nsec } };

	assert_int_equal(utimensat(box->fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void make_tree(const struct box *box)
{
	put_text(box, "b/deep/file", "12345");
	put_text(box, "a", "x");
	assert_int_equal(fchmodat(box->fd, "a", 04711, 0), 0);
	assert_int_equal(linkat(box->fd, "a", box->fd, "b/again", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", box->fd, "c"), 0);
	assert_int_equal(mkfifoat(box->fd, "fifo", 0600), 0);
	assert_int_equal(mkdirat(box->fd, "b.d", 0700), 0);
	assert_int_equal(mknodat(box->fd, "sock", S_IFSOCK | 0600, 0), 0);
	set_time(box, "a", 1000, 5);
	set_time(box, "b/deep/file", 2000000000, 0);
	set_time(box, "c", 3, 0);
	set_time(box, "fifo", 3, 0);
	set_time(box, "b/deep", 3, 0);
	set_time(box, "b", 3, 0);
	set_time(box, "b.d", 3, 0);
	set_time(box, ".", 3, 0);
}

static int read_tree(const struct box *box, struct str *ret_layer, struct hash_value *ret_config,
	struct imbrex_error *err)
{
	const struct locator l = { .kind = LOCATOR_ROOTFS, .where = (char *)(uintptr_t)box->path };
	AUTO_SOURCE struct source *s = NULL;
	AUTO_OCI_MANIFEST parsed = { 0 };
	struct source_manifest m = { 0 };
	struct hash_value h;
	int r;

	r = source_open(&l, NULL, &s, err);
	if (r < 0)
		return r;
	r = s->ops->manifest(s, NULL, &m, err);
	if (r < 0)
		return r;
	assert_int_equal(oci_manifest_parse(
				 m.media_type, str_text(&m.manifest), m.manifest.len, &parsed, err),
		0);
	source_manifest_done(&m);
	r = blob_text(s, &parsed.layers[0], ret_layer, err);
	if (r < 0)
		return r;
	h = sha256_of(ret_layer->data, ret_layer->len);
	assert_true(hash_equal(&h, &parsed.layers[0].digest));
	*ret_config = parsed.config.digest;
	return 0;
}

static void a_tree_comes_whole_and_in_order(void **state)
{
	const struct box *box = *state;
	struct imbrex_error err = { 0 };
	AUTO_STR layer = { 0 };
	AUTO_STR again = { 0 };
	AUTO_STR text = STR_INIT(FIXTURE_MAX);
	struct hash_value first, second;

	make_tree(box);
	assert_int_equal(read_tree(box, &layer, &first, &err), 0);
	list_tar(&layer, &text);
	assert_string_equal(str_text(&text), "2 700 .\n"
					     "1 4711 a 1@1000.000000005\n"
					     "2 755 b\n"
					     "2 700 b.d\n"
					     "3 777 c -> /etc/passwd\n"
					     "7 600 fifo\n"
					     "4 4711 b/again -> a\n"
					     "2 755 b/deep\n"
					     "1 644 b/deep/file 5@2000000000.000000000\n");
	assert_int_equal(read_tree(box, &again, &second, &err), 0);
	assert_true(hash_equal(&first, &second));
	assert_int_equal(again.len, layer.len);
}

static void attributes_of_a_layer_are_kept_and_others_not(void **state)
{
	const struct box *box = *state;
	struct imbrex_error err = { 0 };
	AUTO_STR layer = { 0 };
	AUTO_STR text = STR_INIT(FIXTURE_MAX);
	struct hash_value config;

	put_text(box, "a", "");
	set_time(box, "a", 7, 0);
	if (setxattr(box_path(box, "a"), "user.z", "last", 4, 0) < 0) {
		print_message("skipped: no user attributes on %s\n", box->path);
		skip();
	}
	assert_int_equal(setxattr(box_path(box, "a"), "user.b", "first", 5, 0), 0);
	assert_int_equal(setxattr(box_path(box, "a"), "user.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(read_tree(box, &layer, &config, &err), 0);
	list_tar(&layer, &text);
	assert_string_equal(
		str_text(&text), "2 700 .\n1 644 a 0@7.000000000 user.b=first user.z=last\n");
}

static void names_of_whiteouts_are_refused(void **state)
{
	const struct box *box = *state;
	struct imbrex_error err = { 0 };
	AUTO_STR layer = { 0 };
	struct hash_value config;
	char want[600];

	put_text(box, "x/.wh.y", "");
	assert_int_equal(read_tree(box, &layer, &config, &err), IMBREX_EFORMAT);
	(void)snprintf(want, sizeof(want),
		"rootfs:%s: 'x/.wh.y': a layer cannot hold names that begin with '.wh.'",
		box->path);
	assert_string_equal(err.message, want);
}

static void a_directory_that_is_not_there_is_named(void **state)
{
	const struct box *box = *state;
	struct imbrex_error err = { 0 };
	struct source *s;

	assert_int_equal(rootfs_source_open(box_path(box, "none"), &s, &err), IMBREX_ENOENT);
	assert_non_null(strstr(err.message, box_path(box, "none")));
	put_text(box, "file", "");
	assert_true(rootfs_source_open(box_path(box, "file"), &s, &err) < 0);
	assert_non_null(strstr(err.message, box_path(box, "file")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_tree_comes_whole_and_in_order),
		TEST(attributes_of_a_layer_are_kept_and_others_not),
		TEST(names_of_whiteouts_are_refused),
		TEST(a_directory_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
