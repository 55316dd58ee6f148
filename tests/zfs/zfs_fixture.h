/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver on real ZFS, below the dataset IMBREX_ZFS and the directory IMBREX_ZFS_ROOT on it, and
 * the words of all that it asks of ZFS. Header only; include after cmocka.h.
 */
#ifndef ZFS_FIXTURE_H
#define ZFS_FIXTURE_H

#include "driver_fixture.h"

#include "os/proc.h"
#include "zfs/zfs.h"

struct real {
	struct fixture *f;
	struct zfs *z; /* zfs(8), to look from outside */
	struct zfs_name fs;
	struct zfs_options options;
	struct zfs_trace trace;
	size_t calls;
	bool loud;
};

static inline void count_call(void *ctx, const char *const *words, size_t n)
{
	struct real *r = ctx;

	r->calls++;
	if (r->loud)
		print_message(
			"zfs: %s %s %s\n", words[0], n > 1 ? words[1] : "", n > 2 ? words[2] : "");
}

static inline void skip_unless_zfs(void)
{
	if (getenv("IMBREX_ZFS") && getenv("IMBREX_ZFS_ROOT") && access("/dev/zfs", F_OK) == 0)
		return;
	print_message("skipped: no ZFS dataset is given (tests/vm/onzfs)\n");
	exit(77);
}

static inline void real_setup(struct real *r, enum zfs_road road)
{
	struct zfs_options command = { .road = ZFS_ROAD_COMMAND };
	struct imbrex_error err = { 0 };
	char temp_root[64];
	struct fixture *f;
	int graph;

	*r = (struct real){ .trace = { count_call, r } };
	r->options = (struct zfs_options){ .road = road, .trace = &r->trace };
	assert_ok(zfs_name_dataset(&r->fs, getenv("IMBREX_ZFS"), &err), &err);
	assert_ok(zfs_open(&command, &r->z, &err), &err);
	r->f = fixture_new_at(getenv("IMBREX_ZFS_ROOT"), "zfs", NULL);
	f = r->f;
	/* Once more, with eyes. */
	tempdir_free(f->temp);
	driver_close(f->d);
	f->config.zfs = &r->options;
	assert_ok(driver_open("zfs", NULL, &f->config, &f->d, &f->err), &f->err);
	driver_temp_root(f->d, temp_root, sizeof(temp_root));
	graph = open(f->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(tempdir_new(graph, temp_root, &f->temp, &f->err), &f->err);
	(void)close(graph);
}

static inline void real_teardown(struct real *r)
{
	zfs_close(r->z);
	fixture_free(r->f);
}

static inline int add_child(void *ctx, const struct zfs_child *c, struct imbrex_error *err)
{
	return strv_add(ctx, c->name);
}

static inline int add_snapshot(void *ctx, const char *name, bool deferred, struct imbrex_error *err)
{
	return strv_add(ctx, name);
}

/* Datasets and snapshots below the one that is given. */
static inline size_t count_all(struct real *r)
{
	struct imbrex_error err = { 0 };
	AUTO_STRV names = { 0 };

	assert_ok(zfs_children(r->z, &r->fs, NULL, add_child, &names, &err), &err);
	assert_ok(zfs_snapshots(r->z, &r->fs, true, add_snapshot, &names, &err), &err);
	return names.n;
}

static inline struct zfs_name below(struct real *r, const char *component)
{
	struct imbrex_error err = { 0 };
	struct zfs_name ret;

	assert_ok(zfs_name_child(&ret, &r->fs, component, &err), &err);
	return ret;
}

#endif
