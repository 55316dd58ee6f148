/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a person types, or a record says, to a record: ids, names, unique beginnings, names
 * completed; in our own tables first, then in those of the additional stores in their order.
 *
 * An image that lies in an additional store and in ours is ours: its record was copied when its
 * names were changed, so the names of the older one no longer count.
 */
#include <string.h>

#include "base/str.h"
#include "oci/reference.h"
#include "store/store.h"

struct store_table *store_tables(struct imbrex_store *s, const struct record_type *type, size_t n)
{
	struct additional_store *other;

	if (n == 0)
		return type == &layer_records   ? &s->layers
		       : type == &image_records ? &s->images
						: &s->containers;
	if (type == &container_records || n > s->n_additional)
		return NULL;
	other = &s->additional[n - 1];
	return type == &layer_records ? &other->layers : &other->images;
}

/* Sets *ret if `index` is a record. */
static bool found_in(struct store_table *t, ptrdiff_t index, size_t n, struct found *ret)
{
	if (index < 0)
		return false;
	*ret = (struct found){ .t = t, .index = (size_t)index, .store = n, .read_only = n > 0 };
	return true;
}

bool store_first(struct imbrex_store *s, const struct record_type *type, struct found *ret)
{
	struct store_table *t;
	size_t n;

	for (n = 0; (t = store_tables(s, type, n)); n++) {
		if (found_in(t, table_next(&t->t, -1), n, ret))
			return true;
	}
	return false;
}

bool store_next(struct imbrex_store *s, struct found *f)
{
	struct store_table *t = f->t;
	ptrdiff_t index = (ptrdiff_t)f->index;
	size_t n = f->store;

	for (; t; t = store_tables(s, f->t->t.type, ++n), index = -1) {
		if (found_in(t, table_next(&t->t, index), n, f))
			return true;
	}
	return false;
}

size_t store_count(struct imbrex_store *s, const struct record_type *type)
{
	struct store_table *t;
	size_t sum = 0;
	size_t n;

	for (n = 0; (t = store_tables(s, type, n)); n++)
		sum += table_count(&t->t);
	return sum;
}

bool store_get(struct imbrex_store *s, const struct record_type *type, const char *id, size_t len,
	struct found *ret)
{
	struct store_table *t;
	size_t n;

	for (n = 0; len && (t = store_tables(s, type, n)); n++) {
		if (found_in(t, table_find_id(&t->t, id, len), n, ret))
			return true;
	}
	return false;
}

bool store_is_shadowed(struct imbrex_store *s, const struct found *f)
{
	struct json_span id;
	size_t n;

	if (!f->store)
		return false;
	id = record_plain(found_record(f), RECORD_ID);
	for (n = 0; n < f->store; n++) {
		struct store_table *t = store_tables(s, f->t->t.type, n);

		if (table_find_id(&t->t, id.at, id.len) >= 0)
			return true;
	}
	return false;
}

static bool get_named(
	struct imbrex_store *s, const struct record_type *type, const char *name, struct found *ret)
{
	struct store_table *t;
	struct found f;
	size_t n;

	for (n = 0; (t = store_tables(s, type, n)); n++) {
		if (found_in(t, table_find_name(&t->t, name), n, &f) && !store_is_shadowed(s, &f)) {
			*ret = f;
			return true;
		}
	}
	return false;
}

static int unknown_reason(const struct record_type *type)
{
	return type == &layer_records   ? IMBREX_REASON_LAYER_UNKNOWN
	       : type == &image_records ? IMBREX_REASON_IMAGE_UNKNOWN
					: IMBREX_REASON_CONTAINER_UNKNOWN;
}

static int find_beginning(struct imbrex_store *s, const struct record_type *type, const char *name,
	struct found *ret, struct imbrex_error *err)
{
	struct store_table *t;
	size_t n;

	for (n = 0; !strchr(name, ' ') && (t = store_tables(s, type, n)); n++) {
		ptrdiff_t i = table_find_prefix(&t->t, name);

		if (i == -2)
			return fail_reason(err, IMBREX_EINVAL, unknown_reason(type),
				"%s id '%s' is the beginning of several ids", type->noun, name);
		if (found_in(t, i, n, ret))
			return 0;
	}
	return fail_reason(err, IMBREX_ENOENT, unknown_reason(type), "%s '%s' is not in the store",
		type->noun, name);
}

int store_find(struct imbrex_store *s, const struct record_type *type, const char *name,
	struct found *ret, struct imbrex_error *err)
{
	if (store_get(s, type, name, strlen(name), ret) || get_named(s, type, name, ret))
		return 0;
	return find_beginning(s, type, name, ret, err);
}

/* ---- images ------------------------------------------------------------------------------ */

/* The ways a person may have shortened a name, most literal first. */
static int completed_names(const char *name, struct strv *ret)
{
	AUTO_REFERENCE local = { 0 };
	AUTO_REFERENCE hub = { 0 };
	int r;

	r = strv_add(ret, name);
	if (r == 0 && reference_parse_local(name, &local, NULL) == 0 &&
		reference_default_tag(&local, NULL) == 0)
		r = strv_take(ret, reference_text(&local));
	if (r == 0 && reference_parse(name, &hub, NULL) == 0 &&
		reference_default_tag(&hub, NULL) == 0)
		r = strv_take(ret, reference_text(&hub));
	return r;
}

static int has_suffix(const struct record *rec, const char *suffix)
{
	AUTO_STRV names = { 0 };
	size_t i;

	if (record_list(rec, IMAGE_NAMES, &names) < 0)
		return -ENOMEM;
	for (i = 0; i < names.n; i++) {
		if (str_ends(names.items[i], suffix))
			return 1;
	}
	return 0;
}

/* "x" also means any registry's ".../x:latest", if there is one image of that name. 1, 0 or a
 * status. */
static int find_suffix(
	struct imbrex_store *s, const char *name, struct found *ret, struct imbrex_error *err)
{
	bool whole = strchr(name, ':') || strchr(name, '@');
	AUTO_FREE char *suffix = format_text("/%s%s", name, whole ? "" : ":latest");
	bool seen = false;
	struct found f;
	bool more;
	int r;

	if (!suffix)
		return fail_nomem(err);
	for (more = store_first(s, &image_records, &f); more; more = store_next(s, &f)) {
		r = has_suffix(found_record(&f), suffix);
		if (r < 0)
			return fail_nomem(err);
		if (!r || store_is_shadowed(s, &f))
			continue;
		if (seen)
			return fail_reason(err, IMBREX_EINVAL, IMBREX_REASON_IMAGE_UNKNOWN,
				"image name '%s' fits several images", name);
		*ret = f;
		seen = true;
	}
	return seen;
}

int store_find_image(
	struct imbrex_store *s, const char *name, struct found *ret, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	size_t i;
	int r;

	if (store_get(s, &image_records, name, strlen(name), ret))
		return 0;
	if (completed_names(name, &names) < 0)
		return fail_nomem(err);
	for (i = 0; i < names.n; i++) {
		if (get_named(s, &image_records, names.items[i], ret))
			return 0;
	}
	r = find_suffix(s, name, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return find_beginning(s, &image_records, name, ret, err);
}

int store_check_own(const struct found *f, struct imbrex_error *err)
{
	struct json_span id = record_plain(found_record(f), RECORD_ID);

	if (!f->read_only)
		return 0;
	return fail_reason(err, IMBREX_EPERM, IMBREX_REASON_READ_ONLY,
		"%s %.*s lies in an additional store, which is only read", f->t->t.type->noun,
		(int)id.len, id.at);
}
