/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Places are resolved beneath the data path, without symbolic links. */
#include "template/mountpoint.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "base/error.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/mountfd.h"
#include "os/mountinfo.h"
#include "os/proc.h"
#include "template/lease.h"

/* ---- the helper ------------------------------------------------------------------------ */

static int ask_helper(struct imbrex_templates *t, const struct zfs_name *name, bool unmount,
	struct imbrex_error *err)
{
	static const char *const env[] = { "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	const char *const argv[] = { t->helper, unmount ? "--unmount" : name->text,
		unmount ? name->text : NULL, NULL };
	const struct proc_spec spec = { .argv = argv, .env = env };
	int r;

	if (!t->helper) {
		r = fail(err, IMBREX_EPERM,
			"ZFS dataset '%s' can be mounted by root only, and enroot-zfs-mount is "
			"not installed",
			name->text);
		return hint(err, r, "see enroot-zfs-mount(8)");
	}
	r = proc_check(&spec, NULL, err);
	return r < 0 ? wrap(err, r, "ZFS dataset '%s'", name->text) : 0;
}

/* ---- mounts of our own ----------------------------------------------------------------- */

struct attribute {
	const char *property, *value;
	uint64_t attr;
};

/* What mount.zfs(8) makes of properties; the file system itself only reads "readonly". */
static int mount_attrs(struct imbrex_templates *t, const struct zfs_name *name, uint64_t *ret,
	struct imbrex_error *err)
{
	static const struct attribute known[] = {
		{ "setuid", "off", MOUNT_ATTR_NOSUID },
		{ "devices", "off", MOUNT_ATTR_NODEV },
		{ "exec", "off", MOUNT_ATTR_NOEXEC },
		{ "readonly", "on", MOUNT_ATTR_RDONLY },
	};
	const char *names[ARRAY_LEN(known)];
	AUTO_STRV values = { 0 };
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(known); i++)
		names[i] = known[i].property;
	r = zfs_get_native(t->z, name, names, ARRAY_LEN(names), &values, err);
	if (r < 0)
		return r;
	*ret = 0;
	for (i = 0; i < ARRAY_LEN(known); i++) {
		if (str_eq(values.items[i], known[i].value))
			*ret |= known[i].attr;
	}
	return 0;
}

/* Detached. "zfsutil": a property mountpoint other than "legacy" does not matter. */
static int mount_detached(const struct zfs_name *name, uint64_t attrs, struct imbrex_error *err)
{
	static const char *const words[] = { "zfsutil" };
	int fd = mount_new("zfs", name->text, (struct mount_options){ words, 1 }, attrs, err);

	return fd < 0 ? wrap(err, fd, "ZFS dataset '%s'", name->text) : fd;
}

/* Without a mount there is nothing that a dataset could be known by in its directory. */
static int make_place(struct imbrex_templates *t, const struct zfs_name *name, int *ret_fd,
	struct imbrex_error *err)
{
	int r = mkdirs_beneath(t->data_fd, template_relative(t, name), 0755, ret_fd, err);

	return r < 0 ? wrap(err, r, "mount point of ZFS dataset '%s'", name->text) : 0;
}

static char *place_of(const struct imbrex_templates *t, const struct zfs_name *name)
{
	return format_text("%s/%s", t->data_path, template_relative(t, name));
}

int template_is_mounted(
	struct imbrex_templates *t, const struct zfs_name *name, struct imbrex_error *err)
{
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	AUTO_FREE char *place = place_of(t, name);
	const struct mount_entry *e;
	int r;

	if (!place)
		return fail_nomem(err);
	r = mountinfo_read(&m, err);
	if (r < 0)
		return r;
	e = mountinfo_find(&m, place);
	return e && str_eq(e->fs_type, "zfs") && str_eq(e->source, name->text);
}

static int mount_here(
	struct imbrex_templates *t, const struct zfs_name *name, struct imbrex_error *err)
{
	AUTO_CLOSE int mount = -EBADF;
	AUTO_CLOSE int place = -EBADF;
	uint64_t attrs;
	int r;

	r = mount_attrs(t, name, &attrs, err);
	if (r == 0)
		r = make_place(t, name, &place, err);
	if (r < 0)
		return r;
	mount = mount_detached(name, attrs, err);
	return mount < 0 ? mount : mount_attach(mount, place, "", err);
}

static int mount_somehow(
	struct imbrex_templates *t, const struct zfs_name *name, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r = mount_here(t, name, &why);

	if (r == IMBREX_EPERM)
		return ask_helper(t, name, /* unmount= */ false, err);
	if (r < 0 && err)
		*err = why;
	return r;
}

int template_mount(
	struct imbrex_templates *t, const struct zfs_name *name, struct imbrex_error *err)
{
	AUTO_FREE char *word = format_text("mount %s", template_relative(t, name));
	AUTO_CLOSE int lock = -EBADF;
	int r = template_is_mounted(t, name, err);

	if (r != 0)
		return r < 0 ? r : 0;
	/* Two that mount it at once would do so one over the other. */
	r = word ? lease_lock(t->data_fd, word, /* wait= */ true, &lock, err) : fail_nomem(err);
	if (r > 0)
		r = template_is_mounted(t, name, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return mount_somehow(t, name, err);
}

void template_remove_place(struct imbrex_templates *t, const struct zfs_name *name)
{
	AUTO_CLOSE int parent = -EBADF;
	const char *relative = template_relative(t, name);
	const char *slash = strrchr(relative, '/');
	AUTO_FREE char *dir = slash ? strndup(relative, (size_t)(slash - relative)) : strdup(".");

	if (!dir)
		return;
	parent = open_beneath(t->data_fd, dir, O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_SYMLINKS);
	/* Not empty, or others' business: it stays. */
	if (parent >= 0)
		(void)unlinkat(parent, slash ? slash + 1 : relative, AT_REMOVEDIR);
}

int template_unmount(
	struct imbrex_templates *t, const struct zfs_name *name, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r = template_is_mounted(t, name, err);

	if (r < 0)
		return r;
	if (r > 0) {
		r = unmount_at(t->data_fd, template_relative(t, name), /* detach= */ false, &why);
		if (r == IMBREX_EPERM) {
			r = ask_helper(t, name, /* unmount= */ true, err);
			if (r < 0)
				return r;
		} else if (r < 0) {
			if (err)
				*err = why;
			return r;
		}
	}
	return 0;
}

/* ---- views ----------------------------------------------------------------------------- */

static int view_by_helper(struct imbrex_templates *t, const struct zfs_name *name,
	struct template_view *v, struct imbrex_error *err)
{
	int r = ask_helper(t, name, /* unmount= */ false, err);

	if (r < 0)
		return r;
	v->asked = true;
	v->fd = open_beneath(t->data_fd, template_relative(t, name), O_RDONLY | O_DIRECTORY, 0,
		BENEATH_NO_SYMLINKS);
	return v->fd < 0 ? fail_code(err, v->fd, "open ZFS dataset '%s'", name->text) : 0;
}

int template_view_open(struct imbrex_templates *t, const struct zfs_name *name,
	struct template_view *ret, struct imbrex_error *err)
{
	struct template_view v = TEMPLATE_VIEW_INIT;
	struct imbrex_error why = { 0 };
	int r = 0;

	v.name = *name;
	v.mount = mount_detached(name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &why);
	if (v.mount == IMBREX_EPERM) {
		r = view_by_helper(t, name, &v, err);
	} else if (v.mount < 0) {
		r = v.mount;
		if (err)
			*err = why;
	} else {
		v.fd = openat(v.mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (v.fd < 0)
			r = fail_errno(err, "open ZFS dataset '%s'", name->text);
	}
	if (v.mount < 0)
		v.mount = -EBADF;
	if (r < 0) {
		(void)!template_view_close(t, &v, NULL);
		return r;
	}
	*ret = v;
	return 0;
}

int template_view_close(
	struct imbrex_templates *t, struct template_view *v, struct imbrex_error *err)
{
	bool asked = v->asked;
	int r;

	v->fd = close_fd(v->fd);
	v->mount = close_fd(v->mount);
	v->asked = false;
	if (!asked)
		return 0;
	r = template_unmount(t, &v->name, err);
	if (r == 0)
		template_remove_place(t, &v->name);
	return r;
}
