/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the datasets of layers are as they should be, and how they become so. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "driver/zfs.h"

bool zfs_layer_exists(struct driver *base, const char *id)
{
	struct zfs_driver *d = zfs_of(base);
	struct imbrex_error ignored;
	struct zfs_name name;

	return zfs_layer_name(d, id, &name, &ignored) == 0 && zfs_exists(d->z, &name, &ignored) > 0;
}

struct facts {
	bool there;
	bool is_file_system;
	bool is_legacy; /* mounted by us and nobody else */
	char *mountpoint;
};

static void facts_done(struct facts *f)
{
	free(f->mountpoint);
}
#define AUTO_FACTS __attribute__((cleanup(facts_done))) struct facts

static int learn(struct zfs_driver *d, const char *id, struct zfs_name *ret_name, struct facts *ret,
	struct imbrex_error *err)
{
	static const char *const names[] = { "type", "mountpoint" };
	AUTO_STRV values = { 0 };
	int r;

	r = zfs_layer_name(d, id, ret_name, err);
	if (r == 0)
		r = zfs_get_native(d->z, ret_name, names, 2, &values, err);
	if (r == IMBREX_ENOENT)
		return 0;
	if (r < 0)
		return r;
	ret->there = true;
	ret->is_file_system = str_eq(values.items[0], "filesystem");
	ret->is_legacy = str_eq(values.items[1], "legacy");
	ret->mountpoint = take_ptr(values.items[1]);
	return 0;
}

int zfs_check(struct driver *base, const char *id, const char *parent_id, driver_problem_fn fn,
	void *ctx, struct imbrex_error *err)
{
	AUTO_FREE char *text = NULL;
	struct driver_problem p = { .kind = DRIVER_PROBLEM_ABSENT };
	AUTO_FACTS facts = { 0 };
	struct zfs_name name;
	int r;

	r = learn(zfs_of(base), id, &name, &facts, err);
	if (r < 0)
		return r;
	if (facts.there && facts.is_file_system && facts.is_legacy)
		return 0;
	if (!facts.there) {
		text = format_text("no ZFS dataset '%s'", name.text);
	} else if (!facts.is_file_system) {
		text = format_text("ZFS dataset '%s' is no file system", name.text);
	} else {
		p.kind = DRIVER_PROBLEM_DIRECTORY;
		text = format_text("ZFS dataset '%s' has the mountpoint '%s', not legacy",
			name.text, facts.mountpoint);
	}
	if (!text)
		return fail_nomem(err);
	p.text = text;
	return fn(ctx, &p, err);
}

/* Of a death between two renames. */
static int put_back(
	struct zfs_driver *d, const char *id, const struct zfs_name *name, struct imbrex_error *err)
{
	AUTO_FREE char *old = format_text(ZFS_OLD_PREFIX "%s", id);
	struct zfs_name aside;
	int r;

	if (!old)
		return fail_nomem(err);
	r = zfs_name_child(&aside, &d->fs, old, err);
	if (r == 0)
		r = zfs_rename(d->z, &aside, name, err);
	if (r == IMBREX_ENOENT)
		r = fail(err, r, "layer %s: no ZFS dataset '%s'", id, name->text);
	return r;
}

int zfs_repair(struct driver *base, const char *id, const char *parent_id, struct imbrex_error *err)
{
	static const struct zfs_property legacy = { "mountpoint", "legacy" };
	struct zfs_driver *d = zfs_of(base);
	AUTO_FACTS facts = { 0 };
	struct zfs_name name;
	int r;

	r = learn(d, id, &name, &facts, err);
	if (r == 0 && !facts.there)
		r = put_back(d, id, &name, err);
	else if (r == 0 && !facts.is_file_system)
		r = fail(err, IMBREX_EFORMAT, "layer %s: ZFS dataset '%s' is no file system", id,
			name.text);
	else if (r == 0 && !facts.is_legacy)
		r = zfs_set(d->z, &name, &legacy, err);
	return r;
}
