/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded when the network is first used: linking it would cost every command of the
 * program some milliseconds at start. Only its headers are needed to build.
 *
 * The table is loaded once per process, never unloaded, and immutable afterwards.
 * Threading: safe from any thread. Errors: IMBREX_ENOTSUP with the loader's text.
 */
#ifndef REGISTRY_CURL_H
#define REGISTRY_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/error.h"

/* One member per function used, named as in libcurl without its "curl_" prefix. */
struct curl_api {
	__typeof__(&curl_global_init) global_init;
	__typeof__(&curl_easy_init) easy_init;
	__typeof__(&curl_easy_cleanup) easy_cleanup;
	__typeof__(&curl_easy_reset) easy_reset;
	CURLcode (*easy_setopt)(CURL *handle, CURLoption option, ...);
	CURLcode (*easy_getinfo)(CURL *handle, CURLINFO info, ...);
	__typeof__(&curl_easy_strerror) easy_strerror;
	__typeof__(&curl_multi_init) multi_init;
	__typeof__(&curl_multi_cleanup) multi_cleanup;
	__typeof__(&curl_multi_add_handle) multi_add_handle;
	__typeof__(&curl_multi_remove_handle) multi_remove_handle;
	__typeof__(&curl_multi_perform) multi_perform;
	__typeof__(&curl_multi_poll) multi_poll;
	__typeof__(&curl_multi_info_read) multi_info_read;
	__typeof__(&curl_multi_strerror) multi_strerror;
	__typeof__(&curl_slist_append) slist_append;
	__typeof__(&curl_slist_free_all) slist_free_all;
	__typeof__(&curl_url) url;
	__typeof__(&curl_url_set) url_set;
	__typeof__(&curl_url_get) url_get;
	__typeof__(&curl_url_cleanup) url_cleanup;
	__typeof__(&curl_free) free;
};

/* The table, static storage. ENOTSUP if the library is missing or older than what is used. */
int curl_load(const struct curl_api **ret, struct imbrex_error *err) MUST_CHECK;

#endif
