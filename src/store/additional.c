/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Additional image stores: graph roots that others fill, and that we only read. Their lock files
 * are locked shared where there are any and we may open them; nothing of them is made, written or
 * repaired, so they may lie on a read-only file system or belong to another user.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "driver/options.h"
#include "os/fd.h"
#include "store/tables.h"

static bool is_same_dir(int a, int b)
{
	struct stat first;
	struct stat second;

	return a >= 0 && b >= 0 && fstat(a, &first) == 0 && fstat(b, &second) == 0 &&
	       first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* Our own root, or one that was named before: it must not be locked twice. */
static bool is_known(const struct imbrex_store *s, int fd)
{
	size_t i;

	for (i = 0; i < s->n_additional; i++) {
		if (is_same_dir(s->additional[i].fd, fd))
			return true;
	}
	return is_same_dir(s->graphfd, fd) || is_same_dir(s->imagefd, fd);
}

static void done(struct additional_store *a)
{
	store_table_close(&a->images);
	store_table_close(&a->layers);
	a->fd = close_fd(a->fd);
	free(take_ptr(a->root));
}

static int open_one(const struct imbrex_store *s, struct additional_store *a, const char *root,
	struct imbrex_error *err)
{
	struct table_home home = { .driver = s->driver->ops->name,
		.read_only = true,
		.run_fd = s->runfd,
		.run_read_only = s->read_only };
	int r;

	a->root = strdup(root);
	if (!a->root)
		return fail_nomem(err);
	a->fd = open_root_dir_at(AT_FDCWD, root, err);
	if (a->fd < 0)
		return wrap(err, a->fd, "additional image store");
	if (is_known(s, a->fd))
		return 1;
	home.fd = a->fd;
	home.path = a->root;
	r = store_table_open(&a->layers, &home, "layers", "layers.lock", LOCK_LAYERS_RO, err);
	if (r == 0)
		r = store_table_open(
			&a->images, &home, "images", "images.lock", LOCK_IMAGES_RO, err);
	return r;
}

/* Room for one more; counted by the caller. */
static struct additional_store *append(struct imbrex_store *s)
{
	struct additional_store *items;
	struct additional_store *a;

	items = reallocarray(s->additional, s->n_additional + 1, sizeof(*items));
	if (!items)
		return NULL;
	s->additional = items;
	a = &items[s->n_additional];
	*a = (struct additional_store){ .fd = -EBADF };
	store_table_init(&a->layers, &layer_records, "layers.json", "volatile-layers.json");
	store_table_init(&a->images, &image_records, "images.json", NULL);
	return a;
}

static int add(struct imbrex_store *s, const char *root, struct imbrex_error *err)
{
	struct additional_store *a = append(s);
	int r;

	if (!a)
		return fail_nomem(err);
	r = open_one(s, a, root, err);
	if (r == 0)
		s->n_additional++;
	else
		done(a);
	return r < 0 ? r : 0;
}

static int add_list(struct imbrex_store *s, const char *list, struct imbrex_error *err)
{
	int r = 0;

	while (r == 0 && *list) {
		size_t n = strcspn(list, ",");
		AUTO_FREE char *root = strndup(list, n);

		if (!root)
			return fail_nomem(err);
		r = n ? add(s, root, err) : 0;
		list += n;
		list += *list == ',';
	}
	return r;
}

/* What was in the store before it had a second root for images. The layers are our own. */
static int add_first_root(struct imbrex_store *s, struct imbrex_error *err)
{
	struct table_home home = { .path = s->config.graphroot,
		.driver = s->driver->ops->name,
		.read_only = s->read_only,
		.run_fd = s->runfd,
		.run_read_only = s->read_only };
	struct additional_store *a = append(s);
	int r;

	if (!a)
		return fail_nomem(err);
	a->root = strdup(s->config.graphroot);
	a->fd = fcntl(s->graphfd, F_DUPFD_CLOEXEC, 3);
	home.fd = a->fd;
	if (!a->root || a->fd < 0)
		r = fail_nomem(err);
	else
		r = store_table_open(
			&a->images, &home, "images", "images.lock", LOCK_IMAGES_RO, err);
	if (r < 0)
		done(a);
	else
		s->n_additional++;
	s->has_first_root = r == 0;
	return r;
}

int store_additional_open(struct imbrex_store *s, struct imbrex_error *err)
{
	struct driver_option option;
	size_t i;
	int r;

	r = s->imagefd >= 0 ? add_first_root(s, err) : 0;
	if (r < 0)
		return r;

	for (i = 0; i < s->config.driver_options.n; i++) {
		r = option_split(
			s->config.driver_options.items[i], s->driver->ops->name, &option, err);
		if (r > 0 && (str_eq(option.key, "imagestore") ||
				     str_eq(option.key, "additionalimagestore")))
			r = add_list(s, option.value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void store_additional_close(struct imbrex_store *s)
{
	size_t i;

	for (i = 0; i < s->n_additional; i++)
		done(&s->additional[i]);
	free(take_ptr(s->additional));
	s->n_additional = 0;
	s->has_first_root = false;
}
