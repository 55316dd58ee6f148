/* SPDX-License-Identifier: Apache-2.0 */
/* Loads libsquashfs.so.1 and its functions, once; see the header. A failure is remembered. */
#include "format/squashfs/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define SQUASHFS_LIBRARY "libsquashfs.so.1"

static struct squashfs_api api; /* valid if `problem` is empty */
static char problem[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
	const char *name;
	size_t offset; /* of the function pointer in struct squashfs_api */
} symbols[] = {
#define SQUASHFS_SYMBOL(member) { "sqfs_" #member, offsetof(struct squashfs_api, member) },
	SQUASHFS_FUNCTIONS(SQUASHFS_SYMBOL)
#undef SQUASHFS_SYMBOL
};

static void load(void)
{
	void *library = dlopen(SQUASHFS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	const char *why;
	size_t i;

	if (!library) {
		why = dlerror();
		(void)snprintf(problem, sizeof(problem), "%s",
			why ? why : SQUASHFS_LIBRARY " cannot be loaded");
		return;
	}
	for (i = 0; i < ARRAY_LEN(symbols); i++) {
		void *function = dlsym(library, symbols[i].name);

		if (!function) {
			(void)snprintf(problem, sizeof(problem),
				SQUASHFS_LIBRARY " has no function %s", symbols[i].name);
			return;
		}
		*(void **)((char *)&api + symbols[i].offset) = function;
	}
}

int squashfs_load(const struct squashfs_api **ret, struct imbrex_error *err)
{
	(void)pthread_once(&once, load);
	if (problem[0])
		return hint(err, fail(err, IMBREX_ENOTSUP, "no squashfs support: %s", problem),
			"install libsquashfs (Debian: libsquashfs1)");
	*ret = &api;
	return 0;
}

int squashfs_fail(struct imbrex_error *err, int sqfs_error, bool reading, const char *what)
{
	switch (sqfs_error) {
	case SQFS_ERROR_ALLOC:
		return fail_nomem(err);
	case SQFS_ERROR_IO:
		return fail(err, IMBREX_EIO, "squashfs: %s: input or output failed", what);
	case SQFS_ERROR_COMPRESSOR:
		return fail(err, reading ? IMBREX_EFORMAT : IMBREX_EFAIL, "squashfs: %s: %s", what,
			reading ? "a block cannot be decompressed" : "the compressor failed");
	case SQFS_ERROR_UNSUPPORTED:
		return fail(err, IMBREX_ENOTSUP, "squashfs: %s: not supported", what);
	case SFQS_ERROR_SUPER_MAGIC:
		return fail(err, IMBREX_EFORMAT, "squashfs: %s: no squashfs image", what);
	case SFQS_ERROR_SUPER_VERSION:
		return fail(err, IMBREX_ENOTSUP, "squashfs: %s: not version 4.0", what);
	case SQFS_ERROR_OUT_OF_BOUNDS:
		return fail(err, IMBREX_EFORMAT,
			"squashfs: %s: points outside of the image or its table", what);
	default:
		return fail(err, reading ? IMBREX_EFORMAT : IMBREX_EFAIL, "squashfs: %s: %s (%d)",
			what, reading ? "damaged" : "failed", sqfs_error);
	}
}
