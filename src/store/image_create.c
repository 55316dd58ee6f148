/* SPDX-License-Identifier: Apache-2.0 */
/* A record of an image on a layer that is there: what builders and the plumbing face make. */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/write.h"
#include "oci/digest.h"
#include "store/image.h"
#include "store/names.h"
#include "store/object.h"

struct new_image {
	char *id;    /* owned */
	char *layer; /* owned; full id, "" if none */
	struct strv names;
	const struct imbrex_image_opts *opts; /* borrowed */
};

static void new_image_done(struct new_image *i)
{
	free(i->id);
	free(i->layer);
	strv_done(&i->names);
}
#define AUTO_NEW_IMAGE __attribute__((cleanup(new_image_done))) struct new_image

/* Peers refuse a whole table that holds a digest or a time that is none. */
static int check_opts(const struct imbrex_image_opts *opts, struct imbrex_error *err)
{
	struct hash_value digest;
	struct timespec when;
	int r;

	if (opts->digest && *opts->digest) {
		r = digest_parse(opts->digest, strlen(opts->digest), &digest, err);
		if (r < 0)
			return r;
	}
	if (opts->created && *opts->created &&
		json_time_parse(opts->created, strlen(opts->created), &when) < 0)
		return fail(err, IMBREX_EINVAL, "'%s' is no time", opts->created);
	return 0;
}

static int format_image(const struct new_image *i, struct str *to)
{
	const struct imbrex_image_opts *opts = i->opts;
	char now[STORE_TIME_MAX];
	struct json_writer w;

	store_now(now);
	json_writer_init(&w, to);
	json_write_object_begin(&w);
	json_write_member_string(&w, "id", i->id);
	json_write_some_string(&w, "digest", opts->digest);
	json_write_some_strings(&w, "names", &i->names);
	json_write_some_string(&w, "layer", i->layer);
	json_write_some_string(&w, "metadata", opts->metadata);
	json_write_member_string(
		&w, "created", opts->created && *opts->created ? opts->created : now);
	json_write_object_end(&w);
	return json_writer_finish(&w, NULL);
}

/*
 * An image of an additional store may be made anew in ours: it keeps its documents and what it
 * says, but for what is given, and its names come along, taken from whoever has them.
 */
static int adopt(struct imbrex_store *s, const struct new_image *i, struct found *f,
	struct imbrex_error *err)
{
	const struct imbrex_image_opts *opts = i->opts;
	AUTO_STRV names = { 0 };
	struct table *t;
	int r;

	if (record_list(found_record(f), IMAGE_NAMES, &names) < 0 ||
		names_collect((const char *const *)i->names.items, &names) < 0)
		return fail_nomem(err);
	r = image_adopt(s, f, err);
	t = &s->images.t;
	if (r == 0)
		r = record_set_text(t, f->index, IMAGE_LAYER, i->layer, err);
	if (r == 0 && opts->digest && *opts->digest)
		r = record_set_text(t, f->index, IMAGE_DIGEST, opts->digest, err);
	if (r == 0 && opts->metadata && *opts->metadata)
		r = record_set_text(t, f->index, IMAGE_METADATA, opts->metadata, err);
	if (r == 0 && opts->created && *opts->created)
		r = record_set_text(t, f->index, IMAGE_CREATED, opts->created, err);
	return r < 0 ? r : names_change(f, IMBREX_NAMES_SET, (const char *const *)names.items, err);
}

static int find_layer(
	struct imbrex_store *s, const char *layer, struct new_image *i, struct imbrex_error *err)
{
	struct found f;
	int r;

	if (!layer || !*layer) {
		i->layer = strdup("");
		return i->layer ? 0 : fail_nomem(err);
	}
	r = store_find(s, &layer_records, layer, &f, err);
	if (r < 0)
		return r;
	i->layer = record_text(found_record(&f), LAYER_ID);
	return i->layer ? 0 : fail_nomem(err);
}

static int append(struct imbrex_store *s, const struct new_image *i, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);

	if (format_image(i, &text) < 0)
		return fail_nomem(err);
	s->images.dirty[PLACE_STABLE] = true;
	return table_append(&s->images.t, text.data, text.len, PLACE_STABLE, err);
}

static int create(
	struct imbrex_store *s, const char *layer, struct new_image *i, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS | HOLD_IMAGES_W, &hold, err);
	if (r == 0)
		r = find_layer(s, layer, i, err);
	if (r < 0)
		return r;
	if (store_get(s, &image_records, i->id, strlen(i->id), &f) && f.read_only) {
		r = adopt(s, i, &f, err);
	} else {
		r = object_check_free(&s->images, i->id, (const char *const *)i->names.items, err);
		if (r == 0)
			r = append(s, i, err);
	}
	return r < 0 ? r : store_save(s, &s->images, err);
}

PUBLIC int imbrex_image_create(struct imbrex_store *s, const char *layer,
	const struct imbrex_image_opts *opts, char **ret_id, struct imbrex_error *err)
{
	static const struct imbrex_image_opts none = { 0 };
	AUTO_NEW_IMAGE i = { .opts = opts ? opts : &none };
	char id[ID_HEX_LEN + 1];
	int r;

	if (s->read_only)
		return store_fail_read_only(s, err);
	r = check_opts(i.opts, err);
	if (r < 0)
		return r;
	if (i.opts->id && *i.opts->id) {
		r = object_check_id(&image_records, i.opts->id, err);
		if (r < 0)
			return r;
	} else if (random_id(id) < 0) {
		return fail(err, IMBREX_EFAIL, "no random numbers from the kernel");
	}
	i.id = strdup(i.opts->id && *i.opts->id ? i.opts->id : id);
	if (!i.id || names_collect(i.opts->names, &i.names) < 0)
		return fail_nomem(err);
	r = create(s, layer, &i, err);
	if (r < 0)
		return r;
	*ret_id = take_ptr(i.id);
	return 0;
}
