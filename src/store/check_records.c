/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables as files, records against each other, documents against records, the book of mounts
 * against what is mounted. The caller holds all tables; nothing large is read.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "oci/digest.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/mountfd.h"
#include "store/bigdata.h"
#include "store/check.h"
#include "store/garbage.h"
#include "store/layer.h"

/* Of an element that is shown to people. */
#define SHOWN_BYTES 60

/* ---- tables ---------------------------------------------------------------------------- */

char *table_file(const struct store_table *t, int place)
{
	return format_text("file %s/%s", t->dir, t->places[place].file);
}

static int check_aside(struct check *c, const struct store_table *t, int place, bool read_only,
	struct imbrex_error *err)
{
	AUTO_FREE char *file = table_file(t, place);
	const struct strv *aside = &t->t.aside[place];
	size_t i;
	int r = 0;

	if (!file)
		return fail_nomem(err);
	for (i = 0; r == 0 && i < aside->n; i++)
		r = findings_add(&c->found,
			&(struct finding){ .kind = IMBREX_PROBLEM_RECORD_UNREADABLE,
				.object = file,
				.read_only = read_only },
			err, "'%.*s' is no record", SHOWN_BYTES, aside->items[i]);
	return r;
}

static int check_file(struct check *c, const struct store_table *t, int place, bool read_only,
	struct imbrex_error *err)
{
	const struct table_damage *damage = &t->damage[place];
	AUTO_FREE char *file = table_file(t, place);
	const struct finding what = {
		.kind = IMBREX_PROBLEM_TABLE_UNREADABLE, .object = file, .read_only = read_only
	};

	if (!file)
		return fail_nomem(err);
	if (table_is_emptied(t, place))
		return findings_add(&c->found, &what, err,
			"the file is empty, as after a power cut: its records are lost");
	if (!damage->why)
		return 0;
	if (damage->n_partial)
		return findings_add(&c->found, &what, err,
			"%s; %zu records can be read, %zu of them in part", damage->why,
			damage->n_records, damage->n_partial);
	return findings_add(&c->found, &what, err, "%s; %zu records can be read", damage->why,
		damage->n_records);
}

/* Two records of one id: whatever removes the first takes the content from the second. */
static int check_ids(
	struct check *c, struct store_table *t, bool read_only, struct imbrex_error *err)
{
	ptrdiff_t i;
	int r = 0;

	for (i = table_next(&t->t, -1); r == 0 && i >= 0; i = table_next(&t->t, i)) {
		AUTO_FREE char *id = record_text(table_at(&t->t, (size_t)i), RECORD_ID);

		if (!id)
			return fail_nomem(err);
		if (*id && table_find_id(&t->t, id, strlen(id)) != i)
			r = findings_add(&c->found,
				&(struct finding){ .kind = IMBREX_PROBLEM_RECORD_TWICE,
					.type = t->t.type,
					.id = id,
					.read_only = read_only },
				err, "is recorded twice");
	}
	return r;
}

static int check_names_of(struct check *c, struct store_table *t, size_t number, struct map *seen,
	bool read_only, struct imbrex_error *err)
{
	AUTO_FREE char *id = record_text(table_at(&t->t, number), RECORD_ID);
	AUTO_STRV names = { 0 };
	void *other;
	size_t i;
	int r = 0;

	if (!id || record_list(table_at(&t->t, number), RECORD_NAMES, &names) < 0)
		return fail_nomem(err);
	for (i = 0; r == 0 && i < names.n; i++) {
		const char *name = names.items[i];

		if (!map_get(seen, name, strlen(name), &other)) {
			if (map_add(seen, name, strlen(name), (void *)(uintptr_t)(number + 1)) < 0)
				r = fail_nomem(err);
		} else if ((size_t)(uintptr_t)other != number + 1) {
			r = findings_add(&c->found,
				&(struct finding){ .kind = IMBREX_PROBLEM_RECORD_TWICE,
					.type = t->t.type,
					.id = id,
					.about = name,
					.read_only = read_only },
				err, "its name '%.*s' is that of another %s, too", 200, name,
				t->t.type->noun);
		}
	}
	return r;
}

static int check_names(
	struct check *c, struct store_table *t, bool read_only, struct imbrex_error *err)
{
	AUTO_MAP *seen = map_new();
	ptrdiff_t i;
	int r = 0;

	if (!seen)
		return fail_nomem(err);
	for (i = table_next(&t->t, -1); r == 0 && i >= 0; i = table_next(&t->t, i))
		r = check_names_of(c, t, (size_t)i, seen, read_only, err);
	return r;
}

static int check_odd(
	struct check *c, const struct store_table *t, bool read_only, struct imbrex_error *err)
{
	AUTO_FREE char *file = table_file(t, PLACE_STABLE);
	size_t i;
	int r = 0;

	if (!file)
		return fail_nomem(err);
	for (i = 0; r == 0 && i < t->t.odd.n; i++)
		r = findings_add(&c->found,
			&(struct finding){ .kind = IMBREX_PROBLEM_RECORD_TWICE,
				.object = file,
				.read_only = read_only },
			err, "%s", t->t.odd.items[i]);
	return r;
}

static int check_tables(struct check *c, const struct record_type *type, struct imbrex_error *err)
{
	struct store_table *t;
	size_t n;
	int place;
	int r = 0;

	for (n = 0; r == 0 && (t = store_tables(c->s, type, n)); n++) {
		for (place = 0; r == 0 && place < N_PLACES; place++) {
			r = check_file(c, t, place, n > 0, err);
			if (r == 0)
				r = check_aside(c, t, place, n > 0, err);
		}
		if (r == 0)
			r = check_odd(c, t, n > 0, err);
		if (r == 0)
			r = check_ids(c, t, n > 0, err);
		if (r == 0)
			r = check_names(c, t, n > 0, err);
	}
	return r;
}

/* ---- documents ------------------------------------------------------------------------- */

/* The digest that a document must have, if anything says so. Manifests go by the digest in their
 * key: what records say of them, others computed in other ways. */
static bool known_digest(const struct found *f, const char *key, struct hash_value *ret)
{
	bool image = f->t->t.type == &image_records;
	const char *text = image ? str_after(key, "manifest-") : NULL;
	struct json_span raw;

	if (image && !text && str_after(key, "sha256:"))
		text = key;
	if (text)
		return digest_parse(text, strlen(text), ret, NULL) == 0;
	if (str_after(key, "manifest"))
		return false;
	raw = record_member(
		found_record(f), image ? IMAGE_BIG_DATA_DIGESTS : CONTAINER_BIG_DATA_DIGESTS, key);
	return raw.len > 2 && digest_parse(raw.at + 1, raw.len - 2, ret, NULL) == 0;
}

static int plan_document(struct check *c, const struct found *f, const char *id, const char *key,
	struct imbrex_error *err)
{
	struct pending_document *documents, *d;
	struct hash_value digest;

	if (c->opts->quick || !known_digest(f, key, &digest))
		return 0;
	documents = reallocarray(c->documents, c->n_documents + 1, sizeof(*documents));
	if (!documents)
		return fail_nomem(err);
	c->documents = documents;
	d = &documents[c->n_documents];
	*d = (struct pending_document){ .t = f->t,
		.id = strdup(id),
		.key = strdup(key),
		.digest = digest,
		.read_only = f->read_only };
	c->n_documents++;
	return d->id && d->key ? 0 : fail_nomem(err);
}

static int64_t recorded_size(const struct found *f, const char *key)
{
	bool image = f->t->t.type == &image_records;
	struct json_span raw = record_member(
		found_record(f), image ? IMAGE_BIG_DATA_SIZES : CONTAINER_BIG_DATA_SIZES, key);
	struct json_scan scan;
	int64_t size;

	if (!raw.len)
		return -1;
	json_scan_init(&scan, raw.at, raw.len);
	return json_scan_int64(&scan, &size, NULL) < 0 ? -1 : size;
}

static int check_document(struct check *c, const struct found *f, const char *id, const char *key,
	struct imbrex_error *err)
{
	bool image = f->t->t.type == &image_records;
	struct finding what = { .kind = image ? IMBREX_PROBLEM_IMAGE_DATA_MISSING
					      : IMBREX_PROBLEM_CONTAINER_DATA_MISSING,
		.type = f->t->t.type,
		.id = id,
		.about = key,
		.read_only = f->read_only };
	int64_t size = recorded_size(f, key);
	AUTO_FREE char *file = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;

	if (bigdata_file_name(key, &file, NULL) < 0)
		return findings_add(
			&c->found, &what, err, "document '%.200s' has no file name", key);
	path = format_text("%s/%s", id, file);
	if (!path)
		return fail_nomem(err);
	/* Its directory is no link to another, either. */
	fd = open_beneath(f->t->dirfd, path, O_PATH | O_NOFOLLOW, 0, BENEATH_NO_SYMLINKS);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return findings_add(&c->found, &what, err, "document '%s' is missing", key);
	what.kind = image ? IMBREX_PROBLEM_IMAGE_DATA_SIZE : IMBREX_PROBLEM_CONTAINER_DATA_SIZE;
	if (size >= 0 && st.st_size != size)
		return findings_add(&c->found, &what, err, "document '%s' has %lld bytes, not %lld",
			key, (long long)st.st_size, (long long)size);
	return plan_document(c, f, id, key, err);
}

int check_documents_of(
	struct check *c, const struct found *f, const char *id, struct imbrex_error *err)
{
	bool image = f->t->t.type == &image_records;
	AUTO_STRV keys = { 0 };
	size_t i;
	int r = 0;

	if (record_list(found_record(f), image ? IMAGE_BIG_DATA_NAMES : CONTAINER_BIG_DATA_NAMES,
		    &keys) < 0)
		return fail_nomem(err);
	for (i = 0; r == 0 && i < keys.n; i++)
		r = check_document(c, f, id, keys.items[i], err);
	return r;
}

/* ---- images ---------------------------------------------------------------------------- */

/* Every layer of a chain; one that is missing ends it. */
static int check_layers_of(struct check *c, const struct found *f, const char *id, const char *top,
	struct imbrex_error *err)
{
	const struct finding what = { .kind = IMBREX_PROBLEM_IMAGE_LAYER_MISSING,
		.type = &image_records,
		.id = id,
		.read_only = f->read_only };
	AUTO_FREE char *missing = NULL;
	struct finding named = what;
	struct layer_walk w;
	struct found last = { 0 };

	layer_walk(c->s, (struct json_span){ .at = top, .len = strlen(top) }, &w);
	for (; w.more; layer_walk_next(c->s, &w))
		last = w.at;
	if (w.endless)
		return 0; /* the layer's own problem */
	missing = last.t ? record_text(found_record(&last), LAYER_PARENT) : strdup(top);
	if (!missing)
		return fail_nomem(err);
	if (!*missing)
		return 0;
	named.about = missing;
	return findings_add(&c->found, &named, err, "its layer %s is missing", missing);
}

/* One digest that is none makes programs built on containers/storage refuse every image. */
static int check_digests(
	struct check *c, const struct found *f, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *digest = record_text(found_record(f), IMAGE_DIGEST);
	const struct finding what = { .kind = IMBREX_PROBLEM_RECORD_UNREADABLE,
		.type = &image_records,
		.id = id,
		.read_only = f->read_only };
	struct hash_value value;

	if (!digest)
		return fail_nomem(err);
	if (!*digest || digest_parse(digest, strlen(digest), &value, NULL) == 0)
		return 0;
	return findings_add(&c->found, &what, err, "digest '%.200s' is no digest", digest);
}

static int check_image(struct check *c, const struct found *f, struct imbrex_error *err)
{
	const struct record *rec = found_record(f);
	AUTO_FREE char *id = record_text(rec, IMAGE_ID);
	AUTO_FREE char *top = record_text(rec, IMAGE_LAYER);
	AUTO_STRV tops = { 0 };
	size_t i;
	int r;

	if (!id || !top || record_list(rec, IMAGE_MAPPED_LAYERS, &tops) < 0)
		return fail_nomem(err);
	if (!check_id_is_usable(id))
		return findings_add(&c->found,
			&(struct finding){ .kind = IMBREX_PROBLEM_RECORD_UNREADABLE,
				.type = &image_records,
				.id = id,
				.read_only = f->read_only },
			err, "the id cannot be an image's");
	r = check_digests(c, f, id, err);
	if (r == 0 && *top)
		r = check_layers_of(c, f, id, top, err);
	for (i = 0; r == 0 && i < tops.n; i++)
		r = check_layers_of(c, f, id, tops.items[i], err);
	return r < 0 ? r : check_documents_of(c, f, id, err);
}

/* ---- containers ------------------------------------------------------------------------ */

static int check_container(struct check *c, const struct found *f, struct imbrex_error *err)
{
	const struct record *rec = found_record(f);
	AUTO_FREE char *id = record_text(rec, CONTAINER_ID);
	AUTO_FREE char *image = record_text(rec, CONTAINER_IMAGE);
	AUTO_FREE char *layer = record_text(rec, CONTAINER_LAYER);
	struct finding what = {
		.kind = IMBREX_PROBLEM_RECORD_UNREADABLE, .type = &container_records, .id = id
	};
	struct found other;
	int r = 0;

	if (!id || !image || !layer)
		return fail_nomem(err);
	if (!check_id_is_usable(id))
		return findings_add(&c->found, &what, err, "the id cannot be a container's");
	if (*layer && !store_get(c->s, &layer_records, layer, strlen(layer), &other)) {
		what.kind = IMBREX_PROBLEM_CONTAINER_LAYER_MISSING;
		what.about = layer;
		r = findings_add(&c->found, &what, err, "its layer %s is missing", layer);
	}
	if (r == 0 && *image && !store_get(c->s, &image_records, image, strlen(image), &other)) {
		what.kind = IMBREX_PROBLEM_CONTAINER_IMAGE_MISSING;
		what.about = image;
		r = findings_add(&c->found, &what, err, "its image %s is missing", image);
	}
	return r < 0 ? r : check_documents_of(c, f, id, err);
}

/* ---- mounts and directories ------------------------------------------------------------ */

/* A user's mounts may be in a namespace that we do not see. A driver without mounts has paths. */
static int check_mounts(struct check *c, struct imbrex_error *err)
{
	AUTO_FREE char *file = format_text("file %s/mountpoints.json", c->s->run_layers_dir);
	struct finding what = { .kind = IMBREX_PROBLEM_MOUNTS, .object = file };
	struct imbrex_error why = { 0 };
	size_t i;
	int r;

	if (!file)
		return fail_nomem(err);
	r = store_mounts_load(c->s, &why);
	if (r < 0)
		return findings_add(&c->found, &what, err, "%s", why.message);
	for (i = 0; r == 0 && i < c->s->n_mounts; i++) {
		const struct mount_record *m = &c->s->mounts[i];
		struct found f;
		bool known = store_get(c->s, &layer_records, m->id, strlen(m->id), &f);

		if (known && (c->s->rootless || store_mount_is_real(c->s, m)))
			continue;
		what.type = known ? &layer_records : NULL;
		what.id = m->id;
		what.about = m->path;
		r = findings_add(&c->found, &what, err,
			known ? "is counted as mounted at '%.*s', where nothing is mounted"
			      : "counts a mount at '%.*s' of a layer that is not there",
			200, m->path);
	}
	return r;
}

static int check_directory(
	struct check *c, int dirfd, const char *name, const char *shown, struct imbrex_error *err)
{
	AUTO_FREE char *object = format_text("directory %s", shown);
	struct stat st;

	if (!object)
		return fail_nomem(err);
	if (dirfd < 0 || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISDIR(st.st_mode) || !(st.st_mode & 0022))
		return 0;
	return findings_add(&c->found,
		&(struct finding){ .kind = IMBREX_PROBLEM_DIRECTORY,
			.object = object,
			.about = str_eq(name, ".") ? "." : shown },
		err, "can be changed by others: mode %04o", st.st_mode & 07777);
}

static int check_directories(struct check *c, struct imbrex_error *err)
{
	struct imbrex_store *s = c->s;
	const char *const names[] = { s->driver->ops->name, s->layers.dir, s->images.dir,
		s->containers.dir };
	size_t i;
	int r;

	r = check_directory(c, s->graphfd, ".", s->config.graphroot, err);
	for (i = 0; r == 0 && i < ARRAY_LEN(names); i++)
		r = check_directory(c, s->graphfd, names[i], names[i], err);
	return r;
}

/* ---- all of it ------------------------------------------------------------------------- */

static int check_each(struct check *c, const struct record_type *type,
	int (*one)(struct check *c, const struct found *f, struct imbrex_error *err),
	struct imbrex_error *err)
{
	struct found f;
	bool more;
	int r = 0;

	for (more = store_first(c->s, type, &f); r == 0 && more; more = store_next(c->s, &f)) {
		if (!store_is_shadowed(c->s, &f))
			r = one(c, &f, err);
	}
	return r;
}

int check_records(struct check *c, struct imbrex_error *err)
{
	int r;

	r = check_directories(c, err);
	if (r == 0)
		r = check_tables(c, &layer_records, err);
	if (r == 0)
		r = check_tables(c, &image_records, err);
	if (r == 0)
		r = check_tables(c, &container_records, err);
	if (r == 0)
		r = check_each(c, &layer_records, check_layer, err);
	if (r == 0)
		r = check_each(c, &image_records, check_image, err);
	if (r == 0)
		r = check_each(c, &container_records, check_container, err);
	return r < 0 ? r : check_mounts(c, err);
}
