/* SPDX-License-Identifier: Apache-2.0 */
/* Layers in the making that come alone; see the header. */
#include "store/newlayer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/write.h"
#include "os/fd.h"
#include "store/names.h"
#include "store/object.h"

void new_layer_done(struct new_layer *l)
{
	driver_stage_free(take_ptr(l->stage));
	free(take_ptr(l->id));
	free(take_ptr(l->parent));
	free(take_ptr(l->below));
	id_maps_copy_done(&l->below_maps);
	id_maps_copy_done(&l->maps);
	layer_facts_done(&l->facts);
	l->facts = (struct layer_facts){ 0 };
}

int new_layer_set_id(struct new_layer *l, const char *wanted, struct imbrex_error *err)
{
	char id[ID_HEX_LEN + 1];
	int r;

	if (wanted && *wanted) {
		r = object_check_id(&layer_records, wanted, err);
		if (r < 0)
			return r;
	} else if (random_id(id) < 0) {
		return fail(err, IMBREX_EFAIL, "no random numbers from the kernel");
	}
	free(l->id);
	l->id = strdup(wanted && *wanted ? wanted : id);
	return l->id ? 0 : fail_nomem(err);
}

static int set_below(
	struct new_layer *l, const struct found *below, char *parent, struct imbrex_error *err)
{
	free(l->parent);
	l->parent = parent;
	free(take_ptr(l->below));
	id_maps_copy_done(&l->below_maps);
	if (below && maps_of_layer(found_record(below), &l->below_maps) < 0)
		return fail_nomem(err);
	l->below = below ? record_text(found_record(below), LAYER_ID) : strdup("");
	return l->parent && l->below ? 0 : fail_nomem(err);
}

int new_layer_set_parent(struct new_layer *l, const struct found *parent, struct imbrex_error *err)
{
	l->from_template = false;
	return set_below(
		l, parent, parent ? record_text(found_record(parent), LAYER_ID) : strdup(""), err);
}

int new_layer_set_template(
	struct new_layer *l, const struct found *original, struct imbrex_error *err)
{
	l->from_template = true;
	return set_below(l, original, record_text(found_record(original), LAYER_PARENT), err);
}

bool store_shifts(struct imbrex_store *s, const struct id_maps *maps)
{
	return s->driver->ops->shifts && s->driver->ops->shifts(s->driver, maps);
}

int new_layer_set_maps(struct imbrex_store *s, struct new_layer *l,
	const struct imbrex_id_maps *asked, const struct id_maps *fallback,
	struct imbrex_error *err)
{
	struct id_maps maps = { 0 };
	int r;

	if (!*l->below)
		fallback = &s->config.remap.maps;
	if (!asked->host_uids) {
		maps.uids = asked->n_uids ? asked->uids : fallback->uids;
		maps.n_uids = asked->n_uids ? asked->n_uids : fallback->n_uids;
	}
	if (!asked->host_gids) {
		maps.gids = asked->n_gids ? asked->gids : fallback->gids;
		maps.n_gids = asked->n_gids ? asked->n_gids : fallback->n_gids;
	}
	r = maps_check(&maps, err);
	if (r < 0)
		return r;
	if (!id_maps_empty(&maps) && store_shifts(s, &maps))
		maps = (struct id_maps){ 0 };
	id_maps_copy_done(&l->maps);
	return id_maps_copy(&maps, &l->maps) < 0 ? fail_nomem(err) : 0;
}

/* ---- making ---------------------------------------------------------------------------- */

bool new_layer_changes_owners(const struct new_layer *l)
{
	return *l->below && !id_maps_equal(&l->below_maps.maps, &l->maps.maps);
}

bool new_layer_is_quick(const struct imbrex_store *s, const struct new_layer *l)
{
	return s->driver->ops->create && l->fd < 0 && !l->from_template &&
	       !new_layer_changes_owners(l);
}

static int driver_opts(const struct new_layer *l, struct strv *options,
	struct driver_layer_opts *ret, struct imbrex_error *err)
{
	if (names_collect(l->storage_opts, options) < 0)
		return fail_nomem(err);
	*ret = (struct driver_layer_opts){
		.image = l->image,
		.maps = id_maps_empty(&l->maps.maps) ? NULL : &l->maps.maps,
		.options = options->n ? options : NULL,
		.label = l->label,
	};
	return 0;
}

int new_layer_create(struct imbrex_store *s, const struct new_layer *l, struct imbrex_error *err)
{
	const struct driver_parent below = { .id = *l->below ? l->below : NULL };
	struct driver_layer_opts opts;
	AUTO_STRV options = { 0 };
	int r;

	r = driver_opts(l, &options, &opts, err);
	if (r == 0)
		r = s->driver->ops->create(s->driver, l->id, &below, &opts, !l->is_volatile, err);
	return r < 0 || l->is_volatile ? r : store_sync_layers(s, err);
}

/* The tar-split of a template is the copy's, too: the same names, sizes and bytes. */
static int copy_split(struct store_temps *temps, struct new_layer *l, struct imbrex_error *err)
{
	AUTO_FREE char *file = format_text("%s.tar-split.gz", l->below);
	AUTO_CLOSE int from = -EBADF;
	AUTO_CLOSE int to = -EBADF;
	struct stat st;
	int r;

	if (!file)
		return fail_nomem(err);
	from = openat(temps->s->layers.dirfd, file,
		O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (from < 0 && errno == ENOENT)
		return 0;
	if (from < 0 || fstat(from, &st) < 0)
		return fail_errno(err, "open '%s/%s'", temps->s->layers.dir, file);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'%s/%s' is no regular file", temps->s->layers.dir,
			file);
	tempdir_stage_addition(temps->layers, l->split);
	to = openat(tempdir_fd(temps->layers), l->split,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return fail_errno(err, "create tar-split file");
	r = copy_fd_range(from, to, (uint64_t)st.st_size);
	if (r == 0 && fdatasync(to) < 0)
		r = -errno;
	return r < 0 ? fail_code(err, r, "copy '%s/%s'", temps->s->layers.dir, file) : 0;
}

static int change_owners(struct store_temps *temps, struct new_layer *l, struct imbrex_error *err)
{
	const struct driver_ops *ops = temps->s->driver->ops;
	int r;

	if (!ops->stage_map)
		return fail(err, IMBREX_ENOTSUP, "the %s driver cannot change owners of a layer",
			ops->name);
	r = ops->stage_map(l->stage, &l->below_maps.maps, &l->maps.maps, err);
	return r == 0 && l->from_template ? copy_split(temps, l, err) : r;
}

int new_layer_stage(struct store_temps *temps, struct new_layer *l, const struct new_layer *on,
	struct imbrex_error *err)
{
	const struct driver_parent below = { .id = !on && *l->below ? l->below : NULL,
		.stage = on ? on->stage : NULL };
	struct driver *d = temps->s->driver;
	struct tempdir *temp = store_temps_driver(temps, l->image);
	bool change = new_layer_changes_owners(l);
	struct driver_layer_opts opts;
	AUTO_STRV options = { 0 };
	int r;

	r = driver_opts(l, &options, &opts, err);
	if (r == 0)
		r = d->ops->stage_new(d, temp, &below, &opts, &l->stage, err);
	if (r == 0 && l->fd >= 0)
		r = fill_from_fd(l->stage, temps->layers, l->fd, l->split, &l->facts, err);
	if (r == 0)
		r = d->ops->stage_seal(l->stage, &below,
			/* sync= */ !l->is_volatile && !change && l->fd < 0, err);
	if (r == 0 && change)
		r = change_owners(temps, l, err);
	/* Many inodes: one sync for all of them. */
	if (r == 0 && !l->is_volatile && (change || l->fd >= 0) && syncfs(tempdir_fd(temp)) < 0)
		r = fail_errno(err, "sync '%s'", temps->s->config.graphroot);
	return r;
}

int new_layer_publish(struct store_temps *temps, struct new_layer *l, struct imbrex_error *err)
{
	const struct driver_parent below = { .id = *l->below ? l->below : NULL };
	struct imbrex_store *s = temps->s;
	AUTO_FREE char *split = format_text("%s.tar-split.gz", l->id);
	int r;

	if (!split)
		return fail_nomem(err);
	r = l->stage->ops->stage_rebase(l->stage, &below, err);
	if (r == 0)
		r = l->stage->ops->stage_publish(l->stage, l->id, err);
	if (r < 0)
		return r;
	if (l->split[0] &&
		renameat(tempdir_fd(temps->layers), l->split, s->layers.dirfd, split) < 0)
		return fail_errno(err, "rename to '%s/%s'", s->layers.dir, split);
	return l->is_volatile ? 0 : store_sync_layers(s, err);
}

/* ---- record ---------------------------------------------------------------------------- */

/* What a copy has from its template. */
static const int template_fields[] = { LAYER_METADATA, LAYER_COMPRESSED_DIGEST,
	LAYER_COMPRESSED_SIZE, LAYER_DIFF_DIGEST, LAYER_TOC_DIGEST, LAYER_DIFF_SIZE,
	LAYER_COMPRESSION, LAYER_UIDSET, LAYER_GIDSET };

static int take_facts(struct imbrex_store *s, const struct new_layer *l, struct imbrex_error *err)
{
	size_t index = table_slots(&s->layers.t) - 1;
	struct found f;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(template_fields); i++) {
		AUTO_FREE char *value = NULL;
		struct json_span raw;

		if (!store_get(s, &layer_records, l->below, strlen(l->below), &f))
			return fail(
				err, IMBREX_EBUSY, "layer %s vanished from the store", l->below);
		raw = record_raw(found_record(&f), template_fields[i]);
		if (!raw.len)
			continue;
		value = strndup(raw.at, raw.len);
		if (!value)
			return fail_nomem(err);
		r = record_set(&s->layers.t, index, template_fields[i], value, err);
	}
	return r;
}

static int format_record(const struct new_layer *l, struct str *text)
{
	char now[STORE_TIME_MAX];
	AUTO_STRV names = { 0 };
	struct json_writer w;
	int r;

	store_now(now);
	if (names_collect(l->names, &names) < 0)
		return -ENOMEM;
	json_writer_init(&w, text);
	json_write_object_begin(&w);
	json_write_member_string(&w, "id", l->id);
	json_write_some_strings(&w, "names", &names);
	json_write_some_string(&w, "parent", l->parent);
	json_write_some_string(&w, "metadata", l->metadata);
	json_write_some_string(&w, "mountlabel", l->label);
	json_write_member_string(&w, "created", now);
	json_write_object_end(&w);
	if (json_writer_finish(&w, NULL) < 0)
		return -ENOMEM;
	/* Maps come last. */
	text->data[--text->len] = '\0';
	r = map_put(text, "uidmap", l->maps.maps.uids, l->maps.maps.n_uids);
	if (r == 0)
		r = map_put(text, "gidmap", l->maps.maps.gids, l->maps.maps.n_gids);
	return r < 0 ? r : str_putc(text, '}');
}

int new_layer_record(struct imbrex_store *s, const struct new_layer *l, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	int r;

	if (format_record(l, &text) < 0)
		return fail_nomem(err);
	r = table_append(&s->layers.t, text.data, text.len, l->place, err);
	if (r < 0)
		return r;
	s->layers.dirty[l->place] = true;
	if (l->from_template)
		return take_facts(s, l, err);
	return l->fd >= 0 ? layer_facts_record(
				    &s->layers.t, table_slots(&s->layers.t) - 1, &l->facts, err)
			  : 0;
}
