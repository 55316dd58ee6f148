/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zfs-faults [STRIDE]: each call by which the driver changes a pool or the table of mounts fails in
 * turn, and each is in turn the last thing that a process does.
 *
 * Afterwards the layer is the old one or the new one, what is left is found and collected, nothing
 * is mounted, and the next try works. (tests/fault asks the same of all that a store does around
 * these calls, on drivers whose calls are system calls.) STRIDE takes every nth call only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "zfs_fixture.h"

#include "base/error.h"
#include "os/mountfd.h"
#include "zfs/client.h"

#define DEAD 86

/* ---- the seam ------------------------------------------------------------------------------ */

static struct {
	enum {
		SEAM_COUNT = 0,
		SEAM_FAIL,
		SEAM_DIE_BEFORE,
		SEAM_DIE_AFTER
	} mode;
	int errnum;
	unsigned int at;  /* counted from 1 */
	unsigned int n;   /* calls so far */
	const char *name; /* of the call at `at` */
} seam;

/* True if the call is to fail. */
static bool enter(const char *name)
{
	if (++seam.n != seam.at)
		return false;
	seam.name = name;
	if (seam.mode == SEAM_DIE_BEFORE)
		_exit(DEAD);
	return seam.mode == SEAM_FAIL;
}

static void leave(void)
{
	if (seam.n == seam.at && seam.mode == SEAM_DIE_AFTER)
		_exit(DEAD);
}

/* Calls whose failure is -errno. */
#define LEAF(name, params, args)             \
	int __real_##name params;            \
	int __wrap_##name params;            \
	int __wrap_##name params             \
	{                                    \
		int r;                       \
                                             \
		if (enter(#name))            \
			return -seam.errnum; \
		r = __real_##name args;      \
		leave();                     \
		return r;                    \
	}
/* Calls that say what failed. */
#define TELLING(name, params, args)                                                       \
	int __real_##name params;                                                         \
	int __wrap_##name params;                                                         \
	int __wrap_##name params                                                          \
	{                                                                                 \
		int r;                                                                    \
                                                                                          \
		if (enter(#name))                                                         \
			return fail_code(err, -seam.errnum, "it is the test that fails"); \
		r = __real_##name args;                                                   \
		leave();                                                                  \
		return r;                                                                 \
	}

/* The linker's names. NOLINTBEGIN(bugprone-reserved-identifier) */
LEAF(zfs_library_create,
	(const struct zfs_library *l, const struct zfs_name *name,
		const struct zfs_properties *props),
	(l, name, props))
LEAF(zfs_library_snapshot, (const struct zfs_library *l, const struct zfs_name *snapshot),
	(l, snapshot))
LEAF(zfs_library_clone,
	(const struct zfs_library *l, const struct zfs_name *snapshot, const struct zfs_name *name,
		const struct zfs_properties *props),
	(l, snapshot, name, props))
LEAF(zfs_library_promote, (const struct zfs_library *l, const struct zfs_name *name), (l, name))
LEAF(zfs_library_destroy, (const struct zfs_library *l, const struct zfs_name *name), (l, name))
LEAF(zfs_library_destroy_snapshot,
	(const struct zfs_library *l, const struct zfs_name *snapshot, bool later),
	(l, snapshot, later))
LEAF(zfs_library_rename,
	(const struct zfs_library *l, const struct zfs_name *from, const struct zfs_name *to),
	(l, from, to))
TELLING(zfs_command_run, (struct zfs * z, const struct zfs_command *c, struct imbrex_error *err),
	(z, c, err))
TELLING(mount_new,
	(const char *fs_type, const char *source, struct mount_options options, uint64_t attrs,
		struct imbrex_error *err),
	(fs_type, source, options, attrs, err))
TELLING(mount_attach, (int mount_fd, int dirfd, const char *path, struct imbrex_error *err),
	(mount_fd, dirfd, path, err))
TELLING(unmount_at, (int dirfd, const char *path, bool detach, struct imbrex_error *err),
	(dirfd, path, detach, err))
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- one who is disturbed ------------------------------------------------------------------ */

struct victim {
	struct driver *d;
	struct tempdir *temp;
	struct driver_stage *stage;
	struct imbrex_error err;
};

static const struct driver_parent base = { .id = "base" };

static int fill(struct victim *v)
{
	const struct entry e = { .path = "f", .type = ENTRY_FILE, .mode = 0644, .size_bytes = 3 };
	struct entry_sink *sink = NULL;
	int r;

	r = v->d->ops->stage_entries(v->stage, &sink, &v->err);
	if (r == 0)
		r = sink->ops->begin(sink, &e, &v->err);
	if (r == 0)
		r = sink->ops->data(sink, "new", 3, &v->err);
	if (r == 0)
		r = sink->ops->end(sink, &v->err);
	if (r == 0)
		r = sink->ops->finish(sink, &v->err);
	entry_sink_free(sink);
	return r;
}

static int publish(struct victim *v)
{
	int r = v->d->ops->stage_rebase(v->stage, &base, &v->err);

	return r < 0 ? r : v->d->ops->stage_publish(v->stage, "layer", &v->err);
}

static int make(struct victim *v)
{
	int r = v->d->ops->stage_new(v->d, v->temp, &base, NULL, &v->stage, &v->err);

	if (r == 0)
		r = fill(v);
	if (r == 0)
		r = v->d->ops->stage_seal(v->stage, &base, true, &v->err);
	return r < 0 ? r : publish(v);
}

static int create(struct victim *v)
{
	return v->d->ops->create(v->d, "layer", &base, NULL, true, &v->err);
}

static int create_base(struct victim *v)
{
	return v->d->ops->create(v->d, "layer", NULL, NULL, true, &v->err);
}

static int map(struct victim *v)
{
	const struct imbrex_id_map range = { .inside = 0, .outside = 100000, .count = 65536 };
	const struct id_maps maps = { &range, 1, &range, 1 };
	int r = v->d->ops->stage_new(v->d, v->temp, &base, NULL, &v->stage, &v->err);

	if (r == 0)
		r = v->d->ops->stage_seal(v->stage, &base, true, &v->err);
	if (r == 0)
		r = v->d->ops->stage_map(v->stage, NULL, &maps, &v->err);
	return r < 0 ? r : publish(v);
}

static int replace(struct victim *v)
{
	int r = v->d->ops->stage_new(v->d, v->temp, NULL, NULL, &v->stage, &v->err);

	if (r == 0)
		r = v->d->ops->stage_copy(v->stage, "layer", &v->err);
	if (r == 0)
		r = fill(v);
	if (r == 0)
		r = v->d->ops->stage_seal(v->stage, &base, true, &v->err);
	return r < 0 ? r : v->d->ops->stage_replace(v->stage, "layer", v->temp, &v->err);
}

static int drop(struct victim *v)
{
	return v->d->ops->remove(v->d, "layer", v->temp, &v->err);
}

static int use(struct victim *v)
{
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int root = -EBADF;
	int r;

	r = v->d->ops->mount(v->d, "layer", &(struct driver_mount_opts){ 0 }, &path, &v->err);
	if (r < 0)
		return r;
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = write_file_at(root, "f", 0644, "new", 3, &v->err);
	root = close_fd(root);
	return r < 0 ? r : v->d->ops->unmount(v->d, "layer", &v->err);
}

static int ignore_problem(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	return 0;
}

static int look(struct victim *v)
{
	AUTO_STRV ids = { 0 };
	int64_t size;
	int r = v->d->ops->list(v->d, &ids, &v->err);

	if (r == 0)
		r = v->d->ops->check(v->d, "layer", "base", ignore_problem, NULL, &v->err);
	if (r == 0)
		r = v->d->ops->diff_size(v->d, "layer", "base", &size, &v->err);
	return r;
}

static int collect_garbage(struct victim *v)
{
	return v->d->ops->garbage(v->d, true, ignore_problem, NULL, &v->err);
}

/* ---- what is done, and from what to what --------------------------------------------------- */

#define NONE "(none)"
static const struct road {
	const char *name;
	int (*go)(struct victim *v);
	const char *before; /* content of "f" in the layer */
	const char *after;
	bool with_clone;   /* there is a layer on the layer, that nothing may happen to */
	bool with_garbage; /* a stage of a dead one */
} roads[] = {
	{ "make", make, NONE, "new", false, false },
	{ "create", create, NONE, "base", false, false },
	{ "create a base", create_base, NONE, "", false, false },
	{ "map", map, NONE, "base", false, false },
	{ "replace", replace, "base", "new", false, false },
	{ "replace below a clone", replace, "base", "new", true, false },
	{ "remove", drop, "base", NONE, false, false },
	{ "remove below a clone", drop, "base", NONE, true, false },
	{ "use", use, "base", "new", false, false },
	{ "look", look, "base", "base", false, false },
	{ "collect", collect_garbage, "base", "base", false, true },
};

static unsigned int stride = 1;

/* Text of "f"; "" if the layer has none, NONE if there is no layer. */
static void read_layer(struct fixture *f, const char *id, char ret[16])
{
	AUTO_CLOSE int tree = -EBADF;
	AUTO_CLOSE int fd = -EBADF;
	ssize_t n;

	(void)snprintf(ret, 16, NONE);
	if (!f->d->ops->exists(f->d, id))
		return;
	assert_ok(f->d->ops->open_tree(f->d, id, &tree, &f->err), &f->err);
	fd = openat(tree, "f", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, ret, 15);
	assert_true(n >= 0);
	ret[n] = '\0';
}

static void driver_for(struct victim *v, const struct fixture *f)
{
	AUTO_CLOSE int graph = open(f->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct driver_config config = f->config;
	char temp_root[64];

	*v = (struct victim){ 0 };
	config.zfs = NULL;
	if (driver_open("zfs", NULL, &config, &v->d, &v->err) < 0)
		_exit(2);
	driver_temp_root(v->d, temp_root, sizeof(temp_root));
	if (tempdir_new(graph, temp_root, &v->temp, &v->err) < 0)
		_exit(2);
}

static size_t count_fds(void)
{
	AUTO_CLOSE int fds = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return count_names(fds);
}

/* What a victim tells when it is still alive. */
struct report {
	int r;
	unsigned int n_calls;
	size_t n_left; /* descriptors */
	char call[64];
	struct imbrex_error err;
};

static void live(const struct fixture *f, const struct road *road, int to)
{
	struct report report = { 0 };
	const unsigned int at = seam.at;
	struct victim v;
	size_t before;

	/* Opening is no part of it. */
	seam.at = 0;
	driver_for(&v, f);
	before = count_fds();
	seam.n = 0;
	seam.at = at;
	report.r = road->go(&v);
	report.n_calls = seam.n;
	seam.at = 0;
	if (v.stage)
		driver_stage_free(v.stage);
	(void)snprintf(report.call, sizeof(report.call), "%s", seam.name ? seam.name : "none");
	report.err = v.err;
	report.n_left = count_fds() - before;
	if (write(to, &report, sizeof(report)) != sizeof(report))
		_exit(2);
	/* The temporary directory stays, as of a process that died or went on to something else. */
	_exit(report.r < 0);
}

/* 1: it died. 0: it came to an end of its own, and *ret says to which. */
static int disturb(const struct fixture *f, const struct road *road, struct report *ret)
{
	int ends[2], status = 0;
	pid_t pid;

	(void)fflush(stdout);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		live(f, road, ends[1]);
		_exit(3);
	}
	(void)close(ends[1]);
	*ret = (struct report){ 0 };
	if (read(ends[0], ret, sizeof(*ret)) < 0)
		print_error("%s: no report\n", road->name);
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) < 2 || WEXITSTATUS(status) == DEAD);
	return WEXITSTATUS(status) == DEAD;
}

static void prepare(struct real *r, const struct road *road)
{
	const struct road dying = { "die while making", make, NONE, NONE, false, false };
	struct fixture *f = r->f;
	struct report report;

	seam.mode = SEAM_COUNT;
	seam.at = 0;
	if (!str_eq(road->before, NONE))
		assert_ok(f->d->ops->create(f->d, "layer", &base, NULL, true, &f->err), &f->err);
	if (road->with_clone)
		assert_ok(f->d->ops->create(f->d, "over", &(struct driver_parent){ .id = "layer" },
				  NULL, true, &f->err),
			&f->err);
	if (!road->with_garbage)
		return;
	seam.mode = SEAM_DIE_AFTER;
	seam.at = 3; /* snapshot, clone */
	assert_int_equal(disturb(f, &dying, &report), 1);
	seam.mode = SEAM_COUNT;
	seam.at = 0;
}

/* As gc does, and as repair does for a record without content. */
static void mend(struct real *r, const struct road *road)
{
	struct fixture *f = r->f;
	AUTO_CLOSE int graph = open(f->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char temp_root[64];

	assert_ok(f->d->ops->unmount(f->d, "layer", &f->err), &f->err);
	driver_temp_root(f->d, temp_root, sizeof(temp_root));
	assert_ok(tempdir_recover(graph, temp_root, &f->err), &f->err);
	if (road->go == replace && !f->d->ops->exists(f->d, "layer"))
		assert_ok(f->d->ops->repair(f->d, "layer", "base", &f->err), &f->err);
	assert_ok(f->d->ops->garbage(f->d, true, ignore_problem, NULL, &f->err), &f->err);
}

static void assert_layer(struct real *r, const struct road *road, const char *a, const char *b)
{
	char text[16];

	read_layer(r->f, "layer", text);
	if (!str_eq(text, a) && !str_eq(text, b))
		print_error("%s: the layer has '%s', not '%s' or '%s'\n", road->name, text, a, b);
	assert_true(str_eq(text, a) || str_eq(text, b));
	if (!road->with_clone)
		return;
	read_layer(r->f, "over", text);
	assert_string_equal(text, "base");
}

static void clear(struct real *r)
{
	struct fixture *f = r->f;

	assert_ok(f->d->ops->remove(f->d, "over", f->temp, &f->err), &f->err);
	assert_ok(f->d->ops->remove(f->d, "layer", f->temp, &f->err), &f->err);
	/* base alone: its snapshots went with their clones. */
	assert_int_equal(count_all(r), 1);
}

/* False if there is no such call. */
static bool one_round(struct real *r, const struct road *road, unsigned int at)
{
	struct report report, again;
	bool died, over;

	prepare(r, road);
	seam.at = at;
	died = disturb(r->f, road, &report);
	over = !died && report.n_calls < at;
	seam.mode = SEAM_COUNT;
	seam.at = 0;
	if (!died && !over && report.r < 0) {
		if (!report.err.message[0] || strchr(report.err.message, '\n'))
			print_error(
				"%s: %s says '%s'\n", road->name, report.call, report.err.message);
		assert_true(report.err.message[0] && !strchr(report.err.message, '\n'));
	}
	assert_int_equal(report.n_left, 0);
	mend(r, road);
	if (over)
		assert_int_equal(report.r, 0);
	assert_layer(r, road, road->after, !died && report.r == 0 ? road->after : road->before);
	/* Once more. */
	if (!over && (died || report.r < 0)) {
		if (str_eq(road->before, NONE))
			assert_ok(r->f->d->ops->remove(r->f->d, "layer", r->f->temp, &r->f->err),
				&r->f->err);
		assert_int_equal(disturb(r->f, road, &again), 0);
		if (again.r < 0)
			print_error("%s, again: %s\n", road->name, again.err.message);
		assert_int_equal(again.r, 0);
		mend(r, road);
		assert_layer(r, road, road->after, road->after);
	}
	clear(r);
	return !over;
}

static void every_call(const struct road *road, bool die)
{
	static const int errors[] = { EIO, ENOSPC, EBUSY };
	const struct node file = { "f", ENTRY_FILE, 0644, .text = "base", .mtime = 7 };
	struct real r;
	unsigned int at;

	real_setup(&r, ZFS_ROAD_LIBRARY);
	fixture_layer(r.f, "base", NULL, &file, 1);
	for (at = 1;; at += stride) {
		seam.errnum = errors[at % ARRAY_LEN(errors)];
		seam.mode = die ? (at % 2 ? SEAM_DIE_AFTER : SEAM_DIE_BEFORE) : SEAM_FAIL;
		if (!one_round(&r, road, at))
			break;
	}
	print_message("%s: %u calls\n", road->name, at - 1);
	assert_ok(r.f->d->ops->remove(r.f->d, "base", r.f->temp, &r.f->err), &r.f->err);
	assert_int_equal(count_all(&r), 0);
	real_teardown(&r);
}

static void a_call_fails(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(roads); i++)
		every_call(&roads[i], /* die= */ false);
}

static void a_call_is_the_last(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(roads); i++)
		every_call(&roads[i], /* die= */ true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(a_call_fails),
		cmocka_unit_test(a_call_is_the_last),
	};

	skip_unless_zfs();
	if (argc > 1)
		stride = (unsigned int)strtoul(argv[1], NULL, 10);
	if (!stride)
		stride = 1;
	return cmocka_run_group_tests(group, NULL, NULL);
}
