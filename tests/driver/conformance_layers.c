/* SPDX-License-Identifier: Apache-2.0 */
/* Layers on layers: who sees what, what mounting and removing leaves. */
#include "conformance.h"

#include "os/mountinfo.h"

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
	if (driver_stacks())
		return;
	fixture_layer(*state, "all", "child", all, ARRAY_LEN(all));
	assert_layer(*state, "all", "only 100644 0:0 7.000000000 'o'\n");
}

#define DEPTH 200

/* Each layer changes one file, adds one, and removes the one that its parent added. */
static void two_hundred_layers_stack(void **state)
{
	struct fixture *f = *state;
	char id[16] = "", parent[16], name[16], gone[16];
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;
	size_t i;

	for (i = 0; i < DEPTH; i++) {
		(void)snprintf(parent, sizeof(parent), "%s", id);
		(void)snprintf(id, sizeof(id), "layer%zu", i);
		(void)snprintf(name, sizeof(name), "f%zu", i);
		(void)snprintf(gone, sizeof(gone), "f%zu", i - 1);
		{
			const struct node nodes[] = { { name, ENTRY_FILE, 0644, .text = name },
				{ "same", ENTRY_FILE, 0644, .text = id },
				{ gone, ENTRY_WHITEOUT } };

			/* The first three stay to be seen through all of them. */
			fixture_layer(f, id, i ? parent : NULL, nodes, i > 3 ? 3 : 2);
		}
	}
	root = open_mounted(f, id, &path);
	assert_file(AT_FDCWD, path, "f0", "f0");
	assert_file(AT_FDCWD, path, "f2", "f2");
	assert_missing(AT_FDCWD, path, "f100");
	assert_file(AT_FDCWD, path, "f199", "f199");
	assert_file(AT_FDCWD, path, "same", "layer199");
	assert_int_equal(count_names(root), 5);
	assert_ok(write_file_at(root, "mine", 0644, "m", 1, &f->err), &f->err);
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
	assert_layer(f, "layer0",
		"f0 100644 0:0 0.000000000 'f0'\n"
		"same 100644 0:0 0.000000000 'layer0'\n");
	/* From the top down, as a store removes them. */
	for (i = DEPTH; i > 1; i--) {
		(void)snprintf(id, sizeof(id), "layer%zu", i - 1);
		assert_ok(f->d->ops->remove(f->d, id, f->temp, &f->err), &f->err);
	}
	assert_layer(f, "layer0",
		"f0 100644 0:0 0.000000000 'f0'\n"
		"same 100644 0:0 0.000000000 'layer0'\n");
}

static void a_name_comes_and_goes_along_a_chain(void **state)
{
	const struct node steps[] = { FILE("n", 0644, "1"), { "n", ENTRY_WHITEOUT },
		DIR_("n", 0755), { "n", ENTRY_WHITEOUT },
		{ "n", ENTRY_SYMLINK, 0777, .link = "x", .mtime = 7 }, FILE("n", 0600, "2") };
	static const char *const want[] = { "n 100644 0:0 7.000000000 '1'\n", "", "n 40755 0:0\n",
		"", "n 120777 0:0 7.000000000 -> x\n", "n 100600 0:0 7.000000000 '2'\n" };
	static const char *const ids[] = { "l0", "l1", "l2", "l3", "l4", "l5" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(steps); i++)
		fixture_layer(*state, ids[i], i ? ids[i - 1] : NULL, &steps[i], 1);
	/* All of them at the end: none was changed by one above it. */
	for (i = 0; i < ARRAY_LEN(steps); i++)
		assert_layer(*state, ids[i], want[i]);
}

static void a_whiteout_of_nothing_is_nothing(void **state)
{
	const struct node nodes[] = { { "no", ENTRY_WHITEOUT }, DIR_("d", 0755),
		{ "d/no", ENTRY_WHITEOUT }, FILE("f", 0644, "x") };
	const char *want = "d 40755 0:0\n"
			   "f 100644 0:0 7.000000000 'x'\n";

	fixture_layer(*state, "a", NULL, nodes, ARRAY_LEN(nodes));
	fixture_layer(*state, "b", "a", NULL, 0);
	assert_layer(*state, "b", want);
}

static void hard_links_are_inherited(void **state)
{
	const struct node nodes[] = { DIR_("d", 0755), FILE("d/a", 0644, "x"),
		{ "d/b", ENTRY_HARDLINK, 0644, .link = "d/a", .mtime = 7 },
		{ "c", ENTRY_HARDLINK, 0644, .link = "d/a", .mtime = 7 } };

	fixture_layer(*state, "a", NULL, nodes, ARRAY_LEN(nodes));
	fixture_layer(*state, "b", "a", &(struct node)FILE("new", 0644, "n"), 1);
	assert_layer(*state, "b",
		"c 100644 0:0 7.000000000 'x'\n"
		"d 40755 0:0\n"
		"d/a 100644 0:0 7.000000000 'x' = c\n"
		"d/b 100644 0:0 7.000000000 'x' = c\n"
		"new 100644 0:0 7.000000000 'n'\n");
	/* One name is replaced, the others stay one inode. */
	fixture_layer(*state, "c", "b", &(struct node)FILE("d/a", 0600, "y"), 1);
	assert_layer(*state, "c",
		"c 100644 0:0 7.000000000 'x'\n"
		"d 40755 0:0\n"
		"d/a 100600 0:0 7.000000000 'y'\n"
		"d/b 100644 0:0 7.000000000 'x' = c\n"
		"new 100644 0:0 7.000000000 'n'\n");
}

static void siblings_do_not_see_each_other(void **state)
{
	struct fixture *f = *state;
	int one, two;

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	fixture_layer(f, "one", "base", NULL, 0);
	fixture_layer(f, "two", "base", NULL, 0);
	one = open_mounted(f, "one", NULL);
	two = open_mounted(f, "two", NULL);
	assert_ok(write_file_at(one, "f", 0644, "changed", 7, &f->err), &f->err);
	assert_ok(write_file_at(one, "mine", 0644, "1", 1, &f->err), &f->err);
	assert_int_equal(unlinkat(two, "f", 0), 0);
	assert_true(exists_at(one, "f"));
	assert_false(exists_at(two, "mine"));
	(void)close(one);
	(void)close(two);
	assert_ok(f->d->ops->unmount(f->d, "one", &f->err), &f->err);
	assert_ok(f->d->ops->unmount(f->d, "two", &f->err), &f->err);
	assert_layer(f, "two", "");
	assert_layer(f, "base", "f 100644 0:0 7.000000000 'x'\n");
}

/* A copy or clone is of one moment. (The kernel's overlay promises nothing here.) */
static void a_child_does_not_see_what_its_parent_becomes(void **state)
{
	struct fixture *f = *state;
	int root;

	if (driver_stacks())
		skip();
	fixture_layer(f, "parent", NULL, &(struct node)FILE("f", 0644, "old"), 1);
	fixture_layer(f, "child", "parent", NULL, 0);
	root = open_mounted(f, "parent", NULL);
	assert_ok(write_file_at(root, "f", 0644, "new", 3, &f->err), &f->err);
	assert_ok(write_file_at(root, "more", 0644, "m", 1, &f->err), &f->err);
	(void)close(root);
	assert_ok(f->d->ops->unmount(f->d, "parent", &f->err), &f->err);
	assert_layer(f, "child", "f 100644 0:0 7.000000000 'old'\n");
}

static void a_read_only_mount_takes_no_writes(void **state)
{
	const struct driver_mount_opts opts = { .read_only = true };
	struct fixture *f = *state;
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;

	if (str_eq(driver_name, "vfs"))
		skip(); /* a path, never a mount */
	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	fixture_layer(f, "top", "base", NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "top", &opts, &path, &f->err), &f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	assert_int_equal(openat(root, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(openat(root, "f", O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, EROFS);
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, "top", &f->err), &f->err);
}

/* Mounts on or below the test's directory. */
static size_t count_mounts(struct fixture *f)
{
	struct mountinfo mounts = MOUNTINFO_INIT;
	size_t n = 0;
	size_t i;

	assert_ok(mountinfo_read(&mounts, &f->err), &f->err);
	for (i = 0; i < mounts.n; i++)
		n += strncmp(mounts.entries[i].target, f->dir, strlen(f->dir)) == 0;
	mountinfo_done(&mounts);
	return n;
}

static size_t count_open_files(void)
{
	AUTO_CLOSE int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dir >= 0);
	return count_names(dir);
}

static void no_mount_outlives_its_unmount(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *again = NULL;

	fixture_layer(f, "a", NULL, NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "a", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_ok(f->d->ops->mount(f->d, "a", &(struct driver_mount_opts){ 0 }, &again, &f->err),
		&f->err);
	assert_string_equal(path, again);
	assert_ok(f->d->ops->unmount(f->d, "a", &f->err), &f->err);
	/* But the home of overlay, bound onto itself: peers do that too, and it serves all mounts.
	 */
	if (f->d->ops->retire)
		assert_ok(f->d->ops->retire(f->d, &f->err), &f->err);
	assert_int_equal(count_mounts(f), 0);
	/* Nothing is mounted: not a failure. */
	assert_ok(f->d->ops->unmount(f->d, "a", &f->err), &f->err);
}

#define CYCLES 100

static void cycles_of_create_mount_unmount_remove_leave_nothing(void **state)
{
	struct fixture *f = *state;
	AUTO_STRV ids = { 0 };
	size_t mounts = 0;
	size_t files = 0;
	size_t i;

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	for (i = 0; i < CYCLES; i++) {
		char id[16];
		int root;

		(void)snprintf(id, sizeof(id), "box%zu", i);
		fixture_layer(f, id, "base", NULL, 0);
		root = open_mounted(f, id, NULL);
		assert_ok(write_file_at(root, "mine", 0644, "m", 1, &f->err), &f->err);
		(void)close(root);
		assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
		assert_ok(f->d->ops->remove(f->d, id, f->temp, &f->err), &f->err);
		/* What is kept open or mounted for all is there after the first. */
		if (i == 0) {
			mounts = count_mounts(f);
			files = count_open_files();
		}
	}
	assert_int_equal(count_mounts(f), mounts);
	assert_int_equal(count_open_files(), files);
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 1);
	assert_string_equal(ids.items[0], "base");
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

/* A store removes children first; what has lost its records goes in any order. */
static void a_parent_that_goes_first_takes_no_other_layer_along(void **state)
{
	struct fixture *f = *state;
	const char *want = "f 100644 0:0 7.000000000 'x'\n"
			   "mine 100644 0:0 7.000000000 'm'\n";
	int r;

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	fixture_layer(f, "child", "base", &(struct node)FILE("mine", 0644, "m"), 1);
	fixture_layer(f, "other", NULL, &(struct node)FILE("o", 0644, "o"), 1);
	r = f->d->ops->remove(f->d, "base", f->temp, &f->err);
	if (r < 0) {
		/* A driver may refuse, if it leaves everything as it was. */
		assert_int_equal(r, IMBREX_EBUSY);
		assert_true(f->d->ops->exists(f->d, "base"));
		assert_layer(f, "base", "f 100644 0:0 7.000000000 'x'\n");
	} else {
		assert_false(f->d->ops->exists(f->d, "base"));
	}
	if (r < 0 || !driver_stacks())
		assert_layer(f, "child", want);
	assert_layer(f, "other", "o 100644 0:0 7.000000000 'o'\n");
	assert_ok(f->d->ops->remove(f->d, "child", f->temp, &f->err), &f->err);
	assert_ok(f->d->ops->remove(f->d, "base", f->temp, &f->err), &f->err);
	assert_false(f->d->ops->exists(f->d, "base"));
	assert_layer(f, "other", "o 100644 0:0 7.000000000 'o'\n");
}

static void an_id_may_come_again(void **state)
{
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "first"), 1);
	fixture_layer(f, "child", "base", NULL, 0);
	assert_ok(f->d->ops->remove(f->d, "child", f->temp, &f->err), &f->err);
	assert_ok(f->d->ops->remove(f->d, "base", f->temp, &f->err), &f->err);
	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "second"), 1);
	fixture_layer(f, "child", "base", NULL, 0);
	assert_layer(f, "child", "f 100644 0:0 7.000000000 'second'\n");
	/* Over an orphan of that name, without removing it first. */
	fixture_layer(f, "child", "base", &(struct node)FILE("g", 0644, "third"), 1);
	assert_layer(f, "child",
		"f 100644 0:0 7.000000000 'second'\n"
		"g 100644 0:0 7.000000000 'third'\n");
}

static void a_stage_that_is_dropped_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	const struct driver_parent parent = { .id = "base" };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;
	AUTO_STRV ids = { 0 };

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	push(f, sink, &(struct node)FILE("g", 0644, "x"));
	entry_sink_free(sink);
	driver_stage_free(stage);
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 1);
	assert_layer(f, "base", "f 100644 0:0 7.000000000 'x'\n");
	/* Nothing holds on to the parent. */
	assert_ok(f->d->ops->remove(f->d, "base", f->temp, &f->err), &f->err);
	assert_false(f->d->ops->exists(f->d, "base"));
}

static void an_empty_layer_is_made_in_place_where_that_is_cheap(void **state)
{
	struct fixture *f = *state;
	const struct driver_parent parent = { .id = "base" };

	if (!f->d->ops->create)
		skip();
	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	assert_ok(f->d->ops->create(f->d, "box", &parent, NULL, true, &f->err), &f->err);
	assert_true(f->d->ops->exists(f->d, "box"));
	assert_layer(f, "box", "f 100644 0:0 7.000000000 'x'\n");
	/* Nothing of a failure stays. */
	assert_true(f->d->ops->create(f->d, "lost", &(struct driver_parent){ .id = "nowhere" },
			    NULL, true, &f->err) < 0);
	assert_false(f->d->ops->exists(f->d, "lost"));
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
	if (!driver_stacks())
		return;
	third = stage_more(f, "child", "base", &gone);
	assert_ok(f->d->ops->mount(f->d, "child", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_ok(f->d->ops->unmount(f->d, "child", &f->err), &f->err);
	assert_int_equal(f->d->ops->stage_replace(third, "child", f->temp, &f->err), IMBREX_EBUSY);
	assert_string_equal(f->err.message, "layer child was used or replaced while it was copied");
	driver_stage_free(third);
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
	assert_true(strstr(problems.items[0], "no directory in ") ||
		    strstr(problems.items[0], "no ZFS dataset "));
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

int test_layers(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_child_changes_and_its_parent_stays),
		TEST(an_opaque_directory_hides_what_is_below_only),
		TEST(two_hundred_layers_stack),
		TEST(a_name_comes_and_goes_along_a_chain),
		TEST(a_whiteout_of_nothing_is_nothing),
		TEST(hard_links_are_inherited),
		TEST(siblings_do_not_see_each_other),
		TEST(a_child_does_not_see_what_its_parent_becomes),
		TEST(a_read_only_mount_takes_no_writes),
		TEST(no_mount_outlives_its_unmount),
		TEST(cycles_of_create_mount_unmount_remove_leave_nothing),
		TEST(writes_to_a_mount_stay_in_its_layer),
		TEST(removal_is_final_and_repeatable),
		TEST(a_parent_that_goes_first_takes_no_other_layer_along),
		TEST(an_id_may_come_again),
		TEST(a_stage_that_is_dropped_leaves_nothing),
		TEST(an_empty_layer_is_made_in_place_where_that_is_cheap),
		TEST(the_content_of_a_layer_is_replaced_in_one_step),
		TEST(a_sound_layer_has_no_problems),
		TEST(stages_stack_before_any_is_published),
	};

	return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
