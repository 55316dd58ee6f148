/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting containers and images, with counts that all processes share (mountpoints.json). The
 * books may lie: a reboot, or a namespace that is gone, leaves counts without mounts. So a count
 * is believed only if something is mounted there.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "os/mountfd.h"
#include "store/layer.h"
#include "store/store.h"

/* Mounts are in a book of their own: damaged tables are good enough to use what is whole. */
#define HOLD_MOUNT (HOLD_LAYERS_W | HOLD_IMAGES | HOLD_CONTAINERS | HOLD_DAMAGED)

static int layer_of(struct imbrex_store *s, const char *object, char **ret_layer, bool *ret_image,
	bool *ret_volatile, struct imbrex_error *err)
{
	struct imbrex_error not_container = { 0 };
	const struct record *rec;
	struct found f;
	int r;

	*ret_volatile = false;
	r = store_find(s, &container_records, object, &f, &not_container);
	*ret_image = r < 0;
	if (r == IMBREX_EINVAL) {
		if (err)
			*err = not_container;
		return r;
	}
	if (r == 0) {
		rec = found_record(&f);
		*ret_volatile = record_flag(rec, CONTAINER_FLAGS, "Volatile");
		*ret_layer = record_text(rec, CONTAINER_LAYER);
	} else {
		r = store_find_image(s, object, &f, err);
		if (r == IMBREX_ENOENT)
			return fail(err, r, "no container and no image is called '%s'", object);
		if (r < 0)
			return r;
		*ret_layer = record_text(found_record(&f), IMAGE_LAYER);
	}
	if (!*ret_layer)
		return fail_nomem(err);
	if (!**ret_layer) {
		free(take_ptr(*ret_layer));
		return fail(err, IMBREX_EINVAL, "'%s' has no layers to mount", object);
	}
	return 0;
}

static int split_options(const char *options, struct strv *ret)
{
	AUTO_FREE char *copy = strdup(options);
	char *rest = copy;
	char *word;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&rest, ","))) {
		if (*word && strv_add(ret, word) < 0)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Whether the layer is mounted where the books say. They lie in a directory of state that outlives
 * mounts, so neither a place that is not this layer's nor one where nothing is mounted is believed.
 */
static bool is_mounted(const struct mount_record *m)
{
	const char *name = strrchr(m->path, '/');
	size_t len = strlen(m->id);

	if (!name || !str_eq(name, "/merged") || (size_t)(name - m->path) <= len ||
		name[-(ptrdiff_t)len - 1] != '/' || strncmp(name - len, m->id, len) != 0)
		return false;
	return is_mount_point(AT_FDCWD, m->path) > 0;
}

bool store_mount_is_real(const struct imbrex_store *s, const struct mount_record *m)
{
	const char *name = strrchr(m->path, '/');

	if (str_eq(s->driver->ops->name, "vfs"))
		return name && str_eq(name + 1, m->id);
	return is_mounted(m);
}

static int mount_layer(struct imbrex_store *s, const char *layer, bool read_only, bool is_volatile,
	const struct imbrex_mount_opts *opts, char **ret_path, struct imbrex_error *err)
{
	struct driver_mount_opts how = {
		.read_only = read_only,
		.volatile_upper = is_volatile && !s->config.disable_volatile,
	};
	AUTO_STRV options = { 0 };
	AUTO_FREE char *label = NULL;
	AUTO_FREE char *path = NULL;
	struct mount_record *m;
	struct found f;
	bool mounted;
	int count;
	int r;

	if (!store_get(s, &layer_records, layer, strlen(layer), &f))
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer %s is not in the store", layer);
	label = record_text(found_record(&f), LAYER_MOUNTLABEL);
	if (!label)
		return fail_nomem(err);
	how.label = label;
	m = store_mount_find(s, layer);
	mounted = m && is_mounted(m);
	/* vfs has nothing to mount: its path is the tree itself. */
	count = mounted || (m && str_eq(s->driver->ops->name, "vfs")) ? m->count : 0;
	if (count == INT32_MAX)
		return fail(
			err, IMBREX_ELIMIT, "layer %s is mounted %d times already", layer, count);
	if (mounted) {
		path = strdup(m->path);
		if (!path)
			return fail_nomem(err);
		r = store_mount_set(s, layer, path, count + 1, err);
		if (r == 0)
			*ret_path = take_ptr(path);
		return r;
	}
	if (opts->options) {
		if (split_options(opts->options, &options) < 0)
			return fail_nomem(err);
		how.options = &options;
	}
	r = s->driver->ops->mount(s->driver, layer, &how, &path, err);
	if (r < 0)
		return r;
	r = store_mount_set(s, layer, path, count + 1, err);
	if (r < 0) {
		(void)s->driver->ops->unmount(s->driver, layer, NULL);
		return r;
	}
	*ret_path = take_ptr(path);
	return 0;
}

PUBLIC int imbrex_mount(struct imbrex_store *s, const char *object,
	const struct imbrex_mount_opts *opts, char **ret_path, struct imbrex_error *err)
{
	static const struct imbrex_mount_opts none = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *layer = NULL;
	bool is_volatile;
	bool is_image;
	int r;

	if (!opts)
		opts = &none;
	r = store_hold(s, HOLD_GRAPH | HOLD_MOUNT, &hold, err);
	if (r < 0)
		return r;
	r = layer_of(s, object, &layer, &is_image, &is_volatile, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	r = mount_layer(s, layer, opts->read_only || is_image, is_volatile, opts, ret_path, err);
	return r < 0 ? wrap(err, r, "mount %s", object) : 0;
}

PUBLIC int imbrex_unmount(struct imbrex_store *s, const char *object, bool all, int *ret_still,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *layer = NULL;
	struct mount_record *m;
	bool is_volatile;
	bool is_image;
	int still;
	int r;

	r = store_hold(s, HOLD_MOUNT, &hold, err);
	if (r < 0)
		return r;
	r = layer_of(s, object, &layer, &is_image, &is_volatile, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	m = store_mount_find(s, layer);
	if (!m) {
		if (ret_still)
			*ret_still = 0;
		return all ? 0 : fail(err, IMBREX_EINVAL, "'%s' is not mounted", object);
	}
	still = all ? 0 : m->count - 1;
	if (!still) {
		r = s->driver->ops->unmount(s->driver, layer, err);
		if (r < 0)
			return wrap(err, r, "unmount %s", object);
	}
	r = store_mount_set(s, layer, m->path, still, err);
	if (r == 0 && ret_still)
		*ret_still = still;
	return r;
}
