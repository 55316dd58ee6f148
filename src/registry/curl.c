/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads libcurl.so.4 and its functions, once. A failure is remembered and reported again: a
 * library that was missing at the first request is not looked for twice.
 */
#include "registry/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

#define CURL_LIBRARY "libcurl.so.4"

struct loaded {
	struct curl_api api; /* valid if `problem` is empty */
	char problem[256];
};

static struct loaded loaded;
static pthread_once_t loaded_once = PTHREAD_ONCE_INIT;

struct symbol {
	const char *name;
	size_t offset; /* of the function pointer in struct curl_api */
};

#define SYMBOL(member)                                             \
	{                                                          \
		"curl_" #member, offsetof(struct curl_api, member) \
	}

static const struct symbol symbols[] = {
	SYMBOL(global_init),
	SYMBOL(easy_init),
	SYMBOL(easy_cleanup),
	SYMBOL(easy_reset),
	SYMBOL(easy_setopt),
	SYMBOL(easy_getinfo),
	SYMBOL(easy_strerror),
	SYMBOL(multi_init),
	SYMBOL(multi_cleanup),
	SYMBOL(multi_add_handle),
	SYMBOL(multi_remove_handle),
	SYMBOL(multi_perform),
	SYMBOL(multi_poll),
	SYMBOL(multi_info_read),
	SYMBOL(multi_strerror),
	SYMBOL(slist_append),
	SYMBOL(slist_free_all),
	SYMBOL(url),
	SYMBOL(url_set),
	SYMBOL(url_get),
	SYMBOL(url_cleanup),
	SYMBOL(free),
};

static void load(void)
{
	void *library = dlopen(CURL_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	const char *why;
	CURLcode code;
	size_t i;

	if (!library) {
		why = dlerror();
		(void)snprintf(loaded.problem, sizeof(loaded.problem), "%s",
			why ? why : CURL_LIBRARY " cannot be loaded");
		return;
	}
	for (i = 0; i < ARRAY_LEN(symbols); i++) {
		void *function = dlsym(library, symbols[i].name);

		if (!function) {
			(void)snprintf(loaded.problem, sizeof(loaded.problem),
				CURL_LIBRARY " has no function %s", symbols[i].name);
			return;
		}
		*(void **)((char *)&loaded.api + symbols[i].offset) = function;
	}
	code = loaded.api.global_init(CURL_GLOBAL_DEFAULT);
	if (code != CURLE_OK)
		(void)snprintf(loaded.problem, sizeof(loaded.problem), CURL_LIBRARY ": %s",
			loaded.api.easy_strerror(code));
}

int curl_load(const struct curl_api **ret, struct imbrex_error *err)
{
	(void)pthread_once(&loaded_once, load);
	if (loaded.problem[0])
		return hint(err, fail(err, IMBREX_ENOTSUP, "no HTTP support: %s", loaded.problem),
			"install libcurl (Debian: libcurl4)");
	*ret = &loaded.api;
	return 0;
}
