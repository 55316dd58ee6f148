/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging by a map from name to position + 1, so that ten thousand variables of a hostile image
 * cost ten thousand steps.
 */
#include "run/env.h"

#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/map.h"
#include "base/str.h"

static int put(struct strv *list, struct map *seen, const char *text, struct imbrex_error *err)
{
	size_t name_len = strcspn(text, "=");
	void *where;
	char *copy;

	if (map_get(seen, text, name_len, &where)) {
		copy = strdup(text);
		if (!copy)
			return fail_nomem(err);
		free(list->items[(uintptr_t)where - 1]);
		list->items[(uintptr_t)where - 1] = copy;
		return 0;
	}
	if (strv_add(list, text) < 0)
		return fail_nomem(err);
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): a position, never a pointer */
	if (map_add(seen, text, name_len, (void *)(uintptr_t)list->n) < 0)
		return fail_nomem(err);
	return 0;
}

const char *run_env_get(const struct strv *env, const char *name)
{
	const char *rest;
	size_t i;

	for (i = 0; i < env->n; i++) {
		rest = str_after(env->items[i], name);
		if (rest && *rest == '=')
			return rest + 1;
	}
	return NULL;
}

int run_env_build(const char *const *env, const struct run_env_defaults *defaults, struct strv *ret,
	struct imbrex_error *err)
{
	const struct {
		const char *name, *value;
	} missing[] = {
		{ "PATH", RUN_DEFAULT_PATH },
		{ "HOME", defaults->home ? defaults->home : "/" },
		{ "HOSTNAME", defaults->hostname },
		{ "TERM", defaults->term },
	};
	AUTO_MAP *seen = map_new();
	AUTO_STRV list = { 0 };
	size_t i;
	int r;

	if (!seen)
		return fail_nomem(err);
	for (i = 0; env && env[i]; i++) {
		r = put(&list, seen, env[i], err);
		if (r < 0)
			return r;
	}
	for (i = 0; i < ARRAY_LEN(missing); i++) {
		if (!missing[i].value || run_env_get(&list, missing[i].name))
			continue;
		if (strv_addf(&list, "%s=%s", missing[i].name, missing[i].value) < 0)
			return fail_nomem(err);
	}
	*ret = list;
	list = (struct strv){ 0 };
	return 0;
}
