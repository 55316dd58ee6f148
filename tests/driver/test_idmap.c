/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity maps in storage drivers: entries into mapped layers, layers whose owners are changed,
 * trees that are shown through maps. The name of the driver is the argument.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include "os/mountfd.h"
#include "os/mountinfo.h"
#include "os/projquota.h"

#include "os/userns.h"
#include "tree_text.h"

static const char *driver_name;

static const struct imbrex_id_map range[] = { { 0, 100000, 65536 } };
static const struct id_maps plain = { range, 1, range, 1 };
static const struct imbrex_id_map other_range[] = { { 0, 300000, 65536 } };
static const struct id_maps other = { other_range, 1, other_range, 1 };
/* 10 is missing inside; the second extent lies before the first on the host. */
static const struct imbrex_id_map pieces[] = { { 0, 200000, 10 }, { 11, 150000, 1000 } };
static const struct id_maps broken = { pieces, 2, range, 1 };
static const struct imbrex_id_map same_range[] = { { 0, 0, 4000000 } };
static const struct id_maps same = { same_range, 1, same_range, 1 };

/* VFS_CAP_REVISION_2 | effective, cap_net_raw. */
static const char cap[20] = { 1, 0, 0, 2, 0, 32 };
#define CAP_TEXT "security.capability=0100000200200000000000000000000000000000"

static int setup(void **state)
{
	*state = fixture_new(driver_name, NULL);
	return 0;
}

/* Datasets lie outside of the directory. */
static int teardown(void **state)
{
	if (str_eq(driver_name, "zfs"))
		fixture_remove_layers(*state);
	return fixture_teardown(state);
}

static bool is_overlay(void)
{
	return str_eq(driver_name, "overlay");
}

static bool is_btrfs(void)
{
	return str_eq(driver_name, "btrfs");
}

/* The tree of layer `id` as it lies on disk, or through maps. */
static void assert_shown(struct fixture *f, const char *id, const struct driver_mount_opts *opts,
	unsigned int flags, const char *want)
{
	AUTO_STR text = STR_INIT(1u << 20);
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;

	assert_ok(f->d->ops->mount(f->d, id, opts, &path, &f->err), &f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	tree_text(root, flags, &text);
	root = close_fd(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
	assert_string_equal(str_text(&text), want);
}

static void assert_on_disk(struct fixture *f, const char *id, const char *want)
{
	assert_shown(f, id, &(struct driver_mount_opts){ .read_only = true }, 0, want);
}

/* As fixture_layer(), of entries whose ids are inside of `maps`; the status of the entries. */
static int layer_of(struct fixture *f, const char *id, const char *parent_id,
	const struct id_maps *maps, const struct node *nodes, size_t n)
{
	const struct driver_layer_opts opts = { .image = true, .maps = maps };
	const struct driver_parent parent = { .id = parent_id };
	AUTO_STAGE struct driver_stage *stage = NULL;
	AUTO_ENTRY_SINK struct entry_sink *sink = NULL;
	size_t i;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, &opts, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	for (i = 0; i < n; i++) {
		const struct entry e = { .path = nodes[i].path,
			.type = nodes[i].type,
			.mode = nodes[i].mode,
			.uid = nodes[i].uid,
			.gid = nodes[i].gid,
			.mtime_sec = nodes[i].mtime,
			.link = nodes[i].link };
		int r;

		if (nodes[i].text || nodes[i].xattr) {
			push(f, sink, &nodes[i]);
			continue;
		}
		r = sink->ops->begin(sink, &e, &f->err);
		if (r < 0)
			return r;
		assert_ok(sink->ops->end(sink, &f->err), &f->err);
	}
	assert_ok(sink->ops->finish(sink, &f->err), &f->err);
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, id, &f->err), &f->err);
	return 0;
}

/* Layer `id`, which shows what `parent` shows with other owners; the status of stage_map(). */
static int mapped_layer(struct fixture *f, const char *id, const char *parent_id,
	const struct id_maps *from, const struct id_maps *to)
{
	const struct driver_layer_opts opts = { .maps = to };
	const struct driver_parent parent = { .id = parent_id };
	AUTO_STAGE struct driver_stage *stage = NULL;
	int r;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, &opts, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	r = f->d->ops->stage_map(stage, from, to, &f->err);
	if (r < 0)
		return r;
	assert_ok(f->d->ops->stage_rebase(stage, &parent, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, id, &f->err), &f->err);
	return 0;
}

static void copy_by_diff(struct fixture *f, const char *id, const struct id_maps *maps,
	const char *other_id, const struct id_maps *other_maps, const char *copy)
{
	const struct driver_parent parent = { .id = other_id };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	assert_ok(f->d->ops->diff(f->d, id, maps, other_id, other_maps, sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, copy, &f->err), &f->err);
	driver_stage_free(stage);
}

static const struct node tree[] = {
	{ "a", ENTRY_DIR, 0755, 1, 2, .mtime = 7 },
	{ "a/f", ENTRY_FILE, 0644, 5, 6, .text = "x", .mtime = 7 },
	{ "a/root", ENTRY_FILE, 0600, 0, 0, .text = "r", .mtime = 7 },
	{ "b", ENTRY_DIR, 0755, 0, 0, .mtime = 7 },
	{ "b/h", ENTRY_HARDLINK, 0644, 5, 6, .link = "a/f", .mtime = 7 },
	{ "b/h2", ENTRY_HARDLINK, 0644, 5, 6, .link = "a/f", .mtime = 7 },
	{ "fifo", ENTRY_FIFO, 0600, 3, 3, .mtime = 7 },
	{ "link", ENTRY_SYMLINK, 0777, 3, 4, .link = "/no/where", .mtime = 7 },
	{ "nobody", ENTRY_FILE, 0644, 65534, 65534, .text = "", .mtime = 7 },
	{ "su", ENTRY_FILE, 06755, 7, 8, .text = "s", .mtime = 7 },
};

#define TREE_OF(a, b)                                       \
	"a 40755 " a "1:" b "2 7.000000000\n"               \
	"a/f 100644 " a "5:" b "6 7.000000000 'x'\n"        \
	"a/root 100600 " a "0:" b "0 7.000000000 'r'\n"     \
	"b 40755 " a "0:" b "0 7.000000000\n"               \
	"b/h 100644 " a "5:" b "6 7.000000000 'x' = a/f\n"  \
	"b/h2 100644 " a "5:" b "6 7.000000000 'x' = a/f\n" \
	"fifo 10600 " a "3:" b "3 7.000000000\n"            \
	"link 120777 " a "3:" b "4 7.000000000 -> /no/where\n"

static const char tree_text_host[] = TREE_OF("", "") "nobody 100644 65534:65534 7.000000000 ''\n"
						     "su 106755 7:8 7.000000000 's'\n";
static const char tree_text_plain[] =
	TREE_OF("10000", "10000") "nobody 100644 165534:165534 7.000000000 ''\n"
				  "su 106755 100007:100008 7.000000000 's'\n";
static const char tree_text_other[] =
	TREE_OF("30000", "30000") "nobody 100644 365534:365534 7.000000000 ''\n"
				  "su 106755 300007:300008 7.000000000 's'\n";

static const struct driver_mount_opts raw = { .read_only = true };

static void a_file_with_a_capability(struct fixture *f, const char *id)
{
	struct entry_xattr x = { "security.capability", cap, sizeof(cap) };
	const struct entry e = {
		.path = "ping", .type = ENTRY_FILE, .mode = 0755, .xattrs = &x, .n_xattrs = 1
	};
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
	assert_ok(sink->ops->begin(sink, &e, &f->err), &f->err);
	assert_ok(sink->ops->end(sink, &f->err), &f->err);
	assert_ok(sink->ops->finish(sink, &f->err), &f->err);
	entry_sink_free(sink);
	assert_ok(f->d->ops->stage_seal(stage, NULL, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, id, &f->err), &f->err);
	driver_stage_free(stage);
}

static void entries_are_owned_as_the_map_says(void **state)
{
	const struct node nodes[] = {
		{ "d", ENTRY_DIR, 0755, 1, 2 },
		{ "d/f", ENTRY_FILE, 04755, 9, 10 },
		{ "d/s", ENTRY_SYMLINK, 0777, 11, 12, .link = "f" },
		{ "i/m/p", ENTRY_FILE, 0644, 1010, 65535 },
	};

	assert_int_equal(layer_of(*state, "m", NULL, &broken, nodes, ARRAY_LEN(nodes)), 0);
	/* Parents that no entry names belong to root inside. */
	assert_on_disk(*state, "m",
		"d 40755 200001:100002\n"
		"d/f 104755 200009:100010 0.000000000 ''\n"
		"d/s 120777 150000:100012 0.000000000 -> f\n"
		"i 40755 200000:100000\n"
		"i/m 40755 200000:100000\n"
		"i/m/p 100644 150999:165535 0.000000000 ''\n");
}

static void the_root_of_a_mapped_layer_is_roots(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int root = -EBADF;
	struct stat st;

	assert_int_equal(layer_of(f, "m", NULL, &broken, NULL, 0), 0);
	assert_ok(f->d->ops->open_tree(f->d, "m", &root, &f->err), &f->err);
	assert_int_equal(fstat(root, &st), 0);
	assert_int_equal(st.st_uid, 200000);
	assert_int_equal(st.st_gid, 100000);
	assert_int_equal(st.st_mode & 07777, 0555);
}

static void an_entry_outside_of_the_map_is_refused(void **state)
{
	static const struct {
		struct node node;
		const char *message;
	} cases[] = {
		{ { "x", ENTRY_FILE, 0644, 10, 0 },
			"layer entry 'x': uid 10 or gid 0 is not in the layer's identity map" },
		{ { "x/y", ENTRY_DIR, 0755, 0, 65536 }, "layer entry 'x/y': uid 0 or gid 65536 is "
							"not in the layer's identity map" },
		{ { "l", ENTRY_SYMLINK, 0777, 4294967295u, 0, .link = "x" },
			"layer entry 'l': uid 4294967295 or gid 0 is not in the layer's identity "
			"map" },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(layer_of(f, "m", NULL, &broken, &cases[i].node, 1), IMBREX_EINVAL);
		assert_string_equal(f->err.message, cases[i].message);
		assert_int_equal(f->err.errnum, EOVERFLOW);
	}
}

static void a_map_without_root_makes_no_layer(void **state)
{
	static const struct imbrex_id_map late[] = { { 1, 100000, 1000 } };
	static const struct id_maps rootless = { late, 1, late, 1 };
	const struct driver_layer_opts opts = { .maps = &rootless };
	struct driver_stage *stage = NULL;
	struct fixture *f = *state;

	assert_int_equal(
		f->d->ops->stage_new(f->d, f->temp, NULL, &opts, &stage, &f->err), IMBREX_EINVAL);
	assert_string_equal(f->err.message, "the identity map of a new layer has no root");
}

static void a_diff_of_a_mapped_layer_tells_ids_inside(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(layer_of(f, "m", NULL, &plain, tree, ARRAY_LEN(tree)), 0);
	copy_by_diff(f, "m", &plain, NULL, NULL, "copy");
	assert_shown(f, "copy", &raw, TREE_DIR_TIMES, tree_text_host);
}

static void a_diff_between_maps_tells_what_changed_only(void **state)
{
	const struct node more[] = { { "new", ENTRY_FILE, 0644, 1, 1, .text = "n", .mtime = 7 } };
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	assert_ok(mapped_layer(f, "m", "base", NULL, &plain), &f->err);
	assert_int_equal(layer_of(f, "top", "m", &plain, more, 1), 0);
	copy_by_diff(f, "top", &plain, "base", NULL, "copy");
	if (is_overlay()) {
		assert_int_equal(count_names_at(f->root, "g/overlay/copy/diff"), 1);
		assert_file(f->root, "g/overlay/copy/diff", "new", "n");
	}
	assert_shown(f, "copy", &raw, TREE_DIR_TIMES,
		TREE_OF("", "") "new 100644 1:1 7.000000000 'n'\n"
				"nobody 100644 65534:65534 7.000000000 ''\n"
				"su 106755 7:8 7.000000000 's'\n");
}

static void owners_follow_another_map(void **state)
{
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	assert_ok(mapped_layer(f, "m", "base", NULL, &plain), &f->err);
	assert_shown(f, "m", &raw, TREE_DIR_TIMES, tree_text_plain);
	/* From map to map, and back to the host. */
	assert_ok(mapped_layer(f, "n", "m", &plain, &other), &f->err);
	assert_shown(f, "n", &raw, TREE_DIR_TIMES, tree_text_other);
	assert_ok(mapped_layer(f, "h", "n", &other, NULL), &f->err);
	assert_shown(f, "h", &raw, TREE_DIR_TIMES, tree_text_host);
	/* What lies below has not changed. */
	assert_shown(f, "base", &raw, TREE_DIR_TIMES, tree_text_host);
	assert_shown(f, "m", &raw, TREE_DIR_TIMES, tree_text_plain);
}

static void content_of_a_mapped_layer_lies_in_diff1(void **state)
{
	struct fixture *f = *state;
	AUTO_STR lower = STR_INIT(4096);
	AUTO_STR want = STR_INIT(4096);
	struct stat st;

	if (!is_overlay())
		return;
	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	assert_ok(mapped_layer(f, "m", "base", NULL, &plain), &f->err);
	assert_int_equal(count_names_at(f->root, "g/overlay/m/diff"), 0);
	assert_int_equal(count_names_at(f->root, "g/overlay/m/diff1"), 6);
	assert_int_equal(count_names_at(f->root, "g/overlay/m/work"), 0);
	assert_int_equal(fstatat(f->root, "g/overlay/m/work", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(fstatat(f->root, "g/overlay/m/diff", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(st.st_uid, 100000);
	assert_ok(read_file_at(f->root, "g/overlay/m/lower", 4096, &lower, &f->err), &f->err);
	assert_int_equal(str_puts(&want, "l/"), 0);
	assert_ok(read_file_at(f->root, "g/overlay/base/link", 4096, &want, &f->err), &f->err);
	assert_string_equal(str_text(&lower), str_text(&want));
}

static void a_layer_on_a_mapped_one_finds_its_content(void **state)
{
	const struct node more[] = { { "su", ENTRY_WHITEOUT },
		{ "new", ENTRY_FILE, 0644, 1, 1, .text = "n", .mtime = 7 } };
	struct fixture *f = *state;
	AUTO_CLOSE int fd = -EBADF;

	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	assert_ok(mapped_layer(f, "m", "base", NULL, &plain), &f->err);
	assert_int_equal(layer_of(f, "top", "m", &plain, more, ARRAY_LEN(more)), 0);
	assert_on_disk(f, "top",
		"a 40755 100001:100002\n"
		"a/f 100644 100005:100006 7.000000000 'x'\n"
		"a/root 100600 100000:100000 7.000000000 'r'\n"
		"b 40755 100000:100000\n"
		"b/h 100644 100005:100006 7.000000000 'x' = a/f\n"
		"b/h2 100644 100005:100006 7.000000000 'x' = a/f\n"
		"fifo 10600 100003:100003 7.000000000\n"
		"link 120777 100003:100004 7.000000000 -> /no/where\n"
		"new 100644 100001:100001 7.000000000 'n'\n"
		"nobody 100644 165534:165534 7.000000000 ''\n");
	assert_ok(f->d->ops->open_file(f->d, "m", "a/f", 3, &fd, &f->err), &f->err);
}

static void a_capability_survives_a_new_owner(void **state)
{
	struct fixture *f = *state;

	a_file_with_a_capability(f, "base");
	assert_ok(mapped_layer(f, "m", "base", NULL, &plain), &f->err);
	assert_on_disk(f, "m", "ping 100755 100000:100000 0.000000000 '' " CAP_TEXT "\n");
}

static void an_id_without_a_place_becomes_the_overflow_id(void **state)
{
	const struct node nodes[] = { { "big", ENTRY_FILE, 0644, 70000, 3, .text = "" },
		{ "fine", ENTRY_FILE, 0644, 3, 3, .text = "" },
		{ "hole", ENTRY_FILE, 0644, 10, 70000, .text = "" } };
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, nodes, ARRAY_LEN(nodes));
	assert_ok(mapped_layer(f, "m", "base", NULL, &broken), &f->err);
	assert_on_disk(f, "m",
		"big 100644 65534:100003 0.000000000 ''\n"
		"fine 100644 200003:100003 0.000000000 ''\n"
		"hole 100644 65534:65534 0.000000000 ''\n");
}

static void an_owner_that_is_not_in_the_old_map_is_refused(void **state)
{
	const struct node nodes[] = { { "d", ENTRY_DIR, 0755, 100000, 100000 },
		{ "d/who", ENTRY_FILE, 0644, 99999, 100000, .text = "" } };
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, nodes, 2);
	assert_int_equal(mapped_layer(f, "m", "base", &plain, &other), IMBREX_EINVAL);
	assert_string_equal(f->err.message,
		"'d/who' belongs to 99999:100000, which the identity map of the layer below does "
		"not hold");
	assert_int_equal(f->err.errnum, EOVERFLOW);
	/* Root of the host counts as root inside: layers exist that were made so. */
	fixture_layer(
		f, "ok", NULL, (const struct node[]){ { "f", ENTRY_FILE, 0600, .text = "" } }, 1);
	assert_ok(mapped_layer(f, "m", "ok", &plain, &other), &f->err);
	assert_on_disk(f, "m", "f 100600 300000:300000 0.000000000 ''\n");
}

static void a_map_that_changes_nothing_copies_nothing(void **state)
{
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	assert_ok(mapped_layer(f, "m", "base", NULL, &same), &f->err);
	assert_shown(f, "m", &raw, TREE_DIR_TIMES, tree_text_host);
	if (is_overlay())
		assert_int_equal(count_names_at(f->root, "g/overlay/m/diff1"), 0);
}

static void a_failure_leaves_nothing_mounted(void **state)
{
	struct fixture *f = *state;
	struct mountinfo mounts = MOUNTINFO_INIT;
	size_t i;

	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	assert_int_equal(mapped_layer(f, "m", "base", &other, &plain), IMBREX_EINVAL);
	assert_false(f->d->ops->exists(f->d, "m"));
	assert_ok(mountinfo_read(&mounts, &f->err), &f->err);
	for (i = 0; i < mounts.n; i++)
		assert_null(strstr(mounts.entries[i].target, f->dir));
	mountinfo_done(&mounts);
}

/* Only overlay does, from Linux 5.19 on, by who is root on the machine. */
static bool shifts_here(struct fixture *f)
{
	bool does = f->d->ops->shifts(f->d, &plain);

	if (!is_overlay())
		assert_false(does);
	else if (!does)
		print_message("this kernel shows no tree through a map\n");
	return does;
}

static void a_kernel_that_can_shows_a_tree_through_a_map(void **state)
{
	static const struct timespec seven[2] = { { .tv_sec = 7 }, { .tv_sec = 7 } };
	const struct driver_mount_opts through = { .maps = &plain };
	struct fixture *f = *state;
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;
	struct stat st;

	if (!shifts_here(f))
		return;
	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	fixture_layer(f, "top", "base", NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "top", &through, &path, &f->err), &f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fstat(root, &st), 0);
	assert_int_equal(st.st_uid, 100000);
	assert_int_equal(st.st_gid, 100000);
	/* What is written is owned as by the host. */
	assert_ok(write_file_at(root, "mine", 0644, "m", 1, &f->err), &f->err);
	assert_int_equal(fchownat(root, "mine", 100042, 100043, 0), 0);
	assert_int_equal(utimensat(root, "mine", seven, 0), 0);
	assert_int_equal(fchmodat(root, "nobody", 0600, 0), 0);
	root = close_fd(root);
	assert_missing(f->root, "g/overlay/top", "mapped");
	assert_ok(f->d->ops->unmount(f->d, "top", &f->err), &f->err);
	assert_shown(f, "top", &through, 0,
		"a 40755 100001:100002\n"
		"a/f 100644 100005:100006 7.000000000 'x'\n"
		"a/root 100600 100000:100000 7.000000000 'r'\n"
		"b 40755 100000:100000\n"
		"b/h 100644 100005:100006 7.000000000 'x' = a/f\n"
		"b/h2 100644 100005:100006 7.000000000 'x' = a/f\n"
		"fifo 10600 100003:100003 7.000000000\n"
		"link 120777 100003:100004 7.000000000 -> /no/where\n"
		"mine 100644 100042:100043 7.000000000 'm'\n"
		"nobody 100600 165534:165534 7.000000000 ''\n"
		"su 106755 100007:100008 7.000000000 's'\n");
	assert_int_equal(fstatat(f->root, "g/overlay/top/diff/mine", &st, 0), 0);
	assert_int_equal(st.st_uid, 100042);
	assert_shown(f, "base", &raw, TREE_DIR_TIMES, tree_text_host);
}

static void a_map_of_several_pieces_is_shown(void **state)
{
	const struct node nodes[] = { { "a", ENTRY_FILE, 0644, 9, 1, .text = "" },
		{ "b", ENTRY_FILE, 0644, 11, 1, .text = "" },
		{ "c", ENTRY_FILE, 0644, 10, 1, .text = "" } };
	struct fixture *f = *state;

	if (!shifts_here(f))
		return;
	fixture_layer(f, "base", NULL, nodes, ARRAY_LEN(nodes));
	fixture_layer(f, "top", "base", NULL, 0);
	assert_shown(f, "top", &(struct driver_mount_opts){ .maps = &broken }, 0,
		"a 100644 200009:100001 0.000000000 ''\n"
		"b 100644 150000:100001 0.000000000 ''\n"
		"c 100644 65534:100001 0.000000000 ''\n");
}

/* What a store lies with already must not be shifted twice. */
static void a_mapped_layer_is_shown_as_it_lies(void **state)
{
	const struct driver_mount_opts as_it_lies = { .maps = &plain, .mapped = true };
	struct fixture *f = *state;
	AUTO_CLOSE int root = -EBADF;
	AUTO_FREE char *path = NULL;
	struct stat st;

	fixture_layer(f, "base", NULL, tree, ARRAY_LEN(tree));
	assert_ok(mapped_layer(f, "m", "base", NULL, &plain), &f->err);
	assert_shown(f, "m", &as_it_lies, TREE_DIR_TIMES, tree_text_plain);
	assert_ok(f->d->ops->mount(f->d, "m", &as_it_lies, &path, &f->err), &f->err);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fstat(root, &st), 0);
	root = close_fd(root);
	assert_int_equal(st.st_uid, 100000);
	assert_ok(f->d->ops->unmount(f->d, "m", &f->err), &f->err);
}

static void shifting_can_be_turned_off(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(setenv("_CONTAINERS_OVERLAY_DISABLE_IDMAP", "yes", 1), 0);
	assert_false(f->d->ops->shifts(f->d, &plain));
	assert_int_equal(setenv("_CONTAINERS_OVERLAY_DISABLE_IDMAP", "1", 1), 0);
	assert_int_equal(f->d->ops->shifts(f->d, &plain), is_overlay() && shifts_here(f));
	assert_int_equal(unsetenv("_CONTAINERS_OVERLAY_DISABLE_IDMAP"), 0);
}

static void mapped_mounts_that_were_left_behind_go(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int clone = -EBADF;
	AUTO_FREE char *path = NULL;

	if (!is_overlay())
		return;
	fixture_layer(f, "a", NULL, NULL, 0);
	assert_ok(f->d->ops->mount(f->d, "a", &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_int_equal(mkdirat(f->root, "g/overlay/a/mapped", 0700), 0);
	assert_int_equal(mkdirat(f->root, "g/overlay/a/mapped/0", 0700), 0);
	clone = mount_clone(f->root, "g/overlay/l", false, &f->err);
	assert_ok(mount_attach(clone, f->root, "g/overlay/a/mapped/0", &f->err), &f->err);
	clone = close_fd(clone);
	assert_ok(f->d->ops->unmount(f->d, "a", &f->err), &f->err);
	assert_missing(f->root, "g/overlay/a", "mapped");
}

static void layer_options_are_refused_with_the_reason(void **state)
{
	static const struct {
		const char *option, *overlay, *vfs;
		bool image;
		int status;
	} cases[] = {
		{ "size=10G", "layer option 'size' needs project quotas, and '",
			"the driver vfs has no layer option 'size=10G'", false, IMBREX_ENOTSUP },
		{ "inodes=5", "layer option 'inodes' needs project quotas, and '",
			"the driver vfs has no layer option 'inodes=5'", false, IMBREX_ENOTSUP },
		{ "size=1",
			"layer option 'size' is for writable layers only, not for layers of images",
			"the driver vfs has no layer option 'size=1'", true, IMBREX_EINVAL },
		{ "colour=red", "layer option 'colour' is unknown",
			"the driver vfs has no layer option 'colour=red'", false, IMBREX_EINVAL },
	};
	struct fixture *f = *state;
	size_t i;

	/* They have such options. */
	if (is_btrfs() || str_eq(driver_name, "zfs"))
		return;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STRV options = { 0 };
		const struct driver_layer_opts opts = { .options = &options,
			.image = cases[i].image };
		struct driver_stage *stage = NULL;

		if (is_overlay() && cases[i].status == IMBREX_ENOTSUP &&
			projquota_check(f->root) != -EOPNOTSUPP)
			continue; /* driver/quota-* ask that */
		assert_int_equal(strv_add(&options, cases[i].option), 0);
		assert_int_equal(f->d->ops->stage_new(f->d, f->temp, NULL, &opts, &stage, &f->err),
			is_overlay() ? cases[i].status : IMBREX_ENOTSUP);
		assert_true(str_after(f->err.message,
				    is_overlay() ? cases[i].overlay : cases[i].vfs) != NULL);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(entries_are_owned_as_the_map_says),
		TEST(the_root_of_a_mapped_layer_is_roots),
		TEST(an_entry_outside_of_the_map_is_refused),
		TEST(a_map_without_root_makes_no_layer),
		TEST(a_diff_of_a_mapped_layer_tells_ids_inside),
		TEST(a_diff_between_maps_tells_what_changed_only),
		TEST(owners_follow_another_map),
		TEST(content_of_a_mapped_layer_lies_in_diff1),
		TEST(a_layer_on_a_mapped_one_finds_its_content),
		TEST(a_capability_survives_a_new_owner),
		TEST(an_id_without_a_place_becomes_the_overflow_id),
		TEST(an_owner_that_is_not_in_the_old_map_is_refused),
		TEST(a_map_that_changes_nothing_copies_nothing),
		TEST(a_failure_leaves_nothing_mounted),
		TEST(a_kernel_that_can_shows_a_tree_through_a_map),
		TEST(a_map_of_several_pieces_is_shown),
		TEST(a_mapped_layer_is_shown_as_it_lies),
		TEST(shifting_can_be_turned_off),
		TEST(mapped_mounts_that_were_left_behind_go),
		TEST(layer_options_are_refused_with_the_reason),
	};

	driver_name = argc > 1 ? argv[1] : "vfs";
	if (geteuid() != 0) {
		print_message("skipped: owners need root\n");
		return 77;
	}
	if (!in_initial_userns()) {
		print_message("skipped: maps need ids that this user namespace may not have\n");
		return 77;
	}
	if (is_overlay() || str_eq(driver_name, "zfs"))
		skip_unless_driver_works(NULL, driver_name, NULL);
	return cmocka_run_group_tests_name(driver_name, tests, NULL, NULL);
}
