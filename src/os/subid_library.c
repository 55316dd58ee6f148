/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subordinate ids by libsubid of shadow-utils, which asks the service that nsswitch.conf names.
 *
 * Loaded by those few who need it, and never unloaded, as its plugins may have threads. Each load
 * of one file is one and the same library.
 * Source: shadow, libsubid/subid.h; the ABI of the calls used is that of versions 4 and 5.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "os/subid.h"

static const char *const libraries[] = { "libsubid.so.5", "libsubid.so.4" };

/* struct subid_range of shadow. */
struct shadow_range {
	unsigned long start;
	unsigned long count;
};

struct subid_api {
	bool (*init)(const char *program, FILE *log);
	int (*get)(const char *owner, struct shadow_range **ret);
	void (*free)(void *ranges);
};

static int load(const char *file, bool groups, struct subid_api *ret, struct imbrex_error *err)
{
	const char *const *names = file ? &file : libraries;
	size_t i, n = file ? 1 : ARRAY_LEN(libraries);
	void *library = NULL;
	int r;

	for (i = 0; !library && i < n; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		r = fail(err, IMBREX_ENOTSUP, "cannot load libsubid: %s", dlerror());
		return hint(err, r, "install libsubid (libsubid4, shadow-utils-subid)");
	}
	ret->init = (__typeof__(ret->init))dlsym(library, "subid_init");
	ret->get = (__typeof__(ret->get))dlsym(
		library, groups ? "subid_get_gid_ranges" : "subid_get_uid_ranges");
	ret->free = (__typeof__(ret->free))dlsym(library, "subid_free");
	if (!ret->init || !ret->get)
		return fail(err, IMBREX_ENOTSUP, "libsubid lacks a function");
	if (!ret->free)
		ret->free = free;
	return 0;
}

int subid_ask(const char *file, bool groups, const char *owner, struct subid_ranges *ret,
	struct imbrex_error *err)
{
	struct shadow_range *ranges = NULL;
	struct subid_api api = { 0 };
	int i, n, r;

	r = load(file, groups, &api, err);
	if (r < 0)
		return r;
	/* Without a log it would write to our standard error. */
	if (!api.init("imbrex", NULL))
		return fail(err, IMBREX_EFAIL, "libsubid does not start");
	n = api.get(owner, &ranges);
	if (n < 0)
		return fail(err, IMBREX_EFAIL, "libsubid cannot tell the %s ranges of '%s'",
			groups ? "gid" : "uid", owner);
	ret->n = 0;
	for (i = 0; i < n && ret->n < ARRAY_LEN(ret->items); i++) {
		/* 2^32 - 1 is "no id": the last usable one lies below it. */
		if (ranges[i].count == 0 || ranges[i].start > UINT32_MAX ||
			ranges[i].count > UINT32_MAX - ranges[i].start)
			continue;
		ret->items[ret->n++] = (struct subid_range){ (uint32_t)ranges[i].start,
			(uint32_t)ranges[i].count };
	}
	api.free(ranges);
	return 0;
}
