/* SPDX-License-Identifier: Apache-2.0 */
/* The list of endpoints of a repository. */
#include "registry/hosts.h"

#include <stdlib.h>
#include <string.h>

void endpoints_done(struct endpoints *e)
{
	size_t i;

	for (i = 0; i < e->n; i++) {
		free(e->items[i].registry);
		free(e->items[i].repository);
	}
	free(e->items);
	*e = (struct endpoints){ 0 };
}

int endpoints_add(struct endpoints *e, const char *registry, const char *repository, bool insecure,
	struct imbrex_error *err)
{
	struct endpoint item = { .insecure = insecure };
	struct endpoint *more = reallocarray(e->items, e->n + 1, sizeof(*more));

	if (!more)
		return fail_nomem(err);
	e->items = more;
	item.registry = strdup(registry);
	item.repository = strdup(repository);
	if (!item.registry || !item.repository) {
		free(item.registry);
		free(item.repository);
		return fail_nomem(err);
	}
	e->items[e->n++] = item;
	return 0;
}
