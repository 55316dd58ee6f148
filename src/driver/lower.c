/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As the kernel merges: a directory is the sum of the directories of that name from the top down,
 * until one is opaque or the name is something else there. That sum is remembered for the last
 * directory that was asked about, so a walk pays for each directory once.
 *
 * Source: Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
 */
#include "driver/lower.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/xattr.h"

int lower_tree_init(struct lower_tree *t, const struct strv *dirs, const char *opaque_xattr,
	struct imbrex_error *err)
{
	*t = (struct lower_tree){ .dirs = dirs, .opaque_xattr = opaque_xattr };
	t->fds = calloc(dirs->n + 1, sizeof(*t->fds));
	return t->fds ? 0 : fail_nomem(err);
}

static void forget(struct lower_tree *t)
{
	while (t->n_fds)
		(void)close_fd(t->fds[--t->n_fds]);
	t->valid = false;
}

void lower_tree_done(struct lower_tree *t)
{
	forget(t);
	free(t->fds);
	t->fds = NULL;
}

static bool is_opaque(int fd, const char *xattr)
{
	AUTO_STR value = STR_INIT(16);

	return getxattr_at(fd, "", xattr, &value) == 0 && str_eq(str_text(&value), "y");
}

/*
 * Directory `path` in the one layer `dir`: an fd, or -ENOENT.
 *
 * *ret_hides  this layer hides what the layers below it have there
 */
static int open_in(const struct lower_tree *t, const char *dir, const char *path, bool *ret_hides)
{
	AUTO_CLOSE int fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const char *p = path;

	*ret_hides = false;
	if (fd < 0)
		return -errno;
	while (*p) {
		char name[LIMIT_NAME_BYTES + 1];
		size_t n = strcspn(p, "/");
		int next;

		if (n > LIMIT_NAME_BYTES)
			return -ENAMETOOLONG;
		memcpy(name, p, n);
		name[n] = 0;
		next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 && errno == ENOTDIR)
			*ret_hides = true;
		if (next < 0)
			return *ret_hides || errno == ENOENT ? -ENOENT : -errno;
		(void)close_fd(fd);
		fd = next;
		*ret_hides = *ret_hides || is_opaque(fd, t->opaque_xattr);
		p += n;
		p += *p == '/';
	}
	return take_fd(fd);
}

static int enter(struct lower_tree *t, const char *path, size_t len, struct imbrex_error *err)
{
	bool hides = false;
	size_t i;

	if (t->valid && strlen(t->path) == len && memcmp(t->path, path, len) == 0)
		return 0;
	forget(t);
	memcpy(t->path, path, len);
	t->path[len] = 0;
	for (i = 0; i < t->dirs->n && !hides; i++) {
		int fd = open_in(t, t->dirs->items[i], t->path, &hides);

		if (fd < 0 && fd != -ENOENT)
			return fail_code(err, fd, "open '%s' in '%s'", t->path, t->dirs->items[i]);
		if (fd >= 0)
			t->fds[t->n_fds++] = fd;
	}
	t->valid = true;
	return 0;
}

int lower_tree_find(
	struct lower_tree *t, const char *path, struct stat *ret_st, struct imbrex_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t i;
	int r;

	r = enter(t, path, slash ? (size_t)(slash - path) : 0, err);
	for (i = 0; r == 0 && i < t->n_fds; i++) {
		if (fstatat(t->fds[i], name, ret_st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return fail_errno(err, "stat '%s' in a layer below", path);
		}
		return !(S_ISCHR(ret_st->st_mode) && ret_st->st_rdev == makedev(0, 0));
	}
	return r;
}
