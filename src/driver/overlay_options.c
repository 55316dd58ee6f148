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

static int set_mountopt(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	free(o->mountopt);
	o->mountopt = strdup(value);
	return o->mountopt ? 0 : fail_nomem(err);
}

static int set_mount_program(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	struct stat st;

	free(take_ptr(o->mount_program));
	if (!*value)
		return 0;
	if (*value != '/')
		return fail(err, IMBREX_EINVAL,
			"option overlay.mount_program: '%s' is not an absolute path", value);
	if (stat(value, &st) < 0)
		return fail_errno(err, "option overlay.mount_program: '%s'", value);
	o->mount_program = strdup(value);
	return o->mount_program ? 0 : fail_nomem(err);
}

static int add_stores(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	const char *p = value;
	struct stat st;

	while (*p) {
		size_t n = strcspn(p, ",");
		AUTO_FREE char *store = strndup(p, n);

		if (!store)
			return fail_nomem(err);
		p += n;
		p += *p == ',';
		if (n == 0)
			continue;
		if (store[0] != '/')
			return fail(err, IMBREX_EINVAL,
				"option overlay.imagestore: '%s' is not an absolute path", store);
		if (stat(store, &st) < 0)
			return fail_errno(err, "option overlay.imagestore: '%s'", store);
		if (strv_add(&o->image_stores, store) < 0)
			return fail_nomem(err);
	}
	return 0;
}

static int set_skip_home(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	return option_bool("overlay.skip_mount_home", value, &o->skip_mount_home, err);
}

static int set_ignore_chown(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	return option_bool("overlay.ignore_chown_errors", value, &o->ignore_chown_errors, err);
}

static int set_force_mask(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
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
				"option overlay.force_mask: '%s' is not shared, private or an "
				"octal mode",
				value);
	}
	o->has_force_mask = true;
	o->force_mask = (mode_t)mask;
	return 0;
}

static int set_sync(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	if (!str_eq(value, "none") && !str_eq(value, "filesystem"))
		return fail(err, IMBREX_EINVAL,
			"option overlay.sync: '%s' is neither none nor filesystem", value);
	o->sync_filesystem = str_eq(value, "filesystem");
	return 0;
}

static int ignore(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	return 0;
}

static int refuse_composefs(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	bool on = false;
	int r = option_bool("overlay.use_composefs", value, &on, err);

	if (r < 0 || !on)
		return r;
	return fail(err, IMBREX_ENOTSUP, "option overlay.use_composefs is not supported");
}

static int set_size(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	return overlay_limit_option("overlay.size", "size", value, &o->limits, err);
}

static int set_inodes(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
	return overlay_limit_option("overlay.inodes", "inodes", value, &o->limits, err);
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

static int add_layer_stores(struct overlay_options *o, const char *value, struct imbrex_error *err)
{
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

static const struct {
	const char *key;
	int (*set)(struct overlay_options *o, const char *value, struct imbrex_error *err);
} overlay_keys[] = {
	{ "additionalimagestore", add_stores },
	{ "additionallayerstore", add_layer_stores },
	{ "force_mask", set_force_mask },
	{ "ignore_chown_errors", set_ignore_chown },
	{ "imagestore", add_stores },
	{ "inodes", set_inodes },
	{ "mount_program", set_mount_program },
	{ "mountopt", set_mountopt },
	{ "override_kernel_check", ignore },
	{ "size", set_size },
	{ "skip_mount_home", set_skip_home },
	{ "sync", set_sync },
	{ "use_composefs", refuse_composefs },
};

int overlay_options_parse(
	struct overlay_options *o, const struct strv *options, struct imbrex_error *err)
{
	size_t i, k;
	int r;

	for (i = 0; options && i < options->n; i++) {
		struct driver_option opt;

		r = option_split(options->items[i], "overlay", &opt, err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		for (k = 0; k < ARRAY_LEN(overlay_keys); k++)
			if (str_eq(overlay_keys[k].key, opt.key))
				break;
		if (k == ARRAY_LEN(overlay_keys))
			return fail(err, IMBREX_EINVAL, "unknown option 'overlay.%s'", opt.key);
		r = overlay_keys[k].set(o, opt.value, err);
		if (r < 0)
			return r;
	}
	return 0;
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
