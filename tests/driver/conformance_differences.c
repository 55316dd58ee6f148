/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer is beside another one: as entries, as changes, as a number. */
#include "conformance.h"

/* Layer `copy` on `parent` from the diff of layer `id`. */
static void copy_by_diff(struct fixture *f, const char *id, const char *parent_id, const char *copy)
{
	const struct driver_parent parent = { .id = parent_id };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	assert_ok(f->d->ops->diff(f->d, id, NULL, parent_id, NULL, sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, copy, &f->err), &f->err);
	driver_stage_free(stage);
}

static void a_diff_applied_again_gives_the_same_tree(void **state)
{
	const struct node base[] = { DIR_("d", 0755), FILE("d/old", 0644, "o"),
		FILE("f", 0644, "f"), DIR_("gone", 0755), FILE("gone/x", 0644, "x"),
		FILE("same", 0644, "s"), DIR_("deep", 0755), DIR_("deep/er", 0755),
		FILE("deep/er/f", 0644, "1"),
		{ "attr", ENTRY_FILE, 0644, .mtime = 7, .xattr = "user.a", .value = "1" },
		{ "link", ENTRY_SYMLINK, 0777, .link = "one", .mtime = 7 } };
	const struct node child[] = { DIR_("d", 0755), { "d", ENTRY_OPAQUE },
		FILE("d/new", 0640, "n"), { "gone", ENTRY_WHITEOUT },
		{ "f", ENTRY_FILE, 0644, 5, 6, .text = "g", .mtime = 7 }, DIR_("deep", 0755),
		DIR_("deep/er", 0755), FILE("deep/er/f", 0644, "22"),
		{ "attr", ENTRY_FILE, 0644, .mtime = 7, .xattr = "user.a", .value = "2" },
		{ "h1", ENTRY_FILE, 0644, .text = "h", .mtime = 7 },
		{ "h2", ENTRY_HARDLINK, 0644, .link = "h1", .mtime = 7 },
		{ "link", ENTRY_SYMLINK, 0777, .link = "two", .mtime = 7 },
		{ "null", ENTRY_CHAR, 0666, .dev_major = 1, .dev_minor = 3, .mtime = 7 } };
	AUTO_STR want = STR_INIT(1u << 20);
	AUTO_STR have = STR_INIT(1u << 20);
	AUTO_STR want_base = STR_INIT(1u << 20);
	AUTO_STR have_base = STR_INIT(1u << 20);

	fixture_layer(*state, "base", NULL, base, ARRAY_LEN(base));
	fixture_layer(*state, "child", "base", child, ARRAY_LEN(child));
	copy_by_diff(*state, "child", "base", "child2");
	layer_text(*state, "child", TREE_DIR_TIMES, &want);
	layer_text(*state, "child2", TREE_DIR_TIMES, &have);
	assert_string_equal(str_text(&have), str_text(&want));
	copy_by_diff(*state, "base", NULL, "base2");
	layer_text(*state, "base", TREE_DIR_TIMES, &want_base);
	layer_text(*state, "base2", TREE_DIR_TIMES, &have_base);
	assert_string_equal(str_text(&have_base), str_text(&want_base));
	/* Against something that is not the parent, too. */
	str_clear(&want);
	str_clear(&have);
	fixture_layer(*state, "grandchild", "child", &(struct node)FILE("d/x", 0644, "x"), 1);
	copy_by_diff(*state, "grandchild", "base", "flat");
	layer_text(*state, "grandchild", TREE_DIR_TIMES, &want);
	layer_text(*state, "flat", TREE_DIR_TIMES, &have);
	assert_string_equal(str_text(&have), str_text(&want));
}

static void a_diff_carries_capabilities_and_deletions_of_a_chain(void **state)
{
	static const unsigned char cap[20] = { 1, 0, 0, 2, 0, 32 };
	const struct entry_xattr x = { "security.capability", cap, sizeof(cap) };
	const struct entry e = { .path = "ping",
		.type = ENTRY_FILE,
		.mode = 0755,
		.uid = 7,
		.xattrs = &x,
		.n_xattrs = 1 };
	const struct driver_parent parent = { .id = "base" };
	const struct node base[] = { DIR_("d", 0755), FILE("d/a", 0644, "a"),
		FILE("d/b", 0644, "b") };
	const struct node top[] = { DIR_("d", 0755), { "d/a", ENTRY_WHITEOUT },
		{ "dev", ENTRY_BLOCK, 0600, .dev_major = 7, .dev_minor = 300, .mtime = 7 },
		{ "pipe", ENTRY_FIFO, 0600, .mtime = 7 } };
	struct fixture *f = *state;
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	fixture_layer(f, "base", NULL, base, ARRAY_LEN(base));
	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	assert_ok(sink->ops->begin(sink, &e, &f->err), &f->err);
	assert_ok(sink->ops->end(sink, &f->err), &f->err);
	assert_ok(sink->ops->finish(sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, "middle", &f->err), &f->err);
	driver_stage_free(stage);
	fixture_layer(f, "top", "middle", top, ARRAY_LEN(top));
	copy_by_diff(f, "middle", "base", "middle2");
	assert_layers_equal(f, "middle2", "middle");
	copy_by_diff(f, "top", "middle2", "top2");
	assert_layers_equal(f, "top2", "top");
	copy_by_diff(f, "top", NULL, "whole");
	assert_layers_equal(f, "whole", "top");
}

/* What a program writes into a mount is a difference like any other. */
static void what_was_written_to_a_mount_is_in_the_diff(void **state)
{
	const struct node base[] = { DIR_("d", 0755), FILE("d/gone", 0644, "g"),
		FILE("d/keep", 0644, "k"), FILE("f", 0644, "f"), DIR_("tree", 0755),
		FILE("tree/x", 0644, "x") };
	struct fixture *f = *state;
	int root;

	fixture_layer(f, "base", NULL, base, ARRAY_LEN(base));
	fixture_layer(f, "box", "base", NULL, 0);
	root = open_mounted(f, "box", NULL);
	assert_int_equal(unlinkat(root, "d/gone", 0), 0);
	assert_int_equal(unlinkat(root, "tree/x", 0), 0);
	assert_int_equal(unlinkat(root, "tree", AT_REMOVEDIR), 0);
	assert_int_equal(mkdirat(root, "tree", 0700), 0);
	assert_ok(write_file_at(root, "tree/y", 0600, "y", 1, &f->err), &f->err);
	assert_int_equal(fchmodat(root, "f", 0600, 0), 0);
	assert_int_equal(linkat(root, "tree/y", root, "link", 0), 0);
	assert_int_equal(symlinkat("f", root, "s"), 0);
	(void)close(root);
	assert_ok(f->d->ops->unmount(f->d, "box", &f->err), &f->err);
	copy_by_diff(f, "box", "base", "again");
	{
		AUTO_STR have = STR_INIT(1u << 20);
		AUTO_STR want = STR_INIT(1u << 20);

		layer_text(f, "box", 0, &want);
		layer_text(f, "again", 0, &have);
		assert_string_equal(str_text(&have), str_text(&want));
	}
}

static int note_change(void *ctx, const struct driver_change *change, struct imbrex_error *err)
{
	assert_int_equal(str_printf(ctx, "%c %s\n", "MAD"[change->kind], change -> path), 0);
	return 0;
}

static void assert_changes(struct fixture *f, const char *id, const char *other, const char *want)
{
	AUTO_STR have = STR_INIT(1u << 20);

	assert_ok(f->d->ops->changes(f->d, id, NULL, other, NULL, note_change, &have, &f->err),
		&f->err);
	assert_string_equal(str_text(&have), want);
}

static void changes_name_what_a_layer_does_to_its_parent(void **state)
{
	make_changed_layers(*state);
	assert_changes(*state, "child", "base",
		"M d\nD d/gone\nA d/new\nA d/new2\nM f\nD gone\nA h\nA h/x\n"
		"M was-dir\nM was-file\nA was-file/y\n");
	assert_changes(*state, "base", NULL,
		"A a\nA a/same\nA d\nA d/gone\nA d/keep\nA f\nA gone\nA gone/x\n"
		"A was-dir\nA was-dir/x\nA was-file\n");
}

static void changes_compare_any_two_layers(void **state)
{
	make_changed_layers(*state);
	fixture_layer(*state, "top", "child", &(struct node)FILE("d/gone", 0644, "back"), 1);
	assert_changes(*state, "top", "base",
		"M d\nM d/gone\nA d/new\nA d/new2\nM f\nD gone\nA h\nA h/x\n"
		"M was-dir\nM was-file\nA was-file/y\n");
	/* The other way round, what is above becomes what is missing. */
	assert_changes(*state, "base", "child",
		"M d\nA d/gone\nD d/new\nD d/new2\nM f\nA gone\nA gone/x\nD h\n"
		"M was-dir\nA was-dir/x\nM was-file\n");
	assert_changes(*state, "child", "child", "");
}

static void a_write_within_the_second_of_its_tar_is_a_change(void **state)
{
	struct fixture *f = *state;
	struct node later = FILE("f", 0644, "new");

	later.mtime_nsec = 500;
	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "old"), 1);
	fixture_layer(f, "other", NULL, &later, 1);
	assert_changes(f, "other", "base", "M f\n");
	/* A cut off fraction is none. */
	later.text = "old";
	fixture_layer(f, "third", NULL, &later, 1);
	assert_changes(f, "third", "base", "");
}

static void assert_size(struct fixture *f, const char *id, const char *other, int64_t want)
{
	int64_t size = -1;

	assert_ok(f->d->ops->diff_size(f->d, id, other, &size, &f->err), &f->err);
	assert_int_equal(size, want);
}

static void sizes_count_each_inode_once(void **state)
{
	make_changed_layers(*state);
	fixture_layer(*state, "top", "child", &(struct node)FILE("d/gone", 0644, "back"), 1);
	assert_size(*state, "base", NULL, 7);
	assert_size(*state, "child", "base", 5 + 1 + 3 + 1 + 1);
	assert_size(*state, "top", "child", 4);
	assert_size(*state, "top", "base", 5 + 1 + 3 + 1 + 1 + 4);
}

static void owners_are_told_as_inside_of_a_map(void **state)
{
	const struct imbrex_id_map map = { .inside = 0, .outside = 1000, .count = 10 };
	const struct id_maps maps = { &map, 1, &map, 1 };
	const struct node in[] = { { "f", ENTRY_FILE, 0644, 1000, 1009, .text = "x", .mtime = 7 } };
	const struct node out[] = { { "g", ENTRY_FILE, 0644, 1000, 5, .text = "x", .mtime = 7 } };
	struct fixture *f = *state;
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	fixture_layer(f, "in", NULL, in, 1);
	fixture_layer(f, "out", NULL, out, 1);
	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	assert_int_equal(
		f->d->ops->diff(f->d, "out", &maps, NULL, NULL, sink, &f->err), IMBREX_EFORMAT);
	assert_string_equal(f->err.message,
		"layer out: 'g': its owner 1000:5 of the host is not in the layer's identity map");
	assert_ok(f->d->ops->diff(f->d, "in", &maps, NULL, NULL, sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, NULL, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, "copy", &f->err), &f->err);
	driver_stage_free(stage);
	assert_layer(f, "copy", "f 100644 0:9 7.000000000 'x'\n");
	/* The same owners, seen through different maps, are no change. */
	{
		AUTO_STR have = STR_INIT(1u << 20);

		assert_ok(f->d->ops->changes(
				  f->d, "in", &maps, "copy", NULL, note_change, &have, &f->err),
			&f->err);
		assert_string_equal(str_text(&have), "");
	}
}

int test_differences(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_diff_applied_again_gives_the_same_tree),
		TEST(a_diff_carries_capabilities_and_deletions_of_a_chain),
		TEST(what_was_written_to_a_mount_is_in_the_diff),
		TEST(changes_name_what_a_layer_does_to_its_parent),
		TEST(changes_compare_any_two_layers),
		TEST(a_write_within_the_second_of_its_tar_is_a_change),
		TEST(sizes_count_each_inode_once),
		TEST(owners_are_told_as_inside_of_a_map),
	};

	return cmocka_run_group_tests_name("differences", tests, NULL, NULL);
}
