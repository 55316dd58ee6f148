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
#include "template/mountpoint.h"
#include "template/store.h"

/* A dataset of ours is no container. */
static int clone_name(struct imbrex_templates *t, const char *name, struct zfs_name *ret,
	struct imbrex_error *err)
{
	if (!*name || *name == '.' || strlen(name) > NAME_MAX)
		return fail(err, IMBREX_EINVAL, "'%.255s' is no name of a container", name);
	return zfs_name_child(ret, &t->fs, name, err);
}

static int find(struct imbrex_templates *t, const char *name, struct zfs_name *ret,
	struct imbrex_error *err)
{
	int r = clone_name(t, name, ret, err);

	if (r == 0)
		r = zfs_exists(t->z, ret, err);
	return r == 0 ? fail(err, IMBREX_ENOENT, "No such container: %s", name) : r;
}

PUBLIC int imbrex_clone_exists(
	struct imbrex_templates *t, const char *name, struct imbrex_error *err)
{
	struct zfs_name dataset;
	int r = clone_name(t, name, &dataset, err);

	return r < 0 ? r : zfs_exists(t->z, &dataset, err);
}

PUBLIC int imbrex_clone_create(struct imbrex_templates *t, const char *key, const char *name,
	bool replace, struct imbrex_error *err)
{
	static const struct zfs_property items[] = { { "canmount", "noauto" } };
	const struct zfs_properties props = { items, ARRAY_LEN(items) };
	struct zfs_name snapshot, dataset;
	int r;

	r = template_check_key(key, err);
	if (r == 0)
		r = template_snapshot_name(&t->templates, key, &snapshot, err);
	if (r == 0)
		r = clone_name(t, name, &dataset, err);
	if (r == 0)
		r = zfs_exists(t->z, &dataset, err);
	if (r > 0 && !replace)
		return fail(err, IMBREX_EEXIST, "Container already exists: %s", name);
	if (r > 0)
		r = template_destroy(t, &dataset, err);
	if (r == 0)
		r = zfs_clone(t->z, &snapshot, &dataset, &props, err);
	if (r < 0)
		return r;
	r = template_mount(t, &dataset, err);
	if (r < 0)
		(void)!template_destroy(t, &dataset, NULL);
	return r;
}

PUBLIC int imbrex_clone_mount(
	struct imbrex_templates *t, const char *name, char **ret_path, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/%s", t->data_path, name);
	struct zfs_name dataset;
	int r = find(t, name, &dataset, err);

	if (r >= 0)
		r = path ? template_mount(t, &dataset, err) : fail_nomem(err);
	if (r == 0 && ret_path)
		*ret_path = take_ptr(path);
	return r;
}

PUBLIC int imbrex_clone_remove(
	struct imbrex_templates *t, const char *name, struct imbrex_error *err)
{
	struct zfs_name dataset;
	int r = find(t, name, &dataset, err);

	if (r >= 0)
		r = template_unmount(t, &dataset, err);
	if (r == 0)
		r = zfs_destroy(t->z, &dataset, err);
	if (r == 0)
		template_remove_place(t, &dataset);
	return r;
}
