/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations; see the header. */
#include "oci/config.h"

#include <string.h>

#include "base/limits.h"
#include "json/doc.h"
#include "json/write.h"
#include "oci/descriptor.h"
#include "oci/digest.h"

static void history_done(struct oci_history *h)
{
	free(h->created);
	free(h->created_by);
	free(h->author);
	free(h->comment);
}

void oci_config_done(struct oci_config *c)
{
	size_t i;

	free(c->created);
	free(c->author);
	free(c->user);
	free(c->working_dir);
	free(c->stop_signal);
	strv_done(&c->env);
	strv_done(&c->entrypoint);
	strv_done(&c->cmd);
	strv_done(&c->exposed_ports);
	strv_done(&c->volumes);
	strv_done(&c->labels);
	free(c->diff_ids);
	for (i = 0; i < c->n_history; i++)
		history_done(&c->history[i]);
	free(c->history);
	*c = (struct oci_config){ 0 };
}

/* A set in Go's clothes: {"80/tcp":{}}. */
static int read_keys(const struct json_ref *at, struct strv *ret, struct imbrex_error *err)
{
	struct json_ref member;
	void *iter = NULL;
	int r;

	r = json_opt_object(at, err);
	if (r <= 0)
		return r;
	while (json_next_member(at, &iter, &member)) {
		r = strv_add(ret, member.key);
		if (r < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* One named member of `at` into a string of the configuration. */
static int read_text(
	const struct json_ref *at, const char *key, char **ret, struct imbrex_error *err)
{
	struct json_ref member = json_get(at, key);

	return json_opt_text(&member, ret, err);
}

static int read_strings(
	const struct json_ref *at, const char *key, struct strv *ret, struct imbrex_error *err)
{
	struct json_ref member = json_get(at, key);

	return json_opt_strings(&member, ret, err);
}

static int read_run(const struct json_ref *at, struct oci_config *c, struct imbrex_error *err)
{
	struct json_ref ports = json_get(at, "ExposedPorts");
	struct json_ref volumes = json_get(at, "Volumes");
	struct json_ref labels = json_get(at, "Labels");
	int r;

	r = json_opt_object(at, err);
	if (r <= 0)
		return r;
	r = read_text(at, "User", &c->user, err);
	if (r < 0)
		return r;
	r = read_text(at, "WorkingDir", &c->working_dir, err);
	if (r < 0)
		return r;
	r = read_text(at, "StopSignal", &c->stop_signal, err);
	if (r < 0)
		return r;
	r = read_strings(at, "Env", &c->env, err);
	if (r < 0)
		return r;
	r = read_strings(at, "Entrypoint", &c->entrypoint, err);
	if (r < 0)
		return r;
	r = read_strings(at, "Cmd", &c->cmd, err);
	if (r < 0)
		return r;
	r = read_keys(&ports, &c->exposed_ports, err);
	if (r < 0)
		return r;
	r = read_keys(&volumes, &c->volumes, err);
	if (r < 0)
		return r;
	return oci_pairs_parse(&labels, &c->labels, err);
}

static int read_diff_ids(const struct json_ref *at, struct oci_config *c, struct imbrex_error *err)
{
	size_t n = json_count(at);
	size_t i;
	int r;

	/* An image of no layers may say null. */
	r = json_opt_array(at, err);
	if (r <= 0)
		return r;
	if (n > LIMIT_IMAGE_LAYERS)
		return fail(err, IMBREX_ELIMIT,
			"config.rootfs.diff_ids: %zu layers are more than the limit of %d", n,
			LIMIT_IMAGE_LAYERS);
	c->diff_ids = calloc(n ? n : 1, sizeof(*c->diff_ids));
	if (!c->diff_ids)
		return fail_nomem(err);
	c->n_diff_ids = n;
	for (i = 0; i < n; i++) {
		struct json_ref item = json_at(at, i);
		const char *text;

		r = json_as_string(&item, &text, err);
		if (r < 0)
			return r;
		r = digest_parse(text, strlen(text), &c->diff_ids[i], err);
		if (r < 0)
			return wrap(err, r, "config.rootfs.diff_ids[%zu]", i);
	}
	return 0;
}

static const char *const rootfs_keys[] = { "type", "diff_ids", NULL };

static int read_rootfs(const struct json_ref *at, struct oci_config *c, struct imbrex_error *err)
{
	struct json_ref type_ref = json_get(at, "type");
	struct json_ref diff_ids = json_get(at, "diff_ids");
	const char *type = "layers";
	int r;

	r = json_as_object(at, err);
	if (r < 0)
		return r;
	r = oci_check_key_case(at, rootfs_keys, err);
	if (r < 0)
		return r;
	r = json_opt_string(&type_ref, &type, err);
	if (r < 0)
		return r;
	if (strcmp(type, "layers") != 0)
		return fail(err, IMBREX_ENOTSUP,
			"config.rootfs.type: '%s' is not supported, only 'layers'", type);
	return read_diff_ids(&diff_ids, c, err);
}

static int read_step(const struct json_ref *at, struct oci_history *h, struct imbrex_error *err)
{
	struct json_ref empty_layer = json_get(at, "empty_layer");
	int r;

	r = json_as_object(at, err);
	if (r < 0)
		return r;
	r = read_text(at, "created", &h->created, err);
	if (r < 0)
		return r;
	r = read_text(at, "created_by", &h->created_by, err);
	if (r < 0)
		return r;
	r = read_text(at, "author", &h->author, err);
	if (r < 0)
		return r;
	r = read_text(at, "comment", &h->comment, err);
	if (r < 0)
		return r;
	return json_opt_bool(&empty_layer, &h->empty_layer, err);
}

static int read_history(const struct json_ref *at, struct oci_config *c, struct imbrex_error *err)
{
	size_t n = json_count(at);
	size_t i;
	int r;

	r = json_opt_array(at, err);
	if (r <= 0)
		return r;
	c->history = calloc(n ? n : 1, sizeof(*c->history));
	if (!c->history)
		return fail_nomem(err);
	c->n_history = n;
	for (i = 0; i < n; i++) {
		struct json_ref item = json_at(at, i);

		r = read_step(&item, &c->history[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_platform(
	const struct json_ref *root, struct platform *ret, struct imbrex_error *err)
{
	struct json_ref os_ref = json_get(root, "os");
	struct json_ref architecture_ref = json_get(root, "architecture");
	struct json_ref variant_ref = json_get(root, "variant");
	const char *os = NULL;
	const char *architecture = NULL;
	const char *variant = NULL;
	int r;

	r = json_opt_string(&os_ref, &os, err);
	if (r < 0)
		return r;
	r = json_opt_string(&architecture_ref, &architecture, err);
	if (r < 0)
		return r;
	r = json_opt_string(&variant_ref, &variant, err);
	if (r < 0)
		return r;
	r = platform_set(os, architecture, variant, ret, err);
	return r < 0 ? wrap(err, r, "config") : 0;
}

static const char *const known_keys[] = { "architecture", "os", "variant", "config", "rootfs",
	"history", NULL };

static int read_config(const struct json_ref *root, struct oci_config *c, struct imbrex_error *err)
{
	struct json_ref run = json_get(root, "config");
	struct json_ref rootfs = json_get(root, "rootfs");
	struct json_ref history = json_get(root, "history");
	int r;

	r = json_as_object(root, err);
	if (r < 0)
		return r;
	r = oci_check_key_case(root, known_keys, err);
	if (r < 0)
		return r;
	r = read_platform(root, &c->platform, err);
	if (r < 0)
		return r;
	r = read_text(root, "created", &c->created, err);
	if (r < 0)
		return r;
	r = read_text(root, "author", &c->author, err);
	if (r < 0)
		return r;
	r = read_run(&run, c, err);
	if (r < 0)
		return r;
	r = read_rootfs(&rootfs, c, err);
	if (r < 0)
		return r;
	return read_history(&history, c, err);
}

int oci_config_parse(const char *text, size_t len, struct oci_config *ret, struct imbrex_error *err)
{
	AUTO_OCI_CONFIG c = { 0 };
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root;
	int r;

	r = json_doc_parse("config", text, len, LIMIT_CONFIG_BYTES, &doc, err);
	if (r < 0)
		return r;
	root = json_doc_root(doc);
	r = read_config(&root, &c, err);
	if (r < 0)
		return r;
	*ret = c;
	c = (struct oci_config){ 0 };
	return 0;
}

int oci_config_check_layers(const struct oci_config *c, size_t n_layers, struct imbrex_error *err)
{
	if (c->n_diff_ids != n_layers)
		return fail(err, IMBREX_EFORMAT,
			"config.rootfs.diff_ids: %zu diff IDs, but the manifest has %zu layers",
			c->n_diff_ids, n_layers);
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A set as Go's map[string]struct{}: sorted, {"80/tcp":{}}. Sorts a copy of the pointers. */
static int write_keys(struct json_writer *w, const char *key, const struct strv *keys)
{
	AUTO_FREE char **sorted = NULL;
	size_t i;

	if (!keys->n)
		return 0;
	sorted = calloc(keys->n, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, keys->items, keys->n * sizeof(*sorted));
	qsort(sorted, keys->n, sizeof(*sorted), compare_texts);
	json_write_key(w, key);
	json_write_object_begin(w);
	for (i = 0; i < keys->n; i++) {
		if (i && strcmp(sorted[i], sorted[i - 1]) == 0)
			continue;
		json_write_key(w, sorted[i]);
		json_write_object_begin(w);
		json_write_object_end(w);
	}
	json_write_object_end(w);
	return 0;
}

static int write_run(struct json_writer *w, const struct oci_config *c)
{
	int r;

	json_write_key(w, "config");
	json_write_object_begin(w);
	json_write_some_string(w, "User", c->user);
	r = write_keys(w, "ExposedPorts", &c->exposed_ports);
	if (r < 0)
		return r;
	json_write_some_strings(w, "Env", &c->env);
	json_write_some_strings(w, "Entrypoint", &c->entrypoint);
	json_write_some_strings(w, "Cmd", &c->cmd);
	r = write_keys(w, "Volumes", &c->volumes);
	if (r < 0)
		return r;
	json_write_some_string(w, "WorkingDir", c->working_dir);
	json_write_some_pairs(w, "Labels", &c->labels);
	json_write_some_string(w, "StopSignal", c->stop_signal);
	json_write_object_end(w);
	return 0;
}

static void write_rootfs(struct json_writer *w, const struct oci_config *c)
{
	size_t i;

	json_write_key(w, "rootfs");
	json_write_object_begin(w);
	json_write_member_string(w, "type", "layers");
	json_write_key(w, "diff_ids");
	json_write_array_begin(w);
	for (i = 0; i < c->n_diff_ids; i++)
		json_write_string(w, digest_text(&c->diff_ids[i]));
	json_write_array_end(w);
	json_write_object_end(w);
}

static void write_history(struct json_writer *w, const struct oci_config *c)
{
	size_t i;

	if (!c->n_history)
		return;
	json_write_key(w, "history");
	json_write_array_begin(w);
	for (i = 0; i < c->n_history; i++) {
		const struct oci_history *h = &c->history[i];

		json_write_object_begin(w);
		json_write_some_string(w, "created", h->created);
		json_write_some_string(w, "created_by", h->created_by);
		json_write_some_string(w, "author", h->author);
		json_write_some_string(w, "comment", h->comment);
		json_write_some_bool(w, "empty_layer", h->empty_layer);
		json_write_object_end(w);
	}
	json_write_array_end(w);
}

int oci_config_write(const struct oci_config *c, struct str *ret, struct imbrex_error *err)
{
	struct json_writer w;
	int r;

	json_writer_init(&w, ret);
	json_write_object_begin(&w);
	json_write_some_string(&w, "created", c->created);
	json_write_some_string(&w, "author", c->author);
	json_write_member_string(&w, "architecture", c->platform.architecture);
	json_write_member_string(&w, "os", c->platform.os);
	json_write_some_string(&w, "variant", c->platform.variant);
	r = write_run(&w, c);
	if (r < 0)
		return fail_nomem(err);
	write_rootfs(&w, c);
	write_history(&w, c);
	json_write_object_end(&w);
	return json_writer_finish(&w, err);
}
