/* SPDX-License-Identifier: Apache-2.0 */
/* Objects and their records, as most commands look for and print them. */
#include "base/error.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/storage/storage.h"

const struct flag json_flags[] = { FLAG_JSON, { { NULL } } };

int plumbing_find(struct plumbing *p, const char *name, unsigned int kinds, char **ret_id,
	struct imbrex_error *err)
{
	return imbrex_object_find(p->store, name, kinds, NULL, ret_id, err);
}

int plumbing_print_record(
	struct plumbing *p, const char *id, unsigned int kind, struct imbrex_error *err)
{
	AUTO_FREE char *json = NULL;
	int r;

	r = imbrex_object_json(p->store, id, kind, &json, err);
	if (r < 0)
		return r;
	(void)puts(json);
	return 0;
}

int plumbing_print_records(
	struct plumbing *p, char *const *ids, unsigned int kind, struct imbrex_error *err)
{
	size_t i;
	int r;

	(void)putchar('[');
	for (i = 0; ids && ids[i]; i++) {
		AUTO_FREE char *json = NULL;

		r = imbrex_object_json(p->store, ids[i], kind, &json, err);
		if (r < 0)
			return r;
		(void)printf("%s%s", i ? "," : "", json);
	}
	(void)puts("]");
	return 0;
}

int plumbing_print_all(struct plumbing *p, enum imbrex_kind kind, struct imbrex_error *err)
{
	AUTO_FREE char *json = NULL;
	int r;

	r = imbrex_objects_json(p->store, kind, &json, err);
	if (r < 0)
		return r;
	/* Go has no list of layers or images where there are none, but one of containers. */
	(void)puts(kind != IMBREX_KIND_CONTAINER && str_eq(json, "[]") ? "null" : json);
	return EXIT_SUCCESS;
}

int plumbing_find_all(struct plumbing *p, unsigned int kind, struct strv *ret_ids, bool *ret_all,
	struct imbrex_error *err)
{
	struct imbrex_error why = { .status = 0 };
	size_t i;
	int r;

	*ret_all = true;
	for (i = 0; i < p->n_args; i++) {
		AUTO_FREE char *id = NULL;

		r = plumbing_find(p, p->args[i], kind, &id, &why);
		if (r < 0)
			*ret_all = false;
		else if (strv_add(ret_ids, id) < 0)
			return fail_nomem(err);
	}
	return 0;
}
