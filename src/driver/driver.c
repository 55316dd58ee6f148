/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which driver a store uses: by name, by what lies in it, or by what works here.
 * Source: docs/formats/storage-conf.md, Defaults.
 */
#include "driver/driver.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "driver/btrfs.h"
#include "driver/overlay.h"
#include "driver/vfs.h"
#include "driver/zfs.h"
#include "os/fd.h"

const struct driver_ops *const driver_table[] = { &overlay_ops, &btrfs_ops, &zfs_ops, &vfs_ops,
	NULL };

/* Names that a directory in a graphroot may have, in the order in which drivers are tried. */
static const char *const known_names[] = { "overlay", "btrfs", "zfs", "vfs" };

static const struct driver_ops *find_driver(const char *name)
{
	size_t i;

	if (str_eq(name, "overlay2"))
		name = "overlay";
	for (i = 0; driver_table[i]; i++)
		if (str_eq(driver_table[i]->name, name))
			return driver_table[i];
	return NULL;
}

static bool is_known(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(known_names); i++)
		if (str_eq(known_names[i], name))
			return true;
	return str_eq(name, "overlay2");
}

static int open_named(const char *name, const struct driver_config *config, struct driver **ret,
	struct imbrex_error *err)
{
	const struct driver_ops *ops = find_driver(name);

	if (ops)
		return ops->open(config, ret, err);
	if (is_known(name))
		return fail(err, IMBREX_ENOTSUP, "storage driver '%s' is not in this build", name);
	return fail_reason(err, IMBREX_EINVAL, IMBREX_REASON_DRIVER_UNKNOWN,
		"there is no storage driver '%s'", name);
}

/* Directories in graphroot that drivers have left. */
static int find_prior(const char *graphroot, struct strv *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int dir = -EBADF;
	size_t i;
	int r = 0;

	dir = open_root_dir_at(AT_FDCWD, graphroot, err);
	if (dir < 0)
		return dir;
	for (i = 0; r == 0 && i < ARRAY_LEN(known_names); i++)
		if (is_dir_at(dir, known_names[i]))
			r = strv_add(ret, known_names[i]);
	if (r == 0 && is_dir_at(dir, "overlay2"))
		r = strv_add(ret, "overlay2");
	return r < 0 ? fail_nomem(err) : 0;
}

static int check_one_prior(
	const struct strv *prior, const char *graphroot, struct imbrex_error *err)
{
	int r;

	if (prior->n < 2)
		return 0;
	r = fail(err, IMBREX_EEXIST, "'%s' holds several storage drivers: %s, %s%s", graphroot,
		prior->items[0], prior->items[1], prior->n > 2 ? ", …" : "");
	return hint(err, r, "name the one to use, or remove what is not needed");
}

/* vfs directories are left behind by accident: only one with layers counts. */
static bool has_layers(const char *graphroot, const char *name)
{
	AUTO_FREE char *path = format_text("%s/%s/%s", graphroot, name,
		str_eq(name, "vfs")       ? "dir"
		: str_eq(name, "overlay") ? "l"
		: str_eq(name, "btrfs")   ? "subvolumes"
					  : "");
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir)) != NULL)
		found = e->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return found;
}

/* A first layer of one driver among those of another is a mistake: neither sees the other's. */
static int check_other_prior(
	const char *name, const struct driver_config *config, struct imbrex_error *err)
{
	AUTO_STRV prior = { 0 };
	size_t i;
	int r;

	if (str_eq(name, "overlay2"))
		name = "overlay";
	if (!is_known(name))
		return 0;
	r = find_prior(config->graphroot, &prior, err);
	if (r < 0 || strv_has(&prior, name))
		return r;
	for (i = 0; i < prior.n; i++) {
		if (!has_layers(config->graphroot, prior.items[i]))
			continue;
		r = fail(err, IMBREX_EEXIST, "'%s' is a store of the driver %s, not %s",
			config->graphroot, prior.items[i], name);
		return hint(
			err, r, "use --driver=%s, or another store with --root", prior.items[i]);
	}
	return 0;
}

int driver_open(const char *name, const struct strv *priority, const struct driver_config *config,
	struct driver **ret, struct imbrex_error *err)
{
	AUTO_STRV prior = { 0 };
	AUTO_STRV order = { 0 };
	bool vfs_wanted = priority && strv_has(priority, "vfs");
	size_t i;
	int r;

	if (name && *name) {
		r = check_other_prior(name, config, err);
		return r < 0 ? r : open_named(name, config, ret, err);
	}
	r = find_prior(config->graphroot, &prior, err);
	if (r < 0)
		return r;
	if (priority && priority->n)
		r = strv_copy(&order, priority);
	for (i = 0; r == 0 && order.n < ARRAY_LEN(known_names) && !(priority && priority->n); i++)
		r = strv_add(&order, known_names[i]);
	if (r < 0)
		return fail_nomem(err);
	for (i = 0; i < order.n; i++) {
		const char *item = order.items[i];

		/* Programs leave a vfs directory behind by accident; it decides only if asked for.
		 */
		if (!strv_has(&prior, item) || (str_eq(item, "vfs") && !vfs_wanted))
			continue;
		r = check_one_prior(&prior, config->graphroot, err);
		return r < 0 ? r : open_named(item, config, ret, err);
	}
	r = IMBREX_ENOTSUP;
	for (i = 0; i < order.n && r == IMBREX_ENOTSUP; i++)
		r = open_named(order.items[i], config, ret, err);
	return r;
}

void driver_temp_root(const struct driver *d, char *ret, size_t len)
{
	(void)snprintf(ret, len, "%s/tempdirs", d->ops->name);
}
