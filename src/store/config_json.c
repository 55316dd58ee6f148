/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What opening a store would use, as callers see it: a request made of their options, and the
 * configuration as JSON, with the keys and the order of containers/storage's StoreOptions.
 */
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "imbrex/store.h"
#include "json/write.h"
#include "store/config.h"
#include "store/rootless.h"

void storage_config_request_from(
	const struct imbrex_store_opts *opts, struct storage_config_request *ret)
{
	struct rootless_facts facts;

	rootless_facts_read(&facts);
	*ret = (struct storage_config_request){ .rootless = facts.rootless, .uid = facts.uid };
	if (!opts)
		return;
	ret->config_file = opts->config_file;
	if (opts->configured_wholesale)
		return;
	ret->graphroot = opts->graphroot;
	ret->runroot = opts->runroot;
	ret->driver = opts->driver;
	ret->options = opts->storage_opts;
	ret->imagestore = opts->imagestore;
	ret->transient_store = opts->transient_store;
}

static int write_pull_options(
	struct json_writer *w, const struct strv *options, struct imbrex_error *err)
{
	size_t i;

	json_write_key(w, "PullOptions");
	if (!options->n) {
		json_write_null(w);
		return 0;
	}
	json_write_object_begin(w);
	for (i = 0; i < options->n; i++) {
		const char *item = options->items[i];
		const char *equals = strchr(item, '=');
		AUTO_FREE char *key = strndup(item, (size_t)(equals - item));

		if (!key)
			return fail_nomem(err);
		json_write_member_string(w, key, equals + 1);
	}
	json_write_object_end(w);
	return 0;
}

static void write_map(
	struct json_writer *w, const char *key, const struct imbrex_id_map *map, size_t n)
{
	size_t i;

	if (!n)
		return;
	json_write_key(w, key);
	json_write_array_begin(w);
	for (i = 0; i < n; i++) {
		json_write_object_begin(w);
		json_write_member_uint(w, "container_id", map[i].inside);
		json_write_member_uint(w, "host_id", map[i].outside);
		json_write_member_uint(w, "size", map[i].count);
		json_write_object_end(w);
	}
	json_write_array_end(w);
}

static int write_config(
	struct json_writer *w, const struct storage_config *c, struct imbrex_error *err)
{
	int r;

	json_write_object_begin(w);
	json_write_some_string(w, "runroot", c->runroot);
	json_write_some_string(w, "root", c->graphroot);
	json_write_some_string(w, "imagestore", c->imagestore);
	json_write_some_string(w, "driver", c->driver);
	json_write_some_strings(w, "driver-priority", &c->driver_priority);
	json_write_some_strings(w, "driver-options", &c->driver_options);
	write_map(w, "uidmap", c->remap.maps.uids, c->remap.maps.n_uids);
	write_map(w, "gidmap", c->remap.maps.gids, c->remap.maps.n_gids);
	json_write_some_string(w, "root_auto_ns_user", c->auto_user);
	json_write_some_uint(w, "auto_userns_min_size", c->auto_min_ids);
	json_write_some_uint(w, "auto_userns_max_size", c->auto_max_ids);
	r = write_pull_options(w, &c->pull_options, err);
	json_write_some_bool(w, "disable-volatile", c->disable_volatile);
	json_write_some_bool(w, "transient_store", c->transient_store);
	json_write_object_end(w);
	return r;
}

PUBLIC int imbrex_store_config(
	const struct imbrex_store_opts *opts, char **ret_json, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	struct storage_config_request request;
	struct storage_config config = { 0 };
	struct json_writer w;
	char *taken;
	int r;

	storage_config_request_from(opts, &request);
	request.all_options = true;
	r = storage_config_load(&request, &config, err);
	if (r < 0)
		return r;
	json_writer_init(&w, &text);
	r = write_config(&w, &config, err);
	storage_config_done(&config);
	if (r == 0)
		r = json_writer_finish(&w, err);
	if (r < 0)
		return r;
	taken = str_take(&text);
	if (!taken)
		return fail_nomem(err);
	*ret_json = taken;
	return 0;
}
