/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: clones of templates, mounted at the data path.
 *
 * They are not mounted at the next start of the machine (canmount=noauto), so whoever wants the
 * files of one mounts it first.
 */
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "template/clone.h"
#include "template/mountpoint.h"
#include "template/send.h"

/* A dataset of ours is no container. */
static int clone_name(struct imbrex_templates *t, const char *name, struct zfs_name *ret,
	struct imbrex_error *err)
{
	if (!*name || *name == '.' || strlen(name) > NAME_MAX)
		return fail(err, IMBREX_EINVAL, "'%.255s' is no name of a container", name);
	return zfs_name_child(ret, &t->fs, name, err);
}

int clone_find(struct imbrex_templates *t, const char *name, struct zfs_name *ret,
	struct imbrex_error *err)
{
	int r = clone_name(t, name, ret, err);

	if (r == 0)
		r = zfs_exists(t->z, ret, err);
	if (r == 0)
		return fail(err, IMBREX_ENOENT, "No such container: %s", name);
	return r < 0 ? r : 0;
}

PUBLIC int imbrex_clone_exists(
	struct imbrex_templates *t, const char *name, struct imbrex_error *err)
{
	struct zfs_name dataset;
	int r = clone_name(t, name, &dataset, err);

	return r < 0 ? r : zfs_exists(t->z, &dataset, err);
}

/* What a property would forbid the mount helper forbids anyway, so users need no right to set it.
 */
static int make_clone(struct imbrex_templates *t, const struct zfs_name *snapshot,
	const struct zfs_name *dataset, const struct clone_opts *opts, struct imbrex_error *err)
{
	struct zfs_property items[3] = { { "canmount", "noauto" } };
	struct zfs_properties props = { items, 1 };
	struct imbrex_error why = { 0 };
	int r;

	if (opts->no_setuid)
		items[props.n++] = (struct zfs_property){ "setuid", "off" };
	if (opts->no_devices)
		items[props.n++] = (struct zfs_property){ "devices", "off" };
	r = zfs_clone(t->z, snapshot, dataset, &props, &why);
	if (r == IMBREX_EPERM && props.n > 1 && geteuid() != 0) {
		props.n = 1;
		return zfs_clone(t->z, snapshot, dataset, &props, err);
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

int clone_create(struct imbrex_templates *t, const char *key, const char *name,
	const struct clone_opts *opts, struct imbrex_error *err)
{
	struct zfs_name snapshot, dataset;
	int r;

	r = template_check_key(key, err);
	if (r == 0)
		r = template_snapshot_name(&t->templates, key, &snapshot, err);
	if (r == 0)
		r = clone_name(t, name, &dataset, err);
	if (r == 0)
		r = zfs_exists(t->z, &dataset, err);
	if (r > 0 && !opts->replace)
		return fail(err, IMBREX_EEXIST, "Container already exists: %s", name);
	if (r > 0)
		r = template_destroy(t, &dataset, err);
	if (r == 0)
		r = make_clone(t, &snapshot, &dataset, opts, err);
	if (r < 0)
		return r;
	r = template_mount(t, &dataset, err);
	if (r < 0)
		(void)!template_destroy(t, &dataset, NULL);
	return r;
}

PUBLIC int imbrex_clone_create(struct imbrex_templates *t, const char *key, const char *name,
	bool replace, struct imbrex_error *err)
{
	return clone_create(t, key, name, &(struct clone_opts){ .replace = replace }, err);
}

PUBLIC int imbrex_clone_mount(
	struct imbrex_templates *t, const char *name, char **ret_path, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/%s", t->data_path, name);
	struct zfs_name dataset;
	int r = clone_find(t, name, &dataset, err);

	if (r == 0)
		r = path ? template_mount(t, &dataset, err) : fail_nomem(err);
	if (r == 0 && ret_path)
		*ret_path = take_ptr(path);
	return r;
}

/* Snapshots of streams that were cut go with it; they will not go on. */
static int destroy(
	struct imbrex_templates *t, const struct zfs_name *dataset, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r = zfs_destroy(t->z, dataset, &why);

	if (r < 0 && send_sweep(t, dataset, /* all= */ true, NULL) == 0) {
		why = (struct imbrex_error){ 0 };
		r = zfs_destroy(t->z, dataset, &why);
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

PUBLIC int imbrex_clone_remove(
	struct imbrex_templates *t, const char *name, struct imbrex_error *err)
{
	struct zfs_name dataset;
	int r = clone_find(t, name, &dataset, err);

	if (r == 0)
		r = template_unmount(t, &dataset, err);
	if (r == 0)
		r = destroy(t, &dataset, err);
	if (r == 0)
		template_remove_place(t, &dataset);
	return r;
}
