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
#include "json/scan.h"
#include "os/mountfd.h"
#include "store/layer.h"
#include "store/maps.h"
#include "store/object.h"

/* Mounts are in a book of their own: damaged tables are good enough to use what is whole. */
#define HOLD_MOUNT (HOLD_LAYERS_W | HOLD_IMAGES | HOLD_CONTAINERS | HOLD_DAMAGED)

/* What is to be mounted or unmounted, and how its record says so. */
struct target {
	char *layer;              /* owned; id */
	bool is_image;            /* read-only, whatever is asked for */
	bool is_volatile;         /* need not survive a crash */
	struct strv options;      /* recorded with a container */
	struct id_maps_copy maps; /* likewise */
};

static void target_done(struct target *t)
{
	free(t->layer);
	strv_done(&t->options);
	id_maps_copy_done(&t->maps);
}
#define AUTO_TARGET __attribute__((cleanup(target_done))) struct target

/* Strings of the member "MountOpts" of a container's flags. */
static int read_mount_opts(const struct record *rec, struct strv *ret)
{
	struct json_span list = record_member(rec, CONTAINER_FLAGS, "MountOpts");
	struct json_scan scan;
	int r;

	if (!list.len)
		return 0;
	json_scan_init(&scan, list.at, list.len);
	r = json_scan_array_begin(&scan, NULL);
	while (r >= 0 && (r = json_scan_array_next(&scan, NULL)) > 0) {
		AUTO_FREE char *word = NULL;

		r = json_scan_text(&scan, &word, NULL);
		if (r >= 0 && strv_take(ret, take_ptr(word)) < 0)
			return -ENOMEM;
	}
	return 0; /* anything else is no list of options */
}

static int take_container(const struct record *rec, struct target *ret, struct imbrex_error *err)
{
	ret->is_volatile = record_flag(rec, CONTAINER_FLAGS, "Volatile");
	ret->layer = record_text(rec, CONTAINER_LAYER);
	if (!ret->layer || read_mount_opts(rec, &ret->options) < 0 ||
		maps_read(rec, CONTAINER_UIDMAP, CONTAINER_GIDMAP, &ret->maps) < 0)
		return fail_nomem(err);
	return 0;
}

static bool is_mapped(const struct record *layer)
{
	return record_raw(layer, LAYER_UIDMAP).len || record_raw(layer, LAYER_GIDMAP).len;
}

/* The top layer, or that copy of it whose owners are those of the host. */
static int take_image(struct imbrex_store *s, const struct record *rec, struct target *ret,
	struct imbrex_error *err)
{
	AUTO_STRV copies = { 0 };
	struct found f;
	size_t i;

	ret->is_image = true;
	ret->layer = record_text(rec, IMAGE_LAYER);
	if (!ret->layer || record_list(rec, IMAGE_MAPPED_LAYERS, &copies) < 0)
		return fail_nomem(err);
	if (!store_get(s, &layer_records, ret->layer, strlen(ret->layer), &f) ||
		!is_mapped(found_record(&f)))
		return 0;
	for (i = 0; i < copies.n; i++) {
		if (!store_get(s, &layer_records, copies.items[i], strlen(copies.items[i]), &f) ||
			is_mapped(found_record(&f)))
			continue;
		free(ret->layer);
		ret->layer = strdup(copies.items[i]);
		return ret->layer ? 0 : fail_nomem(err);
	}
	return 0;
}

static int take_object(struct imbrex_store *s, const struct object *o, struct target *ret,
	struct imbrex_error *err)
{
	if (o->kind == IMBREX_KIND_CONTAINER)
		return take_container(found_record(&o->at), ret, err);
	if (o->kind == IMBREX_KIND_IMAGE)
		return take_image(s, found_record(&o->at), ret, err);
	ret->layer = record_text(found_record(&o->at), LAYER_ID);
	return ret->layer ? 0 : fail_nomem(err);
}

/* Containers by their names; images as people name them. */
static int find_completed(
	struct imbrex_store *s, const char *name, struct object *ret, struct imbrex_error *err)
{
	int r;

	r = object_find(s, name, IMBREX_KIND_CONTAINER, OBJECT_CONTAINERS_FIRST, ret, err);
	if (r != IMBREX_ENOENT)
		return r;
	ret->kind = IMBREX_KIND_IMAGE;
	r = store_find_image(s, name, &ret->at, err);
	if (r == IMBREX_ENOENT)
		return fail_reason(err, r, IMBREX_REASON_NOT_ANY,
			"no container and no image is called '%s'", name);
	return r;
}

static int find_target(struct imbrex_store *s, const char *name, unsigned int kinds, bool exact,
	struct target *ret, struct imbrex_error *err)
{
	struct object o;
	int r;

	if (!kinds && !exact)
		r = find_completed(s, name, &o, err);
	else
		r = object_find(s, name, kinds ? kinds : IMBREX_KIND_CONTAINER | IMBREX_KIND_IMAGE,
			OBJECT_CONTAINERS_FIRST, &o, err);
	if (r == 0)
		r = take_object(s, &o, ret, err);
	if (r < 0)
		return r;
	return *ret->layer ? 0 : fail(err, IMBREX_EINVAL, "'%s' has no layers to mount", name);
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

/* "…/<id>", and `tail` after it. */
static bool is_path_of(const struct mount_record *m, const char *tail)
{
	size_t path_len = strlen(m->path), len = strlen(m->id) + strlen(tail);
	const char *id = m->path + path_len - len;

	return path_len > len && id[-1] == '/' && strncmp(id, m->id, strlen(m->id)) == 0 &&
	       str_eq(id + strlen(m->id), tail);
}

/*
 * Whether the layer is mounted where the books say. They lie in a directory of state that outlives
 * mounts, so neither a place that is not this layer's nor one where nothing is mounted is believed.
 */
static bool is_mounted(const struct imbrex_store *s, const struct mount_record *m)
{
	const char *tail = s->driver->ops->mount_tail;

	return tail && is_path_of(m, tail) && is_mount_point(AT_FDCWD, m->path) > 0;
}

bool store_mount_is_real(const struct imbrex_store *s, const struct mount_record *m)
{
	/* Some drivers have nothing to mount: the path is the tree itself. */
	return (s->driver->ops->in_place && is_path_of(m, "")) || is_mounted(s, m);
}

static bool is_counted(const struct imbrex_store *s, const struct mount_record *m)
{
	return m && store_mount_is_real(s, m);
}

int store_mount_check_here(
	struct imbrex_store *s, const struct mount_record *m, struct imbrex_error *err)
{
	const struct driver_ops *ops = s->driver->ops;
	int r;

	if (!m || is_counted(s, m) || !ops->mounted_elsewhere ||
		!ops->mounted_elsewhere(s->driver, m->id))
		return 0;
	r = fail_reason(err, IMBREX_EBUSY, IMBREX_REASON_LAYER_MOUNTED,
		"layer %s is mounted in another mount namespace", m->id);
	return hint(err, r, "whoever uses it there must end first");
}

/* Ids of the container are shown by the kernel, or are on disk; a tree that is owned otherwise is
 * refused. */
static int choose_maps(struct imbrex_store *s, const struct target *t, const struct record *layer,
	struct driver_mount_opts *how, struct imbrex_error *err)
{
	AUTO_MAPS own = { 0 };

	if (id_maps_empty(&t->maps.maps))
		return 0;
	if (maps_of_layer(layer, &own) < 0)
		return fail_nomem(err);
	how->maps = &t->maps.maps;
	how->mapped = !id_maps_empty(&own.maps);
	if (how->mapped ? id_maps_equal(&own.maps, &t->maps.maps)
			: s->driver->ops->shifts && s->driver->ops->shifts(s->driver, how->maps))
		return 0;
	return fail(err, IMBREX_ENOTSUP,
		"layer %s is not owned as the container's id map says, and the kernel cannot "
		"show it so",
		t->layer);
}

static int mount_anew(struct imbrex_store *s, const struct target *t, const struct found *layer,
	const struct imbrex_mount_opts *opts, char **ret_path, struct imbrex_error *err)
{
	struct driver_mount_opts how = {
		.read_only = opts->read_only || t->is_image,
		.volatile_upper = t->is_volatile && !s->config.disable_volatile,
		.options = t->options.n ? &t->options : NULL,
	};
	AUTO_FREE char *label = record_text(found_record(layer), LAYER_MOUNTLABEL);
	AUTO_STRV options = { 0 };
	int r;

	if (!label || (opts->options && split_options(opts->options, &options) < 0))
		return fail_nomem(err);
	if (opts->options)
		how.options = &options;
	how.label = opts->label ? opts->label : label;
	if (layer->read_only && !how.read_only)
		return store_check_own(layer, err);
	r = choose_maps(s, t, found_record(layer), &how, err);
	return r < 0 ? r : s->driver->ops->mount(s->driver, t->layer, &how, ret_path, err);
}

static int mount_target(struct imbrex_store *s, const struct target *t,
	const struct imbrex_mount_opts *opts, char **ret_path, struct imbrex_error *err)
{
	AUTO_FREE char *path = NULL;
	struct mount_record *m;
	struct found f;
	int count;
	int r;

	if (!store_get(s, &layer_records, t->layer, strlen(t->layer), &f))
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer %s is not in the store", t->layer);
	m = store_mount_find(s, t->layer);
	count = is_counted(s, m) ? m->count : 0;
	if (count == INT32_MAX)
		return fail(err, IMBREX_ELIMIT, "layer %s is mounted %d times already", t->layer,
			count);
	if (count && is_mounted(s, m)) {
		path = strdup(m->path);
		r = path ? 0 : fail_nomem(err);
	} else {
		r = store_mount_check_here(s, m, err);
		if (r == 0)
			r = mount_anew(s, t, &f, opts, &path, err);
	}
	if (r < 0)
		return r;
	r = store_mount_set(s, t->layer, path, count + 1, err);
	if (r < 0 && !count)
		(void)s->driver->ops->unmount(s->driver, t->layer, NULL);
	if (r == 0)
		*ret_path = take_ptr(path);
	return r;
}

PUBLIC int imbrex_mount(struct imbrex_store *s, const char *object,
	const struct imbrex_mount_opts *opts, char **ret_path, struct imbrex_error *err)
{
	static const struct imbrex_mount_opts none = { 0 };
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_TARGET t = { 0 };
	int r;

	if (!opts)
		opts = &none;
	r = store_hold(s, HOLD_GRAPH | HOLD_MOUNT, &hold, err);
	if (r == 0)
		r = find_target(s, object, opts->kinds, opts->exact, &t, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	r = mount_target(s, &t, opts, ret_path, err);
	return r < 0 ? wrap(err, r, "mount %s", object) : 0;
}

static int unmount(struct imbrex_store *s, const char *object, unsigned int kinds, bool exact,
	bool all, int *ret_still, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_TARGET t = { 0 };
	struct mount_record *m;
	int still;
	int r;

	r = store_hold(s, HOLD_MOUNT, &hold, err);
	if (r == 0)
		r = find_target(s, object, kinds, exact, &t, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	m = store_mount_find(s, t.layer);
	if (!m && all) {
		if (ret_still)
			*ret_still = 0;
		return 0;
	}
	if (!m)
		return fail_reason(err, IMBREX_EINVAL, IMBREX_REASON_LAYER_NOT_MOUNTED,
			"'%s' is not mounted", object);
	still = all ? 0 : m->count - 1;
	if (!still) {
		r = store_mount_check_here(s, m, err);
		if (r == 0)
			r = s->driver->ops->unmount(s->driver, t.layer, err);
		if (r < 0)
			return wrap(err, r, "unmount %s", object);
	}
	r = store_mount_set(s, t.layer, m->path, still, err);
	if (r == 0 && ret_still)
		*ret_still = still;
	return r;
}

PUBLIC int imbrex_unmount(struct imbrex_store *s, const char *object, bool all, int *ret_still,
	struct imbrex_error *err)
{
	return unmount(s, object, 0, /* exact= */ false, all, ret_still, err);
}

PUBLIC int imbrex_unmount_kind(struct imbrex_store *s, const char *object, unsigned int kinds,
	bool all, int *ret_still, struct imbrex_error *err)
{
	return unmount(s, object, kinds, /* exact= */ true, all, ret_still, err);
}

PUBLIC int imbrex_mounted(struct imbrex_store *s, const char *object, unsigned int kinds,
	int *ret_count, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_TARGET t = { 0 };
	const struct mount_record *m;
	int r;

	r = store_hold(s, HOLD_READ_ALL | HOLD_DAMAGED, &hold, err);
	if (r == 0)
		r = find_target(s, object, kinds, /* exact= */ kinds != 0, &t, err);
	if (r == 0)
		r = store_mounts_load(s, err);
	if (r < 0)
		return r;
	m = store_mount_find(s, t.layer);
	*ret_count = is_counted(s, m) ? m->count : 0;
	return 0;
}
