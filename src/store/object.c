/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of any kind: found, told as JSON, given directories; see the header. */
#include "store/object.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "store/container.h"

static const enum imbrex_kind containers_first[] = { IMBREX_KIND_CONTAINER, IMBREX_KIND_IMAGE,
	IMBREX_KIND_LAYER };
static const enum imbrex_kind layers_first[] = { IMBREX_KIND_LAYER, IMBREX_KIND_IMAGE,
	IMBREX_KIND_CONTAINER };

unsigned int object_hold_bits(unsigned int kinds, bool write)
{
	unsigned int bits = 0;

	if (kinds & IMBREX_KIND_LAYER)
		bits |= write ? HOLD_LAYERS_W : HOLD_LAYERS;
	if (kinds & IMBREX_KIND_IMAGE)
		bits |= write ? HOLD_IMAGES_W : HOLD_IMAGES;
	if (kinds & IMBREX_KIND_CONTAINER)
		bits |= write ? HOLD_CONTAINERS_W : HOLD_CONTAINERS;
	return bits;
}

const struct record_type *object_type(enum imbrex_kind kind)
{
	return kind == IMBREX_KIND_LAYER   ? &layer_records
	       : kind == IMBREX_KIND_IMAGE ? &image_records
					   : &container_records;
}

static int find_one(struct imbrex_store *s, const char *name, enum imbrex_kind kind,
	struct found *ret, struct imbrex_error *err)
{
	int r;

	r = store_find(s, object_type(kind), name, ret, err);
	if (r < 0 && kind == IMBREX_KIND_CONTAINER && container_by_layer(s, name, ret))
		return 0;
	return r;
}

int object_find(struct imbrex_store *s, const char *name, unsigned int kinds,
	enum object_order order, struct object *ret, struct imbrex_error *err)
{
	const enum imbrex_kind *tried =
		order == OBJECT_LAYERS_FIRST ? layers_first : containers_first;
	struct imbrex_error ambiguous = { 0 };
	struct imbrex_error first = { 0 };
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(layers_first); i++) {
		if (!(kinds & tried[i]))
			continue;
		ret->kind = tried[i];
		r = find_one(s, name, tried[i], &ret->at, &first);
		if (r == 0 || (r != IMBREX_ENOENT && r != IMBREX_EINVAL))
			break;
		if (r == IMBREX_EINVAL)
			ambiguous = first;
	}
	if (i < ARRAY_LEN(layers_first) && r == 0)
		return 0;
	if (ambiguous.status < 0)
		first = ambiguous;
	else if (kinds & (kinds - 1))
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_NOT_ANY,
			"'%s' is neither layer nor image nor container of the store", name);
	if (err)
		*err = first;
	return first.status;
}

int object_find_own(struct imbrex_store *s, const char *name, enum imbrex_kind kind,
	struct found *ret, struct imbrex_error *err)
{
	int r;

	r = find_one(s, name, kind, ret, err);
	return r < 0 ? r : store_check_own(ret, err);
}

/* ---- ids ------------------------------------------------------------------------------- */

bool object_id_is_safe(const char *id)
{
	/* Directories that stand beside those of objects. */
	static const char *const taken[] = { "l", "staging", "tempdirs", "tmp", "dir" };
	size_t i;

	if (id_is_valid(id))
		return true;
	for (i = 0; i < ARRAY_LEN(taken); i++) {
		if (str_eq(id, taken[i]))
			return false;
	}
	/* No dots: files of the store that are not named after an object all have one. */
	for (i = 0; id[i]; i++) {
		if (!((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'z') ||
			    (id[i] >= 'A' && id[i] <= 'Z') ||
			    (i && (id[i] == '-' || id[i] == '_'))))
			return false;
	}
	return i > 0 && i <= LIMIT_ID_BYTES;
}

int object_check_id(const struct record_type *type, const char *id, struct imbrex_error *err)
{
	if (object_id_is_safe(id))
		return 0;
	return fail(err, IMBREX_EINVAL,
		"'%s' cannot be the id of a %s: up to %d letters, digits, '-' and '_' can", id,
		type->noun, LIMIT_ID_BYTES);
}

int object_check_free(
	struct store_table *t, const char *id, const char *const *names, struct imbrex_error *err)
{
	AUTO_FREE char *holder = NULL;
	ptrdiff_t at;

	if (table_find_id(&t->t, id, strlen(id)) >= 0)
		return fail_reason(err, IMBREX_EEXIST, IMBREX_REASON_ID_IN_USE,
			"%s id '%s' is in use", t->t.type->noun, id);
	for (; names && *names; names++) {
		at = table_find_name(&t->t, *names);
		if (at < 0)
			continue;
		holder = record_text(table_at(&t->t, (size_t)at), RECORD_ID);
		return fail_reason(err, IMBREX_EEXIST, IMBREX_REASON_NAME_IN_USE,
			"%s name '%s' is taken by %s %s", t->t.type->noun, *names, t->t.type->noun,
			holder ? holder : "?");
	}
	return 0;
}

/* ---- public ---------------------------------------------------------------------------- */

PUBLIC int imbrex_object_find(struct imbrex_store *s, const char *name, unsigned int kinds,
	enum imbrex_kind *ret_kind, char **ret_id, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	char *id;
	int r;

	r = store_hold(s, object_hold_bits(kinds, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kinds, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r < 0)
		return r;
	id = record_text(found_record(&o.at), RECORD_ID);
	if (!id)
		return fail_nomem(err);
	*ret_id = id;
	if (ret_kind)
		*ret_kind = o.kind;
	return 0;
}

PUBLIC int imbrex_object_json(struct imbrex_store *s, const char *name, unsigned int kinds,
	char **ret_json, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct record *rec;
	struct object o;
	char *json;
	int r;

	r = store_hold(s, object_hold_bits(kinds, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kinds, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r < 0)
		return r;
	rec = found_record(&o.at);
	json = strndup(rec->text, rec->len);
	if (!json)
		return fail_nomem(err);
	*ret_json = json;
	return 0;
}

static int put_records(struct store_table *t, struct str *to)
{
	ptrdiff_t i;
	int r = 0;

	for (i = table_next(&t->t, -1); r == 0 && i >= 0; i = table_next(&t->t, i)) {
		const struct record *rec = table_at(&t->t, (size_t)i);

		if (to->len > 1)
			r = str_putc(to, ',');
		if (r == 0)
			r = str_append(to, rec->text, rec->len);
	}
	return r;
}

PUBLIC int imbrex_objects_json(
	struct imbrex_store *s, enum imbrex_kind kind, char **ret_json, struct imbrex_error *err)
{
	AUTO_STR json = STR_INIT(LIMIT_RECORDS_BYTES);
	AUTO_HOLD hold = HOLD_NONE;
	struct store_table *t;
	char *taken;
	size_t n;
	int r;

	r = store_hold(s, object_hold_bits(kind, false), &hold, err);
	if (r < 0)
		return r;
	r = str_putc(&json, '[');
	for (n = 0; r == 0 && (t = store_tables(s, object_type(kind), n)); n++)
		r = put_records(t, &json);
	if (r == 0)
		r = str_putc(&json, ']');
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT, "all %s records are more than %u bytes",
			object_type(kind)->noun, LIMIT_RECORDS_BYTES);
	taken = r == 0 ? str_take(&json) : NULL;
	if (!taken)
		return fail_nomem(err);
	*ret_json = taken;
	return 0;
}

PUBLIC int imbrex_object_is_read_only(
	struct imbrex_store *s, const char *name, unsigned int kinds, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	int r;

	r = store_hold(s, object_hold_bits(kinds, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kinds, OBJECT_CONTAINERS_FIRST, &o, err);
	return r < 0 ? r : o.at.read_only;
}

PUBLIC int imbrex_object_dir(struct imbrex_store *s, enum imbrex_kind kind, const char *name,
	bool run, char **ret_path, struct imbrex_error *err)
{
	const char *root = run ? s->config.runroot : s->config.graphroot;
	AUTO_FREE char *below = NULL;
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *id = NULL;
	struct object o;
	char *path;
	int r;

	if (kind != IMBREX_KIND_IMAGE && kind != IMBREX_KIND_CONTAINER)
		return fail(err, IMBREX_EINVAL, "only images and containers have directories");
	if (s->read_only)
		return store_fail_read_only(s, err);
	/* Shared: removal, which takes the directory away, is exclusive. */
	r = store_hold(s, object_hold_bits(kind, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kind, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r < 0)
		return r;
	id = record_text(found_record(&o.at), RECORD_ID);
	if (!id)
		return fail_nomem(err);
	r = object_check_id(object_type(kind), id, err);
	if (r < 0)
		return r;
	below = format_text(
		"%s-%ss/%s/userdata", s->driver->ops->name, object_type(kind)->noun, id);
	path = below ? format_text("%s/%s", root, below) : NULL;
	if (!path)
		return fail_nomem(err);
	r = mkdirs_beneath(run ? s->runfd : s->graphfd, below, 0700, NULL, err);
	if (r < 0) {
		free(path);
		return r;
	}
	*ret_path = path;
	return 0;
}
