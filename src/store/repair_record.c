/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records from what lies on disk. What proves a layer's record: its id is the hash of its parent's
 * id and its DiffID, and the configuration of an image names all DiffIDs; else its own tar, put
 * together again, if every file in it has its recorded checksum. What proves an image's record: its
 * id is the digest of its configuration.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/write.h"
#include "oci/chain.h"
#include "oci/config.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "store/bigdata.h"
#include "store/container.h"
#include "store/content.h"
#include "store/layer.h"
#include "store/repair.h"
#include "store/reread.h"

/* What is known of a layer without a record. */
struct origin {
	char *parent;              /* owned; "" for the lowest; NULL: not known */
	struct hash_value diff_id; /* not set: not known, or a container's */
	int64_t tar_bytes;         /* -1: not known */
};
#define ORIGIN_INIT             \
	{                       \
		.tar_bytes = -1 \
	}

static void origin_done(struct origin *o)
{
	free(o->parent);
}
#define AUTO_ORIGIN __attribute__((cleanup(origin_done))) struct origin

static int refuse(struct imbrex_problem *p, struct imbrex_error *err, const char *why)
{
	return problem_set_action(p, err, "%s", why);
}

/* ---- configurations -------------------------------------------------------------------- */

static int read_config(struct imbrex_store *s, const struct found *f, struct oci_config *ret)
{
	AUTO_STR text = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_FREE char *id = record_text(found_record(f), IMAGE_ID);
	AUTO_FREE char *key = id ? format_text("sha256:%s", id) : NULL;
	int e;

	if (!key)
		return IMBREX_ENOMEM;
	e = bigdata_get(s, f->t, f->index, key, LIMIT_CONFIG_BYTES, &text, NULL);
	return e < 0 ? e : oci_config_parse(str_text(&text), text.len, ret, NULL);
}

/* Is the layer one of those that the configuration names? 1 yes. */
static int search_config(const struct oci_config *c, const char *id, struct origin *ret)
{
	char below[ID_HEX_LEN + 1] = "";
	char own[ID_HEX_LEN + 1];
	size_t i;

	for (i = 0; i < c->n_diff_ids; i++) {
		if (layer_id(i ? below : NULL, &c->diff_ids[i], own, NULL) < 0)
			return 0;
		if (str_eq(own, id)) {
			free(ret->parent);
			ret->parent = strdup(below);
			ret->diff_id = c->diff_ids[i];
			return ret->parent ? 1 : -ENOMEM;
		}
		memcpy(below, own, sizeof(below));
	}
	return 0;
}

static int search_configs(struct imbrex_store *s, const char *id, struct origin *ret)
{
	struct found f;
	bool more;
	int e = 0;

	for (more = store_first(s, &image_records, &f); e == 0 && more; more = store_next(s, &f)) {
		AUTO_OCI_CONFIG c = { .n_diff_ids = 0 };

		e = read_config(s, &f, &c);
		if (e == IMBREX_ENOMEM)
			return -ENOMEM;
		e = e < 0 ? 0 : search_config(&c, id, ret);
	}
	return e;
}

/* ---- what lies on disk ----------------------------------------------------------------- */

/* "…/<id>/diff:…": the first directory of another layer. */
static char *first_lower(const char *dirs, const char *id)
{
	const char *p = dirs;

	while ((p = strstr(p, "/diff"))) {
		const char *end = p;

		while (p > dirs && p[-1] != '/')
			p--;
		if ((size_t)(end - p) != strlen(id) || strncmp(p, id, strlen(id)) != 0)
			return strndup(p, (size_t)(end - p));
		p = end + 1;
	}
	return strdup("");
}

static int parent_on_disk(struct imbrex_store *s, const char *id, struct origin *ret)
{
	AUTO_STRV facts = { 0 };
	const char *dirs = NULL;
	size_t i;

	if (s->driver->ops->metadata(s->driver, id, &facts, NULL) < 0 || !facts.n)
		return 0;
	for (i = 0; i < facts.n && !dirs; i++)
		dirs = str_after(facts.items[i], "LowerDir=");
	ret->parent = first_lower(dirs ? dirs : "", id);
	return ret->parent ? 1 : -ENOMEM;
}

/* 1: the tar of the layer is whole, and this is its digest. */
static int digest_on_disk(
	struct imbrex_store *s, const char *id, struct hash_value *ret_digest, int64_t *ret_bytes)
{
	AUTO_CLOSE int split = layer_split_open(&s->layers, id, NULL);
	AUTO_REREAD read = { .tar_bytes = 0 };
	struct driver_tree tree;
	int e;

	if (split < 0 || s->driver->ops->tree_open(s->driver, id, &tree, NULL) < 0)
		return 0;
	e = reread_layer(split, tree.fd, HASH_SHA256, NULL, &read, NULL);
	s->driver->ops->tree_close(s->driver, &tree);
	if (e < 0)
		return e == IMBREX_ENOMEM ? -ENOMEM : 0;
	*ret_bytes = (int64_t)read.tar_bytes;
	*ret_digest = read.digest;
	return !read.damaged.n && !read.missing.n;
}

static bool fits(const char *id, const char *parent, const struct hash_value *diff_id)
{
	char own[ID_HEX_LEN + 1];

	return layer_id(*parent ? parent : NULL, diff_id, own, NULL) == 0 && str_eq(own, id);
}

/* ---- records of layers ----------------------------------------------------------------- */

/* Under a shared hold: what other records say. */
static int find_origin(struct repair *r, const struct imbrex_problem *p, const char *id,
	struct origin *ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f, image;
	int e;

	e = store_hold(r->s, HOLD_READ_ALL, &hold, err);
	if (e < 0)
		return e;
	e = search_configs(r->s, id, ret);
	if (e == 0)
		e = parent_on_disk(r->s, id, ret);
	if (e < 0)
		return fail_nomem(err);
	if (ret->parent || p->kind != IMBREX_PROBLEM_CONTAINER_LAYER_MISSING ||
		!repair_get(r, &container_records, p->id, &f))
		return 0;
	/* A container's layer stands on its image. */
	if (store_get(r->s, &image_records, record_plain(found_record(&f), CONTAINER_IMAGE).at,
		    record_plain(found_record(&f), CONTAINER_IMAGE).len, &image)) {
		ret->parent = record_text(found_record(&image), IMAGE_LAYER);
		return ret->parent ? 0 : fail_nomem(err);
	}
	return 0;
}

static int put_record(
	struct repair *r, const char *id, const struct origin *o, struct imbrex_error *err)
{
	bool image = hash_is_set(&o->diff_id);
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	char now[STORE_TIME_MAX];
	char digest[HASH_TEXT_MAX];
	int place = layer_place(r->s, image, false);
	int e;

	store_now(now);
	e = str_printf(&text, "{\"id\":\"%s\"", id);
	if (e == 0 && *o->parent)
		e = str_printf(&text, ",\"parent\":\"%s\"", o->parent);
	if (e == 0)
		e = str_printf(&text, ",\"created\":\"%s\"", now);
	if (e == 0 && image)
		e = str_printf(&text, ",\"compressed-diff-digest\":\"%s\",\"diff-digest\":\"%s\"",
			hash_format(&o->diff_id, digest), digest);
	if (e == 0 && image && o->tar_bytes > 0)
		e = str_printf(&text, ",\"diff-size\":%lld", (long long)o->tar_bytes);
	if (e < 0 || str_putc(&text, '}') < 0)
		return fail_nomem(err);
	e = table_append(&r->s->layers.t, text.data, text.len, (enum record_place)place, err);
	if (e < 0)
		return e;
	r->s->layers.dirty[place] = true;
	return store_save(r->s, &r->s->layers, err);
}

static bool source_has(struct repair *r, const struct hash_value *diff_id)
{
	const struct oci_descriptor *d;

	return r->source && hash_is_set(diff_id) &&
	       r->source->find_layer(r->source->ctx, diff_id, &d, NULL) == 0;
}

/* What the record will say, from outside every lock. 0: nothing can be said. */
static int plan_record(struct repair *r, struct imbrex_problem *p, const char *id, struct origin *o,
	struct imbrex_error *err)
{
	bool there = r->s->driver->ops->exists(r->s->driver, id);
	struct hash_value digest = { .algorithm = HASH_NONE };
	int e;

	e = find_origin(r, p, id, o, err);
	if (e < 0)
		return e;
	if (!there && !source_has(r, &o->diff_id))
		return refuse(p, err,
			r->opts->from
				? "its content is gone, too, and the source does not have it"
				: "its content is gone, too; --from SOURCE can bring it back");
	if (!o->parent)
		return refuse(p, err, "nothing says what it stands on");
	if (!there)
		return 1;
	e = digest_on_disk(r->s, id, &digest, &o->tar_bytes);
	if (e < 0)
		return fail_nomem(err);
	if (e > 0 && !hash_is_set(&o->diff_id))
		o->diff_id = digest;
	return 1;
}

int repair_adopt(
	struct repair *r, struct imbrex_problem *p, const char *id, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_ORIGIN o = ORIGIN_INIT;
	struct found f;
	int e;

	if (!check_id_is_usable(id))
		return refuse(p, err, "such an id can be no layer's");
	e = plan_record(r, p, id, &o, err);
	if (e <= 0)
		return e;
	e = problem_set_action(p, err, "make the record of layer %s again", id);
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (store_get(r->s, &layer_records, id, strlen(id), &f))
		return 1;
	if (strv_add(&r->touched, id) < 0)
		return fail_nomem(err);
	e = table_check_whole(&r->s->layers, err) < 0 ? 0 : put_record(r, id, &o, err);
	return e < 0 ? e : 1;
}

/* ---- values of records ----------------------------------------------------------------- */

/* No file is touched for a record whose id leads to none. */
static int drop_record(struct repair *r, struct imbrex_problem *p, const struct record_type *type,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int e;

	if (!r->opts->force)
		return refuse(p, err,
			"kept: nothing says what it should be; --force takes the record out");
	e = problem_set_action(p, err, "take the record out");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (!store_get(r->s, type, p->id, strlen(p->id), &f) || f.read_only)
		return 1;
	f.t->dirty[found_record(&f)->place] = true;
	table_remove(&f.t->t, f.index);
	e = store_save(r->s, f.t, err);
	return e < 0 ? e : 1;
}

static int set_image_digest(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	AUTO_HOLD hold = HOLD_NONE;
	char digest[HASH_TEXT_MAX] = "";
	struct hash_value value;
	struct found f;
	int e;

	e = problem_set_action(p, err, "compute it from the manifest");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(r, &image_records, p->id, &f))
		return 1;
	if (bigdata_get(r->s, f.t, f.index, "manifest", LIMIT_MANIFEST_BYTES, &text, NULL) == 0 &&
		hash_bytes(HASH_SHA256, str_text(&text), text.len, &value) == 0)
		(void)hash_format(&value, digest);
	e = record_set_text(&f.t->t, f.index, IMAGE_DIGEST, digest, err);
	if (e < 0)
		return e;
	f.t->dirty[found_record(&f)->place] = true;
	e = store_save(r->s, f.t, err);
	return e < 0 ? e : 1;
}

static int set_layer_digest(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	char digest[HASH_TEXT_MAX];
	struct hash_value value;
	int64_t bytes;
	struct found f;
	int e;

	e = digest_on_disk(r->s, p->id, &value, &bytes);
	if (e < 0)
		return fail_nomem(err);
	if (e == 0)
		return refuse(p, err, "its content is damaged, too: nothing proves a digest");
	e = problem_set_action(p, err, "compute it from the layer's bytes, which are whole");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(r, &layer_records, p->id, &f))
		return 1;
	e = record_set_text(&f.t->t, f.index, LAYER_DIFF_DIGEST, hash_format(&value, digest), err);
	if (e < 0)
		return e;
	if (strv_add(&r->touched, p->id) < 0)
		return fail_nomem(err);
	f.t->dirty[found_record(&f)->place] = true;
	e = store_save(r->s, f.t, err);
	return e < 0 ? e : 1;
}

int repair_record(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	bool usable = check_id_is_usable(p->id);

	if (usable && p->object_kind == IMBREX_KIND_IMAGE)
		return set_image_digest(r, p, err);
	if (usable && p->object_kind == IMBREX_KIND_LAYER)
		return set_layer_digest(r, p, err);
	return drop_record(r, p,
		p->object_kind == IMBREX_KIND_LAYER   ? &layer_records
		: p->object_kind == IMBREX_KIND_IMAGE ? &image_records
						      : &container_records,
		err);
}

/* The one layer, or none, that makes this id of this DiffID. NULL: nothing does. */
static char *prove_parent(struct repair *r, const struct found *f, const char *id)
{
	struct json_span digest = record_plain(found_record(f), LAYER_DIFF_DIGEST);
	struct hash_value diff_id;
	struct found other;
	bool more;

	if (digest_parse(digest.at, digest.len, &diff_id, NULL) < 0)
		return NULL;
	if (fits(id, "", &diff_id))
		return strdup("");
	for (more = store_first(r->s, &layer_records, &other); more;
		more = store_next(r->s, &other)) {
		char *parent = record_text(found_record(&other), LAYER_ID);

		if (parent && *parent && fits(id, parent, &diff_id))
			return parent;
		free(parent);
	}
	return NULL;
}

int repair_parent(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *parent = NULL;
	struct found f;
	int e;

	e = r->dry ? store_hold(r->s, HOLD_READ_ALL, &hold, err) : repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(r, &layer_records, p->id, &f))
		return 1;
	parent = prove_parent(r, &f, p->id);
	if (!parent)
		return refuse(p, err, "nothing says what it stands on");
	if (record_is(found_record(&f), LAYER_PARENT, parent))
		return refuse(p, err, "what is below it is to be repaired");
	e = problem_set_action(p, err, "record the parent that its id follows from: %s",
		*parent ? parent : "none");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = record_set_text(&f.t->t, f.index, LAYER_PARENT, parent, err);
	f.t->dirty[found_record(&f)->place] = true;
	if (e == 0)
		e = store_save(r->s, f.t, err);
	return e < 0 ? e : 1;
}

int repair_layer_data(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV keys = { 0 };
	struct found f;
	ptrdiff_t at;
	int e;

	e = problem_set_action(p, err, "forget it: a layer is whole without");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(r, &layer_records, p->id, &f))
		return 1;
	if (record_list(found_record(&f), LAYER_BIG_DATA_NAMES, &keys) < 0)
		return fail_nomem(err);
	at = strv_find(&keys, p->about);
	if (at < 0)
		return 1;
	strv_remove(&keys, (size_t)at);
	f.t->dirty[found_record(&f)->place] = true;
	e = record_set_list(&f.t->t, f.index, LAYER_BIG_DATA_NAMES, &keys, err);
	if (e == 0)
		e = store_save(r->s, f.t, err);
	return e < 0 ? e : 1;
}

/* ---- lost tables ----------------------------------------------------------------------- */

static int list_dir(int dirfd, const char *path, struct strv *ret)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int e = 0;

	if (!d) {
		(void)close_fd(fd);
		return 0;
	}
	while (e == 0 && (entry = readdir(d)))
		e = entry->d_name[0] == '.' ? 0 : strv_add(ret, entry->d_name);
	(void)closedir(d);
	return e;
}

/* The key that a file of documents has its name from; NULL on no memory, "" for none. */
static char *key_of_file(const char *file)
{
	size_t len = strlen(file);
	char *key;

	if (*file != '=')
		return strdup(file);
	key = calloc(1, len + 1);
	if (key && base64_decode(file + 1, len - 1, key, &len) < 0)
		*key = '\0';
	return key;
}

/* Name the documents of the image that lie there and that its record does not name. */
static int name_documents(
	struct repair *r, const struct found *f, const char *id, struct imbrex_error *err)
{
	AUTO_STRV files = { 0 };
	size_t i;
	int e = 0;

	if (list_dir(f->t->dirfd, id, &files) < 0)
		return fail_nomem(err);
	for (i = 0; e == 0 && i < files.n; i++) {
		AUTO_FREE char *path = format_text("%s/%s", id, files.items[i]);
		AUTO_FREE char *key = key_of_file(files.items[i]);
		AUTO_STR data = STR_INIT(LIMIT_DATA_ITEM_BYTES);
		struct hash_value digest;

		if (!path || !key)
			return fail_nomem(err);
		if (!*key || record_list_has(found_record(f), IMAGE_BIG_DATA_NAMES, key) ||
			!is_file_at(f->t->dirfd, path) ||
			read_file_at(f->t->dirfd, path, LIMIT_DATA_ITEM_BYTES, &data, NULL) < 0 ||
			hash_bytes(HASH_SHA256, str_text(&data), data.len, &digest) < 0)
			continue;
		e = bigdata_record(f, key, data.len, &digest, err);
	}
	return e;
}

/* What the configuration, which proves the id, says of the image. */
static int append_image(struct repair *r, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/", id);
	AUTO_FREE char *key = format_text("sha256:%s", id);
	AUTO_STR text = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_STR record = STR_INIT(LIMIT_MANIFEST_BYTES);
	AUTO_OCI_CONFIG c = { .n_diff_ids = 0 };
	AUTO_FREE char *file = NULL;
	AUTO_FREE char *where = NULL;
	char below[ID_HEX_LEN + 1] = "", own[ID_HEX_LEN + 1], hex[HASH_HEX_MAX];
	char now[STORE_TIME_MAX];
	struct hash_value digest;
	size_t i;
	int e;

	if (!path || !key || bigdata_file_name(key, &file, NULL) < 0)
		return path && key ? 0 : fail_nomem(err);
	where = format_text("%s%s", path, file);
	if (!where)
		return fail_nomem(err);
	if (read_file_at(r->s->images.dirfd, where, LIMIT_CONFIG_BYTES, &text, NULL) < 0 ||
		hash_bytes(HASH_SHA256, str_text(&text), text.len, &digest) < 0 ||
		!str_eq(hash_hex(&digest, hex), id) ||
		oci_config_parse(str_text(&text), text.len, &c, NULL) < 0)
		return 0;
	for (i = 0; i < c.n_diff_ids; i++) {
		e = layer_id(i ? below : NULL, &c.diff_ids[i], own, err);
		if (e < 0)
			return e;
		memcpy(below, own, sizeof(below));
	}
	store_now(now);
	e = str_printf(&record, "{\"id\":\"%s\"", id);
	if (e == 0 && *below)
		e = str_printf(&record, ",\"layer\":\"%s\"", below);
	if (e == 0)
		e = str_puts(&record, ",\"created\":");
	if (e == 0)
		e = json_write_text(&record, c.created && *c.created ? c.created : now);
	if (e < 0 || str_putc(&record, '}') < 0)
		return fail_nomem(err);
	e = table_append(&r->s->images.t, record.data, record.len, PLACE_STABLE, err);
	return e < 0 ? e : 1;
}

/* 1: the image has a record, and its documents are named. */
static int add_lost_image(struct repair *r, const char *id, struct imbrex_error *err)
{
	struct found f;
	int e;

	if (!repair_get(r, &image_records, id, &f)) {
		e = append_image(r, id, err);
		if (e <= 0 || !repair_get(r, &image_records, id, &f))
			return MIN(e, 0);
		r->s->images.dirty[PLACE_STABLE] = true;
	}
	e = name_documents(r, &f, id, err);
	return e < 0 ? e : 1;
}

int repair_lost_image(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	int e;

	if (!id_is_valid(p->about) || !is_dir_at(r->s->images.dirfd, p->about))
		return refuse(p, err,
			"it goes on working without; pull the image again, or remove it by force");
	e = problem_set_action(p, err, "make the image's record again from its documents");
	if (e < 0 || r->dry)
		return e < 0 ? e : 1;
	e = repair_hold(r, &hold, err);
	if (e == 0)
		e = add_lost_image(r, p->about, err);
	if (e <= 0)
		return e < 0 ? e
			     : refuse(p, err,
				       "its documents are damaged, too; it goes on working "
				       "without");
	e = table_check_whole(&r->s->images, NULL) < 0 ? 0 : store_save(r->s, &r->s->images, err);
	return e < 0 ? e : 1;
}

int repair_lost_images(struct repair *r, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	size_t i;
	int e = 0;

	if (list_dir(r->s->images.dirfd, ".", &names) < 0)
		return fail_nomem(err);
	for (i = 0; e >= 0 && i < names.n; i++) {
		if (id_is_valid(names.items[i]))
			e = add_lost_image(r, names.items[i], err);
	}
	return e < 0 ? e : 0;
}

/* A layer that nobody names and that holds no image's content was a container's. */
static bool is_orphan_of_container(struct repair *r, const struct record *rec, const char *id)
{
	struct found f;

	return !record_raw(rec, LAYER_DIFF_DIGEST).len && !layer_has_children(r->s, id) &&
	       !layer_image(r->s, id, NULL, false, NULL) &&
	       !layer_image(r->s, id, NULL, true, NULL) && !container_by_layer(r->s, id, &f) &&
	       r->s->driver->ops->exists(r->s->driver, id);
}

static int append_container(struct repair *r, const struct record *layer, const char *layer_id_,
	const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *parent = record_text(layer, LAYER_PARENT);
	AUTO_FREE char *created = record_text(layer, LAYER_CREATED);
	AUTO_FREE char *image = NULL;
	struct found f;
	AUTO_FREE char *text = NULL;

	if (!parent || !created)
		return fail_nomem(err);
	if (layer_image(r->s, parent, NULL, false, &f))
		image = record_text(found_record(&f), IMAGE_ID);
	text = format_text("{\"id\":\"%s\",\"names\":[\"rescued-%.12s\"],\"image\":\"%s\","
			   "\"layer\":\"%s\",\"created\":\"%.40s\",\"flags\":{\"MountLabel\":\"\","
			   "\"ProcessLabel\":\"\"}}",
		id, layer_id_, image ? image : "", layer_id_, created);
	if (!text)
		return fail_nomem(err);
	return table_append(&r->s->containers.t, text, strlen(text), PLACE_STABLE, err);
}

/* The one directory of a container without a record, if there is exactly one. */
static int lone_directory(struct repair *r, char ret[ID_HEX_LEN + 1])
{
	struct store_table *t = &r->s->containers;
	AUTO_STRV names = { 0 };
	size_t i, n = 0;

	if (list_dir(t->dirfd, ".", &names) < 0)
		return -ENOMEM;
	for (i = 0; i < names.n; i++) {
		if (!id_is_valid(names.items[i]) ||
			table_find_id(&t->t, names.items[i], ID_HEX_LEN) >= 0)
			continue;
		memcpy(ret, names.items[i], ID_HEX_LEN + 1);
		n++;
	}
	return n == 1;
}

int repair_lost_containers(struct repair *r, struct imbrex_error *err)
{
	struct table *t = &r->s->layers.t;
	char id[ID_HEX_LEN + 1];
	AUTO_STRV orphans = { 0 };
	ptrdiff_t i;
	size_t k;
	int e = 0;

	for (i = table_next(t, -1); i >= 0; i = table_next(t, i)) {
		AUTO_FREE char *layer = record_text(table_at(t, (size_t)i), LAYER_ID);

		if (!layer)
			return fail_nomem(err);
		if (is_orphan_of_container(r, table_at(t, (size_t)i), layer) &&
			strv_add(&orphans, layer) < 0)
			return fail_nomem(err);
	}
	for (k = 0; e >= 0 && k < orphans.n; k++) {
		const char *layer = orphans.items[k];

		e = orphans.n == 1 ? lone_directory(r, id) : 0;
		if (e < 0 || (e == 0 && random_id(id) < 0))
			return fail_nomem(err);
		i = table_find_id(t, layer, strlen(layer));
		e = append_container(r, table_at(t, (size_t)i), layer, id, err);
	}
	return e < 0 ? e : 0;
}
