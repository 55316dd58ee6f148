/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others may do to the datasets below zfs.fsname: people with rights of their own, other
 * stores, programs that hold on to what is to go, and our own death at a bad moment.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "zfs_fixture.h"

#include "base/limits.h"

#define ID(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c

static const char id_a[] = ID("aa"), id_b[] = ID("bb"), id_c[] = ID("cc");
static const struct node file = { "f", ENTRY_FILE, 0644, .text = "x", .mtime = 7 };
static const struct zfs_property legacy[] = { { "mountpoint", "legacy" } };

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct real));
	real_setup(*state, ZFS_ROAD_ANY);
	return 0;
}

static int note_problem(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	return strv_add(ctx, p->text) < 0 ? IMBREX_ENOMEM : 0;
}

static void find_garbage(struct real *r, bool collect, struct strv *ret)
{
	assert_ok(
		r->f->d->ops->garbage(r->f->d, collect, note_problem, ret, &r->f->err), &r->f->err);
}

static void drop(struct real *r, const char *id)
{
	assert_ok(r->f->d->ops->remove(r->f->d, id, r->f->temp, &r->f->err), &r->f->err);
}

/* Nothing may be left by any test. */
static int teardown(void **state)
{
	struct real *r = *state;

	assert_int_equal(count_all(r), 0);
	real_teardown(r);
	free(r);
	return 0;
}

static void foreign(struct real *r, const char *component)
{
	struct imbrex_error err = { 0 };
	struct zfs_name name = below(r, component);

	assert_ok(zfs_create(r->z, &name, &(struct zfs_properties){ legacy, 1 }, &err), &err);
}

static void destroy(struct real *r, const char *component)
{
	struct imbrex_error err = { 0 };
	struct zfs_name name = below(r, component);

	assert_ok(zfs_destroy_tree(r->z, &name, &err), &err);
}

static void names_that_are_no_ids_reach_no_command(void **state)
{
	static const char *const names[] = { "", ".", "..", "../x", "a/b", "a@b", "a#b", "%recv",
		"a,b", "-r", " a", "a\n", "a\tb", "$(id)", "imbrex-removed-x", "." };
	struct real *r = *state;
	size_t i, before = r->calls;
	char *path = NULL;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		const struct driver_parent parent = { .id = names[i] };
		struct driver_stage *stage = NULL;
		struct driver *d = r->f->d;

		if (str_eq(names[i], "-r"))
			continue; /* a name like any other, below a dataset */
		assert_int_equal(
			d->ops->create(d, names[i], NULL, NULL, false, &r->f->err), IMBREX_EINVAL);
		assert_int_equal(
			d->ops->remove(d, names[i], r->f->temp, &r->f->err), IMBREX_EINVAL);
		assert_int_equal(d->ops->mount(d, names[i], &(struct driver_mount_opts){ 0 }, &path,
					 &r->f->err),
			IMBREX_EINVAL);
		assert_int_equal(d->ops->unmount(d, names[i], &r->f->err), IMBREX_EINVAL);
		assert_int_equal(
			d->ops->stage_new(d, r->f->temp, &parent, NULL, &stage, &r->f->err),
			IMBREX_EINVAL);
		assert_false(d->ops->exists(d, names[i]));
	}
	assert_int_equal(r->calls, before);
}

static void what_is_not_ours_is_neither_listed_nor_taken(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	struct driver_stage *stage = NULL;
	AUTO_STRV ids = { 0 };
	AUTO_STRV garbage = { 0 };

	foreign(r, id_a);
	foreign(r, "imbrex-new-1-0");
	foreign(r, "imbrex-removed-x");
	fixture_layer(f, id_b, NULL, &file, 1);
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 1);
	assert_string_equal(ids.items[0], id_b);
	find_garbage(r, true, &garbage);
	assert_int_equal(garbage.n, 0);
	/* In the way of a layer it stays, too. */
	assert_ok(f->d->ops->stage_new(f->d, f->temp, NULL, NULL, &stage, &f->err), &f->err);
	assert_ok(f->d->ops->stage_seal(stage, NULL, false, &f->err), &f->err);
	assert_int_equal(f->d->ops->stage_publish(stage, id_a, &f->err), IMBREX_EEXIST);
	assert_non_null(strstr(f->err.message, "exists, and is not of this store"));
	driver_stage_free(stage);
	drop(r, id_b);
	destroy(r, id_a);
	destroy(r, "imbrex-new-1-0");
	destroy(r, "imbrex-removed-x");
}

static const char *program(void)
{
	return access("/usr/sbin/zfs", X_OK) == 0 ? "/usr/sbin/zfs" : "/sbin/zfs";
}

static void mark_of(struct real *r, char *ret, size_t size)
{
	struct imbrex_error err = { 0 };
	struct zfs_name name = below(r, id_b);
	AUTO_STR out = STR_INIT(65536);
	const struct proc_spec spec = { .argv = (const char *const[]){ program(), "get", "-H", "-s",
						"local", "-o", "property", "all", name.text,
						NULL } };
	const char *at;

	assert_ok(proc_check(&spec, &out, &err), &err);
	at = strstr(str_text(&out), "imbrex:store.");
	assert_non_null(at);
	(void)snprintf(ret, size, "%.*s", (int)strcspn(at, "\n"), at);
}

static void a_mark_that_is_inherited_or_forged_counts_for_nothing(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	char mark[128];
	struct zfs_property bomb = { mark, "x" };
	struct zfs_name name = below(r, id_c);
	AUTO_FREE char *text = NULL;
	AUTO_STRV ids = { 0 };

	foreign(r, id_a);
	foreign(r, id_c);
	fixture_layer(f, id_b, NULL, &file, 1);
	mark_of(r, mark, sizeof(mark));
	/* From above: everything below inherits it. */
	assert_ok(zfs_set(r->z, &r->fs, &bomb, &f->err), &f->err);
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 1);
	assert_ok(zfs_inherit(r->z, &r->fs, mark, &f->err), &f->err);
	/* A value that looks like lines about others. */
	text = format_text(
		"imbrex:lines=x\n%s/%s\n%s/%s\tlocal\n", r->fs.text, id_a, r->fs.text, id_a);
	{
		const struct proc_spec spec = { .argv = (const char *const[]){
							program(), "set", text, name.text, NULL } };

		assert_ok(proc_check(&spec, NULL, &f->err), &f->err);
	}
	strv_done(&ids);
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 1);
	drop(r, id_b);
	destroy(r, id_a);
	destroy(r, id_c);
}

static void properties_of_any_number_and_size_are_no_matter(void **state)
{
	static char value[LIMIT_ZFS_VALUE_BYTES];
	struct real *r = *state;
	struct fixture *f = r->f;
	struct zfs_name name = below(r, id_b);
	AUTO_STRV ids = { 0 };
	AUTO_STRV problems = { 0 };
	unsigned int i;

	fixture_layer(f, id_b, NULL, &file, 1);
	memset(value, 'x', sizeof(value) - 1);
	for (i = 0; i < 20; i++) {
		AUTO_FREE char *key = format_text("bomb:%u", i);

		assert_ok(zfs_set(r->z, &name, &(struct zfs_property){ key, value }, &f->err),
			&f->err);
	}
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 1);
	assert_ok(f->d->ops->check(f->d, id_b, NULL, note_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 0);
	fixture_layer(f, id_c, id_b, NULL, 0);
	drop(r, id_c);
	drop(r, id_b);
}

static void clones_by_others_survive_what_they_were_cloned_from(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	struct zfs_name name = below(r, id_b), snapshot, clone = below(r, "theirs");
	struct zfs_name podmans = below(r, id_a);
	AUTO_STRV ids = { 0 };

	fixture_layer(f, id_b, NULL, &file, 1);
	assert_ok(zfs_name_snapshot(&snapshot, &name, "12345", &f->err), &f->err);
	assert_ok(zfs_snapshot(r->z, &snapshot, &f->err), &f->err);
	assert_ok(
		zfs_clone(r->z, &snapshot, &clone, &(struct zfs_properties){ legacy, 1 }, &f->err),
		&f->err);
	assert_ok(zfs_clone(r->z, &snapshot, &podmans, &(struct zfs_properties){ legacy, 1 },
			  &f->err),
		&f->err);
	assert_ok(zfs_destroy_later(r->z, &snapshot, &f->err), &f->err);
	/* A layer's name, cloned from a layer of ours: podman made it, on this store. */
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 2);
	drop(r, id_b);
	assert_int_equal(zfs_exists(r->z, &name, &f->err), 0);
	assert_int_equal(zfs_exists(r->z, &clone, &f->err), 1);
	drop(r, id_a);
	destroy(r, "theirs");
}

/* A process in a mount namespace of its own, with its working directory in the layer. */
static pid_t sit_in(const char *path, int *ret_go)
{
	int ready[2], go[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(go, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(go[1]);
		if (unshare(CLONE_NEWNS) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || chdir(path) < 0)
			_exit(1);
		(void)!write(ready[1], "x", 1);
		(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	(void)close(ready[1]);
	(void)close(go[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	*ret_go = go[1];
	return pid;
}

static void a_layer_that_is_in_use_is_set_aside_and_collected_later(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	AUTO_STRV before = { 0 };
	AUTO_STRV during = { 0 };
	AUTO_STRV after = { 0 };
	AUTO_STRV ids = { 0 };
	AUTO_FREE char *path = NULL;
	pid_t pid;
	int go, status;

	fixture_layer(f, id_b, NULL, &file, 1);
	assert_ok(f->d->ops->mount(f->d, id_b, &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	pid = sit_in(path, &go);
	assert_ok(f->d->ops->unmount(f->d, id_b, &f->err), &f->err);
	drop(r, id_b);
	assert_false(f->d->ops->exists(f->d, id_b));
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 0);
	/* Its name is free. */
	fixture_layer(f, id_b, NULL, NULL, 0);
	drop(r, id_b);
	find_garbage(r, false, &before);
	assert_int_equal(before.n, 1);
	assert_non_null(strstr(before.items[0], "a removed layer that was in use"));
	find_garbage(r, true, &during);
	assert_int_equal(during.n, 0);
	(void)close(go);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	find_garbage(r, true, &after);
	assert_int_equal(after.n, 1);
}

static void a_snapshot_that_is_held_keeps_nobody_waiting(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	struct zfs_name name = below(r, id_b), snapshot;
	AUTO_STRV garbage = { 0 };
	AUTO_STRV kept = { 0 };

	fixture_layer(f, id_b, NULL, &file, 1);
	assert_ok(zfs_name_snapshot(&snapshot, &name, "backup", &f->err), &f->err);
	assert_ok(zfs_snapshot(r->z, &snapshot, &f->err), &f->err);
	assert_ok(zfs_hold(r->z, &snapshot, "keep", &f->err), &f->err);
	drop(r, id_b);
	assert_false(f->d->ops->exists(f->d, id_b));
	assert_ok(zfs_snapshots(r->z, &r->fs, true, add_snapshot, &kept, &f->err), &f->err);
	assert_int_equal(kept.n, 1);
	kept.items[0][strcspn(kept.items[0], "@")] = '\0';
	assert_ok(zfs_name_dataset(&name, kept.items[0], &f->err), &f->err);
	assert_ok(zfs_name_snapshot(&snapshot, &name, "backup", &f->err), &f->err);
	assert_ok(zfs_release(r->z, &snapshot, "keep", &f->err), &f->err);
	find_garbage(r, true, &garbage);
	assert_int_equal(garbage.n, 1);
}

static void what_the_dead_left_is_told_from_what_the_living_make(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	const struct driver_parent parent = { .id = id_b };
	struct driver_stage *stage = NULL;
	char mark[128];
	struct zfs_property marked[] = { legacy[0], { mark, "x" } };
	struct zfs_name name = below(r, id_b), dead, snapshot, alive;
	AUTO_FREE char *mine = NULL;
	AUTO_STRV garbage = { 0 };

	fixture_layer(f, id_b, NULL, &file, 1);
	mark_of(r, mark, sizeof(mark));
	dead = below(r, "imbrex-new-123-0");
	assert_ok(zfs_create(r->z, &dead, &(struct zfs_properties){ marked, 2 }, &f->err), &f->err);
	assert_ok(zfs_name_snapshot(&snapshot, &name, "imbrex-123-0", &f->err), &f->err);
	assert_ok(zfs_snapshot(r->z, &snapshot, &f->err), &f->err);
	mine = format_text("imbrex-%s-0", tempdir_digits(f->temp));
	assert_ok(zfs_name_snapshot(&alive, &name, mine, &f->err), &f->err);
	assert_ok(zfs_snapshot(r->z, &alive, &f->err), &f->err);
	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stage, &f->err), &f->err);
	find_garbage(r, true, &garbage);
	assert_int_equal(garbage.n, 2);
	assert_int_equal(zfs_exists(r->z, &dead, &f->err), 0);
	assert_int_equal(zfs_exists(r->z, &snapshot, &f->err), 0);
	assert_int_equal(zfs_exists(r->z, &alive, &f->err), 1);
	/* The stage lives, and gets to its end. */
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, id_c, &f->err), &f->err);
	driver_stage_free(stage);
	drop(r, id_c);
	drop(r, id_b);
}

static void damage_is_told_and_mended(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	struct zfs_name name = below(r, id_b), old;
	AUTO_FREE char *aside = format_text("imbrex-old-%s", id_b);
	AUTO_STRV problems = { 0 };
	AUTO_STRV garbage = { 0 };

	fixture_layer(f, id_b, NULL, &file, 1);
	assert_ok(zfs_set(r->z, &name, &(struct zfs_property){ "mountpoint", "none" }, &f->err),
		&f->err);
	assert_ok(f->d->ops->check(f->d, id_b, NULL, note_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 1);
	assert_non_null(strstr(problems.items[0], "has the mountpoint 'none', not legacy"));
	assert_ok(f->d->ops->repair(f->d, id_b, NULL, &f->err), &f->err);
	/* We died between two renames. */
	old = below(r, aside);
	assert_ok(zfs_rename(r->z, &name, &old, &f->err), &f->err);
	assert_ok(f->d->ops->check(f->d, id_b, NULL, note_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 2);
	assert_non_null(strstr(problems.items[1], "no ZFS dataset '"));
	find_garbage(r, true, &garbage);
	assert_int_equal(garbage.n, 0);
	assert_ok(f->d->ops->repair(f->d, id_b, NULL, &f->err), &f->err);
	assert_ok(f->d->ops->check(f->d, id_b, NULL, note_problem, &problems, &f->err), &f->err);
	assert_int_equal(problems.n, 2);
	drop(r, id_b);
	assert_int_equal(f->d->ops->repair(f->d, id_b, NULL, &f->err), IMBREX_ENOENT);
}

static void what_podman_remounted_read_only_can_still_be_read(void **state)
{
	struct real *r = *state;
	struct fixture *f = r->f;
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int tree = -EBADF;

	fixture_layer(f, id_b, NULL, &file, 1);
	assert_ok(f->d->ops->mount(f->d, id_b, &(struct driver_mount_opts){ 0 }, &path, &f->err),
		&f->err);
	assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_ok(f->d->ops->open_tree(f->d, id_b, &tree, &f->err), &f->err);
	assert_file(tree, ".", "f", "x");
	tree = close_fd(tree);
	assert_ok(f->d->ops->unmount(f->d, id_b, &f->err), &f->err);
	drop(r, id_b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest group[] = {
		TEST(names_that_are_no_ids_reach_no_command),
		TEST(what_is_not_ours_is_neither_listed_nor_taken),
		TEST(a_mark_that_is_inherited_or_forged_counts_for_nothing),
		TEST(properties_of_any_number_and_size_are_no_matter),
		TEST(clones_by_others_survive_what_they_were_cloned_from),
		TEST(a_layer_that_is_in_use_is_set_aside_and_collected_later),
		TEST(a_snapshot_that_is_held_keeps_nobody_waiting),
		TEST(what_the_dead_left_is_told_from_what_the_living_make),
		TEST(damage_is_told_and_mended),
		TEST(what_podman_remounted_read_only_can_still_be_read),
	};

	skip_unless_zfs();
	return cmocka_run_group_tests(group, NULL, NULL);
}
