/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay driver's options: a table of keys and what each sets.
 * Source: containers-storage.conf(5); docs/formats/storage-conf.md.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "driver/options.h"
#include "driver/overlay.h"

static int set_mountopt(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;

	free(o->mountopt);
	o->mountopt = strdup(value);
	return o->mountopt ? 0 : fail_nomem(err);
}

static int set_mount_program(
	void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;
	struct stat st;

	free(take_ptr(o->mount_program));
	if (!*value)
		return 0;
	if (*value != '/')
		return fail(
			err, IMBREX_EINVAL, "option %s: '%s' is not an absolute path", name, value);
	if (stat(value, &st) < 0)
		return fail_errno(err, "option %s: '%s'", name, value);
	o->mount_program = strdup(value);
	return o->mount_program ? 0 : fail_nomem(err);
}

static int add_stores(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;
	size_t i = o->image_stores.n;
	struct stat st;
	int r;

	r = option_paths(name, value, &o->image_stores, err);
	for (; r == 0 && i < o->image_stores.n; i++)
		if (stat(o->image_stores.items[i], &st) < 0)
			r = fail_errno(err, "option %s: '%s'", name, o->image_stores.items[i]);
	return r;
}

static int set_force_mask(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;
	char *end;
	unsigned long mask;

	if (str_eq(value, "shared")) {
		mask = 0755;
	} else if (str_eq(value, "private")) {
		mask = 0700;
	} else {
		mask = strtoul(value, &end, 8);
		if (*value < '0' || *value > '7' || *end || mask > 0777)
			return fail(err, IMBREX_EINVAL,
				"option %s: '%s' is not shared, private or an octal mode", name,
				value);
	}
	o->has_force_mask = true;
	o->force_mask = (mode_t)mask;
	return 0;
}

static int set_sync(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;

	if (!str_eq(value, "none") && !str_eq(value, "filesystem"))
		return fail(err, IMBREX_EINVAL, "option %s: '%s' is neither none nor filesystem",
			name, value);
	o->sync_filesystem = str_eq(value, "filesystem");
	return 0;
}

static int ignore(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	return 0;
}

static int refuse_composefs(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	bool on = false;
	int r = option_bool(name, value, &on, err);

	if (r < 0 || !on)
		return r;
	return fail(err, IMBREX_ENOTSUP, "option %s is not supported", name);
}

static int set_size(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;

	return overlay_limit_option(name, "size", value, &o->limits, err);
}

static int set_inodes(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;

	return overlay_limit_option(name, "inodes", value, &o->limits, err);
}

/* "PATH" or "PATH:ref". */
static int add_layer_store(struct overlay_options *o, char *text, struct imbrex_error *err)
{
	struct overlay_layer_store *stores;
	char *word = strchr(text, ':');
	struct stat st;
	size_t len;

	if (word)
		*word++ = '\0';
	for (len = strlen(text); len > 1 && text[len - 1] == '/';)
		text[--len] = '\0';
	if (text[0] != '/')
		return fail(err, IMBREX_EINVAL,
			"option overlay.additionallayerstore: '%s' is not an absolute path", text);
	if (word && !str_eq(word, "ref"))
		return fail(err, IMBREX_EINVAL,
			"option overlay.additionallayerstore: '%s' is not 'ref'", word);
	if (stat(text, &st) < 0)
		return fail_errno(err, "option overlay.additionallayerstore: '%s'", text);
	if (!S_ISDIR(st.st_mode))
		return fail(err, IMBREX_EINVAL,
			"option overlay.additionallayerstore: '%s' is not a directory", text);
	stores = reallocarray(o->layer_stores, o->n_layer_stores + 1, sizeof(*stores));
	if (!stores)
		return fail_nomem(err);
	o->layer_stores = stores;
	stores += o->n_layer_stores;
	*stores = (struct overlay_layer_store){ .path = strdup(text), .with_reference = word };
	if (!stores->path)
		return fail_nomem(err);
	o->n_layer_stores++;
	return 0;
}

static int add_layer_stores(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	struct overlay_options *o = at;
	int r = 0;

	while (r == 0 && *value) {
		size_t n = strcspn(value, ",");
		AUTO_FREE char *text = strndup(value, n);

		if (!text)
			return fail_nomem(err);
		r = n ? add_layer_store(o, text, err) : 0;
		value += n;
		value += *value == ',';
	}
	return r;
}

static const struct option_key overlay_keys[] = {
	{ "additionalimagestore", add_stores, 0 },
	{ "additionallayerstore", add_layer_stores, 0 },
	{ "force_mask", set_force_mask, 0 },
	{ "ignore_chown_errors", option_set_bool,
		offsetof(struct overlay_options, ignore_chown_errors) },
	{ "imagestore", add_stores, 0 },
	{ "inodes", set_inodes, 0 },
	{ "mount_program", set_mount_program, 0 },
	{ "mountopt", set_mountopt, 0 },
	{ "override_kernel_check", ignore, 0 },
	{ "size", set_size, 0 },
	{ "skip_mount_home", option_set_bool, offsetof(struct overlay_options, skip_mount_home) },
	{ "sync", set_sync, 0 },
	{ "use_composefs", refuse_composefs, 0 },
};

int overlay_options_parse(
	struct overlay_options *o, const struct strv *options, struct imbrex_error *err)
{
	static const struct option_table table = { "overlay", false, overlay_keys,
		ARRAY_LEN(overlay_keys) };

	return option_table_read(&table, options, o, err);
}

void overlay_options_done(struct overlay_options *o)
{
	size_t i;

	free(o->mountopt);
	free(o->mount_program);
	strv_done(&o->image_stores);
	for (i = 0; i < o->n_layer_stores; i++)
		free(o->layer_stores[i].path);
	free(o->layer_stores);
}
