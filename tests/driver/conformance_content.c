/* SPDX-License-Identifier: Apache-2.0 */
/* What one layer may hold, and that all of it arrives. */
#include "conformance.h"

#include "os/userns.h"
#include "os/xattr.h"

static void a_layer_holds_every_kind_of_inode(void **state)
{
	const struct node nodes[] = { DIR_("d", 01777), FILE("d/f", 04755, "x"),
		{ "d/h", ENTRY_HARDLINK, 04755, .link = "d/f", .mtime = 7 },
		{ "d/s", ENTRY_SYMLINK, 0777, 3, 4, .link = "/no/where", .mtime = -5 },
		{ "d/p", ENTRY_FIFO, 0600, .mtime = 7, .mtime_nsec = 123456789 },
		{ "e", ENTRY_FILE, 02755, 70000, 70001, .mtime = 7 },
		{ "x", ENTRY_FILE, 0644, .text = "x", .mtime = 7, .xattr = "user.note",
			.value = "hi" } };

	fixture_layer(*state, "a", NULL, nodes, ARRAY_LEN(nodes));
	assert_layer(*state, "a",
		"d 41777 0:0\n"
		"d/f 104755 0:0 7.000000000 'x'\n"
		"d/h 104755 0:0 7.000000000 'x' = d/f\n"
		"d/p 10600 0:0 7.123456789\n"
		"d/s 120777 3:4 -5.000000000 -> /no/where\n"
		"e 102755 70000:70001 7.000000000 ''\n"
		"x 100644 0:0 7.000000000 'x' user.note=6869\n");
}

static void device_nodes_are_made_where_they_may_be(void **state)
{
	const struct node nodes[] = {
		{ "c", ENTRY_CHAR, 0620, 0, 5, .dev_major = 1, .dev_minor = 3, .mtime = 7 },
		{ "b", ENTRY_BLOCK, 0660, 0, 6, .dev_major = 7, .dev_minor = 300, .mtime = 7 },
	};

	fixture_layer(*state, "a", NULL, nodes, ARRAY_LEN(nodes));
	/* A user namespace may make none: they are left out without a word, as by podman. */
	assert_layer(*state, "a",
		in_initial_userns() ? "b 60660 0:6 7.000000000 7,300\n"
				      "c 20620 0:5 7.000000000 1,3\n"
				    : "");
}

static void file_capabilities_survive_owner_and_content(void **state)
{
	/* VFS_CAP_REVISION_2 | effective, cap_net_raw. */
	static const unsigned char cap[20] = { 1, 0, 0, 2, 0, 32 };
	struct fixture *f = *state;
	struct entry_xattr x = { "security.capability", cap, sizeof(cap) };
	struct entry e = { .path = "ping",
		.type = ENTRY_FILE,
		.mode = 0755,
		.uid = 7,
		.size_bytes = 1,
		.xattrs = &x,
		.n_xattrs = 1 };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	assert_ok(sink->ops->begin(sink, &e, &f->err), &f->err);
	assert_ok(sink->ops->data(sink, "x", 1, &f->err), &f->err);
	assert_ok(sink->ops->end(sink, &f->err), &f->err);
	/* A hard link whose entry does not repeat them leaves them. */
	push(f, sink, &(struct node){ "ping6", ENTRY_HARDLINK, 0755, 7, .link = "ping" });
	assert_ok(sink->ops->finish(sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, NULL, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, "a", &f->err), &f->err);
	driver_stage_free(stage);
	assert_layer(f, "a",
		"ping 100755 7:0 0.000000000 'x' "
		"security.capability=0100000200200000000000000000000000000000\n"
		"ping6 100755 7:0 0.000000000 'x' = ping "
		"security.capability=0100000200200000000000000000000000000000\n");
}

static void a_directory_keeps_its_time_while_it_is_filled(void **state)
{
	const struct node nodes[] = { DIR_("d", 0755), FILE("d/a", 0644, ""), DIR_("d/e", 0700),
		FILE("d/e/x", 0644, ""), FILE("d/z", 0644, ""), FILE("d/e/y", 0644, ""),
		{ "late", ENTRY_DIR, 0755, .mtime = 99, .mtime_nsec = 1 } };
	struct fixture *f = *state;
	AUTO_STR text = STR_INIT(1u << 20);

	fixture_layer(f, "a", NULL, nodes, ARRAY_LEN(nodes));
	layer_text(f, "a", TREE_DIR_TIMES, &text);
	assert_string_equal(str_text(&text), "d 40755 0:0 7.000000000\n"
					     "d/a 100644 0:0 7.000000000 ''\n"
					     "d/e 40700 0:0 7.000000000\n"
					     "d/e/x 100644 0:0 7.000000000 ''\n"
					     "d/e/y 100644 0:0 7.000000000 ''\n"
					     "d/z 100644 0:0 7.000000000 ''\n"
					     "late 40755 0:0 99.000000001\n");
}

static void later_entries_replace_earlier_ones(void **state)
{
	const struct node nodes[] = { FILE("a", 0644, "first"), FILE("a", 0600, "2"),
		DIR_("b", 0755), FILE("b/in", 0644, "x"), FILE("b", 0644, "file"),
		FILE("c", 0644, "x"), DIR_("c", 0700), DIR_("d", 0700), FILE("d/in", 0644, "x"),
		{ "d", ENTRY_DIR, 0711, 1, 2, .mtime = 9 },
		{ "e", ENTRY_SYMLINK, 0777, .link = "d", .mtime = 7 }, FILE("e", 0644, "x"),
		DIR_("g", 0755), { "g", ENTRY_SYMLINK, 0777, .link = "d", .mtime = 7 },
		FILE("h1", 0644, "h"), { "h2", ENTRY_HARDLINK, 0644, .link = "h1", .mtime = 7 },
		FILE("h1", 0644, "x") };

	fixture_layer(*state, "a", NULL, nodes, ARRAY_LEN(nodes));
	assert_layer(*state, "a",
		"a 100600 0:0 7.000000000 '2'\n"
		"b 100644 0:0 7.000000000 'file'\n"
		"c 40700 0:0\n"
		"d 40711 1:2\n"
		"d/in 100644 0:0 7.000000000 'x'\n"
		"e 100644 0:0 7.000000000 'x'\n"
		"g 120777 0:0 7.000000000 -> d\n"
		"h1 100644 0:0 7.000000000 'x'\n"
		"h2 100644 0:0 7.000000000 'h'\n");
}

static void the_group_of_a_setgid_directory_is_not_inherited(void **state)
{
	const struct node nodes[] = { { "d", ENTRY_DIR, 02775, 0, 50, .mtime = 7 },
		FILE("d/f", 0644, "x"), DIR_("d/sub", 0755) };

	fixture_layer(*state, "a", NULL, nodes, ARRAY_LEN(nodes));
	assert_layer(*state, "a",
		"d 42775 0:50\n"
		"d/f 100644 0:0 7.000000000 'x'\n"
		"d/sub 40755 0:0\n");
}

static void files_open_by_their_tar_names(void **state)
{
	static const struct {
		const char *name;
		int status;
		const char *text; /* content, or message */
	} cases[] = {
		{ "d/f", 0, "x" },
		{ "./d//f", 0, "x" },
		{ "/d/f", 0, "x" },
		{ "d/../d/f", 0, "x" },
		{ "../../d/f", 0, "x" },
		{ "in/f", 0, "x" },
		{ "nowhere", IMBREX_ENOENT, "layer a: open 'nowhere': No such file or directory" },
		{ "d", IMBREX_EFORMAT, "layer a: 'd' is not a regular file" },
		{ "pipe", IMBREX_EFORMAT, "layer a: 'pipe' is not a regular file" },
		{ "in", IMBREX_EFORMAT, "layer a: 'in' is not a regular file" },
		{ "out/passwd", IMBREX_ENOENT,
			"layer a: open 'out/passwd': No such file or directory" },
	};
	const struct node nodes[] = { DIR_("d", 0755), FILE("d/f", 0644, "x"),
		{ "pipe", ENTRY_FIFO, 0600 }, { "in", ENTRY_SYMLINK, 0777, .link = "/d" },
		{ "out", ENTRY_SYMLINK, 0777, .link = "../../../../../../../../../etc" } };
	struct fixture *f = *state;
	size_t i;

	fixture_layer(f, "a", NULL, nodes, ARRAY_LEN(nodes));
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_CLOSE int fd = -EBADF;
		char buf[8] = "";

		assert_int_equal(f->d->ops->open_file(f->d, "a", cases[i].name,
					 strlen(cases[i].name), &fd, &f->err),
			cases[i].status);
		if (cases[i].status == 0) {
			assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
			assert_string_equal(buf, cases[i].text);
		} else {
			assert_string_equal(f->err.message, cases[i].text);
		}
	}
}

/* A layer "a" of one entry with this xattr; false where the file system has no such. */
static bool layer_with_xattr(struct fixture *f, const char *id, const char *parent_id,
	struct entry *e, const struct entry_xattr *x)
{
	const struct driver_parent parent = { .id = parent_id };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;
	int r;

	e->xattrs = x;
	e->n_xattrs = 1;
	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	r = sink->ops->begin(sink, e, &f->err);
	if (r == 0)
		r = sink->ops->end(sink, &f->err);
	if (r == 0)
		r = sink->ops->finish(sink, &f->err);
	entry_sink_free(sink);
	if (r == 0)
		assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	if (r == 0)
		assert_ok(f->d->ops->stage_publish(stage, id, &f->err), &f->err);
	driver_stage_free(stage);
	return r == 0;
}

static void assert_xattr_of(
	struct fixture *f, const char *id, const char *name, const struct entry_xattr *x)
{
	AUTO_STR value = STR_INIT(1u << 17);
	int root = open_mounted(f, id, NULL);

	assert_int_equal(getxattr_at(root, name, x->name, &value), 0);
	assert_int_equal(value.len, x->value_len);
	assert_memory_equal(str_text(&value), x->value, x->value_len);
	(void)close(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
}

static void xattrs_are_bytes_of_any_length_on_any_inode(void **state)
{
	static char large[3000];
	const struct entry_xattr xattrs[] = { { "user.bytes", "a\0b\377", 4 },
		{ "user.large", large, sizeof(large) }, { "trusted.note", "t", 1 } };
	static const struct entry inodes[] = { { .path = "f", .type = ENTRY_FILE, .mode = 0644 },
		{ .path = "d", .type = ENTRY_DIR, .mode = 0755 } };
	struct fixture *f = *state;
	char id[32], child[32];
	size_t i, k;

	memset(large, 'x', sizeof(large));
	for (i = 0; i < ARRAY_LEN(xattrs); i++)
		for (k = 0; k < ARRAY_LEN(inodes); k++) {
			struct entry e = inodes[k];

			(void)snprintf(id, sizeof(id), "layer%zu-%zu", i, k);
			(void)snprintf(child, sizeof(child), "child%zu-%zu", i, k);
			assert_true(layer_with_xattr(f, id, NULL, &e, &xattrs[i]));
			assert_xattr_of(f, id, e.path, &xattrs[i]);
			fixture_layer(f, child, id, &(struct node)FILE("other", 0644, "o"), 1);
			assert_xattr_of(f, child, e.path, &xattrs[i]);
		}
}

static void a_symbolic_link_keeps_its_trusted_xattr(void **state)
{
	const struct entry_xattr x = { "trusted.note", "t", 1 };
	struct entry e = { .path = "s", .type = ENTRY_SYMLINK, .mode = 0777, .link = "nowhere" };

	assert_true(layer_with_xattr(*state, "a", NULL, &e, &x));
	assert_xattr_of(*state, "a", "s", &x);
}

/* Can the file system tell this time from others? Not all reach beyond 2038. */
static bool keeps_time(struct fixture *f, int64_t sec)
{
	const struct timespec times[2] = { { .tv_sec = sec }, { .tv_sec = sec } };
	struct stat st;

	return futimens(f->root, times) == 0 && fstat(f->root, &st) == 0 &&
	       st.st_mtim.tv_sec == sec;
}

static void times_near_and_far_are_kept(void **state)
{
	const int64_t far = 4102444800; /* the year 2100 */
	struct node nodes[] = { FILE("epoch", 0644, ""), FILE("before", 0644, ""),
		FILE("far", 0644, ""), { "far-dir", ENTRY_DIR, 0755 },
		{ "far-link", ENTRY_SYMLINK, 0777, .link = "x" } };
	AUTO_STR text = STR_INIT(1u << 20);

	if (!keeps_time(*state, far)) {
		print_message("skipped: the file system has no year 2100\n");
		skip();
	}
	nodes[0].mtime = 0;
	nodes[1].mtime = -1;
	nodes[1].mtime_nsec = 999999999;
	nodes[2].mtime = nodes[3].mtime = nodes[4].mtime = far;
	fixture_layer(*state, "a", NULL, nodes, ARRAY_LEN(nodes));
	fixture_layer(*state, "b", "a", &(struct node)FILE("new", 0644, ""), 1);
	layer_text(*state, "b", TREE_DIR_TIMES, &text);
	assert_string_equal(str_text(&text), "before 100644 0:0 -1.999999999 ''\n"
					     "epoch 100644 0:0 0.000000000 ''\n"
					     "far 100644 0:0 4102444800.000000000 ''\n"
					     "far-dir 40755 0:0 4102444800.000000000\n"
					     "far-link 120777 0:0 4102444800.000000000 -> x\n"
					     "new 100644 0:0 7.000000000 ''\n");
}

static void assert_root_mode(struct fixture *f, const char *id, mode_t want)
{
	struct stat st;
	int root = open_mounted(f, id, NULL);

	assert_int_equal(fstat(root, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | want);
	(void)close(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
}

static void the_root_of_a_layer_begins_as_that_of_its_parent(void **state)
{
	struct fixture *f = *state;
	int root;

	fixture_layer(f, "a", NULL, NULL, 0);
	assert_root_mode(f, "a", 0555);
	root = open_mounted(f, "a", NULL);
	assert_int_equal(fchmod(root, 0711), 0);
	(void)close(root);
	assert_ok(f->d->ops->unmount(f->d, "a", &f->err), &f->err);
	fixture_layer(f, "b", "a", NULL, 0);
	assert_root_mode(f, "b", 0711);
	assert_root_mode(f, "a", 0711);
}

int test_content(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_layer_holds_every_kind_of_inode),
		TEST(device_nodes_are_made_where_they_may_be),
		TEST(file_capabilities_survive_owner_and_content),
		TEST(a_directory_keeps_its_time_while_it_is_filled),
		TEST(later_entries_replace_earlier_ones),
		TEST(the_group_of_a_setgid_directory_is_not_inherited),
		TEST(files_open_by_their_tar_names),
		TEST(xattrs_are_bytes_of_any_length_on_any_inode),
		TEST(a_symbolic_link_keeps_its_trusted_xattr),
		TEST(times_near_and_far_are_kept),
		TEST(the_root_of_a_layer_begins_as_that_of_its_parent),
	};

	return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
