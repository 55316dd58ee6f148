/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every storage driver must do, whatever lies on disk. The name of the driver is the argument.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include "os/mountinfo.h"
#include "os/userns.h"
#include "os/xattr.h"
#include "tree_text.h"

static const char *driver_name;

static int setup(void **state)
{
	*state = fixture_new(driver_name, NULL);
	return 0;
}

/* The tree of layer `id` as text; mounts and unmounts it. */
static void layer_text(struct fixture *f, const char *id, unsigned int flags, struct str *out)
{
	const struct driver_mount_opts opts = { .read_only = true };
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;

	assert_ok(f->d->ops->mount(f->d, id, &opts, &path, &f->err), &f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	tree_text(root, flags, out);
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
}

static void assert_layer(struct fixture *f, const char *id, const char *want)
{
	AUTO_STR text = STR_INIT(1u << 20);

	layer_text(f, id, 0, &text);
	assert_string_equal(str_text(&text), want);
}

#define FILE(p, m, t)                                                           \
	{                                                                       \
		.path = p, .type = ENTRY_FILE, .mode = m, .text = t, .mtime = 7 \
	}
#define DIR_(p, m)                                                  \
	{                                                           \
		.path = p, .type = ENTRY_DIR, .mode = m, .mtime = 7 \
	}

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

static void a_child_changes_and_its_parent_stays(void **state)
{
	const struct node base[] = { DIR_("d", 0755), FILE("d/keep", 0644, "k"),
		FILE("d/gone", 0644, "g"), FILE("mode", 0644, "m"), DIR_("tree", 0755),
		DIR_("tree/sub", 0755), FILE("tree/sub/f", 0644, "f"), FILE("was-file", 0644, "") };
	const struct node child[] = { { "d/gone", ENTRY_WHITEOUT }, { "tree", ENTRY_WHITEOUT },
		FILE("mode", 0600, "m"), DIR_("was-file", 0700), FILE("new", 0644, "n") };
	AUTO_STR before = STR_INIT(1u << 20);
	AUTO_STR after = STR_INIT(1u << 20);

	fixture_layer(*state, "base", NULL, base, ARRAY_LEN(base));
	layer_text(*state, "base", TREE_DIR_TIMES, &before);
	fixture_layer(*state, "child", "base", child, ARRAY_LEN(child));
	assert_layer(*state, "child",
		"d 40755 0:0\n"
		"d/keep 100644 0:0 7.000000000 'k'\n"
		"mode 100600 0:0 7.000000000 'm'\n"
		"new 100644 0:0 7.000000000 'n'\n"
		"was-file 40700 0:0\n");
	layer_text(*state, "base", TREE_DIR_TIMES, &after);
	assert_string_equal(str_text(&before), str_text(&after));
}

static void an_opaque_directory_hides_what_is_below_only(void **state)
{
	const struct node base[] = { DIR_("d", 0755), FILE("d/old", 0644, "o"), DIR_("d/sub", 0755),
		FILE("d/sub/old", 0644, "o"), FILE("other", 0644, "x") };
	const struct node child[] = { DIR_("d", 0755), FILE("d/a", 0644, "a"), DIR_("d/sub", 0755),
		FILE("d/sub/new", 0644, "n"), { "d", ENTRY_OPAQUE }, { "d/sub", ENTRY_OPAQUE },
		FILE("d/z", 0644, "z"), { "d", ENTRY_OPAQUE } };
	const struct node all[] = { { ".", ENTRY_OPAQUE }, FILE("only", 0644, "o") };

	fixture_layer(*state, "base", NULL, base, ARRAY_LEN(base));
	fixture_layer(*state, "child", "base", child, ARRAY_LEN(child));
	assert_layer(*state, "child",
		"d 40755 0:0\n"
		"d/a 100644 0:0 7.000000000 'a'\n"
		"d/sub 40755 0:0\n"
		"d/sub/new 100644 0:0 7.000000000 'n'\n"
		"d/z 100644 0:0 7.000000000 'z'\n"
		"other 100644 0:0 7.000000000 'x'\n");
	/* The kernel's overlay does not look for the mark on the root. */
	if (str_eq(driver_name, "overlay"))
		return;
	fixture_layer(*state, "all", "child", all, ARRAY_LEN(all));
	assert_layer(*state, "all", "only 100644 0:0 7.000000000 'o'\n");
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

static void two_hundred_layers_stack(void **state)
{
	struct fixture *f = *state;
	char id[16] = "", parent[16], name[16];
	AUTO_FREE char *path = NULL;
	size_t i;

	for (i = 0; i < 200; i++) {
		(void)snprintf(parent, sizeof(parent), "%s", id);
		(void)snprintf(id, sizeof(id), "layer%zu", i);
		(void)snprintf(name, sizeof(name), "f%zu", i);
		fixture_layer(f, id, i ? parent : NULL,
			&(struct node){ name, ENTRY_FILE, 0644, .text = name }, 1);
	}
	assert_ok(f->d->ops->mount(f->d, id, &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_file(AT_FDCWD, path, "f0", "f0");
	assert_file(AT_FDCWD, path, "f199", "f199");
	{
		AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(count_names(dir), 200);
	}
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
}

static void no_mount_outlives_its_unmount(void **state)
{
	struct fixture *f = *state;
	struct mountinfo mounts = MOUNTINFO_INIT;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *again = NULL;
	size_t i;

	fixture_layer(f, "a", NULL, NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "a", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_ok(f->d->ops->mount(f->d, "a", &(struct driver_mount_opts){ 0 }, &again, &f->err),
		&f->err);
	assert_string_equal(path, again);
	assert_ok(f->d->ops->unmount(f->d, "a", &f->err), &f->err);
	assert_ok(mountinfo_read(&mounts, &f->err), &f->err);
	/* But the home of overlay, bound onto itself: peers do that too, and it serves all mounts.
	 */
	for (i = 0; i < mounts.n; i++)
		if (strstr(mounts.entries[i].target, f->dir))
			assert_true(str_ends(mounts.entries[i].target, "/g/overlay"));
	mountinfo_done(&mounts);
}

static void writes_to_a_mount_stay_in_its_layer(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int root = -EBADF;

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	fixture_layer(f, "top", "base", NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "top", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(write_file_at(root, "mine", 0644, "m", 1, &f->err), &f->err);
	assert_int_equal(unlinkat(root, "f", 0), 0);
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, "top", &f->err), &f->err);
	assert_layer(f, "base", "f 100644 0:0 7.000000000 'x'\n");
}

static void removal_is_final_and_repeatable(void **state)
{
	struct fixture *f = *state;
	AUTO_STRV ids = { 0 };
	AUTO_FREE char *path = NULL;

	fixture_layer(f, "a", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	fixture_layer(f, "b", "a", NULL, 0);
	assert_true(f->d->ops->exists(f->d, "b"));
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 2);
	assert_ok(f->d->ops->remove(f->d, "b", f->temp, &f->err), &f->err);
	assert_ok(f->d->ops->remove(f->d, "b", f->temp, &f->err), &f->err);
	assert_false(f->d->ops->exists(f->d, "b"));
	assert_int_equal(
		f->d->ops->mount(f->d, "b", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		IMBREX_ENOENT);
	assert_true(f->d->ops->exists(f->d, "a"));
	assert_ok(f->d->ops->sync_homes(f->d, &f->err), &f->err);
}

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

static void make_changed_layers(struct fixture *f)
{
	const struct node base[] = { DIR_("a", 0755), FILE("a/same", 0644, "s"), DIR_("d", 0755),
		FILE("d/gone", 0644, "g"), FILE("d/keep", 0644, "k"), FILE("f", 0644, "f"),
		DIR_("gone", 0755), FILE("gone/x", 0644, "x"), FILE("was-file", 0644, "w"),
		DIR_("was-dir", 0755), FILE("was-dir/x", 0644, "x") };
	const struct node child[] = { DIR_("d", 0755), { "d/gone", ENTRY_WHITEOUT },
		FILE("d/new", 0644, "12345"),
		{ "d/new2", ENTRY_HARDLINK, 0644, .link = "d/new", .mtime = 7 },
		FILE("f", 0600, "f"), { "gone", ENTRY_WHITEOUT }, DIR_("h", 0755),
		FILE("h/x", 0644, "abc"), DIR_("was-file", 0755), FILE("was-file/y", 0644, "y"),
		FILE("was-dir", 0644, "w") };

	fixture_layer(f, "base", NULL, base, ARRAY_LEN(base));
	fixture_layer(f, "child", "base", child, ARRAY_LEN(child));
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

/* A sealed stage with the content of layer `id` and one more file. */
static struct driver_stage *stage_more(
	struct fixture *f, const char *id, const char *parent_id, const struct node *more)
{
	const struct driver_parent parent = { .id = parent_id };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_copy(stage, id, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	push(f, sink, more);
	assert_ok(sink->ops->finish(sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	return stage;
}

static void the_content_of_a_layer_is_replaced_in_one_step(void **state)
{
	const struct node more = FILE("more", 0644, "m");
	const struct node gone = { "d/keep", ENTRY_WHITEOUT };
	struct fixture *f = *state;
	struct driver_stage *first, *second, *third;
	AUTO_FREE char *path = NULL;

	make_changed_layers(f);
	first = stage_more(f, "child", "base", &more);
	second = stage_more(f, "child", "base", &gone);
	assert_ok(f->d->ops->stage_replace(first, "child", f->temp, &f->err), &f->err);
	driver_stage_free(first);
	assert_layer(f, "child",
		"a 40755 0:0\n"
		"a/same 100644 0:0 7.000000000 's'\n"
		"d 40755 0:0\n"
		"d/keep 100644 0:0 7.000000000 'k'\n"
		"d/new 100644 0:0 7.000000000 '12345'\n"
		"d/new2 100644 0:0 7.000000000 '12345' = d/new\n"
		"f 100600 0:0 7.000000000 'f'\n"
		"h 40755 0:0\n"
		"h/x 100644 0:0 7.000000000 'abc'\n"
		"more 100644 0:0 7.000000000 'm'\n"
		"was-dir 100644 0:0 7.000000000 'w'\n"
		"was-file 40755 0:0\n"
		"was-file/y 100644 0:0 7.000000000 'y'\n");
	/* What was copied before that is of no use any more. */
	assert_int_equal(f->d->ops->stage_replace(second, "child", f->temp, &f->err), IMBREX_EBUSY);
	assert_non_null(strstr(f->err.message, "replaced while it was copied"));
	driver_stage_free(second);
	if (!str_eq(driver_name, "overlay"))
		return;
	third = stage_more(f, "child", "base", &gone);
	assert_ok(f->d->ops->mount(f->d, "child", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_ok(f->d->ops->unmount(f->d, "child", &f->err), &f->err);
	assert_int_equal(f->d->ops->stage_replace(third, "child", f->temp, &f->err), IMBREX_EBUSY);
	assert_string_equal(f->err.message, "layer child was used or replaced while it was copied");
	driver_stage_free(third);
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

static int keep_problem(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	return strv_add(ctx, p->text);
}

static void a_sound_layer_has_no_problems(void **state)
{
	struct fixture *f = *state;
	AUTO_STRV problems = { 0 };

	fixture_layer(f, "a", NULL, NULL, 0);
	fixture_layer(f, "b", "a", NULL, 0);
	assert_ok(f->d->ops->check(f->d, "a", NULL, keep_problem, &problems, &f->err), &f->err);
	assert_ok(f->d->ops->check(f->d, "b", "a", keep_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 0);
	assert_ok(
		f->d->ops->check(f->d, "missing", NULL, keep_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 1);
	assert_non_null(strstr(problems.items[0], "no directory in "));
}

static void stages_stack_before_any_is_published(void **state)
{
	struct fixture *f = *state;
	struct driver_stage *s[3] = { NULL };
	struct driver_parent parent = { 0 };
	char name[2][8] = { "a", "b" };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct entry_sink *sink = NULL;

		parent.stage = i ? s[i - 1] : NULL;
		assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &s[i], &f->err),
			&f->err);
		assert_ok(f->d->ops->stage_entries(s[i], &sink, &f->err), &f->err);
		push(f, sink, &(struct node){ name[i], ENTRY_FILE, 0644, .text = "x", .mtime = 7 });
		assert_ok(sink->ops->finish(sink, &f->err), &f->err);
		entry_sink_free(sink);
		assert_ok(f->d->ops->stage_seal(s[i], &parent, false, &f->err), &f->err);
	}
	for (i = 0; i < 2; i++) {
		assert_ok(f->d->ops->stage_publish(s[i], name[i], &f->err), &f->err);
		driver_stage_free(s[i]);
	}
	assert_layer(f, "b",
		"a 100644 0:0 7.000000000 'x'\n"
		"b 100644 0:0 7.000000000 'x'\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_layer_holds_every_kind_of_inode),
		TEST(device_nodes_are_made_where_they_may_be),
		TEST(file_capabilities_survive_owner_and_content),
		TEST(a_directory_keeps_its_time_while_it_is_filled),
		TEST(a_child_changes_and_its_parent_stays),
		TEST(an_opaque_directory_hides_what_is_below_only),
		TEST(later_entries_replace_earlier_ones),
		TEST(the_group_of_a_setgid_directory_is_not_inherited),
		TEST(two_hundred_layers_stack),
		TEST(no_mount_outlives_its_unmount),
		TEST(writes_to_a_mount_stay_in_its_layer),
		TEST(removal_is_final_and_repeatable),
		TEST(a_diff_applied_again_gives_the_same_tree),
		TEST(changes_name_what_a_layer_does_to_its_parent),
		TEST(changes_compare_any_two_layers),
		TEST(a_write_within_the_second_of_its_tar_is_a_change),
		TEST(sizes_count_each_inode_once),
		TEST(owners_are_told_as_inside_of_a_map),
		TEST(the_content_of_a_layer_is_replaced_in_one_step),
		TEST(files_open_by_their_tar_names),
		TEST(a_sound_layer_has_no_problems),
		TEST(stages_stack_before_any_is_published),
	};

	driver_name = argc > 1 ? argv[1] : "vfs";
	if (geteuid() != 0) {
		print_message("skipped: owners and devices need root\n");
		return 77;
	}
	if (str_eq(driver_name, "overlay"))
		skip_unless_overlay_works();
	return cmocka_run_group_tests_name(driver_name, tests, NULL, NULL);
}
