/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The temporary directory lies beside the final one, on the same file system. */
#include "image/newdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "store/rootless.h"

int open_parent_dir(
	const char *path, char ret_name[NAME_MAX + 1], int *ret_fd, struct imbrex_error *err)
{
	size_t len = strlen(path);
	AUTO_FREE char *parent = NULL;
	const char *slash;
	int fd;

	while (len > 1 && path[len - 1] == '/')
		len--;
	slash = memrchr(path, '/', len);
	parent = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
	if (!parent)
		return fail_nomem(err);
	if (slash)
		len -= (size_t)(slash + 1 - path);
	(void)snprintf(ret_name, NAME_MAX + 1, "%.*s", (int)MIN(len, (size_t)NAME_MAX),
		slash ? slash + 1 : path);
	if (len == 0 || len > NAME_MAX || str_eq(ret_name, ".") || str_eq(ret_name, ".."))
		return fail(err, IMBREX_EINVAL, "'%s' does not end in a name", path);
	fd = open_root_dir_at(AT_FDCWD, parent, err);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* Where temporaries lie must be nobody else's: the parent may be /tmp. */
static int check_temp_root(const struct new_dir *d, struct imbrex_error *err)
{
	struct stat st;

	if (fstatat(d->parent_fd, d->root, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_errno(err, "look at '%s'", d->root);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return fail(err, IMBREX_EPERM, "'%s' beside '%s' is no directory of user %u",
			d->root, d->name, (unsigned int)geteuid());
	return 0;
}

/* It may have been another's since it was looked at: only here is it sure not to go away. */
static int check_temp(const struct new_dir *d, struct imbrex_error *err)
{
	struct stat st;

	if (fstatat(tempdir_fd(d->temp), "..", &st, 0) < 0)
		return fail_errno(err, "look at '%s'", d->root);
	if (st.st_uid != geteuid())
		return fail(err, IMBREX_EPERM, "'%s' beside '%s' is no directory of user %u",
			d->root, d->name, (unsigned int)geteuid());
	return 0;
}

/* The same in a user namespace: its root is not the machine's. */
static void set_root(struct new_dir *d)
{
	struct rootless_facts who;

	rootless_facts_read(&who);
	(void)snprintf(d->root, sizeof(d->root), ".imbrex-%u", (unsigned int)who.uid);
}

static int make_temp(struct new_dir *d, struct imbrex_error *err)
{
	int r;

	set_root(d);
	r = check_temp_root(d, err);
	if (r == 0)
		r = tempdir_recover(d->parent_fd, d->root, err);
	if (r == 0)
		r = tempdir_new(d->parent_fd, d->root, &d->temp, err);
	return r < 0 ? r : check_temp(d, err);
}

static int make_dir(struct new_dir *d, const char *path, struct imbrex_error *err)
{
	int r = make_temp(d, err);

	if (r < 0)
		return r;
	tempdir_stage_addition(d->temp, d->made);
	if (mkdirat(tempdir_fd(d->temp), d->made, 0755) < 0)
		return fail_errno(err, "make directory '%s'", path);
	d->fd = open_dir_at(tempdir_fd(d->temp), d->made, err);
	return d->fd < 0 ? d->fd : 0;
}

int new_dir_begin(struct new_dir *d, const char *path, struct imbrex_error *err)
{
	int r;

	r = open_parent_dir(path, d->name, &d->parent_fd, err);
	if (r < 0)
		return r;
	if (exists_at(d->parent_fd, d->name))
		return fail(err, IMBREX_EEXIST, "'%s' exists already", path);
	return make_dir(d, path, err);
}

int new_dir_begin_temporary(struct new_dir *d, const char *parent, struct imbrex_error *err)
{
	d->parent_fd = open_root_dir_at(AT_FDCWD, parent, err);
	if (d->parent_fd < 0)
		return d->parent_fd;
	return make_dir(d, parent, err);
}

/* Stays if others are at work there. */
static void drop_root(const struct new_dir *d)
{
	(void)unlinkat(d->parent_fd, d->root, AT_REMOVEDIR);
}

int new_dir_recover(const char *parent, struct imbrex_error *err)
{
	struct new_dir d = NEW_DIR_INIT;
	AUTO_CLOSE int fd = open_root_dir_at(AT_FDCWD, parent, err);
	int r;

	if (fd < 0)
		return fd;
	d.parent_fd = fd;
	set_root(&d);
	r = check_temp_root(&d, err);
	if (r == 0)
		r = tempdir_recover(fd, d.root, err);
	drop_root(&d);
	return r;
}

int new_dir_commit(struct new_dir *d, struct imbrex_error *err)
{
	int r;

	if (syncfs(d->fd) < 0)
		return fail_errno(err, "sync '%s'", d->name);
	if (renameat2(tempdir_fd(d->temp), d->made, d->parent_fd, d->name, RENAME_NOREPLACE) < 0)
		return fail_errno(err, "name directory '%s'", d->name);
	r = sync_dir(d->parent_fd);
	if (r < 0)
		return fail_code(err, r, "sync the directory of '%s'", d->name);
	r = tempdir_finish(take_ptr(d->temp), err);
	drop_root(d);
	return r;
}

void new_dir_done(struct new_dir *d)
{
	d->fd = close_fd(d->fd);
	if (d->temp) {
		tempdir_free(take_ptr(d->temp));
		drop_root(d);
	}
	d->parent_fd = close_fd(d->parent_fd);
}
