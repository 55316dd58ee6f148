/* SPDX-License-Identifier: Apache-2.0 */
/* From what a person types to a record: ids, names, unique beginnings, names completed. */
#include <string.h>

#include "base/str.h"
#include "oci/reference.h"
#include "store/store.h"

int store_find(struct imbrex_store *s, struct store_table *t, const char *name, size_t *ret_index,
	struct imbrex_error *err)
{
	ptrdiff_t i;

	(void)s;
	i = table_find_id(&t->t, name, strlen(name));
	if (i < 0)
		i = table_find_name(&t->t, name);
	if (i < 0 && !strchr(name, ' '))
		i = table_find_prefix(&t->t, name);
	if (i == -2)
		return fail(err, IMBREX_EINVAL, "%s id '%s' is the beginning of several ids",
			t->t.type->noun, name);
	if (i < 0)
		return fail(
			err, IMBREX_ENOENT, "%s '%s' is not in the store", t->t.type->noun, name);
	*ret_index = (size_t)i;
	return 0;
}

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

int store_find_image(
	struct imbrex_store *s, const char *name, size_t *ret_index, struct imbrex_error *err)
{
	struct table *t = &s->images.t;
	AUTO_STRV names = { 0 };
	AUTO_FREE char *suffix = NULL;
	ptrdiff_t number;
	ptrdiff_t i;
	size_t k;

	i = table_find_id(t, name, strlen(name));
	if (i >= 0) {
		*ret_index = (size_t)i;
		return 0;
	}
	if (completed_names(name, &names) < 0)
		return fail_nomem(err);
	for (k = 0; k < names.n; k++) {
		i = table_find_name(t, names.items[k]);
		if (i >= 0) {
			*ret_index = (size_t)i;
			return 0;
		}
	}
	/* "x" also means any registry's ".../x:latest", if there is one image of that name. */
	suffix =
		format_text("/%s%s", name, strchr(name, ':') || strchr(name, '@') ? "" : ":latest");
	if (!suffix)
		return fail_nomem(err);
	for (number = table_next(t, -1); number >= 0; number = table_next(t, number)) {
		AUTO_STRV own = { 0 };
		size_t j;

		if (record_list(table_at(t, (size_t)number), IMAGE_NAMES, &own) < 0)
			return fail_nomem(err);
		for (j = 0; j < own.n; j++) {
			if (!str_ends(own.items[j], suffix))
				continue;
			if (i >= 0 && i != number)
				return fail(err, IMBREX_EINVAL,
					"image name '%s' fits several images", name);
			i = number;
		}
	}
	if (i >= 0) {
		*ret_index = (size_t)i;
		return 0;
	}
	return store_find(s, &s->images, name, ret_index, err);
}
