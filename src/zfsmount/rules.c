/* SPDX-License-Identifier: Apache-2.0 */
/* What may be mounted where; see the header. Texts only: nothing is opened here. */
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "zfsmount/zfsmount.h"

int rule_parent(const struct mountinfo *m, uint64_t mount_id, const char *data_path,
	struct zfs_name *ret, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		const struct mount_entry *e = &m->entries[i];

		if (e->id != mount_id)
			continue;
		if (!str_eq(e->fs_type, "zfs") || zfs_name_dataset(ret, e->source, NULL) < 0)
			break;
		return 0;
	}
	return fail(err, IMBREX_ENOENT, "no ZFS dataset is mounted at or above %s", data_path);
}

int rule_below(
	const struct zfs_name *dataset, const struct zfs_name *parent, struct imbrex_error *err)
{
	const char *rest = str_after(dataset->text, parent->text);

	if (rest && *rest == '/')
		return 0;
	return fail(err, IMBREX_EPERM, "dataset %s is not under %s", dataset->text, parent->text);
}

/* What lies below `dir`; NULL if it does not, or not plainly. */
static const char *below(const char *path, const char *dir)
{
	const char *rest = str_after(path, dir);
	const char *at;
	size_t len;

	if (!rest || *rest != '/' || !rest[1])
		return NULL;
	for (at = ++rest;; at += len + 1) {
		len = strcspn(at, "/");
		if (len == 0 || (len <= 2 && strncmp(at, "..", len) == 0))
			return NULL;
		if (!at[len])
			return rest;
	}
}

int rule_place(const char *mount_point, const char *data_path, const char *real_path,
	const struct zfs_name *dataset, const char **ret, struct imbrex_error *err)
{
	const char *rest;

	if (mount_point[0] != '/')
		return fail(err, IMBREX_EINVAL,
			"could not get mountpoint of %s (is it set to a path?)", dataset->text);
	rest = below(mount_point, data_path);
	if (!rest)
		rest = below(mount_point, real_path);
	if (!rest)
		return fail(err, IMBREX_EPERM, "mountpoint %.300s is not under %s", mount_point,
			data_path);
	*ret = rest;
	return 0;
}

const struct mount_entry *rule_mounted(const struct mountinfo *m, const struct zfs_name *dataset)
{
	size_t i;

	for (i = m->n; i > 0; i--) {
		const struct mount_entry *e = &m->entries[i - 1];

		if (str_eq(e->fs_type, "zfs") && str_eq(e->source, dataset->text) &&
			str_eq(e->root, "/"))
			return e;
	}
	return NULL;
}
