/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of objects: read, set, added, removed, moved. An image remembers every name it had, the
 * latest first: where names of one call are new, the last of them is the latest, as
 * containers/storage counts.
 */
#include "store/names.h"

#include <string.h>

#include "base/strv.h"
#include "store/image.h"
#include "store/layer.h"
#include "store/object.h"

int names_collect(const char *const *names, struct strv *to)
{
	int r = 0;

	for (; r == 0 && names && *names; names++) {
		if (!strv_has(to, *names))
			r = strv_add(to, *names);
	}
	return r;
}

int names_take(const struct found *f, const char *name, struct imbrex_error *err)
{
	AUTO_STRV names = { 0 };
	ptrdiff_t at;

	if (record_list(found_record(f), RECORD_NAMES, &names) < 0)
		return fail_nomem(err);
	at = strv_find(&names, name);
	if (at < 0)
		return 0;
	strv_remove(&names, (size_t)at);
	object_changed(f);
	return record_set_list(&f->t->t, f->index, RECORD_NAMES, &names, err);
}

static int combine(const struct strv *old, enum imbrex_names_change change,
	const char *const *names, struct strv *ret)
{
	size_t i;
	int r = 0;

	if (change == IMBREX_NAMES_REMOVE) {
		AUTO_STRV gone = { 0 };

		r = names_collect(names, &gone);
		for (i = 0; r == 0 && i < old->n; i++) {
			if (!strv_has(&gone, old->items[i]))
				r = strv_add(ret, old->items[i]);
		}
		return r;
	}
	r = names_collect(names, ret);
	if (r == 0 && change == IMBREX_NAMES_ADD)
		r = names_collect((const char *const *)old->items, ret);
	return r;
}

static int take_from_others(
	const struct found *f, const struct strv *names, struct imbrex_error *err)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < names->n; i++) {
		struct found other = *f;
		ptrdiff_t at = table_find_name(&f->t->t, names->items[i]);

		other.index = (size_t)at;
		if (at >= 0 && other.index != f->index)
			r = names_take(&other, names->items[i], err);
	}
	return r;
}

static int remember(const struct found *f, const struct strv *names, struct imbrex_error *err)
{
	AUTO_STRV history = { 0 };
	size_t i;

	if (record_list(found_record(f), IMAGE_NAMES_HISTORY, &history) < 0)
		return fail_nomem(err);
	for (i = 0; i < names->n; i++) {
		ptrdiff_t at = strv_find(&history, names->items[i]);

		if (at >= 0)
			strv_remove(&history, (size_t)at);
		if (strv_insert(&history, 0, names->items[i]) < 0)
			return fail_nomem(err);
	}
	return record_set_list(&f->t->t, f->index, IMAGE_NAMES_HISTORY, &history, err);
}

int names_change(const struct found *f, enum imbrex_names_change change, const char *const *names,
	struct imbrex_error *err)
{
	AUTO_STRV old = { 0 };
	AUTO_STRV now = { 0 };
	int r;

	if (record_list(found_record(f), RECORD_NAMES, &old) < 0 ||
		combine(&old, change, names, &now) < 0)
		return fail_nomem(err);
	r = take_from_others(f, &now, err);
	if (r < 0)
		return r;
	object_changed(f);
	r = record_set_list(&f->t->t, f->index, RECORD_NAMES, &now, err);
	if (r == 0 && f->t->t.type == &image_records)
		r = remember(f, &now, err);
	return r;
}

PUBLIC int imbrex_names_get(struct imbrex_store *s, const char *name, unsigned int kinds,
	char ***ret, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV names = { 0 };
	struct object o;
	char **taken;
	int r;

	r = store_hold(s, object_hold_bits(kinds, false), &hold, err);
	if (r == 0)
		r = object_find(s, name, kinds, OBJECT_LAYERS_FIRST, &o, err);
	if (r < 0)
		return r;
	if (record_list(found_record(&o.at), RECORD_NAMES, &names) < 0)
		return fail_nomem(err);
	taken = strings_take(&names);
	if (!taken)
		return fail_nomem(err);
	*ret = taken;
	return 0;
}

PUBLIC int imbrex_names_change(struct imbrex_store *s, const char *name, unsigned int kinds,
	enum imbrex_names_change change, const char *const *names, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct object o;
	int r;

	r = store_hold(s, object_hold_bits(kinds, true), &hold, err);
	if (r == 0)
		r = object_find(s, name, kinds, OBJECT_LAYERS_FIRST, &o, err);
	if (r < 0)
		return r;
	r = o.at.read_only && o.kind == IMBREX_KIND_IMAGE ? image_adopt(s, &o.at, err)
							  : store_check_own(&o.at, err);
	if (r == 0)
		r = names_change(&o.at, change, names, err);
	return r < 0 ? r : store_save(s, o.at.t, err);
}
